/**
 * What stands around the microphone's buttons on the salesperson's page: which microphone, how it hears,
 * vibration, and going on after a reload.
 *
 * It listens to the client and asks the page for nothing. Its one invariant: off air the microphone is open only during a
 * trial that its owner started, and never longer than `TRIAL_MS`.
 */

import { openMicrophone } from "./ecoute-microphone.js";
import { Meter } from "./meter.js";
import { byId, element, setText } from "./page.js";
import { load, save } from "./session.js";
import { t } from "./words.js";

const MICROPHONE_KEY = "ecoute.microphone";
const HEAR_CLIENT_KEY = "ecoute.hear_client";
const DISCREET_KEY = "ecoute.discreet";
/** Of this tab only: that it was on air, and whose tab it was. */
const ON_AIR_KEY = "ecoute.on_air";

const TRIAL_MS = 15_000;
const VIBRATION_MS = 200;
/** One vibration per supervisor in this time, in ms. */
const VIBRATION_EVERY_MS = 5 * 60_000;
/** How long after it was on air a reloaded page offers to go on, in ms. */
const GO_ON_MAX_MS = 5 * 60_000;
/** Names that browsers list for what is meant by choosing none. */
const NO_DEVICE = ["", "default", "communications"];

export class CommercialOptions {
  #client;
  #micro;
  #trial = new Trial();
  /** When this page last vibrated for a supervisor, in unix ms, by id. */
  #vibratedAt = new Map();
  #isLeaving = false;
  #devices = [];

