/**
 * « Historique »: one day, a band of time for each salesperson who was on air, and who heard whom.
 *
 * The bands are for the eye; all that they show stands in words beside and below them. What is sought by name the server
 * looks for, in all of the day. Its one invariant: what is shown is of the day that its field names, or it says that it is still
 * on its way; and of rows that are the same none moves.
 */

import { isFound } from "./admin-find.js";
import { nameOf, showPerson } from "./ecoute-names.js";
import {
  asTitle, clockWords, dayName, dayOf, endWords, HistorySource, lengthWords, longDate, problemWords, reasonOf, saveAs, StatusLine,
  toldWords,
} from "./history-source.js";
import { byId, element, fillWords, setText } from "./page.js";
import { language, t } from "./words.js";

/** The longest text that is looked for: 200 bytes, of which a character has three at the most. */
const SOUGHT_CHARS_MAX = 60;
/** Rows in one answer. */
const ROWS_AT_ONCE = 200;
const HOUR_MS = 3_600_000;
/** How far apart the times above the bands are, in ms, and how many there are at the most. */
const STEPS_MS = [0.25, 0.5, 1, 2, 3, 4].map((hours) => hours * HOUR_MS);
const TIMES_MAX = 6;
/** The columns of the listenings; who listened is in one of its own only where that may be anybody. */
const COLUMNS = ["when", "whom", "who", "length", "reason", "told", "end"];

/** What is asked for, by the names of the answers so far; `only` are the listenings to one person, where not all are there. */
const PARTS = { broadcasts: "broadcasts", listenings: "listenings", only: "listenings" };
/** How long nobody has typed before it is asked, in ms. */
const TYPED_MS = 300;
/** What the address names instead of a day. */
const REPORT = "rapport";

export class HistoryView {
  #client;
  #source;
  #onDay;
  #parts = makeParts();
  #status = new StatusLine(() => this.#load());
  /** The day that is shown, its midnight; null for the one in the address. @type {Date|null} */
  #day = null;
  /** @type {Record<string, {rows: object[], next: string|null}>} */
  #got = {};
  /** Whether nothing of the day has come yet. */
  #isEmpty = true;
  /** What was sought by name in what is there. */
  #gotSought = "";
  /** Whose rows alone are shown. */
  #only = null;
  /** In which language it was drawn. */
  #drawnFor = "";
  /** With which right it was asked for. */
  #sawAll = false;
  /** Ends what is asked. */
  #run = new AbortController();
  #typing = 0;
  #style;
  #place;
  #token;
  /** @type {import("./admin-report.js").ReportView|null} */
  #report = null;
  #isReport = false;

