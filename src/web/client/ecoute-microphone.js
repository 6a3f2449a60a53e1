/**
 * The microphone of this page: opens it, changes it, and gets it back when the system takes it away.
 *
 * Its one invariant: while it is disabled every track that it hands out is disabled too, whenever that was opened.
 */

import { EcouteError } from "./ecoute-error.js";

/** Between tries to get a microphone back that was taken away, in ms, doubled after every one. */
const REGAIN_MIN_MS = 1_000;
const REGAIN_MAX_MS = 30_000;
/** People take longer than that to answer a browser's question, in ms. */
const ANSWER_MIN_MS = 400;

export class Microphone {
  #onCause;
  #onTrack;
  #onRefused;
  /** @type {{deviceId?: string, noiseSuppression?: boolean}} */
  #options = {};
  /** @type {MediaStream|null} */
  #stream = null;
  #isEnabled = true;
  #cause = null;
  #isRegaining = false;
  #regains = 0;
  #timer = 0;
  /** Grows with every opening and closing, so that a microphone that opens too late is let go. */
  #attempt = 0;

  /**
   * @param {object} options
   * @param {() => void} options.onCause `cause` has changed
   * @param {(track: MediaStreamTrack) => void} options.onTrack another track takes the place of the present one
   * @param {() => void} options.onRefused it was taken away, and its user does not give it back
   */
  constructor({ onCause, onTrack, onRefused }) {
    this.#onCause = onCause;
    this.#onTrack = onTrack;
    this.#onRefused = onRefused;
    const regain = () => this.#regain();
    document.addEventListener("visibilitychange", regain);
    addEventListener("online", regain);
    navigator.mediaDevices?.addEventListener("devicechange", regain);
  }

