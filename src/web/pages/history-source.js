/**
 * What the server has written down of broadcasts and listenings: asked for page by page, and how times and ends are said.
 *
 * Whoever shows it loads it when it is first asked for. Its one invariant: the token leaves in a header, never in an address.
 */

import "./history-words.js";
import { plain } from "./ecoute-names.js";
import { element, reasonWords, setText } from "./page.js";
import { hasWords, language, t } from "./words.js";

/** How long an answer may take, in ms. */
const ANSWER_MAX_MS = 20_000;
/** How often a server that has no time is asked again by itself for what is one wish, and what counts as its delay in s. */
const TRIES_MAX = 5;
const RETRY_AFTER_S = 10;
/** Rows in an answer to a wish for all of them, and answers at the most. */
const ROWS_AT_ONCE = 200;
const ANSWERS_MAX = 1_000;

/** What of an error has words of its own, by the status of the answer. */
const WORDS = { 401: "expired", 403: "history_not_allowed", 429: "history_too_many", 503: "history_unavailable" };

/** Why there are no rows. */
class SourceError extends Error {
  /** @param {number} status 0 where no answer came @param {number} [retryAfterS] @param {string} [code] the server's word */
  constructor(status, retryAfterS = RETRY_AFTER_S, code = "") {
    super(`history: ${status || "no answer"}`);
    this.status = status;
    this.code = code;
    this.retryAfterS = retryAfterS;
  }
}

/** What went wrong, in words. @param {Error} error */
export function problemWords({ status, retryAfterS, code }) {
  if (code === "too_much") return t("report_too_much");
  if (code === "journal_unavailable") return t("history_unwritten", { s: retryAfterS });
  if (WORDS[status]) return t(WORDS[status], { s: retryAfterS });
  return status ? t("history_refused", { code: status }) : t("history_network");
}

export class HistorySource {
  #token;

  /** @param {() => string} token what to ask with */
  constructor(token) { this.#token = token; }

  /**
   * One answer with rows.
   * @param {string} path below `/api`
   * @param {Record<string, string|number|null|undefined>} parameters what is null or undefined is left out
   * @param {AbortSignal} signal gives up, which rejects like any other error
   * @throws {SourceError}
   */
  async rows(path, parameters, signal) {
    const answer = await this.#ask(path, parameters, "application/json", signal);
    return await answer.json().catch(() => { throw new SourceError(0); });
  }

  /** All of it as a table that spreadsheets open. @returns {Promise<Blob>} */
  async table(path, parameters, signal) { return await this.file(path, parameters, "text/csv", signal); }

  /** All of it in one form. @param {string} type its media type @returns {Promise<Blob>} */
  async file(path, parameters, type, signal) {
    const answer = await this.#ask(path, parameters, type, signal);
    return await answer.blob().catch(() => { throw new SourceError(0); });
  }

  /**
   * All rows, with patience where the server has no time.
   * @param {string} field of the answers, where the rows are
   * @param {(count: number) => void} onCount told how many came
   */
  async all(path, field, signal, onCount) {
    const rows = [];
    let cursor = null;
    for (let answers = 0; answers < ANSWERS_MAX; answers += 1) {
      const answer = await this.#patiently(() => this.rows(path, { limit: ROWS_AT_ONCE, cursor }, signal), signal);
      rows.push(...answer[field]);
      onCount(rows.length);
      if (!answer.next || answer.next === cursor) return rows;
      cursor = answer.next;
    }
    return rows;
  }

  async #patiently(ask, signal) {
    for (let tries = 1; ; tries += 1) {
      try {
        return await ask();
      } catch (error) {
        if (signal.aborted || tries >= TRIES_MAX || ![429, 503].includes(error.status)) throw error;
        await new Promise((resolve) => setTimeout(resolve, error.retryAfterS * 1000));
      }
    }
  }

  async #ask(path, parameters, type, signal) {
    if (signal.aborted) throw new SourceError(0);
    const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined);
    // A plus is one to the server, as moments have it.
    const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString().replaceAll("+", "%20");
    const run = new AbortController();
    const stop = () => run.abort();
    const timer = setTimeout(stop, ANSWER_MAX_MS);
    signal.addEventListener("abort", stop);
    const options = {
      headers: { Accept: type, Authorization: `Bearer ${this.#token()}` },
      cache: "no-store",
      credentials: "omit",
      signal: run.signal,
    };
    const answer = await fetch(`/api/${path}${query && `?${query}`}`, options).catch(() => { throw new SourceError(0); });
    clearTimeout(timer);
    if (!answer.ok) {
      const { error } = await answer.json().catch(() => ({}));
      throw new SourceError(answer.status, Number(answer.headers.get("Retry-After")) || RETRY_AFTER_S, error?.code);
    }
    return answer;
  }
}

