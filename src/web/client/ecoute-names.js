/**
 * People's names, which are whatever somebody wrote: each stands by itself beside fixed words, with the id behind it.
 *
 * Its one invariant: nothing in a name, an id or a reason changes how the words around it are read or where they stand.
 */

import { element, setText } from "./ecoute-view.js";
import { icon } from "./icons.js";
import { t } from "./words.js";

/** What is never seen itself and only moves or hides other letters; joiners are part of some scripts. */
const UNSEEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
/** More marks over one letter than any script has. */
const PILED = /(\p{M}{4})\p{M}+/gu;

/** A text of somebody's, as it may be shown. @param {unknown} text */
export function plain(text) { return String(text ?? "").replace(UNSEEN, "").replace(PILED, "$1").trim(); }

/** @param {{id: string, name?: string}} person */
export function nameOf({ id, name }) { return plain(name) || plain(id); }

/** A text of somebody's inside another text: for titles, attributes and what is read aloud. @param {string} text */
export function isolated(text) { return `\u2068${plain(text)}\u2069`; }

/** « Paul D. (paul) » inside another text. @param {{id: string, name?: string}} person */
export function who({ id, name }) {
  const shown = nameOf({ id, name });
  return shown === plain(id) ? isolated(shown) : `${isolated(shown)} (${isolated(id)})`;
}

/** Several people inside another text. @param {{id: string, name?: string}[]} people */
export function whoAll(people) { return people.map(who).join(", "); }

/** Shows « Paul D. (paul) » in a place; what is right already is left alone. */
export function showPerson(place, { id, name }) {
  const shown = nameOf({ id, name });
  const key = `${id} ${shown}`;
  if (place.dataset.person === key) return;
  place.dataset.person = key;
  const own = element("bdi", { textContent: shown });
  const rest = shown === plain(id) ? [] : [" (", element("bdi", { textContent: plain(id) }), ")"];
  place.replaceChildren(own, element("span", { className: "id" }, ...rest));
}

/**
 * The rows of those who listen, newest first, all in one list that scrolls where they are many.
 *
 * Newest first, so that who was told last is in view whenever the list is.
 */
export class ListenerRows {
  #list;
  #detailOf;
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();

  /**
   * @param {HTMLElement} list
   * @param {(hearer: import("./ecoute-client.js").Hearer, code: string) => Node[]} [detailOf] what stands under a name
   */
  constructor(list, detailOf = () => []) {
    this.#list = list;
    this.#detailOf = detailOf;
  }

  /** The row of a notice, or undefined. */
  rowOf(noticeId) { return this.#rows.get(String(noticeId)); }

  /** @param {import("./ecoute-client.js").Hearer[]} listeners newest first */
  draw(listeners, code) {
    const list = this.#list;
    const keys = listeners.map(({ notice_id }) => String(notice_id));
    const isThere = new Set(keys);
    for (const [key, row] of this.#rows) {
      if (isThere.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
    }
    listeners.forEach((hearer, index) => {
      const row = this.#rows.get(keys[index]) ?? makeRow(hearer);
      this.#rows.set(keys[index], row);
      const isNew = list.children[index] !== row;
      if (isNew) list.insertBefore(row, list.children[index] ?? null);
      if (isNew && index === 0) list.scrollTop = 0;
      this.#fill(row, hearer, code);
    });
    // The keyboard scrolls what cannot be seen at once.
    if (list.scrollHeight > list.clientHeight + 1) list.tabIndex = 0;
    else list.removeAttribute("tabindex");
  }

  #fill(row, hearer, code) {
    const [, person, alike, detail] = row.children;
    const { admin } = hearer;
    showPerson(person, admin);
    alike.hidden = !admin.looks_like;
    if (admin.looks_like) {
      setText(alike.children[1], t("looks_like", {}, code));
      showPerson(alike.children[2], admin.looks_like);
    }
    const wanted = this.#detailOf(hearer, code);
    detail.hidden = wanted.length === 0;
    if (detail.textContent !== wanted.map((node) => node.textContent).join("")) detail.replaceChildren(...wanted);
  }
}

function makeRow({ notice_id, admin }) {
  const alike = element("span", { className: "alike", hidden: true }, icon("warn"), element("span"), " ", element("span"));
  const row = element("li", {}, icon("headphones"), element("span", { className: "person" }), alike, element("span"));
  row.dataset.notice = notice_id;
  row.dataset.admin = admin.id;
  return row;
}
