/**
 * « Rapport d'usage (CSE) »: numbers over a span of days, and nobody by name; for those with the right `audit`.
 *
 * The server counts; here it is shown and saved. Its one invariant: the numbers are of the days that stand above them.
 */

import { dayName, dayOf, HistorySource, longDate, problemWords, saveAs, StatusLine } from "./history-source.js";
import { element, fillWords, setText } from "./page.js";
import { language, t } from "./words.js";

const PATH = "report";
/** How many days it is of at first. */
const DAYS = 30;
/** What it can be saved as. */
const FILES = { html: "text/html", csv: "text/csv" };

export class ReportView {
  #client;
  #source;
  #status = new StatusLine(() => this.#load());
  #parts = makeParts();
  /** What is shown: its days, its lines and in which language. @type {{from: Date, to: Date, lines: string[][]}|null} */
  #shown = null;
  #drawnFor = "";
  /** Ends what is asked. */
  #run = new AbortController();
  place = element("section", { id: "report", className: "report" });

  /**
   * @param {import("./ecoute.js").EcouteClient} client
   * @param {() => string} token
   * @param {() => void} onBack
   */
  constructor(client, token, onBack) {
    this.#client = client;
    this.#source = new HistorySource(token);
    const parts = this.#parts;
    this.place.setAttribute("aria-labelledby", parts.title.id);
    this.place.append(parts.head, parts.about, parts.form, this.#status.place, parts.result);
    parts.back.addEventListener("click", onBack);
    parts.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#load();
    });
    for (const [name, type] of Object.entries(FILES)) {
      parts[name].addEventListener("click", ({ currentTarget }) => this.#save(name, type, currentTarget));
    }
    const today = dayOf(client.now);
    for (const input of [parts.from, parts.to]) input.max = dayName(today);
    parts.from.value = dayName(dayOf(today, 1 - DAYS));
    parts.to.value = dayName(today);
  }

  /** Brings it up to date: the first time it is asked for, and then where the language is another one. */
  draw() {
    if (this.#drawnFor !== language()) this.#load();
  }

  /** Goes there with the keyboard. */
  focus() { this.#parts.title.focus(); }

  async #load() {
    this.#drawnFor = language();
    fillWords();
    if (!this.#parts.form.reportValidity()) return;
    this.#run.abort();
    const { signal } = (this.#run = new AbortController());
    const days = this.#days;
    // Numbers of other days would be taken for these.
    this.#shown = null;
    this.#status.say(() => t("history_loading"));
    this.#drawResult();
    try {
      const answer = await this.#source.rows(PATH, wantedOf(days), signal);
      if (signal.aborted) return;
      this.#shown = { ...days, ...answer };
      this.#status.say(() => "");
    } catch (error) {
      if (signal.aborted) return;
      this.#status.say(() => problemWords(error), true);
    }
    this.#drawResult();
  }

  /** The first day and the last; whoever has them the wrong way round means the same. */
  get #days() {
    const [from, to] = [this.#parts.from, this.#parts.to].map(({ value }) => dayOf(new Date(`${value}T00:00`))).sort((a, b) => a - b);
    return { from, to };
  }

  async #save(name, type, button) {
    const { from, to } = this.#shown;
    button.disabled = true;
    try {
      const file = await this.#source.file(PATH, wantedOf(this.#shown), type, new AbortController().signal);
      saveAs(file, `ecoute-${t("report_file")}-${dayName(from)}-${dayName(to)}.${name}`);
    } catch (error) {
      this.#status.say(() => problemWords(error), true);
    }
    button.disabled = false;
  }

  #drawResult() {
    const { result, days, table } = this.#parts;
    result.hidden = this.#shown === null;
    this.#status.draw();
    if (this.#shown === null) return;
    const { from, to, lines } = this.#shown;
    const date = (day) => longDate(day, { year: "numeric" });
    setText(days, t("report_days", { from: date(from), to: date(to) }));
    table.replaceChildren(...lines.map(([name, value, more]) => element("div", { role: "row" },
      element("span", { role: "rowheader", textContent: name }),
      ...[value, more].filter(Boolean).map((text) => element("span", { role: "cell", textContent: text })))));
    fillWords();
  }
}

/** What is asked for: whole days of this device's calendar, in the language in use. */
function wantedOf({ from, to }) {
  return { from: from.toISOString(), to: dayOf(to, 1).toISOString(), lang: language() };
}

function makeParts() {
  const button = (key, id) => worded("button", key, { id, type: "button" });
  const day = (key, id) => {
    const input = element("input", { id, type: "date", required: true });
    return [input, element("label", {}, worded("span", key), input)];
  };
  const [from, fromLabel] = day("report_from", "report-from");
  const [to, toLabel] = day("report_to", "report-to");
  const title = worded("h2", "report_title", { id: "report-title", tabIndex: -1 });
  const back = button("report_back", "report-back");
  const days = element("h3");
  const table = element("div", { id: "report-table", className: "report-table", role: "table" });
  table.dataset.label = "report_title";
  const [html, csv] = [button("report_html", "report-html"), button("report_csv", "report-csv")];
  return {
    from, to, title, back, days, table, html, csv,
    head: element("header", { className: "report-head" }, title, back),
    about: element("div", { className: "detail" }, worded("p", "history_no_timesheet"), worded("p", "report_about")),
    form: element("form", { className: "report-days" }, fromLabel, toLabel, worded("button", "report_show", { className: "primary" })),
    result: element("div", { className: "report-result", hidden: true }, days, table, element("p", { className: "day-tables" }, html, csv)),
  };
}

/** An element whose words follow the language. */
function worded(tag, key, properties = {}) {
  const made = element(tag, properties);
  made.dataset.t = key;
  return made;
}
