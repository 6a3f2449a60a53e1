/**
 * « Écoute terminée : Paul D., de 10 h 12 à 10 h 24 »: who has listened, over reloads, until the salesperson has read it.
 *
 * Its one invariant: a listening is in the list once, from when it was told, and only while it is over.
 */

import { byId, element, setText } from "./page.js";
import { showPerson } from "./ecoute-names.js";
import { load, save } from "./session.js";
import { language, t } from "./words.js";

/** How many are kept; the oldest go first. */
const KEPT_MAX = 50;
/** How often it is written down that somebody still listens, in ms: a page may end without a word. */
const KEEP_EVERY_MS = 5_000;
const keyOf = (id) => `ecoute.past.${id}`;

export class PastListenings {
  #client;
  #userId = null;
  /** @type {{listening: string, id: string, name: string, from: number, until: number}[]} newest last; unix ms */
  #all = [];
  /** Which of them go on. */
  #running = new Set();
  #keptAt = 0;

  /** @param {import("./ecoute.js").EcouteClient} client */
  constructor(client) {
    this.#client = client;
    client.addEventListener("registered", ({ detail }) => this.#open(detail.id));
    client.addEventListener("listener_told", ({ detail }) => this.#begin(detail));
    client.addEventListener("listener_left", ({ detail }) => this.#end([detail.listening_id]));
    client.addEventListener("connection", ({ detail }) => detail.state !== "registered" && this.#end([...this.#running]));
    client.addEventListener("streaming", ({ detail }) => detail.state === "off" && this.#end([...this.#running]));
    addEventListener("pagehide", () => this.#end([...this.#running]));
    byId("past-read").addEventListener("click", () => this.#forget());
  }

  /** Brings everything up to date; call it every second. */
  draw() {
    const { now } = this.#client;
    for (const past of this.#all) if (this.#running.has(past.listening)) past.until = now;
    if (this.#running.size > 0 && now - this.#keptAt >= KEEP_EVERY_MS) this.#keep();
    const over = this.#all.filter(({ listening }) => !this.#running.has(listening)).reverse();
    byId("past").hidden = over.length === 0 || this.#client.user?.id !== this.#userId;
    const list = byId("past-list");
    while (list.children.length > over.length) list.lastElementChild.remove();
    while (list.children.length < over.length) list.append(makeRow());
    over.forEach((past, index) => {
      const [label, person, times] = list.children[index].children;
      setText(label, t("past_one"));
      showPerson(person, past);
      setText(times, `, ${timesWords(past, now)}`);
    });
    if (list.scrollHeight > list.clientHeight + 1) list.tabIndex = 0;
    else list.removeAttribute("tabindex");
  }

  #open(id) {
    if (id === this.#userId) return;
    this.#userId = id;
    this.#running.clear();
    this.#all = kept(id);
    this.draw();
  }

  #begin({ listening_id: listening, admin }) {
    const { now } = this.#client;
    // Announced anew it goes on where it was.
    if (!this.#all.some((past) => past.listening === listening)) {
      this.#all.push({ listening, id: admin.id, name: admin.name, from: now, until: now });
    }
    this.#all = this.#all.slice(-KEPT_MAX);
    this.#running.add(listening);
    this.#keep();
    this.draw();
  }

  #end(listenings) {
    const ended = listenings.filter((listening) => this.#running.delete(listening));
    if (ended.length === 0) return;
    for (const past of this.#all) if (ended.includes(past.listening)) past.until = this.#client.now;
    this.#keep();
    this.draw();
  }

  #forget() {
    this.#all = this.#all.filter(({ listening }) => this.#running.has(listening));
    this.#keep();
    this.draw();
  }

  #keep() {
    this.#keptAt = this.#client.now;
    save(keyOf(this.#userId), this.#all.length > 0 ? JSON.stringify(this.#all) : null);
  }
}

function kept(id) {
  try {
    const all = JSON.parse(load(keyOf(id)));
    return Array.isArray(all) ? all.filter((past) => past?.id && past.from && past.until).slice(-KEPT_MAX) : [];
  } catch {
    return []; // What can't be read was not written here.
  }
}

function makeRow() { return element("li", {}, element("span"), " ", element("span", { className: "whom" }), element("span")); }

/** « de 10 h 12 à 10 h 24 », with the day where that is not today. */
function timesWords({ from, until }, now) {
  const time = (at) => new Date(at).toLocaleTimeString(language(), { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const clock = (at) => language() === "fr" ? time(at).replace(/^0?(\d+):/, "$1\u00a0h\u00a0") : time(at);
  const words = t("past_times", { from: clock(from), until: clock(until) });
  const isToday = new Date(from).toDateString() === new Date(now).toDateString();
  return isToday ? words : `${new Date(from).toLocaleDateString(language(), { day: "numeric", month: "long" })}, ${words}`;
}
