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
/** How long a new microphone may take to bring sound while the old one works, in ms, and between two looks at it. */
const SOUND_MAX_MS = 2_000;
const SOUND_LOOK_MS = 20;
/** How long the old track may still be sent once there is another, in ms. */
const REPLACE_MAX_MS = 1_000;

export class Microphone {
  #onCause;
  #onTrack;
  #onRefused;
  /** What is wanted from now on. */
  #options = { deviceId: "", noiseSuppression: true };
  /** @type {MediaStream|null} */
  #stream = null;
  /** What of the options the stream was opened with, or has taken since: browsers do not say all that it is. */
  #asked = this.#options;
  /** The stream that it took the place of, until that is sent no more. @type {MediaStream|null} */
  #former = null;
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
   * @param {(track: MediaStreamTrack) => Promise<void>} options.onTrack another track takes the place of the present one,
   *   which it does not need any more once this resolves
   * @param {() => void} options.onRefused it was taken away, and its user does not give it back
   */
  constructor({ onCause, onTrack, onRefused }) {
    this.#onCause = onCause;
    this.#onTrack = onTrack;
    this.#onRefused = onRefused;
  }

  /** The page lives. @param {AbortSignal} signal until when */
  begin(signal) {
    const regain = () => this.#regain();
    document.addEventListener("visibilitychange", regain, { signal });
    addEventListener("online", regain, { signal });
    navigator.mediaDevices?.addEventListener("devicechange", regain, { signal });
  }