  /**
   * @param {import("./ecoute.js").EcouteClient} client
   * @param {import("./ecoute.js").EcouteMicro} micro shows what goes wrong with the microphone
   */
  constructor(client, micro) {
    this.#client = client;
    this.#micro = micro;
    client.addEventListener("streaming", ({ detail }) => this.#onStreaming(detail));
    client.addEventListener("registered", () => this.draw());
    client.addEventListener("listener_joined", ({ detail }) => this.#vibrate(detail.admin.id));
    keep(byId("hear-client"), HEAR_CLIENT_KEY);
    keep(byId("discreet"), DISCREET_KEY);
    byId("discreet").parentElement.hidden = !navigator.vibrate;
    byId("hear-client").addEventListener("input", () => this.#useMicrophone());
    byId("device").addEventListener("input", () => {
      save(MICROPHONE_KEY, byId("device").value || null);
      this.#useMicrophone();
    });
    byId("go-on-air").addEventListener("click", () => this.#goOn());
    byId("device-try").addEventListener("click", () => this.#try());
    navigator.mediaDevices?.addEventListener?.("devicechange", () => this.#listDevices());
    // Registered before the page's own, which stops the broadcast: leaving is no wish to be off air.
    addEventListener("pagehide", () => { this.#isLeaving = true; });
    byId("hearing").open = true;
    this.#useMicrophone();
    this.#listDevices();
  }

  /** The microphone as it was chosen, to ask for it. */
  get microphone() {
    return { deviceId: load(MICROPHONE_KEY) ?? "", noiseSuppression: !byId("hear-client").checked };
  }

  /** Gives up the microphone for somebody else here: phones open one only once. */
  stopTrial() {
    this.#trial.stop();
    this.draw();
  }

  /** Brings everything up to date; call it every second. */
  draw() {
    const isOff = this.#client.streamingState === "off";
    byId("device-part").hidden = this.#devices.length === 0;
    byId("device-try").hidden = !isOff;
    byId("hearing").firstElementChild.hidden = isOff;
    this.#drawTrial();
    const isOwn = this.#client.microphone !== null;
    if (isOwn && this.#client.streamingState === "live") keepOnAir({ id: this.#client.user.id, at: Date.now() });
    byId("go-on").hidden = !this.#mayGoOn();
  }

  #onStreaming({ state }) {
    // Phones open a microphone only once.
    if (state !== "off") this.#trial.stop();
    if (state === "off" && !this.#isLeaving) keepOnAir(null);
    if (state === "live") this.#listDevices();
    // On air there is room for what matters then; off air the choice stands open.
    if (state === "off" || state === "asking") byId("hearing").open = state === "off";
    this.draw();
  }

  #vibrate(id) {
    const isRecent = Date.now() - (this.#vibratedAt.get(id) ?? -Infinity) < VIBRATION_EVERY_MS;
    // Browsers refuse it on a page that nobody has touched, which an encoder's may be.
    const isTouched = navigator.userActivation?.hasBeenActive ?? true;
    if (byId("discreet").checked || isRecent || !navigator.vibrate || !isTouched) return;
    this.#vibratedAt.set(id, Date.now());
    navigator.vibrate(VIBRATION_MS);
  }

  /** Names of microphones are known only once the person has allowed one. */
  async #listDevices() {
    const all = await navigator.mediaDevices?.enumerateDevices?.().catch(() => []) ?? [];
    const isNamed = ({ deviceId, label }) => label && !NO_DEVICE.includes(deviceId);
    this.#devices = all.filter((device) => device.kind === "audioinput" && isNamed(device));
    const options = this.#devices.map(({ deviceId, label }) => element("option", { value: deviceId, textContent: label }));
    const none = element("option", { value: "", textContent: t("microphone_default") });
    none.dataset.t = "microphone_default";
    byId("device").replaceChildren(none, ...options);
    byId("device").value = load(MICROPHONE_KEY) ?? "";
    // One that was chosen but is not plugged in now stays chosen for when it is.
    if (byId("device").selectedIndex < 0) byId("device").value = "";
    this.draw();
  }

  /** At once on air, otherwise from the next start. */
  #useMicrophone() {
    this.#trial.stop();
    this.#client.useMicrophone(this.microphone).catch((error) => this.#tell(error));
    this.draw();
  }

  async #goOn() {
    try {
      await this.#client.startStreaming();
    } catch (error) {
      this.#tell(error);
    }
  }

  /** Helps with what went wrong with the microphone; null is nothing. */
  #tell(error) {
    this.#micro.shared.help = error && (error.code ?? "microphone_failed");
    this.#micro.shared.draw();
  }

  #try() {
    if (this.#trial.isOn) this.#trial.stop();
    else {
      this.#tell(null);
      this.#trial.start(this.microphone, () => this.draw()).catch((error) => this.#tell(error));
    }
    this.draw();
  }

  #drawTrial() {
    const { isOn } = this.#trial;
    setText(byId("device-try"), t(isOn ? "try_stop" : "try"));
    byId("trial").hidden = !isOn;
  }

  #mayGoOn() {
    if (this.#client.streamingState !== "off") return false;
    try {
      const { id, at } = JSON.parse(sessionStorage.getItem(ON_AIR_KEY)) ?? {};
      return id !== undefined && id === this.#client.user?.id && Date.now() - at < GO_ON_MAX_MS;
    } catch {
      return false;
    }
  }
}

/** Remembers for a reload who was on air, and when last; null forgets it. @param {{id: string, at: number}|null} kept */
function keepOnAir(kept) {
  try {
    if (kept) sessionStorage.setItem(ON_AIR_KEY, JSON.stringify(kept));
    else sessionStorage.removeItem(ON_AIR_KEY);
  } catch {
    // Without storage a reload only forgets.
  }
}

/** Keeps a checkbox as it was left. */
function keep(input, key) {
  input.checked = load(key) === "1";
  input.addEventListener("input", () => save(key, input.checked ? "1" : null));
}

/** A short look at what a microphone hears, on this device only. */
class Trial {
  #meter = new Meter(byId("trial-meter"));
  #stream = null;
  #timer = 0;
  #attempt = 0;

  get isOn() { return this.#stream !== null; }

  /** @throws {import("./ecoute-error.js").EcouteError} */
  async start(microphone, onChange) {
    const attempt = ++this.#attempt;
    // Nobody waits any more for why one would not open that was given up meanwhile.
    const unlessOver = (error) => {
      if (attempt === this.#attempt) throw error;
      return null;
    };
    const stream = await openMicrophone(microphone).catch(unlessOver);
    if (attempt !== this.#attempt) return release(stream);
    this.#stream = stream;
    this.#meter.show(stream);
    this.#timer = setTimeout(() => {
      this.stop();
      onChange();
    }, TRIAL_MS);
    onChange();
  }

  stop() {
    this.#attempt += 1;
    clearTimeout(this.#timer);
    this.#meter.show(null);
    release(this.#stream);
    this.#stream = null;
  }
}

function release(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
