/**
 * The badge of a broadcast whose `<ecoute-micro>` is not in view: « ● LIVE – Paul D. vous écoute ».
 *
 * It stands outside the body, over everything, so that no route change of an application takes it away. Its one
 * invariant: after `draw`, it is on the page whenever the client is on air and nothing else shows who listens.
 */

import { BADGE, styled } from "./ecoute-styles.js";
import { element, isOnScreen, setText } from "./ecoute-view.js";
import { setIcon } from "./icons.js";
import { language, t } from "./words.js";

export class Badge {
  #shared;
  #host = null;
  #box = null;
  #icon = element("span");
  #words = element("span");
  /** The open dialogs that it was put on top of. */
  #below = new Set();

  /** @param {import("./ecoute-shared.js").Shared} shared */
  constructor(shared) { this.#shared = shared; }

  /** Whether it can be seen, which styles of the page may prevent, or a frame without a size. */
  get isShown() { return this.#host !== null && isOnScreen(this.#box); }

  /** @param {boolean} isElsewhere whether an element in view shows who listens */
  draw(isElsewhere) {
    const { client } = this.#shared;
    const isOnAir = !["off", "asking"].includes(client.streamingState);
    if (!isOnAir || isElsewhere) return this.#host?.remove();
    const state = stateOf(client);
    this.#attach();
    this.#box.dataset.state = state;
    setIcon(this.#icon, { heard: "headphones", paused: "pause", interrupted: "wait" }[state] ?? "dot");
    setText(this.#words, this.#text(state));
  }

  #attach() {
    if (!this.#host) {
      this.#host = document.createElement("ecoute-badge");
      this.#box = element("p", { className: "badge", role: "status" }, this.#icon, this.#words);
      // In the top layer nothing of the page covers it.
      if ("popover" in this.#box) this.#box.popover = "manual";
      styled(this.#host, BADGE).append(this.#box);
    }
    if (!this.#host.isConnected) document.documentElement.append(this.#host);
    if (this.#box.popover) this.#rise();
  }

  /** A dialog that opens later lies over what was on top until then. */
  #rise() {
    const modals = [...document.querySelectorAll(":modal")];
    const isOnTop = this.#box.matches(":popover-open") && modals.every((modal) => this.#below.has(modal));
    this.#below = new Set(modals);
    if (isOnTop) return;
    this.#box.hidePopover();
    this.#box.showPopover();
  }

  #text(state) {
    const code = language(document.documentElement);
    if (state === "paused") return t("paused", {}, code);
    const { interrupted, source } = this.#shared.client.streaming;
    if (state === "interrupted") return t(source ? "interrupted_source" : `interrupted_${interrupted}`, {}, code);
    if (state === "starting") return t("starting", {}, code);
    const names = this.#shared.client.listeners.map((hearer) => hearer.admin.name);
    if (names.length === 0) return t("badge_alone", {}, code);
    if (names.length === 1) return t("badge_heard", { names: names[0] }, code);
    return t("badge_heard_many", { names: names.join(", ") }, code);
  }
}

/** @param {import("./ecoute-client.js").EcouteClient} client */
function stateOf({ streaming, listeners }) {
  if (streaming.paused) return "paused";
  if (streaming.interrupted) return "interrupted";
  if (streaming.state !== "live") return "starting";
  return listeners.length > 0 ? "heard" : "alone";
}
