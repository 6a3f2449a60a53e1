/**
 * The badge of a broadcast whose `<ecoute-micro>` is not in view: « ● DIRECT – personne n'écoute », or who listens.
 *
 * It stands outside the body, over everything, so that no route change of an application takes it away. Its one
 * invariant: after `draw`, it is on the page whenever the client is on air and nothing else shows who listens.
 */

import { ListenerRows } from "./ecoute-names.js";
import { BADGE, styled } from "./ecoute-styles.js";
import { element, interruptedWords, isOnScreen, setText } from "./ecoute-view.js";
import { icon, setIcon } from "./icons.js";
import { language, t } from "./words.js";

export class Badge {
  #shared;
  #host = null;
  #box = null;
  #icon = element("span");
  #words = element("span");
  #title = element("p");
  #list = element("ul", { className: "listeners" });
  #rows = new ListenerRows(this.#list);
  /** The open dialogs that it was put on top of. */
  #below = new Set();

  /** @param {import("./ecoute-shared.js").Shared} shared */
  constructor(shared) { this.#shared = shared; }

  /** Whether it can be seen, which styles of the page may prevent, or a frame without a size. */
  get isShown() { return this.#host !== null && isOnScreen(this.#box); }

  /** The row that names a listener, or undefined. */
  rowOf(noticeId) { return this.#rows.rowOf(noticeId); }

  /** @param {boolean} isElsewhere whether an element in view shows who listens */
  draw(isElsewhere) {
    const { client } = this.#shared;
    const { listeners, streaming } = client;
    const isOnAir = !["off", "asking"].includes(client.streamingState) || listeners.length > 0;
    if (!isOnAir || isElsewhere) return this.#host?.remove();
    const code = language(document.documentElement);
    const state = stateOf(client);
    this.#attach();
    this.#box.dataset.state = state;
    const isSaid = state === "heard"; // By the title of the names.
    this.#icon.parentElement.hidden = isSaid;
    setIcon(this.#icon, { paused: "pause", interrupted: "wait" }[state] ?? "dot");
    setText(this.#words, isSaid ? "" : this.#text(state, code));
    this.#title.hidden = this.#list.hidden = listeners.length === 0;
    const title = streaming.paused ? "heard_at_resume" : "heard_by";
    setText(this.#title.lastElementChild, t(title, { count: listeners.length }, code));
    this.#rows.draw(listeners, code);
  }

  #attach() {
    if (!this.#host) {
      this.#host = document.createElement("ecoute-badge");
      this.#title.append(icon("headphones"), " ", element("span"));
      const state = element("p", {}, this.#icon, this.#words);
      this.#box = element("div", { className: "badge", role: "status" }, state, this.#title, this.#list);
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

  #text(state, code) {
    if (state === "paused") return t("paused", {}, code);
    const { interrupted, source } = this.#shared.client.streaming;
    if (state === "interrupted") return source ? t("interrupted_source", {}, code) : interruptedWords(interrupted, code);
    return t(state === "starting" ? "starting" : "badge_alone", {}, code);
  }
}

/** @param {import("./ecoute-client.js").EcouteClient} client */
function stateOf({ streaming, listeners }) {
  if (streaming.paused) return "paused";
  if (streaming.interrupted) return "interrupted";
  if (streaming.state !== "live") return "starting";
  return listeners.length > 0 ? "heard" : "alone";
}