  get stream() { return this.#stream; }

  /** Why the system withholds it: `muted` or `locked`; null while it works. Whether it is for a call no browser says. */
  get cause() { return this.#cause; }

  /** Whether the present track is over, and a new one is being looked for. */
  get isEnded() { return this.#stream?.getAudioTracks()[0].readyState === "ended"; }

  /** What to ask for from now on: preferred device, noise suppression. Absent is as before. */
  prefer(options) { this.#options = { ...this.#options, ...options }; }

  /**
   * Opens it, or makes it what is preferred now; the old track works until the new one brings sound, and stays where there
   * is none.
   * @returns {Promise<boolean>} false where it was closed meanwhile
   * @throws {EcouteError}
   */
  async open() {
    const attempt = ++this.#attempt;
    const isCurrent = () => attempt === this.#attempt;
    const wanted = this.#options;
    const [old] = this.#stream?.getAudioTracks() ?? [];
    const isLive = old?.readyState === "live";
    if (isLive && (await this.#alter(old, wanted, isCurrent) || !isCurrent())) return isCurrent();
    let stream = null;
    try {
      stream = await openMicrophone(wanted, isLive);
      // Of one that is silent nobody misses anything.
      if (isLive && old.enabled && !old.muted) await sounding(stream, isCurrent);
    } catch (error) {
      release(stream);
      // Nobody waits any more for one that was closed meanwhile, nor for why it would not open.
      if (isCurrent()) throw error;
      return false;
    }
    if (isCurrent()) this.#attach(stream, wanted);
    else release(stream);
    return isCurrent();
  }

  close() {
    this.#attempt += 1;
    clearTimeout(this.#timer);
    release(this.#stream);
    release(this.#former);
    this.#stream = this.#former = null;
    this.#cause = null;
    this.#isEnabled = true;
  }

  /** Silences it or gives it back, as the user says. */
  setEnabled(isEnabled) {
    this.#isEnabled = isEnabled;
    for (const stream of [this.#stream, this.#former]) {
      for (const track of stream?.getTracks() ?? []) track.enabled = isEnabled;
    }
  }

  /** Makes the open track what is wanted, where that needs no other one; returns whether it is so. */
  async #alter(track, wanted, isCurrent) {
    const { deviceId, noiseSuppression } = this.#asked;
    if (deviceId !== wanted.deviceId) return false;
    const isChange = noiseSuppression !== wanted.noiseSuppression;
    if (isChange && navigator.mediaDevices.getSupportedConstraints().noiseSuppression) {
      // Until it is so, it is neither what it was nor what it will be.
      this.#asked = { deviceId };
      await track.applyConstraints(constraintsOf(wanted)).catch(() => {});
      // Chromium says yes and changes nothing; what a browser does not tell may be so too.
      if (track.getSettings().noiseSuppression !== wanted.noiseSuppression) return false;
    }
    if (isCurrent()) this.#asked = wanted;
    return true;
  }

  #attach(stream, asked) {
    const former = this.#stream;
    this.#stream = stream;
    this.#asked = asked;
    this.#regains = 0;
    const [track] = stream.getAudioTracks();
    track.enabled = this.#isEnabled;
    track.onmute = () => this.#withhold();
    track.onunmute = () => this.#setCause(null);
    track.onended = () => this.#onEnded();
    if (former) this.#replace(former, track);
    if (track.muted) this.#withhold();
    else this.#setCause(null);
  }

  #replace(former, track) {
    release(this.#former);
    this.#former = former;
    unhook(former);
    // A connection that is closed meanwhile says nothing more.
    const end = setTimeout(() => release(former), REPLACE_MAX_MS);
    this.#onTrack(track).then(() => {
      clearTimeout(end);
      release(former);
    });
  }

  #onEnded() {
    this.#withhold();
    this.#regain();
  }

  #withhold() { this.#setCause(document.hidden ? "locked" : "muted"); }

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
    const error = await this.open().then(() => null, (reason) => reason);
    this.#isRegaining = false;
    // Another change may have come between, and failed.
    if (!this.isEnded) return;
    // Who looks at the page and says no is not asked again.
    if (error?.code === "microphone_refused" && !document.hidden) return this.#onRefused();
    const delay = Math.min(REGAIN_MAX_MS, REGAIN_MIN_MS * 2 ** this.#regains);
    this.#regains += 1;
    this.#timer = setTimeout(() => this.#regain(), delay);
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
 * @param {{deviceId?: string, noiseSuppression?: boolean}} options
 * @param {boolean} [isOpen] whether it may be open already: then Chromium hands it out as it is, unless it must not
 * @throws {EcouteError}
 */
export async function openMicrophone(options, isOpen = false) {
  const problem = microphoneProblem();
  if (problem) throw new EcouteError(problem);
  const audio = constraintsOf(options);
  if (isOpen) audio.noiseSuppression = { exact: audio.noiseSuppression };
  const began = performance.now();
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    // One that can't do it still works.
    if (isOpen && error?.name === "OverconstrainedError") return openMicrophone(options);
    // In a frame of another origin nobody said no as fast as that.
    const isOfFrame = top !== self && !frameElement && performance.now() - began < ANSWER_MIN_MS;
    throw new EcouteError(codeOf(error, isOfFrame), error);
  }
}

/** Plain values are wishes: a microphone that cannot do one of them still works. */
function constraintsOf({ deviceId, noiseSuppression = true }) {
  const audio = { echoCancellation: true, noiseSuppression, autoGainControl: true, channelCount: 1, sampleRate: 48_000 };
  return deviceId ? { ...audio, deviceId } : audio;
}

/** Waits for the first sound, which in Firefox takes a second or two. @throws {EcouteError} where none can come any more */
async function sounding(stream, isCurrent) {
  const [track] = stream.getAudioTracks();
  let context;
  try {
    context = new AudioContext();
    const analyser = new AnalyserNode(context);
    new MediaStreamAudioSourceNode(context, { mediaStream: stream }).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const until = performance.now() + SOUND_MAX_MS;
    const mayWait = () => isCurrent() && track.readyState === "live" && performance.now() < until;
    while (mayWait() && samples.every((sample) => sample === 0)) {
      await new Promise((resolve) => setTimeout(resolve, SOUND_LOOK_MS));
      analyser.getFloatTimeDomainData(samples);
    }
  } catch {
    // It is sent all the same.
  }
  context?.close();
  if (track.readyState === "ended") throw new EcouteError("microphone_failed");
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

function unhook(stream) {
  for (const track of stream.getTracks()) track.onended = track.onmute = track.onunmute = null;
}

function release(stream) {
  if (!stream) return;
  unhook(stream);
  for (const track of stream.getTracks()) track.stop();
}
