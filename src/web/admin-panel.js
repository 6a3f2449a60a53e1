/**
 * The floating panel: whom one hears or waits for, how loud, and the way out.
 *
 * It shows one person: whoever is heard, otherwise the latest wish. Other wishes stand below, each with its own end.
 */

import { icon, setIcon } from "./icons.js";
import { levelBar, setLevel } from "./meter.js";
import { byId, clock, element, lines, reasonWords, setText } from "./page.js";
import { load, save } from "./session.js";
import { hasWords, language, t } from "./words.js";

const VOLUME_DEFAULT_PERCENT = 80;
const volumeKey = (id) => `ecoute.volume.${id}`;

export class ListeningPanel {
  #client;
  #nameOf;
  /** When listening to the person started, in unix ms, by id. */
  #startedAt = new Map();
  #shownId = null;
  #isMuted = false;
  #level = element("i");

  /** @param {{client: import("./ecoute.js").EcouteClient, nameOf: (id: string) => string}} options */
  constructor({ client, nameOf }) {
    this.#client = client;
    this.#nameOf = nameOf;
    byId("panel-state").after(levelBar(this.#level));
    byId("volume").addEventListener("input", () => this.#onVolume());
    byId("mute").addEventListener("click", () => {
      this.#setMuted(!this.#isMuted);
      this.draw();
    });
    // The page gets as much room below its end, so that everything can be scrolled out from under the panel.
    new ResizeObserver(() => {
      document.body.style.setProperty("--panel-height", `${byId("panel").offsetHeight}px`);
    }).observe(byId("panel"));
    byId("panel-stop").addEventListener("click", () => this.#shownId !== null && client.stop(this.#shownId));
  }

  /** Someone is heard from now on, at the volume that was chosen for them. */
  onStarted(id) {
    this.#startedAt.set(id, Date.now());
    this.#client.setVolume(volumeOf(id) / 100);
  }

  /** Shows how loud the one who is heard is. @param {Record<string, number>} levels dBov by id */
  drawLevels(levels) {
    const isStarted = byId("panel").dataset.listening === "started";
    setLevel(this.#level, isStarted ? levels[this.#shownId] : undefined);
  }

  draw() {
    const wishes = this.#client.wishes;
    const shown = wishes.find((wish) => wish.state === "started") ?? wishes.at(-1);
    const panel = byId("panel");
    panel.hidden = !shown;
    document.body.dataset.panel = shown ? "open" : "closed";
    if (!shown) {
      this.#shownId = null;
      this.#setMuted(false); // The next one must not start silent by surprise.
      byId("no-sound").open = false;
      delete panel.dataset.listening;
      delete panel.dataset.commercial;
      return;
    }
    if (this.#shownId !== shown.commercial_id) this.#show(shown.commercial_id);
    this.#drawShown(shown);
    this.#drawOthers(wishes.filter((wish) => wish !== shown));
  }

  /** Turns the panel to someone. Nothing that a finger may rest on changes while they stay the same. */
  #show(id) {
    this.#shownId = id;
    byId("volume").value = String(volumeOf(id));
    byId("panel").dataset.commercial = id;
  }

  #drawShown({ commercial_id: id, reason, state, cause }) {
    const isStarted = state === "started";
    const name = this.#nameOf(id);
    byId("panel").dataset.listening = state;
    const [mark, markWords] = byId("panel-mark").children;
    setIcon(mark, isStarted ? "dot" : "wait");
    setText(markWords, t(isStarted ? "live" : "listen_pending"));
    setText(byId("panel-name"), name);
    setText(byId("panel-elapsed"), isStarted ? clock(Date.now() - this.#startedAt.get(id)) : "");
    setText(byId("panel-state"), isStarted ? this.#startedWords(name) : pendingWords(cause, name));
    const isTold = isStarted || cause === "ack";
    const me = this.#client.user?.name || this.#client.user?.id || "";
    setText(byId("panel-sees"), t(isTold ? "sees" : "will_see", { name, me, reason: reasonWords(reason) }));
    this.#drawSound();
  }

  #startedWords(name) {
    return this.#client.audio.output === "running" ? t("panel_started", { name }) : t("panel_output");
  }

  #drawSound() {
    const percent = t("percent", { n: byId("volume").value });
    setText(byId("volume-percent"), percent);
    byId("volume").setAttribute("aria-valuetext", percent);
    const isSilent = this.#isMuted || byId("volume").value === "0";
    setIcon(byId("volume-icon"), isSilent ? "muted" : "volume");
    const mute = byId("mute");
    mute.setAttribute("aria-pressed", String(this.#isMuted));
    setIcon(mute.firstElementChild, this.#isMuted ? "muted" : "volume");
    setText(mute.lastElementChild, t(this.#isMuted ? "unmute" : "mute"));
    const help = byId("no-sound-text");
    if (help.dataset.language !== language()) {
      help.dataset.language = language();
      help.replaceChildren(element("h3", { textContent: t("help_sound_title") }), lines("help_sound"));
    }
  }

  #drawOthers(wishes) {
    const place = byId("panel-others");
    const rows = new Map([...place.children].map((row) => [row.dataset.waiting, row]));
    for (const { commercial_id: id, cause } of wishes) {
      const row = rows.get(id) ?? this.#otherRow(id);
      rows.delete(id);
      setText(row.querySelector("span"), pendingWords(cause, this.#nameOf(id)));
      row.querySelector("button").setAttribute("aria-label", t("cancel_wish", { name: this.#nameOf(id) }));
    }
    for (const row of rows.values()) row.remove();
  }

  #otherRow(id) {
    const button = element("button", { type: "button", className: "cancel" }, icon("close"));
    button.addEventListener("click", () => this.#client.stop(id));
    const row = element("li", {}, icon("wait"), element("span"), button);
    row.dataset.waiting = id;
    byId("panel-others").append(row);
    return row;
  }

  #setMuted(isMuted) {
    if (isMuted === this.#isMuted) return;
    this.#isMuted = isMuted;
    this.#client.setMuted(isMuted);
  }

  #onVolume() {
    const percent = Number(byId("volume").value);
    save(volumeKey(this.#shownId), String(percent));
    this.#client.setVolume(percent / 100);
    this.#drawSound();
  }
}

function volumeOf(id) {
  const stored = Number.parseInt(load(volumeKey(id)) ?? "", 10);
  return stored >= 0 && stored <= 200 ? stored : VOLUME_DEFAULT_PERCENT;
}

function pendingWords(cause, name) {
  return t(hasWords(`pending_${cause}`) ? `pending_${cause}` : "pending_other", { name });
}
