/**
 * System notifications: somebody one waits for goes on air while this page is out of sight.
 *
 * The browser is asked for its permission by a button, never by itself. Its one invariant: without the button pressed
 * there is no notification, whatever the browser would allow.
 */

import { who } from "./ecoute-names.js";
import { setIcon } from "./icons.js";
import { byId, startWorker, toast } from "./page.js";
import { load, save } from "./session.js";
import { t } from "./words.js";

const KEY = "ecoute.notices";

export class Notices {
  #registration = startWorker();
  #isWanted = load(KEY) === "1";

  constructor() {
    byId("notices").addEventListener("click", () => this.#toggle());
    this.draw();
  }

  /** Someone waited for is on air. @param {{id: string, name?: string}} person @param {boolean} starts whether they are heard now */
  async onAir(person, starts) {
    if (!document.hidden || !this.#isOn) return;
    const registration = await this.#registration;
    await registration?.showNotification(t("notice_on_air", { who: who(person) }), {
      body: t(starts ? "notice_on_air_detail" : "notice_on_air_held"),
      icon: "/icon.svg",
      lang: document.documentElement.lang,
      tag: person.id, // A later one about the same person replaces it.
      data: "/admin",
    });
  }

  draw() {
    const button = byId("notices");
    button.hidden = !("Notification" in globalThis && navigator.serviceWorker);
    button.setAttribute("aria-pressed", String(this.#isOn));
    setIcon(button.firstElementChild, this.#isOn ? "bell" : "bell_off");
  }

  get #isOn() { return this.#isWanted && globalThis.Notification?.permission === "granted"; }

  async #toggle() {
    this.#isWanted = !this.#isOn && await Notification.requestPermission() === "granted";
    if (Notification.permission === "denied") toast(t("notices_denied"));
    save(KEY, this.#isWanted ? "1" : null);
    this.draw();
  }
}
