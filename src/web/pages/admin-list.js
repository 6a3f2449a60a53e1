/**
 * The list of salespeople: one row each, updated in place, as a grid of which one row at a time takes the keyboard.
 *
 * Rows are arrow-key stops (`role="grid"`, roving `tabindex`), and Tab goes on to what the row holds. Its one invariant:
 * a row is made once per person and never thrown away; people the server no longer names stay, as offline. Whatever changes
 * is drawn once per frame, and what only grows old is drawn where it is in view.
 */

import { showPerson, who, whoAll } from "./ecoute-names.js";
import { icon, setIcon } from "./icons.js";
import { clock, element, inFrame, isVisible, setAttribute, setText } from "./page.js";
import { hasWords, language, t } from "./words.js";

/** Pictures of the states that this page knows; any other is a ring. */
const STATE_ICONS = { on_air: "dot", paused: "pause", interrupted: "warn" };

/** States with a broadcast, whether or not it can be heard right now. */
export const isBroadcasting = ({ state }) => ["on_air", "paused", "interrupted"].includes(state);

/**
 * @typedef {object} Entry
 * @property {import("./ecoute.js").Commercial} commercial
 * @property {HTMLElement} row
 * @property {object} parts
 * @property {number} spokeAt unix ms until which they were last seen to speak, unless they go on; 0 for never
 * @property {boolean} isInView
 * @property {{lat: number, lon: number, accuracy_m: number, at: number}|null} position
 */

