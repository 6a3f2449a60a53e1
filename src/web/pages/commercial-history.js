/**
 * « Qui m'a écouté »: what the server has written down of those who listened to this salesperson, in plain words.
 *
 * Off air only, in a dialog that fills a phone. Its one invariant: whatever it shows or saves came from the server, and is
 * this person's own.
 */

import {
  asTitle, clockWords, dateWords, dayOf, endWords, fileName, HistorySource, lengthWords, longDate, problemWords, reasonOf, saveAs,
  StatusLine,
} from "./history-source.js";
import { byId, element, fillWords } from "./page.js";
import { plain, showPerson } from "./ecoute-names.js";
import { hasWords, language, t } from "./words.js";

const PATH = "me/listenings";
const ROWS_AT_ONCE = 50;
/** What is said of in the file, by the names of the fields. */
const FIELDS = [
  "id", "commercial_id", "commercial_name", "admin_id", "admin_name", "reason", "device", "asked", "from", "to", "heard_ms", "told", "ended",
];

export class OwnHistory {
  #client;
  #source;
  #rows = [];
  #next = null;
  #isLoaded = false;
  #drawnFor = "";
  /** Ends what is asked. */
  #run = new AbortController();
  /** Ends what is saved. */
  #saving = new AbortController();
  #status = new StatusLine(() => this.#load());
  #list = element("div", { id: "heard-list", className: "heard-days" });
  #more = worded("button", "history_more", { id: "heard-more", type: "button", hidden: true });
  #none = worded("p", "me_none", { className: "detail", hidden: true });
  #save = worded("button", "me_data", { id: "heard-save", type: "button" });

  /**
   * @param {import("./ecoute.js").EcouteClient} client
   * @param {() => string} token
   */
  constructor(client, token) {
    this.#client = client;
    this.#source = new HistorySource(token);
    document.head.append(element("link", { rel: "stylesheet", href: "/history.css" }));
    const title = worded("h2", "me_title", { id: "heard-title" });
    const back = worded("button", "me_back", { id: "heard-back", type: "button" });
    const dialog = byId("heard-all");
    dialog.setAttribute("aria-labelledby", title.id);
    dialog.replaceChildren(element("header", {}, title, back),
      worded("p", "me_detail", { className: "detail" }), this.#none, this.#list, this.#status.place, this.#more, this.#save);
    back.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      this.#run.abort();
      this.#saving.abort();
    });
    // However it went on air, and whoever hears: nothing lies over that.
    client.addEventListener("streaming", ({ detail }) => detail.state !== "off" && dialog.close());
    client.addEventListener("listener_joined", () => dialog.close());
    this.#more.addEventListener("click", () => this.#load());
    this.#save.addEventListener("click", () => this.#saveAll());
  }

  /** Opens the view, and asks anew. */
  open() {
    this.#rows = [];
    this.#next = null;
    this.#isLoaded = false;
    this.#save.disabled = false;
    byId("heard-all").showModal();
    this.#load();
  }

  /** Keeps an open view in the language in use. */
  draw() {
    if (byId("heard-all").open && this.#drawnFor !== language()) this.#drawAll();
  }

  /** Asks for the newest, or for those before the ones that are there. */
  async #load() {
    this.#run.abort();
    const { signal } = (this.#run = new AbortController());
    this.#status.say(() => t("history_loading"));
    this.#drawAll();
    try {
      const { listenings, next } = await this.#source.rows(PATH, { limit: ROWS_AT_ONCE, cursor: this.#next }, signal);
      if (signal.aborted) return;
      this.#rows.push(...listenings);
      this.#next = next ?? null;
      this.#isLoaded = true;
      this.#status.say(() => "");
    } catch (error) {
      if (signal.aborted) return;
      this.#status.say(() => problemWords(error), true);
    }
    this.#drawAll();
  }

  /** Saves all of it, with what each field means. */
  async #saveAll() {
    const { signal } = (this.#saving = new AbortController());
    const { id, name } = this.#client.user;
    this.#save.disabled = true;
    try {
      const count = (so_far) => this.#status.say(() => t("me_data_count", { count: so_far }));
      count(0);
      const listenings = await this.#source.all(PATH, "listenings", signal, count);
      if (signal.aborted) return;
      const fields = Object.fromEntries(FIELDS.map((field) => [field, t(`data_${field}`)]));
      const now = new Date(this.#client.now);
      const data = { about: t("data_about"), fields, person: { id, name }, server: location.origin, made: now.toISOString(), listenings };
      const file = `ecoute-${fileName(id)}-${now.toISOString().slice(0, 10)}.json`;
      saveAs(new Blob([JSON.stringify(data, null, 2)], { type: "application/json" }), file);
      this.#status.say(() => t("me_data_done", { count: listenings.length }));
    } catch (error) {
      if (!signal.aborted) this.#status.say(() => problemWords(error), true);
    } finally {
      // One that was given up is over before another begins, or leaves that one alone.
      if (this.#saving.signal === signal) this.#save.disabled = false;
    }
  }

  #drawAll() {
    this.#drawnFor = language();
    const { now } = this.#client;
    const days = new Map();
    for (const row of this.#rows) {
      const day = dayOf(row.from).getTime();
      days.set(day, [...days.get(day) ?? [], row]);
    }
    this.#list.replaceChildren(...[...days].map(([day, rows]) => element("section", {},
      element("h3", { textContent: dayTitle(day, now) }),
      element("ul", {}, ...rows.map((row) => rowOf(row, now))))));
    this.#none.hidden = !this.#isLoaded || this.#rows.length > 0;
    this.#more.hidden = this.#next === null;
    this.#status.draw();
    fillWords();
  }
}

/** « Aujourd'hui », « Hier », « Mardi 3 mars 2026 » */
function dayTitle(day, now) {
  const isNear = day >= dayOf(now, -1).getTime();
  return asTitle(isNear ? dateWords(day, now) : longDate(day));
}

/** « Paul D. (paul) – 12 min, le 3 mars à 10 h 14 – formation », and below it how it was told and how it ended. */
function rowOf(row, now) {
  const who = element("span", { className: "whom" });
  showPerson(who, { id: row.admin_id, name: row.admin_name });
  const when = t("me_when", { length: lengthWords(row.heard_ms), day: dateWords(row.from, now), time: clockWords(row.from) });
  const told = row.told === null ? "" : hasWords(`me_told_${row.told}`) ? t(`me_told_${row.told}`) : plain(row.told);
  const end = row.to === null ? t("me_goes_on") : row.ended && t("me_end", { end: endWords("ended", row) });
  const reason = row.reason ? [" – ", reasonOf(row.reason)] : [];
  return element("li", {},
    element("p", {}, who, ` – ${when}`, ...reason),
    element("p", { className: "detail" }, [told, end].filter(Boolean).join(" ")));
}

/** An element whose words follow the language. */
function worded(tag, key, properties = {}) {
  const made = element(tag, properties);
  made.dataset.t = key;
  return made;
}
