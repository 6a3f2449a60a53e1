/**
 * « M'avertir même hors de cette page »: asked before the first broadcast, because what the page shows then is seen by
 * nobody while another one, or none, is on the screen.
 *
 * The browser is asked for its permission inside a click, never by itself. Its one invariant: whatever the answer, it is
 * the person's, and going on air needs none.
 */

import { byId, setText } from "./page.js";
import { load, save } from "./session.js";
import { t } from "./words.js";

const KEY = "ecoute.hidden_asked";

export class HiddenNotices {
  #client;
  #start = () => {};

  /**
   * @param {import("./ecoute.js").EcouteClient} client
   * @param {import("./ecoute.js").EcouteMicro} micro whose start may have to wait for the answer
   * @param {() => void} start goes on air
   */
  constructor(client, micro, start) {
    this.#client = client;
    this.#start = start;
    micro.addEventListener("ecoute-start", (event) => this.#onStart(event));
    byId("hidden-yes").addEventListener("click", () => this.#answer(true));
    byId("hidden-no").addEventListener("click", () => this.#answer(false));
    byId("hidden-allow").addEventListener("click", () => this.#allow());
  }

  draw() {
    // However it went on air: there is nothing to wait for any more.
    if (this.#client.microphone !== null) byId("hidden-ask").hidden = true;
    const { permission } = this;
    byId("hidden-state").hidden = permission === "granted";
    byId("hidden-allow").hidden = permission !== "default";
    const words = { default: "hidden_off", denied: "hidden_denied", none: "hidden_none" }[permission];
    setText(byId("hidden-words"), words ? t(words) : "");
  }

  /** `granted`, `denied`, `default` (not answered), or `none` where this page can show none. */
  get permission() {
    const isPossible = "Notification" in globalThis && navigator.serviceWorker && isSecureContext;
    return isPossible ? Notification.permission : "none";
  }

  #onStart(event) {
    if (this.permission !== "default" || load(KEY) !== null) return;
    event.preventDefault();
    byId("hidden-ask").hidden = false;
    byId("hidden-yes").focus();
    this.draw();
  }

  async #answer(isWanted) {
    save(KEY, "1");
    if (isWanted) await this.#allow();
    byId("hidden-ask").hidden = true;
    this.#start();
  }

  async #allow() {
    // Who closes the browser's question has not answered it, and may be asked again.
    await Notification.requestPermission().catch(() => {});
    this.draw();
  }
}