/** Lets the browser save something as a file. @param {Blob} content @param {string} name */
export function saveAs(content, name) {
  const href = URL.createObjectURL(content);
  const link = element("a", { href, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  // Some browsers read it only after the click.
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

/** A part of a file's name that every system takes. */
export function fileName(text) { return plain(text).replace(/[^\p{L}\p{N}_-]+/gu, "-").slice(0, 60); }

/** `2026-03-01`, of this device's calendar. @param {Date} day */
export function dayName(day) {
  const two = (number) => String(number).padStart(2, "0");
  return `${String(day.getFullYear()).padStart(4, "0")}-${two(day.getMonth() + 1)}-${two(day.getDate())}`;
}

/** Midnight of a day, so many days later. @param {Date|number} at @param {number} [days] */
export function dayOf(at, days = 0) {
  const day = new Date(at);
  return new Date(day.getFullYear(), day.getMonth(), day.getDate() + days);
}

/** « 10 h 14 », or 10:14 in English. @param {number|Date} at unix ms */
export function clockWords(at) {
  const time = new Date(at).toLocaleTimeString(language(), { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  return language() === "fr" ? time.replace(/^0?(\d+):/, "$1\u00a0h\u00a0") : time;
}

/** « aujourd'hui », « hier », « le 3 mars », with the year where it is another one. @param {number} now unix ms */
export function dateWords(at, now) {
  const day = dayOf(at).getTime();
  if (day === dayOf(now).getTime()) return t("day_today");
  if (day === dayOf(now, -1).getTime()) return t("day_yesterday");
  const isThisYear = new Date(at).getFullYear() === new Date(now).getFullYear();
  return t("day_on", { date: longDate(at, isThisYear ? {} : { year: "numeric" }) });
}

/** « mardi 3 mars 2026 » and less. @param {Intl.DateTimeFormatOptions} [more] */
export function longDate(at, more = { weekday: "long", year: "numeric" }) {
  const date = new Date(at).toLocaleDateString(language(), { day: "numeric", month: "long", ...more });
  return language() === "fr" ? date.replace(/(^| )1 /, "$11er ") : date;
}

/** With a capital at the beginning, as above a list. */
export function asTitle(text) { return text.charAt(0).toLocaleUpperCase(language()) + text.slice(1); }

/** « 12 min », « 1 h 05 », « moins d'une minute ». @param {number} ms */
export function lengthWords(ms) {
  const min = Math.floor(ms / 60_000);
  if (min < 1) return t("under_minute");
  return min < 60 ? t("about_minutes", { min }) : t("hours", { h: Math.floor(min / 60), min: String(min % 60).padStart(2, "0") });
}

/** Somebody's reason, which may be their own words, by itself. @param {string} reason */
export function reasonOf(reason) { return element("bdi", { textContent: plain(reasonWords(reason)) }); }

/** How the salesperson was told; empty where nobody was. @param {{told: string|null}} listening */
export function toldWords({ told }) { return told ? wordsOr(`told_as_${told}`, told) : ""; }

/**
 * Why it is over, or that it goes on; empty where nobody knows.
 * @param {"ended"|"off_air"} kind of a listening, of a broadcast
 * @param {{to: number|null, ended: string|null}} past
 */
export function endWords(kind, { to, ended }) {
  if (to === null) return t("goes_on");
  return ended ? wordsOr(`${kind}_${ended}`, ended) : "";
}

/** Of what a later server knows, its own word. */
function wordsOr(key, word) { return hasWords(key) ? t(key) : plain(word); }

/** A line that says what goes on or went wrong, with a button for another try. */
export class StatusLine {
  #words = element("span", { role: "status" });
  #retry = element("button", { type: "button", hidden: true });
  /** @type {() => string} */
  #current = () => "";
  place = element("p", { className: "history-status" }, this.#words, " ", this.#retry);

  /** @param {() => void} onRetry */
  constructor(onRetry) {
    this.#retry.dataset.t = "history_retry";
    this.#retry.addEventListener("click", onRetry);
  }

  /** @param {() => string} words made anew in another language @param {boolean} [isProblem] */
  say(words, isProblem = false) {
    this.#current = words;
    this.#retry.hidden = !isProblem;
    this.place.classList.toggle("warning", isProblem);
    this.draw();
  }

  draw() {
    setText(this.#words, this.#current());
    this.place.hidden = this.#words.textContent === "";
  }
}