  get stream() { return this.#stream; }

  /** Why the system withholds it: `call` or `locked`; null while it works. */
  get cause() { return this.#cause; }

  /** Whether the present track is over, and a new one is being looked for. */
  get isEnded() { return this.#stream?.getAudioTracks()[0].readyState === "ended"; }

  /** What to ask for from now on: preferred device, noise suppression. Absent is as before. */
  prefer(options) { Object.assign(this.#options, options); }

  /**
   * Opens it, or opens it anew as it is preferred now; the old track works until then.
   * @returns {Promise<boolean>} false where it was closed meanwhile
   * @throws {EcouteError}
   */
  async open() {
    const attempt = ++this.#attempt;
    const isCurrent = () => attempt === this.#attempt;
    // Nobody waits any more for one that was closed meanwhile, nor for why it would not open.
    const unlessOver = (error) => {
      if (isCurrent()) throw error;
      return null;
    };
    let stream = await openMicrophone(this.#options).catch(unlessOver);
    if (this.#stream && isCurrent() && !suits(stream, this.#options)) {
      // Chromium hands out an open device as it is; only once it is closed can it be opened differently.
      release(stream);
      release(this.#stream);
      stream = await openMicrophone(this.#options).catch((error) => {
        if (!isCurrent()) return null;
        this.#onEnded();
        throw error;
      });
    }
    if (!isCurrent()) {
      release(stream);
      return false;
    }
    this.#attach(stream);
    return true;
  }

  close() {
    this.#attempt += 1;
    clearTimeout(this.#timer);
    release(this.#stream);
    this.#stream = null;
    this.#cause = null;
    this.#isEnabled = true;
  }

  /** Silences it or gives it back, as the user says. */
  setEnabled(isEnabled) {
    this.#isEnabled = isEnabled;
    for (const track of this.#stream?.getTracks() ?? []) track.enabled = isEnabled;
  }

  #attach(stream) {
    const isReplacing = this.#stream !== null;
    release(this.#stream);
    this.#stream = stream;
    this.#regains = 0;
    const [track] = stream.getAudioTracks();
    track.enabled = this.#isEnabled;
    track.onmute = () => this.#withhold();
    track.onunmute = () => this.#setCause(null);
    track.onended = () => this.#onEnded();
    if (isReplacing) this.#onTrack(track);
    if (track.muted) this.#withhold();
    else this.#setCause(null);
  }

  #onEnded() {
    this.#withhold();
    this.#regain();
  }

  #withhold() { this.#setCause(document.hidden ? "locked" : "call"); }

  #setCause(cause) {
    if (this.#cause === cause) return;
    this.#cause = cause;
    this.#onCause();
  }

  /** Tries once, and later again: a call ends, a page is shown again, a headset comes back. */
  async #regain() {
    if (!this.isEnded || this.#isRegaining) return;
    clearTimeout(this.#timer);
    this.#isRegaining = true;
    try {
      await this.open();
    } catch (error) {
      if (!this.isEnded) return;
      // Who looks at the page and says no is not asked again.
      if (error.code === "microphone_refused" && !document.hidden) return this.#onRefused();
      const delay = Math.min(REGAIN_MAX_MS, REGAIN_MIN_MS * 2 ** this.#regains);
      this.#regains += 1;
      this.#timer = setTimeout(() => this.#regain(), delay);
    } finally {
      this.#isRegaining = false;
    }
  }
}

/**
 * Why this page can't have any microphone, or send what it hears, known without asking for one; null where it can.
 * @returns {"insecure_page"|"audio_unsupported"|"microphone_unsupported"|"microphone_forbidden"|null}
 */
export function microphoneProblem() {
  const isThere = navigator.mediaDevices?.getUserMedia;
  if (!isThere && !isSecureContext) return "insecure_page";
  if (!globalThis.RTCPeerConnection) return "audio_unsupported";
  if (!isThere) return "microphone_unsupported";
  // Other browsers say so only once they are asked.
  const policy = document.permissionsPolicy ?? document.featurePolicy;
  return policy?.allowsFeature?.("microphone") === false ? "microphone_forbidden" : null;
}

/**
 * The microphones to choose from. Empty until the browser has been allowed one, because before it names none.
 * @returns {Promise<{deviceId: string, label: string}[]>}
 */
export async function microphones() {
  const devices = await navigator.mediaDevices?.enumerateDevices() ?? [];
  return devices
    .filter(({ kind, deviceId, label }) => kind === "audioinput" && deviceId && label)
    .map(({ deviceId, label }) => ({ deviceId, label }));
}

/**
 * Opens a microphone; whoever calls closes it.
 * @throws {EcouteError}
 */
export async function openMicrophone({ deviceId, noiseSuppression = true }) {
  const problem = microphoneProblem();
  if (problem) throw new EcouteError(problem);
  // Plain values are wishes: a microphone that cannot do one of them still works.
  const audio = { echoCancellation: true, noiseSuppression, autoGainControl: true, channelCount: 1, sampleRate: 48_000 };
  if (deviceId) audio.deviceId = deviceId;
  const began = performance.now();
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    // In a frame of another origin nobody said no as fast as that.
    const isOfFrame = top !== self && !frameElement && performance.now() - began < ANSWER_MIN_MS;
    throw new EcouteError(codeOf(error, isOfFrame), error);
  }
}

function suits(stream, { noiseSuppression = true }) {
  return stream.getAudioTracks()[0].getSettings().noiseSuppression === noiseSuppression;
}

function codeOf(error, isOfFrame) {
  switch (error?.name) {
    case "NotAllowedError":
    case "SecurityError": return isOfFrame ? "microphone_forbidden" : "microphone_refused";
    case "NotFoundError":
    case "OverconstrainedError": return "microphone_missing";
    case "NotReadableError":
    case "AbortError": return "microphone_busy";
    default: return "microphone_failed";
  }
}

function release(stream) {
  for (const track of stream?.getTracks() ?? []) {
    track.onended = track.onmute = track.onunmute = null;
    track.stop();
  }
}
