/**
 * « En direct · Historique »: which of the two the supervisor's page shows, and the address that says so.
 *
 * What the history is made of is loaded when it is first opened; listening goes on meanwhile. Its one invariant: an address
 * names a view and a day, and never a person.
 */

import { byId } from "./page.js";

/** The query that opens the history, with a day or without. */
const QUERY = "historique";

export class Views {
  #client;
  #token;
  /** @type {import("./admin-history.js").HistoryView|null} */
  #history = null;
  #isLoading = false;
  #isShown = false;
  #draw;

  /**
   * @param {import("./ecoute.js").EcouteClient} client
   * @param {() => string} token what to ask the server with
   * @param {() => void} draw draws the page, of which another part is shown now
   */
  constructor(client, token, draw) {
    this.#client = client;
    this.#token = token;
    this.#draw = draw;
    this.#isShown = this.#asked !== null;
    for (const link of this.#links) {
      link.addEventListener("click", (event) => {
        // With a key held down it is for another tab.
        if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
        event.preventDefault();
        this.#go(link.dataset.view === "history");
      });
    }
    byId("history-reload").addEventListener("click", () => location.reload());
    addEventListener("popstate", () => this.#show());
  }

  /** Whether the history is shown, and not the list. */
  get isHistory() { return this.#isShown; }

  /** The history where it is shown and there, for the keyboard; otherwise null. */
  get history() { return this.#isShown ? this.#history : null; }

  /** Goes from one to the other. */
  toggle() {
    this.#go(!this.#isShown);
    this.#links.find((link) => link.hasAttribute("aria-current"))?.focus();
  }

  /** Brings it up to date. @param {boolean} isUsable whether there is anybody to show it to */
  draw(isUsable) {
    byId("views").hidden = !isUsable;
    byId("history").hidden = !isUsable || !this.#isShown;
    for (const link of this.#links) {
      const isCurrent = (link.dataset.view === "history") === this.#isShown;
      if (isCurrent) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    // Which day it is and what may be seen, the server says when it knows who asks.
    if (byId("history").hidden || !this.#client.user) return;
    if (this.#history) this.#history.draw(this.#asked);
    else this.#load();
  }

  async #load() {
    if (this.#isLoading) return;
    this.#isLoading = true;
    try {
      const { HistoryView } = await import("./admin-history.js");
      this.#history = new HistoryView(byId("history-place"), this.#client, this.#token, (day) => this.#onDay(day));
      this.#draw();
    } catch (error) {
      console.warn("écoute: the history can't be loaded", error);
      byId("history-failed").hidden = false; // What did not load once may never again: the page has to be loaded anew.
    }
  }

  get #links() { return [...byId("views").children]; }

  /** The day in the address, empty for today; null where the address names the list. */
  get #asked() { return new URLSearchParams(location.search).get(QUERY); }

  #go(isHistory) {
    if (isHistory === this.#isShown) return;
    history.pushState(null, "", location.pathname + (isHistory ? `?${QUERY}` : ""));
    this.#show();
  }

  #show() {
    this.#isShown = this.#asked !== null;
    this.#history?.forget();
    this.#draw();
  }

  /** Another day is shown, under the same step of the way back. */
  #onDay(day) { history.replaceState(null, "", `${location.pathname}?${QUERY}${day && `=${day}`}`); }
}
