/**
 * Who is shown in the list, and in which order: search, filter, sort.
 *
 * Its one invariant: while someone points at the list or stands on it with the keyboard, no row moves, comes between or
 * goes, unless they ask for it here.
 */

import { isBroadcasting } from "./admin-list.js";
import { nameOf } from "./ecoute-names.js";
import { byId, setText } from "./page.js";
import { load, save } from "./session.js";
import { language } from "./words.js";

const SORT_KEY = "ecoute.sort";

const FILTERS = { all: () => true, air: isBroadcasting, there: ({ state }) => state !== "offline" };

/** From whom one is likely to want to hear to whom one can't. */
const STATES = ["on_air", "interrupted", "paused", "online", "offline"];

/** Ages of the last word that count as different, in ms: people who take turns must not change places. */
const SPEECH_AGES_MS = [10_000, 60_000, 600_000];

/** Each gives numbers to compare, smallest first; the name decides what they leave open. */
const SORTS = {
  speech: ({ commercial, spokeAt }, now) => {
    const silentMs = commercial.speaking ? 0 : now - spokeAt;
    return [SPEECH_AGES_MS.filter((age) => silentMs > age).length, rank(commercial)];
  },
  name: () => [],
  duration: ({ commercial }) => [isBroadcasting(commercial) ? commercial.since ?? 0 : Infinity, rank(commercial)],
  state: ({ commercial }) => [rank(commercial)],
};

export class Finder {
  #list;
  #filter = "all";
  /** Everybody in the order of the last time, which most often is nearly right. */
  #order = [];

  /** @param {import("./admin-list.js").CommercialList} list */
  constructor(list) {
    this.#list = list;
    const sort = byId("sort");
    sort.value = Object.hasOwn(SORTS, load(SORT_KEY) ?? "") ? load(SORT_KEY) : "speech";
    sort.addEventListener("input", () => {
      save(SORT_KEY, sort.value);
      this.draw({ isAsked: true });
    });
    byId("search").addEventListener("input", () => this.draw({ isAsked: true }));
    byId("find").addEventListener("submit", (event) => event.preventDefault());
    for (const button of this.#buttons) {
      button.addEventListener("click", () => {
        this.#filter = button.dataset.filter;
        this.draw({ isAsked: true });
      });
    }
  }

  /** Counts, and arranges the list where it may be arranged. @param {{isAsked?: boolean}} [options] */
  draw({ isAsked = false } = {}) {
    const { entries } = this.#list;
    for (const button of this.#buttons) {
      const count = entries.filter(({ commercial }) => FILTERS[button.dataset.filter](commercial)).length;
      setText(button.lastElementChild, String(count));
      button.setAttribute("aria-pressed", String(button.dataset.filter === this.#filter));
    }
    if (isAsked || !this.#list.isHeldStill) {
      const sought = byId("search").value.trim();
      this.#list.arrange(this.#sorted(entries).filter((entry) => this.#isWanted(entry, sought)));
    }
    const isNobodyShown = entries.every(({ row }) => row.hidden);
    byId("nobody-found").hidden = entries.length === 0 || !isNobodyShown;
  }

  get #buttons() { return [...byId("find").querySelectorAll("[data-filter]")]; }

  #isWanted({ commercial }, sought) {
    return FILTERS[this.#filter](commercial) && isFound(sought, commercial.name, commercial.commercial_id);
  }

  #sorted(entries) {
    const numbers = SORTS[byId("sort").value];
    const now = Date.now();
    const { compare } = collator(language());
    const known = new Set(this.#order);
    // Nobody ever goes.
    const keyed = [...this.#order, ...entries.filter((entry) => !known.has(entry))].map((entry) => {
      const { commercial_id: id, name } = entry.commercial;
      return { entry, key: numbers(entry, now), name: nameOf({ id, name }) };
    });
    keyed.sort((a, b) => firstDifference(a.key, b.key) || compare(a.name, b.name));
    this.#order = keyed.map(({ entry }) => entry);
    return this.#order;
  }
}

/** Making one takes as long as many comparisons. */
const collators = new Map();
function collator(code) {
  if (!collators.has(code)) collators.set(code, new Intl.Collator(code, { numeric: true }));
  return collators.get(code);
}

function rank({ state }) {
  const index = STATES.indexOf(state);
  return index < 0 ? STATES.length : index;
}

function firstDifference(a, b) {
  const index = a.findIndex((number, at) => number !== b[at]);
  return index < 0 ? 0 : a[index] - b[index];
}

/** Whether somebody is meant by what is sought; « Inès » is found as « ines ». */
export function isFound(sought, name, id) { return sought === "" || folded(`${name} ${id}`).includes(folded(sought)); }

function folded(text) { return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase(); }