export class CommercialList {
  #place;
  #client;
  #onPosition;
  /** Has what is fresh drawn. */
  #drawSoon;
  /** Rows that something was said of since they were drawn. @type {Set<Entry>} */
  #fresh = new Set();
  /** Who is shown, in order, of how many. @type {Entry[]} */
  #shown = [];
  #arranged = 0;
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  #activeId = null;
  #isPointedAt = false;
  #observer = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) {
      const entry = this.#entries.get(target.dataset.commercial);
      entry.isInView = isIntersecting;
      if (!isIntersecting) continue;
      this.#note(entry);
    }
  }, { rootMargin: "50%" });

  /**
   * @param {HTMLElement} place
   * @param {import("./ecoute.js").EcouteClient} client what the headphones of the rows wish of
   * @param {(entry: Entry) => void} onPosition the position of a row was pressed
   * @param {() => void} drawFresh is called in a frame in which there is something new to draw
   */
  constructor(place, client, onPosition, drawFresh) {
    this.#place = place;
    this.#client = client;
    this.#onPosition = onPosition;
    this.#drawSoon = inFrame(drawFresh);
    // Not `:hover`, which stays where a finger last was.
    place.addEventListener("pointerover", () => { this.#isPointedAt = true; });
    place.addEventListener("pointerleave", () => { this.#isPointedAt = false; });
    place.addEventListener("focusin", ({ target }) => {
      this.#activate(target.closest("[data-commercial]").dataset.commercial);
    });
  }

  get size() { return this.#entries.size; }

  /** @returns {Entry[]} */
  get entries() { return [...this.#entries.values()]; }

  /** Whether someone points at a row or stands on one with the keyboard, so that nothing may move. */
  get isHeldStill() {
    const focused = document.activeElement;
    // The headphones' button is in a shadow root.
    const isStoodOn = this.#place.contains(focused)
      && (focused.matches(":focus-visible") || focused.shadowRoot?.querySelector(":focus-visible"));
    return this.#isPointedAt || Boolean(isStoodOn);
  }

  /** A person as far as they are known. @returns {{id: string, name?: string}} */
  personOf(id) { return { id, name: this.#entries.get(id)?.commercial.name }; }

  /** The state of a person, or undefined. */
  stateOf(id) { return this.#entries.get(id)?.commercial.state; }

  /** Takes the whole list, as sent on every registration. */
  replace(commercials) {
    const named = new Set(commercials.map((commercial) => commercial.commercial_id));
    for (const [id, entry] of this.#entries) {
      entry.position = null;
      this.#note(entry);
      if (named.has(id)) continue;
      const wasThere = entry.commercial.state !== "offline";
      entry.commercial = { ...entry.commercial, state: "offline", is_streaming: false, speaking: false, listeners: [], since: null };
      if (wasThere) entry.commercial.last_seen = this.#client.now;
    }
    for (const commercial of commercials) this.update(commercial);
  }

  /** Takes one person's new state. */
  update(commercial) {
    const entry = this.#entries.get(commercial.commercial_id);
    if (!entry) return this.#append(commercial);
    this.#take(entry, commercial);
    // The server forgets it at a pause and off air, and so do we.
    if (!isBroadcasting(commercial) || commercial.state === "paused") entry.position = null;
  }

  /** Takes one person's position. */
  locate({ commercial_id, ...position }) {
    const entry = this.#entries.get(commercial_id);
    if (!entry) return;
    entry.position = position;
    this.#note(entry);
  }

  /** Takes it that nobody is known to speak. */
  forgetSpeech() {
    for (const entry of this.#entries.values()) {
      if (entry.commercial.speaking) this.#take(entry, { ...entry.commercial, speaking: false });
    }
  }

  /**
   * Brings rows up to date.
   * @param {"all"|"aged"|"fresh"} which all of them, those that are fresh or in view, or only those that are fresh
   * @param {{commercial_id: string, state: string}[]} wishes
   * @param {number} now unix ms; the past while nothing newer is known
   */
  draw(which, wishes, now) {
    const listening = new Map(wishes.map((wish) => [wish.commercial_id, wish.state]));
    const isDue = (entry) => which === "all" || (which === "aged" && entry.isInView) || this.#fresh.has(entry);
    for (const entry of which === "fresh" ? this.#fresh : this.#entries.values()) {
      if (isDue(entry)) drawRow(entry, listening.get(entry.commercial.commercial_id), now);
    }
    this.#fresh.clear();
  }

  /** Shows these people in this order, and nobody else. Whatever has the focus keeps it. @param {Entry[]} entries */
  arrange(entries) {
    const isArranged = this.#arranged === this.#entries.size && entries.length === this.#shown.length;
    if (isArranged && entries.every((entry, index) => entry === this.#shown[index])) return;
    this.#arranged = this.#entries.size;
    this.#shown = entries;
    const focused = this.#place.contains(document.activeElement) ? document.activeElement : null;
    const shown = new Set(entries);
    for (const entry of this.#entries.values()) {
      if (entry.row.hidden === shown.has(entry)) entry.row.hidden = !entry.row.hidden;
    }
    const places = new Map([...this.#place.children].map((row, index) => [row, index]));
    const staying = longestRise(entries.map(({ row }) => places.get(row)));
    let next = null;
    for (const { row } of [...entries].reverse()) {
      if (!staying.has(places.get(row))) this.#place.insertBefore(row, next);
      next = row;
    }
    if (focused && focused !== document.activeElement && isVisible(focused)) focused.focus({ preventScroll: true });
    if (!shown.has(this.#entries.get(this.#activeId))) this.#activate(entries[0]?.commercial.commercial_id ?? null);
  }

  /** Moves the keyboard from row to row. @param {"first"|"last"|1|-1} step */
  move(step) {
    const ids = this.#shownIds;
    if (ids.length === 0) return;
    const isInside = this.#place.contains(document.activeElement);
    const from = isInside ? ids.indexOf(this.#activeId) : -1;
    const to = { first: 0, last: ids.length - 1 }[step] ?? (isInside ? from + step : ids.indexOf(this.#activeId));
    this.#entries.get(ids[Math.min(ids.length - 1, Math.max(0, to))]).row.focus();
  }

  get #shownIds() {
    return [...this.#place.children].filter((row) => !row.hidden).map((row) => row.dataset.commercial);
  }

  #take(entry, commercial) {
    const before = entry.commercial;
    entry.commercial = commercial;
    if (before.speaking) entry.spokeAt = Date.now();
    // Of many who speak by turns each turn is shown, and the order follows by and by.
    if (isSpeechAlone(before, commercial)) drawSpeech(entry);
    else this.#note(entry);
  }

  #note(entry) {
    this.#fresh.add(entry);
    this.#drawSoon();
  }

  /** Lets the keyboard enter the list at this row, and only the buttons of this row be Tab stops. */
  #activate(id) {
    if (id === this.#activeId) return;
    for (const [each, isActive] of [[this.#activeId, false], [id, true]]) {
      const row = this.#entries.get(each)?.row;
      if (!row) continue;
      row.tabIndex = isActive ? 0 : -1;
      // What is in a shadow root is a Tab stop unless its host says no.
      for (const stop of row.querySelectorAll("button, ecoute-casque")) stop.toggleAttribute("tabindex", !isActive);
    }
    this.#activeId = id;
  }

  #append(commercial) {
    const id = commercial.commercial_id;
    const parts = {
      mark: element("span"),
      state: element("span"),
      person: element("span", { className: "whom" }),
      device: element("span", { className: "tag", hidden: true }),
      speech: cell("span", "speech"),
      time: cell("time", "elapsed"),
      listeners: element("span"),
      age: element("span"),
    };
    const shownName = cell("p", "name", parts.device, parts.person);
    shownName.setAttribute("role", "rowheader");
    const casque = element("ecoute-casque", { className: "listen", client: this.#client, commercial: id, tabIndex: -1 });
    const place = element("button", { type: "button", className: "link", tabIndex: -1 }, icon("pin"), parts.age);
    place.setAttribute("aria-haspopup", "dialog");
    const audience = cell("p", "audience", icon("headphones"), parts.listeners);
    const row = element("div", { className: "person", tabIndex: -1 },
      cell("p", "mark", parts.mark, parts.state),
      parts.speech,
      shownName,
      parts.time,
      audience,
      cell("div", "place", place),
      cell("div", "ear", casque));
    row.setAttribute("role", "row");
    row.dataset.commercial = id;
    const entry = {
      commercial, row, parts: { ...parts, place, audience }, position: null, spokeAt: 0, isInView: false,
    };
    place.addEventListener("click", () => this.#onPosition(entry));
    this.#place.append(row);
    this.#entries.set(id, entry);
    this.#observer.observe(row);
    this.#note(entry);
  }
}

function cell(tag, className, ...children) {
  const made = element(tag, { className }, ...children);
  made.setAttribute("role", "gridcell");
  return made;
}

/** Which of these numbers can stay, the most that are, for all to rise once the others are put between them. */
function longestRise(numbers) {
  /** The last index of the best run of each length, and what came before each index in its run. */
  const ends = [];
  const before = [];
  numbers.forEach((number, index) => {
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (numbers[ends[middle]] < number) low = middle + 1;
      else high = middle;
    }
    before[index] = ends[low - 1];
    ends[low] = index;
  });
  const run = new Set();
  for (let index = ends[ends.length - 1]; index !== undefined; index = before[index]) run.add(numbers[index]);
  return run;
}

/** Whether somebody began or stopped to speak, and nothing else changed. */
function isSpeechAlone(before, after) {
  const rest = (commercial) => JSON.stringify({ ...commercial, speaking: null });
  return before.speaking !== after.speaking && rest(before) === rest(after);
}

/** @param {Entry} entry */
function drawSpeech({ commercial: { state, source, speaking }, parts: { speech } }) {
  // Most encoders do not tell whether anybody speaks.
  speech.hidden = state !== "on_air" || (Boolean(source) && !speaking);
  setIcon(speech, speaking ? "speech" : "ring");
  const words = t(speaking ? "speaks" : "silent");
  setAttribute(speech, "aria-label", words);
  setAttribute(speech, "title", words);
  speech.dataset.speaks = String(Boolean(speaking));
}

/** @param {Entry} entry @param {"pending"|"started"|undefined} listening */
function drawRow(entry, listening, now) {
  const { commercial, row, parts, position } = entry;
  const { state, name, commercial_id, since, interrupted_by, source } = commercial;
  row.dataset.state = state;
  if (listening) row.dataset.listening = listening;
  else delete row.dataset.listening;

  setIcon(parts.mark, STATE_ICONS[state] ?? "ring");
  const words = [`state_${state}_${interrupted_by}`, `state_${state}`].find(hasWords);
  setText(parts.state, words ? t(words) : state);
  drawSpeech(entry);
  const person = { id: commercial_id, name };
  showPerson(parts.person, person);
  parts.device.hidden = source !== "device";
  setText(parts.device, parts.device.hidden ? "" : t("device"));
  setText(parts.time, timeWords(commercial, now));
  drawTitle(parts.time, since);

  const listeners = commercial.listeners ?? [];
  row.dataset.heard = String(listeners.length > 0);
  parts.audience.hidden = !isBroadcasting(commercial) && listeners.length === 0;
  showAudience(parts.listeners, commercial);
  const names = whoAll(listeners);
  const audience = names ? t("listened_by", { names }) : t("listened_by_none");
  setAttribute(parts.audience, "aria-label", audience);
  setAttribute(parts.audience, "title", audience);

  parts.place.hidden = !position;
  if (position) {
    setText(parts.age, age(now - position.at));
    setAttribute(parts.place, "aria-label", t("position_of", { who: who(person), age: age(now - position.at) }));
  }
}

/** Since when, to the second; browsers take long to write a date. */
function drawTitle(place, since) {
  const key = `${since} ${language()}`;
  if (place.dataset.shown === key) return;
  place.dataset.shown = key;
  place.title = since ? new Date(since).toLocaleString(language()) : "";
}

/** « 2 : Paul D. (paul), Ana R. (ana) »: how many listen, and whoever does, each by themselves. */
function showAudience(place, { listeners = [], listeners_count }) {
  const people = [...new Map(listeners.map((listener) => [listener.id, listener])).values()];
  const key = `${listeners_count} ${whoAll(people)}`;
  if (place.dataset.shown === key) return;
  place.dataset.shown = key;
  const names = people.flatMap((person, index) => {
    const shown = element("span");
    showPerson(shown, person);
    return [index > 0 ? ", " : "\u00a0: ", shown];
  });
  place.replaceChildren(String(listeners_count), ...names);
}

function timeWords({ state, since, last_seen }, now) {
  if (state !== "offline") return state !== "online" && since ? clock(now - since) : "";
  return last_seen ? t("last_seen", { when: seenWords(last_seen, now) }) : t("never_seen");
}

/** When somebody was here: to the minute today, and of another day that day alone, which is enough. */
function seenWords(at, now) {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  if (at >= midnight) return whenWords(at, now);
  if (new Date(at).setHours(24, 0, 0, 0) >= midnight) return t("day_before");
  return t("on_day", { date: new Date(at).toLocaleDateString(language(), { day: "numeric", month: "long" }) });
}

/** How long ago, in its largest unit: « 12 s », « 2 min », « 3 h ». @param {number} ms */
export function age(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return t("seconds", { s });
  return s < 3600 ? t("about_minutes", { min: Math.floor(s / 60) }) : t("about_hours", { h: Math.floor(s / 3600) });
}

/** « à 18:02 », « hier 18:02 », « 3 mars 18:02 ». @param {number} at unix ms @param {number} now unix ms of the server */
export function whenWords(at, now) {
  const then = new Date(at);
  const time = then.toLocaleTimeString(language(), { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  if (at >= midnight) return t("today", { time });
  const yesterday = new Date(midnight);
  yesterday.setDate(yesterday.getDate() - 1);
  if (at >= yesterday.getTime()) return t("yesterday", { time });
  return `${then.toLocaleDateString(language(), { day: "numeric", month: "short" })} ${time}`;
}
