/**
 * The button « Qui m'a écouté », off air only; what it opens is loaded when it is first pressed.
 *
 * Its one invariant: nothing lies over the page while somebody may be about to hear.
 */

import { byId, toast } from "./page.js";
import { t } from "./words.js";

export class HeardBefore {
  #client;
  #token;
  /** @type {import("./commercial-history.js").OwnHistory|null} */
  #history = null;

  /**
   * @param {import("./ecoute.js").EcouteClient} client
   * @param {() => string} token what to ask the server with
   */
  constructor(client, token) {
    this.#client = client;
    this.#token = token;
    byId("heard-open").addEventListener("click", () => this.#open());
    client.addEventListener("streaming", () => this.#leaveOnAir());
  }

  /** Brings everything up to date. @param {boolean} isOffered whether there is anybody who may have been heard */
  draw(isOffered) {
    byId("heard-open").hidden = !isOffered || this.#isOnAir || this.#client.user === null;
    this.#leaveOnAir();
    this.#history?.draw();
  }

  get #isOnAir() { return this.#client.streamingState !== "off" || this.#client.listeners.length > 0; }

  #leaveOnAir() {
    if (this.#isOnAir) byId("heard-all").close();
  }

  async #open() {
    try {
      const { OwnHistory } = await import("./commercial-history.js");
      this.#history ??= new OwnHistory(this.#client, this.#token);
    } catch (error) {
      console.warn("écoute: the history can't be loaded", error);
      return toast(t("view_failed"));
    }
    if (!this.#isOnAir && !byId("heard-all").open) this.#history.open();
  }
}
