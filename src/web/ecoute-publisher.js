/**
 * The broadcasting half: one microphone, sent to the server while it is wanted.
 *
 * Its one invariant: the microphone is open exactly while the state is neither `off` nor `asking`.
 */

import { EcouteError } from "./ecoute-error.js";
import { PeerLink } from "./ecoute-peer.js";

export class Publisher {
  #send;
  #dispatch;
  #link;
  #state = "off";
  /** @type {MediaStream|null} */
  #stream = null;
  #since = null;
  #isPaused = false;
  /** Grows with every start and stop, so that a microphone that opens too late is let go. */
  #attempt = 0;
  #stopsOwed = 0;

  constructor({ send, iceServers, dispatch }) {
    this.#send = send;
    this.#dispatch = dispatch;
    this.#link = new PeerLink({
      iceServers,
      prepare: (peer) => peer.addTransceiver(this.#stream.getAudioTracks()[0], {
        direction: "sendonly",
        streams: [this.#stream],
      }),
      sendOffer: (sdp) => {
        const isSent = send("start_streaming", { sdp });
        // A server that lost us has lost the pause too; it hears of it before it hears our audio.
        if (this.#isPaused) send("pause_streaming", {});
        return isSent;
      },
      onState: (state) => this.#onLinkState(state),
      onFailed: () => dispatch("error", new EcouteError("audio_connection_failed").detail),
    });
  }

  get state() { return this.#state; }
  get stream() { return this.#stream; }
  get isPaused() { return this.#isPaused; }
  get detail() { return { state: this.#state, since: this.#since, paused: this.#isPaused }; }

  async start({ deviceId }) {
    if (this.#state !== "off") return;
    const attempt = ++this.#attempt;
    this.#become("asking");
    let stream;
    try {
      stream = await openMicrophone(deviceId);
    } catch (error) {
      if (attempt === this.#attempt) this.#become("off");
      throw error;
    }
    if (attempt !== this.#attempt) return release(stream);
    this.#stream = stream;
    const [track] = stream.getAudioTracks();
    track.onended = () => attempt === this.#attempt && this.#end("microphone_ended");
    track.onmute = () => attempt === this.#attempt && this.#dispatch("microphone", { muted: true });
    track.onunmute = () => attempt === this.#attempt && this.#dispatch("microphone", { muted: false });
    this.#become("starting");
    this.#link.open();
  }

  stop() {
    if (this.#state === "off") return;
    this.#attempt += 1;
    release(this.#stream);
    this.#stream = null;
    this.#since = null;
    this.#isPaused = false;
    if (this.#send("stop_streaming", {})) this.#stopsOwed += 1;
    this.#become("off");
    this.#link.close();
  }

  /** Pausing is the server's; the microphone is silenced here as well, so that nothing even leaves. */
  setPaused(isPaused) {
    if (!this.#stream || this.#isPaused === isPaused) return;
    this.#isPaused = isPaused;
    for (const track of this.#stream.getTracks()) track.enabled = !isPaused;
    this.#send(isPaused ? "pause_streaming" : "resume_streaming", {});
    this.#become(this.#state);
  }

  handleRegistered() {
    if (this.#stream) this.#link.open();
  }

  handleDisconnected() {
    this.#stopsOwed = 0;
    this.#link.handleDisconnected();
    if (this.#state === "live") this.#become("reconnecting");
  }

  handleStarted({ sdp }) { this.#link.handleAnswer(sdp); }

  handleStopped() {
    if (this.#stopsOwed > 0) this.#stopsOwed -= 1;
    // The server lost our audio before we noticed. The person still wants to be on air, so send it anew.
    else if (this.#stream && this.#link.state !== "offering") this.#link.open();
  }

  #onLinkState(linkState) {
    if (!this.#stream) return;
    if (linkState === "connected") {
      this.#since ??= Date.now();
      this.#become("live");
    } else if (this.#state === "live") {
      this.#become("reconnecting");
    }
  }

  #end(code) {
    this.stop();
    this.#dispatch("error", new EcouteError(code).detail);
  }

  #become(state) {
    this.#state = state;
    this.#dispatch("streaming", this.detail);
  }
}

/**
 * Why this page can't have any microphone, known without asking for one; null where it can.
 * @returns {"insecure_page"|"microphone_unsupported"|null}
 */
export function microphoneProblem() {
  if (navigator.mediaDevices?.getUserMedia) return null;
  return isSecureContext ? "microphone_unsupported" : "insecure_page";
}

async function openMicrophone(deviceId) {
  const problem = microphoneProblem();
  if (problem) throw new EcouteError(problem);
  // Plain values are wishes: a microphone that cannot do one of them still works.
  const audio = {
    echoCancellation: true,
    noiseSuppression: true,
    autoGainControl: true,
    channelCount: 1,
    sampleRate: 48_000,
  };
  if (deviceId) audio.deviceId = deviceId;
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    throw new EcouteError(codeOf(error), error);
  }
}

function codeOf(error) {
  switch (error?.name) {
    case "NotAllowedError":
    case "SecurityError": return "microphone_refused";
    case "NotFoundError":
    case "OverconstrainedError": return "microphone_missing";
    case "NotReadableError":
    case "AbortError": return "microphone_busy";
    default: return "microphone_failed";
  }
}

function release(stream) {
  for (const track of stream?.getTracks() ?? []) {
    track.onended = null;
    track.stop();
  }
}
