/**
 * What stands behind a button and is loaded when that is first pressed: off air only.
 *
 * Its one invariant: nothing opens over the page once it is on its way on air, however long it took to load.
 */

import { toast } from "./page.js";
import { t } from "./words.js";

export class Later {
  #button;
  #client;
  #load;
  /** @type {{open: () => void, draw: () => void}|null} */
  #loaded = null;

  /**
   * @param {HTMLElement} button
   * @param {import("./ecoute.js").EcouteClient} client
   * @param {() => Promise<{open: () => void, draw: () => void}>} load
   */
  constructor(button, client, load) {
    this.#button = button;
    this.#client = client;
    this.#load = load;
    button.addEventListener("click", () => this.#open());
  }

  /**
   * Brings everything up to date.
   * @param {boolean} isOffered whether the page is one that it could stand on
   * @param {boolean} [isKnown] whether the server has said whose; until then its place is kept, and nothing moves
   */
  draw(isOffered, isKnown = true) {
    this.#button.hidden = !isOffered || this.#client.streamingState !== "off";
    this.#button.style.visibility = isKnown ? "" : "hidden";
    this.#loaded?.draw();
  }

  async #open() {
    try {
      this.#loaded ??= await this.#load();
    } catch (error) {
      console.warn("écoute: a part of the page can't be loaded", error);
      return toast(t("view_failed"));
    }
    if (this.#client.streamingState === "off") this.#loaded.open();
  }
}
