/**
 * « Partager ma position »: where the salesperson is, told to their supervisors while they are on air.
 *
 * The choice lives as long as the page: a reload, or the next person on this phone, starts with no. Its one invariant:
 * the position is read only while this is chosen, on air and not paused, and a mark on the page says so.
 */

import { byId, setText } from "./page.js";
import { t } from "./words.js";

/** How old a known position may be, in ms. */
const MAX_AGE_MS = 10_000;
const TIMEOUT_MS = 30_000;

/** Codes of `GeolocationPositionError`. */
const REFUSED = 1;

export class PositionShare {
  #client;
  #watch = null;
  #isSent = false;
  #problem = null;

  /** @param {import("./ecoute.js").EcouteClient} client */
  constructor(client) {
    this.#client = client;
    const choice = byId("share-position");
    choice.checked = false; // Browsers bring back what a form had before a reload.
    choice.addEventListener("input", () => this.#choose(choice.checked));
    byId("position-off").addEventListener("click", () => this.#choose(false));
    for (const name of ["streaming", "connection", "registered"]) client.addEventListener(name, () => this.draw());
  }

  /** Starts, stops and shows what the client's state asks for. */
  draw() {
    const { streaming, streamingState, isPaused, connectionState } = this.#client;
    const isWanted = byId("share-position").checked;
    const isHeardOf = streamingState === "live" && !isPaused && !streaming.interrupted && connectionState === "registered";
    const isOn = isWanted && isHeardOf;
    if (isOn && this.#watch === null) this.#start();
    if (!isOn) this.#stop();
    setText(byId("position").children[1], t(this.#isSent ? "position_shared" : "position_sought"));
    const isOnAir = streamingState !== "off";
    this.#drawChoice(isOn);
    setText(byId("position-problem"), this.#problem ? t(this.#problem) : "");
    byId("position-paused").hidden = !(isWanted && isOnAir && isPaused);
  }

  /** On air and chosen, the mark with its [×] stands in for the choice, for the keyboard too. */
  #drawChoice(isOn) {
    const choice = byId("share-position");
    const off = byId("position-off");
    const [gone, come] = isOn ? [choice, off] : [off, choice];
    const hadFocus = document.activeElement === gone;
    choice.parentElement.hidden = isOn || !navigator.geolocation || !isSecureContext;
    byId("position").hidden = !isOn;
    if (hadFocus) come.focus();
  }

  #choose(isWanted) {
    byId("share-position").checked = isWanted;
    this.#problem = null;
    this.draw();
  }

  #start() {
    this.#watch = navigator.geolocation.watchPosition(
      ({ coords, timestamp }) => this.#onPosition(coords, timestamp),
      ({ code }) => this.#onProblem(code),
      { enableHighAccuracy: true, maximumAge: MAX_AGE_MS, timeout: TIMEOUT_MS },
    );
  }

  #stop() {
    if (this.#watch !== null) navigator.geolocation.clearWatch(this.#watch);
    this.#watch = null;
    this.#isSent = false;
    if (this.#problem === "position_unavailable") this.#problem = null;
  }

  #onPosition({ latitude, longitude, accuracy }, at) {
    if (this.#watch === null) return;
    // Some phones report a place that is none until they have found satellites.
    if (![latitude, longitude, accuracy].every(Number.isFinite)) return this.#onProblem();
    const position = { lat: latitude, lon: longitude, accuracy_m: accuracy, at: Math.round(at) };
    this.#isSent = this.#client.sendPosition(position);
    this.#problem = null;
    this.draw();
  }

  #onProblem(code) {
    if (code === REFUSED) return this.#refuse();
    // It goes on by itself once there is a signal.
    this.#problem = "position_unavailable";
    this.draw();
  }

  #refuse() {
    this.#choose(false);
    this.#problem = "position_refused";
    this.draw();
  }
}