  /**
   * @param {HTMLElement} place
   * @param {import("./ecoute.js").EcouteClient} client
   * @param {() => string} token
   * @param {(day: string) => void} onDay told of another day, as the address names it; empty for today
   */
  constructor(place, client, token, onDay) {
    this.#client = client;
    this.#token = token;
    this.#place = place;
    this.#source = new HistorySource(token);
    this.#onDay = onDay;
    // Without its style there is nothing to look at.
    this.#style = new Promise((resolve) => {
      const link = element("link", { rel: "stylesheet", href: "/history.css" });
      for (const name of ["load", "error"]) link.addEventListener(name, resolve);
      document.head.append(link);
    });
    const parts = this.#parts;
    parts.dayPlace.append(parts.form, parts.notes, this.#status.place, parts.bands, parts.listenings, parts.more, parts.tables);
    place.replaceChildren(parts.dayPlace);
    parts.before.addEventListener("click", () => this.turn(-1));
    parts.after.addEventListener("click", () => this.turn(1));
    parts.refresh.addEventListener("click", () => this.#load());
    parts.day.addEventListener("change", () => this.#onPicked());
    parts.form.addEventListener("submit", (event) => event.preventDefault());
    for (const input of [parts.find, parts.findSupervisor]) input.addEventListener("input", () => this.#onTyped());
    parts.rows.addEventListener("click", ({ target }) => {
      const row = target.closest(".only")?.closest(".day-row");
      if (row) this.#onOnly(row.dataset.id);
    });
    parts.report.addEventListener("click", () => this.#openReport());
    parts.more.addEventListener("click", () => this.#load({ isMore: true }));
    for (const path of ["broadcasts", "listenings"]) {
      byName(parts.tables, `csv-${path}`).addEventListener("click", ({ currentTarget }) => this.#save(path, currentTarget));
    }
  }

  /** Another address is shown, or the same again, of which more may be known by now: the next drawing asks for its day. */
  forget() {
    this.#run.abort();
    this.#day = null;
  }

  /** Brings it up to date. @param {string|null} asked the day in the address, of which a wrong one is today */
  draw(asked) {
    // One who reconnects is told anew what they may.
    if (asked === REPORT && this.#seesAll) return this.#drawReport();
    this.#isReport = false;
    this.#parts.dayPlace.hidden = false;
    if (this.#report) this.#report.place.hidden = true;
    if (this.#day === null) this.#show(parsedDay(asked, this.#today));
    else if (this.#seesAll !== this.#sawAll) this.#load();
    else if (language() !== this.#drawnFor || this.#parts.day.max !== dayName(this.#today)) this.#drawAll();
  }

  /** Goes to another day. @param {1|-1} step */
  turn(step) {
    if (this.#isReport) return;
    const day = dayOf(this.#day, step);
    if (day <= this.#today) this.#show(day);
  }

  /** Moves the keyboard from salesperson to salesperson. @param {"first"|"last"|1|-1} step */
  move(step) {
    if (this.#isReport) return;
    const stops = [...this.#parts.rows.querySelectorAll(".only")];
    if (stops.length === 0) return;
    const from = stops.indexOf(document.activeElement);
    const to = { first: 0, last: stops.length - 1 }[step] ?? (from < 0 ? 0 : from + step);
    stops[Math.min(stops.length - 1, Math.max(0, to))].focus();
  }

  /** Where names are searched. */
  get search() { return this.#parts.find; }

  get #today() { return dayOf(this.#client.now); }

  /** Whether it may see whom others have listened to. */
  get #seesAll() { return this.#client.user?.rights?.includes("audit") ?? false; }

  #onPicked() {
    const { value } = this.#parts.day;
    if (value) this.#show(parsedDay(value, this.#today));
    else this.#parts.day.value = dayName(this.#day);
  }

  #show(day) {
    this.#day = day;
    this.#only = null;
    this.#got = {};
    this.#isEmpty = true;
    this.#onDay(this.#dayInAddress);
    this.#load();
  }

  get #dayInAddress() {
    const name = dayName(this.#day);
    return name === dayName(this.#today) ? "" : name;
  }

  /** What is there is searched at once; the server is asked once nobody types. */
  #onTyped() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#load(), TYPED_MS);
    this.#drawRows();
  }

  /** Shows one person's listenings alone, or all again. */
  #onOnly(id) {
    this.#only = this.#only === id ? null : id;
    delete this.#got.only;
    this.#drawRows();
    if (this.#only !== null && this.#got.listenings?.next) this.#load({ isMore: true });
  }

  #openReport() {
    this.#onDay(REPORT);
    this.#drawReport();
    this.#report?.focus();
  }

  async #drawReport() {
    this.#isReport = true;
    this.#parts.dayPlace.hidden = true;
    if (this.#report) {
      this.#report.place.hidden = false;
      return this.#report.draw();
    }
    try {
      const { ReportView } = await import("./admin-report.js");
      await this.#style;
      if (this.#report || !this.#isReport) return;
      this.#report = new ReportView(this.#client, this.#token, () => this.#closeReport());
      this.#place.append(this.#report.place);
      this.#report.draw();
      this.#report.focus();
    } catch (error) {
      console.warn("écoute: the report can't be loaded", error);
      this.#closeReport();
      this.#status.say(() => t("view_failed"), true);
    }
  }

  #closeReport() {
    this.#onDay(this.#day === null ? "" : this.#dayInAddress);
    this.draw("");
    this.#parts.report.focus();
  }

  /** Asks for the day, or for what is left of it. What is shown of it stays until the answer is there. */
  async #load({ isMore = false } = {}) {
    clearTimeout(this.#typing);
    this.#run.abort();
    const { signal } = (this.#run = new AbortController());
    this.#sawAll = this.#seesAll;
    const sought = this.#soughtNow;
    // A line that comes and goes would move what is below it.
    this.#status.say(() => (this.#isEmpty ? t("history_loading") : ""));
    this.#drawAll();
    try {
      const got = isMore ? this.#got : {};
      const asked = isMore ? this.#unfinished : ["broadcasts", "listenings"];
      const answers = await Promise.all(asked.map((part) => this.#source.rows(`history/${PARTS[part]}`, {
        ...this.#wantedOf(part), limit: ROWS_AT_ONCE, cursor: got[part]?.next,
      }, signal)));
      await this.#style;
      if (signal.aborted) return;
      const all = { ...got };
      asked.forEach((part, index) => {
        const { [PARTS[part]]: rows, next } = answers[index];
        all[part] = { rows: [...got[part]?.rows ?? [], ...rows], next: next ?? null };
      });
      this.#got = all;
      this.#gotSought = sought;
      this.#isEmpty = false;
      // Of one person alone not all may be there, and of what is sought nothing may be among the first that the server looked at.
      const isOnlyMissing = !isMore && this.#only !== null && all.listenings.next;
      const isNoneFound = this.#isSought && asked.every((part) => all[part].rows.length === 0) && this.#unfinished.length > 0;
      if (isOnlyMissing || isNoneFound) return void this.#load({ isMore: true });
      this.#status.say(() => "");
    } catch (error) {
      if (signal.aborted) return;
      this.#run.abort(); // The other answer is of no use alone.
      this.#status.say(() => problemWords(error), true);
    }
    this.#drawAll();
  }

  /** Which parts have more. One person's alone are asked for by their id, where not all of all are there. */
  get #unfinished() {
    const parts = this.#only === null || !this.#got.listenings?.next ? ["broadcasts", "listenings"] : ["only"];
    return parts.filter((part) => this.#got[part]?.next !== null);
  }

  /** What of the day is asked for: all that touches it. */
  #wantedOf(part) {
    const only = part === "only" ? this.#only : null;
    return {
      from: this.#day.toISOString(),
      to: dayOf(this.#day, 1).toISOString(),
      touching: "true",
      commercial_id: only,
      commercial: (only === null && soughtIn(this.#parts.find)) || null,
      admin: (PARTS[part] === "listenings" && this.#supervisor) || null,
    };
  }

  async #save(part, button) {
    button.disabled = true;
    const name = `ecoute-${part}-${dayName(this.#day)}.csv`;
    try {
      saveAs(await this.#source.table(`history/${part}`, this.#wantedOf(part), new AbortController().signal), name);
    } catch (error) {
      this.#status.say(() => problemWords(error), true);
    }
    button.disabled = false;
  }

  #drawAll() {
    this.#drawnFor = language();
    const parts = this.#parts;
    const name = dayName(this.#day);
    if (parts.day.value !== name) parts.day.value = name;
    parts.day.max = dayName(this.#today);
    parts.after.disabled = this.#day >= this.#today;
    parts.findSupervisor.hidden = !this.#seesAll;
    parts.others.hidden = this.#seesAll;
    parts.report.hidden = !this.#seesAll;
    parts.title.dataset.t = this.#seesAll ? "history_listenings" : "history_listenings_own";
    setText(parts.date, asTitle(longDate(this.#day)));
    this.#status.draw();
    this.#drawRows();
    fillWords();
    parts.find.placeholder = t("history_whom");
    parts.findSupervisor.placeholder = t("history_who");
  }

  #drawRows() {
    const parts = this.#parts;
    const { broadcasts, listenings } = this.#wanted();
    const sounded = listenings.filter(({ from }) => from !== null);
    const people = peopleOf(broadcasts, sounded);
    const isSought = this.#isSought;
    const isLooking = this.#soughtNow !== this.#gotSought;
    const isNone = !isSought && !isLooking && (this.#got.broadcasts?.rows.length ?? 0) + (this.#got.listenings?.rows.length ?? 0) === 0;
    // Before the server has looked, nobody is not found.
    parts.none.hidden = this.#isEmpty || people.length > 0 || isLooking;
    parts.none.dataset.t = isSought ? "nobody_found" : this.#day < this.#today ? "history_empty" : "history_empty_today";
    setText(parts.none, t(parts.none.dataset.t));
    parts.bands.hidden = this.#isEmpty;
    parts.bands.ariaBusy = String(isLooking);
    parts.scale.parentElement.hidden = broadcasts.length === 0;
    const scale = scaleOf(this.#day, [...broadcasts, ...sounded], this.#now);
    parts.scale.replaceChildren(...timesOf(scale));
    const focused = document.activeElement?.closest(".day-row")?.dataset.id;
    settle(parts.rows, people.map((person) => this.#row(person, scale)));
    if (focused !== undefined && !parts.rows.contains(document.activeElement)) [...parts.rows.children].find((row) => row.dataset.id === focused)?.querySelector(".only").focus();

    const ofOnly = this.#only !== null && this.#got.only ? this.#sought(this.#got.only.rows) : listenings;
    const shown = ofOnly.filter(({ commercial_id }) => this.#only === null || commercial_id === this.#only);
    const columns = COLUMNS.filter((column) => column !== "who" || this.#seesAll);
    parts.listenings.hidden = this.#isEmpty || isNone;
    parts.listeningsNone.hidden = shown.length > 0;
    parts.table.hidden = shown.length === 0;
    parts.table.dataset.columns = columns.length;
    settle(parts.table, [
      tableRow("columnheader", columns.map((column) => t(`history_${column}`))),
      ...shown.map((listening) => tableRow("cell", columns.map((column) => CELLS[column](listening, this.#day)), columns))]);
    parts.more.hidden = this.#isEmpty || this.#unfinished.length === 0;
    parts.tables.hidden = this.#isEmpty || isNone;
  }

  /** Until when what goes on is drawn. */
  get #now() { return this.#client.now; }

  get #supervisor() { return this.#seesAll ? soughtIn(this.#parts.findSupervisor) : ""; }

  get #isSought() { return soughtIn(this.#parts.find) !== "" || this.#supervisor !== ""; }

  /** What is sought by name, in one. */
  get #soughtNow() { return JSON.stringify([soughtIn(this.#parts.find), this.#supervisor]); }

  /** Those of some rows that are sought by name. */
  #sought(rows) {
    const sought = soughtIn(this.#parts.find);
    return rows.filter((row) => isFound(sought, row.commercial_name, row.commercial_id)
      && (row.admin_id === undefined || isFound(this.#supervisor, row.admin_name, row.admin_id)));
  }

  /** What is sought by name. */
  #wanted() {
    const listenings = this.#sought(this.#got.listenings?.rows ?? []);
    const heard = new Set(listenings.map(({ commercial_id }) => commercial_id));
    const isOfHeard = ({ commercial_id }) => this.#supervisor === "" || heard.has(commercial_id);
    return { listenings, broadcasts: this.#sought(this.#got.broadcasts?.rows ?? []).filter(isOfHeard) };
  }

  #row({ id, name, device, broadcasts, listenings }, scale) {
    const shownName = element("span", { className: "whom" });
    showPerson(shownName, { id, name });
    const isOnly = this.#only === id;
    const only = element("button", { type: "button", className: "only", title: t("history_only") }, shownName);
    only.setAttribute("aria-pressed", String(isOnly));
    const tag = device ? [element("span", { className: "tag", textContent: t("device") }), " "] : [];
    const [begin, end] = [this.#day.getTime(), dayOf(this.#day, 1).getTime()];
    const onAirMs = sum(broadcasts.map(({ from, to }) => Math.min(to ?? this.#now, end) - Math.max(from, begin)));
    const count = sum(broadcasts.map(({ listeners }) => listeners));
    const total = [t("history_on_air", { time: lengthWords(onAirMs) }), t("history_count", { count })].join(" · ");
    const marks = [
      ...broadcasts.map((broadcast) => mark("air", broadcast, scale, this.#now)),
      ...listenings.map((listening) => mark("heard", listening, scale, this.#now)),
    ];
    const times = broadcasts.map((broadcast) => element("li", {}, [
      spanWords(broadcast, this.#day), broadcast.to === null ? "" : endWords("off_air", broadcast), t("history_count", { count: broadcast.listeners }),
    ].filter(Boolean).join(" · ")));
    const row = element("li", { className: "day-row" },
      element("p", { className: "day-name" }, ...tag, only),
      element("p", { className: "day-total", textContent: broadcasts.length > 0 ? total : "" }),
      element("div", { className: "band", ariaHidden: "true" }, ...marks),
      element("ul", { className: "day-times" }, ...times));
    row.dataset.id = id;
    row.classList.toggle("other", this.#only !== null && !isOnly);
    return row;
  }
}

/** What stands in the columns, by their names. */
const CELLS = {
  when: (listening, day) => (listening.from === null ? t("history_asked", { time: clockWords(listening.asked) }) : spanWords(listening, day)),
  whom: ({ commercial_id, commercial_name }) => person(commercial_id, commercial_name),
  who: ({ admin_id, admin_name }) => person(admin_id, admin_name),
  length: ({ from, heard_ms }) => (from === null ? t("history_never") : lengthWords(heard_ms)),
  reason: ({ reason }) => (reason ? reasonOf(reason) : ""),
  told: (listening) => toldWords(listening),
  end: (listening) => endWords("ended", listening),
};

function makeParts() {
  const button = (key, properties = {}) => worded("button", key, { type: "button", ...properties });
  const labelled = (tag, key, properties) => {
    const made = element(tag, properties);
    made.dataset.label = key;
    return made;
  };
  const search = (id, key) => labelled("input", key, { id, type: "search", autocomplete: "off", spellcheck: false });
  const parts = {
    dayPlace: element("div", { id: "history-of-day", className: "history-of-day" }),
    report: button("report_open", { id: "report-open", hidden: true }),
    before: labelled("button", "history_before", { id: "history-before", type: "button", textContent: "‹" }),
    day: labelled("input", "history_day", { id: "history-day", type: "date" }),
    after: labelled("button", "history_after", { id: "history-after", type: "button", textContent: "›" }),
    refresh: button("history_refresh"),
    find: search("history-find", "history_find"),
    findSupervisor: search("history-find-supervisor", "history_find_supervisor"),
    date: element("h2"),
    others: worded("p", "history_others"),
    none: element("p", { className: "detail", role: "status" }),
    scale: element("div", { className: "scale", ariaHidden: "true" }),
    rows: element("ul", { id: "history-rows", className: "day-rows" }),
    title: worded("h3", "history_listenings"),
    listeningsNone: worded("p", "history_listenings_none", { className: "detail" }),
    table: element("div", { id: "history-listenings", className: "day-table", role: "table" }),
    more: button("history_more", { id: "history-more", hidden: true }),
    tables: element("p", { className: "day-tables" },
      button("history_csv_broadcasts", { id: "csv-broadcasts" }), button("history_csv_listenings", { id: "csv-listenings" })),
  };
  parts.rows.dataset.label = "history_bands";
  parts.title.id = "history-title";
  parts.table.setAttribute("aria-labelledby", parts.title.id);
  const days = element("div", { className: "days" }, parts.before, parts.day, parts.after);
  parts.form = element("form", { className: "day-find", role: "search" }, days, parts.find, parts.findSupervisor, parts.refresh, parts.report);
  parts.notes = element("div", { className: "day-notes" }, parts.date,
    element("p", { className: "detail" }, worded("span", "history_no_timesheet")), parts.others);
  parts.others.className = "detail";
  const key = (name) => element("span", {}, element("i", { className: `key ${name}` }), worded("span", `history_key_${name}`));
  parts.bands = element("div", { className: "bands" }, parts.none,
    element("div", { className: "scale-line", ariaHidden: "true" }, element("p", { className: "keys" }, key("air"), key("heard")), parts.scale),
    parts.rows);
  parts.listenings = element("section", { className: "day-listenings" }, parts.title, parts.listeningsNone, parts.table);
  return parts;
}

/** An element whose words follow the language. */
function worded(tag, key, properties = {}) {
  const made = element(tag, properties);
  made.dataset.t = key;
  return made;
}

/** A day as an address or a field names it; what is none, or has yet to come, is today. @returns {Date} */
function parsedDay(text, today) {
  const [, year, month, date] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text ?? "") ?? [];
  const day = dayOf(new Date(Number(year), Number(month) - 1, Number(date)));
  return day <= today ? day : today;
}

/** Who was on air or was heard, in the order in which that began, each with all of it. */
function peopleOf(broadcasts, listenings) {
  const people = new Map();
  const add = (row, kind) => {
    const { commercial_id: id, commercial_name: name, device } = row;
    if (!people.has(id)) people.set(id, { id, name, device, broadcasts: [], listenings: [] });
    people.get(id)[kind].push(row);
  };
  const byBegin = (rows) => [...rows].sort((a, b) => a.from - b.from);
  for (const row of byBegin(broadcasts)) add(row, "broadcasts");
  for (const row of byBegin(listenings)) add(row, "listenings");
  return [...people.values()];
}

/** From the full hour before the first of these to the one after the last, within the day. */
function scaleOf(day, spans, now) {
  const end = dayOf(day, 1).getTime();
  const first = Math.min(end - HOUR_MS, ...spans.map(({ from }) => from));
  const last = Math.min(end, Math.max(first, ...spans.map(({ to }) => to ?? now)));
  const from = Math.max(day.getTime(), fullHour(first));
  return { from, to: Math.max(from + HOUR_MS, Math.min(end, fullHour(last + HOUR_MS - 1))) };
}

/** The full hour of this device's clock, which is not everywhere one of UTC. */
function fullHour(at) { return new Date(at).setMinutes(0, 0, 0); }

/** Some times, each at its place. */
function timesOf({ from, to }) {
  const step = STEPS_MS.find((each) => (to - from) / each <= TIMES_MAX) ?? STEPS_MS.at(-1);
  const times = [];
  for (let at = from; at < to; at += step) {
    const time = element("span", { textContent: clockWords(at).replace(/\u00a000$/, "") });
    time.style.left = percent((at - from) / (to - from));
    times.push(time);
  }
  return times;
}

/** One piece of a band. */
function mark(name, { from, to }, scale, now) {
  const part = (at) => Math.min(1, Math.max(0, (at - scale.from) / (scale.to - scale.from)));
  const made = element("i", { className: name });
  made.style.left = percent(part(from));
  made.style.width = percent(part(to ?? now) - part(from));
  return made;
}

function percent(part) { return `${(100 * part).toFixed(3)}%`; }

/** « 10 h 12 – 10 h 24 », « 10 h 12 – en cours », or « 2 mars à 23 h 50 – 0 h 20 » */
function spanWords({ from, to }, day) {
  return `${momentWords(from, day)} – ${to === null ? t("goes_on") : momentWords(to, day)}`;
}

/** A moment of the day, or of another one, which is said then. */
function momentWords(at, day) {
  const isOfDay = dayOf(at).getTime() === day.getTime();
  return isOfDay ? clockWords(at) : t("history_moment", { date: longDate(at, {}), time: clockWords(at) });
}

function person(id, name) {
  const shown = element("span", { className: "whom" });
  showPerson(shown, { id, name: nameOf({ id, name }) });
  return shown;
}

function tableRow(role, contents, columns) {
  const cells = contents.map((content, index) => {
    const cell = element("span", { role }, content || "–");
    if (columns) cell.dataset.column = t(`history_${columns[index]}`);
    return cell;
  });
  return element("div", { className: role === "cell" ? "day-heard" : "day-head", role: "row" }, ...cells);
}

/** What is typed into a field, as the server takes it. */
function soughtIn(input) { return input.value.trim().slice(0, SOUGHT_CHARS_MAX); }

/** Has a place hold these, and leaves alone what it holds already. */
function settle(place, made) {
  made.forEach((child, index) => {
    const old = place.children[index];
    if (old === undefined) place.append(child);
    else if (!old.isEqualNode(child)) old.replaceWith(child);
  });
  while (place.children.length > made.length) place.lastElementChild.remove();
}

function byName(place, id) { return [...place.children].find((child) => child.id === id); }

function sum(numbers) { return numbers.reduce((all, number) => all + number, 0); }
