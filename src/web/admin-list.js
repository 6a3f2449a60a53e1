/**
 * The list of salespeople: one row each, updated in place.
 *
 * Its one invariant: a row that was shown keeps its position until the page is left, so that nothing moves under a
 * pointer. New people are appended; people the server no longer names stay, as offline.
 */

import { icon, setIcon } from "./icons.js";
import { levelBar, setLevel } from "./meter.js";
import { clock, element, setText } from "./page.js";
import { hasWords, language, t } from "./words.js";

/** Pictures of the states that this page knows; any other is a ring. */
const STATE_ICONS = { on_air: "dot", paused: "pause", interrupted: "wait" };

export class CommercialList {
  #place;
  #client;
  /** @type {Map<string, {commercial: import("./ecoute.js").Commercial, row: HTMLElement, parts: object}>} */
  #entries = new Map();

  /**
   * @param {HTMLElement} place a list element
   * @param {import("./ecoute.js").EcouteClient} client what the headphones of the rows wish of
   */
  constructor(place, client) {
    this.#place = place;
    this.#client = client;
  }

  get size() { return this.#entries.size; }

  /** The name to show for an id, which is the id itself while nothing better is known. */
  nameOf(id) { return this.#entries.get(id)?.commercial.name || id; }

  /** Takes the whole list, as sent on every registration. */
  replace(commercials) {
    const named = new Set(commercials.map((commercial) => commercial.commercial_id));
    for (const [id, entry] of this.#entries) {
      if (named.has(id)) continue;
      const wasThere = entry.commercial.state !== "offline";
      entry.commercial = { ...entry.commercial, state: "offline", is_streaming: false, listeners: [], since: null };
      if (wasThere) entry.commercial.last_seen = Date.now();
    }
    const byName = new Intl.Collator(language(), { numeric: true }).compare;
    for (const commercial of [...commercials].sort((a, b) => byName(a.name, b.name))) this.update(commercial);
  }

  /** Takes one person's new state. */
  update(commercial) {
    const entry = this.#entries.get(commercial.commercial_id);
    if (entry) entry.commercial = commercial;
    else this.#append(commercial);
  }

  /** Shows how loud everyone on air is; who is not named is silent. @param {Record<string, number>} levels dBov by id */
  drawLevels(levels) {
    for (const [id, { parts }] of this.#entries) setLevel(parts.level, levels[id]);
  }

  /**
   * Brings every row up to date.
   * @param {{commercial_id: string, state: string}[]} wishes
   * @param {number} now unix ms; the past while nothing newer is known
   */
  draw(wishes, now) {
    const listening = new Map(wishes.map((wish) => [wish.commercial_id, wish.state]));
    for (const [id, entry] of this.#entries) drawRow(entry, listening.get(id), now);
  }

  #append(commercial) {
    const id = commercial.commercial_id;
    const parts = {
      mark: element("span"),
      state: element("span"),
      name: element("h2"),
      level: element("i"),
      time: element("time", { className: "elapsed" }),
      listeners: element("span"),
    };
    const casque = element("ecoute-casque", { className: "listen", client: this.#client, commercial: id });
    const row = element("li", { className: "person" },
      element("p", { className: "mark" }, parts.mark, parts.state),
      parts.name,
      parts.time,
      element("p", { className: "audience" }, icon("headphones"), parts.listeners),
      casque,
      levelBar(parts.level));
    row.dataset.commercial = id;
    this.#place.append(row);
    this.#entries.set(id, { commercial, row, parts });
  }
}

/** @param {"pending"|"started"|undefined} listening */
function drawRow({ commercial, row, parts }, listening, now) {
  const { state, name, commercial_id, since } = commercial;
  const isOnAir = state === "on_air";
  row.dataset.state = state;
  if (listening) row.dataset.listening = listening;
  else delete row.dataset.listening;

  setIcon(parts.mark, STATE_ICONS[state] ?? "ring");
  setText(parts.state, hasWords(`state_${state}`) ? t(`state_${state}`) : state);
  setText(parts.name, name || commercial_id);
  setText(parts.time, timeWords(commercial, now));
  parts.time.title = since ? new Date(since).toLocaleString(language()) : "";

  const listeners = commercial.listeners ?? [];
  row.dataset.heard = String(listeners.length > 0);
  parts.listeners.parentElement.hidden = !isOnAir && listeners.length === 0;
  setText(parts.listeners, listeners.length > 0
    ? t("listened_by", { names: audienceNames(commercial) })
    : t("listened_by_none"));
}

/** « Paul D., Ana », with a count where one person listens twice. */
function audienceNames({ listeners, listeners_count }) {
  const names = [...new Set(listeners.map((listener) => listener.name || listener.id))].join(", ");
  return listeners_count > listeners.length ? `${names} (${listeners_count})` : names;
}

function timeWords({ state, since, last_seen }, now) {
  if (state !== "offline") return state !== "online" && since ? clock(now - since) : "";
  return last_seen ? t("last_seen", { when: whenWords(last_seen) }) : t("never_seen");
}

/** « 18:02 », « hier 18:02 », « 3 mars 18:02 ». */
function whenWords(at) {
  const then = new Date(at);
  const time = then.toLocaleTimeString(language(), { hour: "2-digit", minute: "2-digit" });
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (at >= midnight) return time;
  const yesterday = new Date(midnight);
  yesterday.setDate(yesterday.getDate() - 1);
  if (at >= yesterday.getTime()) return t("yesterday", { time });
  return `${then.toLocaleDateString(language(), { day: "numeric", month: "short" })} ${time}`;
}
