/**
 * The broadcasting half: one microphone, sent to the server while it is wanted; or what an encoder of the same person
 * sends, which is shown, paused and stopped from here all the same.
 *
 * A broadcast that was interrupted, by the network or because the system took the microphone, goes on by itself for
 * five minutes. Its one invariant: `paused` changes by its user's word alone, and while it is set, or nobody is there to
 * say who hears, nothing is transmitted.
 */

import { EcouteError } from "./ecoute-error.js";
import { Microphone } from "./ecoute-microphone.js";
import { PeerLink } from "./ecoute-peer.js";
import { Watch } from "./ecoute-watch.js";

/** How long an interrupted broadcast is still wanted, in ms. */
const RESUME_MAX_MS = 5 * 60_000;

export class Publisher {
  #send;
  #canSend;
  #clock;
  #dispatch;
  #onPeer;
  /** The connection that `onPeer` was told of last. */
  #knownPeer = null;
  #link;
  #microphone;
  #state = "off";
  #since = null;
  #isPaused = false;
  /** Whether the server has our broadcast, as far as it was told on this connection. */
  #isTold = false;
  /** Whether the server's word on our broadcast is awaited, after the connection came back. */
  #awaitsOwnState = false;
  /** Since when it is interrupted, or not on air yet, or null; by this device's clock, which a device that sleeps does not stop. */
  #lostAt = null;
  #lostTimer = 0;
  #stopsOwed = 0;
  #watch;
  /** What is on air from elsewhere, as the `detail` of the `streaming` event; null while nothing is. */
  #encoder = null;
  /** Whether its user wants nothing of an encoder transmitted, also of one that is not there now. */
  #isEncoderPaused = false;
  /** Whether another page of the same person is the one that streams, and this one only sees. */
  #isWitness = false;

  constructor({ send, canSend, ask, iceServers, clock, dispatch, onPeer }) {
    this.#send = send;
    this.#canSend = canSend;
    this.#clock = clock;
    this.#dispatch = dispatch;
    this.#onPeer = onPeer;
    this.#microphone = new Microphone({
      onCause: () => this.#onCause(),
      onTrack: (track) => this.#onTrack(track),
      onRefused: () => this.#end("microphone_refused"),
    });
    this.#link = new PeerLink({
      iceServers,
      canSend,
      prepare: (peer) => {
        const { stream } = this.#microphone;
        peer.addTransceiver(stream.getAudioTracks()[0], { direction: "sendonly", streams: [stream] });
      },
      sendOffer: (sdp) => {
        const isSent = send("start_streaming", { sdp });
        // A server that lost us has lost the pause too; it hears of it before it hears our audio.
        if (isSent) this.#tellState();
        return isSent;
      },
      sendRestart: (sdp) => send("restart_ice", { sdp }),
      onState: (state) => this.#onLinkState(state),
      onFailed: (code) => this.#onFailed(code),
    });
    this.#watch = new Watch({
      ask,
      kind: "outbound-rtp",
      peer: () => this.#link.state === "connected" ? this.#link.peer : null,
      heal: () => this.#link.restart(),
    });
  }

  /** The page lives. @param {AbortSignal} signal until when */
  begin(signal) {
    this.#microphone.begin(signal);
    this.#link.begin(signal);
  }

  get state() { return this.detail.state; }
  get stream() { return this.#microphone.stream; }
  get isPaused() { return this.detail.paused; }

  /** The `detail` of the `streaming` event. An encoder is heard until the server has taken our microphone in its place. */
  get detail() {
    const { state, since, paused, interrupted } = this.#encoder ?? this.#own;
    return { state, since, paused, interrupted, source: this.#encoder?.source ?? null };
  }

  get #own() {
    const interrupted = this.#microphone.cause ?? (this.#state === "reconnecting" ? "network" : null);
    return { state: this.#state, since: this.#since, paused: this.#isPaused, interrupted };
  }

  async start(options) {
    if (this.#state !== "off") return this.use(options);
    this.#microphone.prefer(options);
    this.#become("asking");
    let isOpen;
    try {
      isOpen = await this.#microphone.open();
    } catch (error) {
      if (this.#state === "asking") this.#become("off");
      throw error;
    }
    if (!isOpen) return;
    this.#become("starting");
    this.#link.open();
  }

  /** Prefers another microphone, on air without an interruption. */
  async use(options) {
    this.#microphone.prefer(options);
    if (this.stream && Object.keys(options).length > 0) await this.#microphone.open();
  }

  /**
   * How much was sent of the own stream on the present connection; empty where there is none yet, or it is an encoder's.
   * @returns {Promise<{ssrc?: number, packets_sent?: number}>}
   */
  async countSent() {
    const { peer } = this.#link;
    if (!peer || this.#encoder !== null) return {};
    const report = await peer.getStats();
    const stream = [...report.values()].find(({ type, kind }) => type === "outbound-rtp" && kind === "audio");
    return stream ? { ssrc: stream.ssrc, packets_sent: stream.packetsSent ?? 0 } : {};
  }

  /** Goes off air, whatever streams. */
  stop() {
    if (this.#encoder !== null) this.#sendStop();
    this.#stopOwn();
  }

  /** Lets go of the microphone. What an encoder sends goes on, and is no longer ours to show. */
  leave() {
    this.#stopOwn();
    this.#isEncoderPaused = false;
    this.#showEncoder(null);
  }

  /** Another page took over. What is on air from now on, under the same name, is shown here as well. */
  becomeWitness() {
    if (this.#state !== "off") this.#release();
    this.#isWitness = true;
    this.#isEncoderPaused = false;
  }

  /** Ends what somebody else began, without a word to the server: it would be in the name of who is registered now. */
  forget() {
    if (this.#state !== "off") this.#release();
    this.#isEncoderPaused = false;
    this.#showEncoder(null);
  }

  /** A server that restarted knows nothing of a pause, and an encoder comes back by itself: nobody hears it before. */
  keepPause() {
    if (this.#isEncoderPaused && !this.#encoder?.paused) this.#send("pause_streaming", {});
  }

  #stopOwn() {
    if (this.#state === "off") return;
    // What was never offered is not on air; what is may be an encoder's.
    if (this.#state !== "asking") this.#sendStop();
    this.#release();
  }

  #sendStop() {
    if (!this.#send("stop_streaming", {})) return;
    this.#isEncoderPaused = false;
    this.#stopsOwed += 1;
  }

  #release() {
    this.#microphone.close();
    this.#since = null;
    this.#isPaused = false;
    this.#isTold = false;
    this.#awaitsOwnState = false;
    this.#become("off");
    this.#link.close();
  }

  /** Pausing is the server's; the microphone is silenced here as well, so that nothing even leaves. */
  setPaused(isPaused) {
    if (this.#isWitness) {
      if (isPaused) this.#send("pause_streaming", {});
      return;
    }
    if (this.#encoder !== null) {
      if (this.#send(isPaused ? "pause_streaming" : "resume_streaming", {})) this.#isEncoderPaused = isPaused;
      return;
    }
    if (!this.stream || this.#isPaused === isPaused) return;
    this.#isPaused = isPaused;
    this.#silence();
    if (isPaused) this.#say("pause_streaming");
    else this.#sayResume();
    this.#become(this.#state);
  }

  /** Tells where the salesperson is; returns false where it is nobody's business now. */
  sendPosition(position) {
    const { state, paused, interrupted } = this.detail;
    const isShared = state === "live" && !paused && interrupted === null;
    return isShared && this.#send("gps_update", position);
  }

  handleRegistered() {
    this.#isWitness = false;
    this.#silence();
    this.#awaitsOwnState = this.stream !== null;
  }

  /** The server says what it knows of our broadcast. @param {import("./ecoute-client.js").Commercial} commercial */
  handleOwnState(commercial) {
    const isElsewhere = commercial.source || (this.#isWitness && commercial.is_streaming);
    if (isElsewhere) return this.#onElsewhere(commercial);
    this.#showEncoder(null);
    const { state } = commercial;
    if (!this.#awaitsOwnState) return;
    this.#awaitsOwnState = false;
    if (this.#isTooLate()) return;
    const isKnown = ["on_air", "paused", "interrupted"].includes(state);
    // Before the audio: a new session ends no pause, and the user may have ended theirs meanwhile.
    if (isKnown) this.#tellState(state);
    if (isKnown && this.#link.canRestart) this.#link.restart();
    else this.#resume();
  }

  handleDisconnected() {
    this.#isWitness = false;
    this.#stopsOwed = 0;
    this.#isTold = false;
    this.#awaitsOwnState = false;
    this.#silence();
    this.#link.handleDisconnected();
    if (this.#state === "live") this.#become("reconnecting");
    // Of another page nothing is known any more; an encoder goes on.
    if (this.#encoder?.source === "page") this.#showEncoder(null);
    else if (this.#encoder !== null) this.#showEncoder({ ...this.#encoder, state: "reconnecting" });
  }

  handleStarted({ sdp }) {
    this.#isEncoderPaused = false;
    this.#showEncoder(null);
    this.#link.handleAnswer(sdp);
  }

  handlePong(pong) { this.#watch.handlePong(pong); }
  handleRestarted({ sdp }) { this.#link.handleRestarted(sdp); }
  handleNoSuchPeer() { this.#link.handleNoSuchPeer(); }

  /** The page that this one took over from paused, in the name of the same person. */
  handlePaused({ cause }) {
    if (cause !== "other_page") return;
    if (this.#encoder !== null) this.#isEncoderPaused = true;
    else if (this.stream && !this.#isPaused) {
      this.#isPaused = true;
      this.#silence();
      this.#become(this.#state);
    }
  }

  handleStopped({ cause }) {
    this.#showEncoder(null);
    if (cause === "other_page" && this.#state !== "off") return this.#release();
    if (this.#stopsOwed > 0) {
      this.#stopsOwed -= 1;
      return;
    }
    if (!this.stream || this.#link.state === "offering") return;
    // The server lost our audio before we noticed. The person still wants to be on air, so send it anew.
    this.#isTold = false;
    this.#resume();
  }

  /**
   * Without a connection the page says that nobody hears. The server may notice later that it is gone, so it is made true
   * here.
   */
  #silence() { this.#microphone.setEnabled(!this.#isPaused && this.#canSend()); }

  /** An encoder is on air, or the page that took over. A microphone of ours that was lost meanwhile has been replaced; one that starts will replace it. */
  #onElsewhere({ state, since, interrupted_by, source = "page" }) {
    const isReplaced = this.#awaitsOwnState || this.#state === "live" || this.#state === "reconnecting";
    const paused = state === "paused";
    const interrupted = state === "interrupted" ? interrupted_by ?? "network" : null;
    // A page that has just been opened did not pause it, and keeps the pause all the same.
    if (this.#encoder === null && !this.#isWitness) this.#isEncoderPaused ||= paused;
    this.#showEncoder({ state: "live", since: this.#encoder?.since ?? since, paused, interrupted, source });
    if (isReplaced) this.#release();
    this.keepPause();
  }

  #showEncoder(encoder) {
    if (JSON.stringify(encoder) === JSON.stringify(this.#encoder)) return;
    this.#encoder = encoder;
    this.#dispatch("streaming", this.detail);
  }

  #onLinkState(linkState) {
    if (!this.stream) return;
    if (linkState === "connected") {
      this.#since ??= this.#clock.now;
      this.#become("live");
      if (this.#link.peer !== this.#knownPeer) this.#onPeer();
      this.#knownPeer = this.#link.peer;
    } else if (this.#state === "live") {
      this.#become("reconnecting");
    }
  }

  /** A network may come back; a browser that can't even begin ends what was just asked for. */
  #onFailed(code) {
    if (code === "audio_unsupported" && this.#state === "starting") {
      // What an encoder sends goes on.
      if (this.#isTold) this.#sendStop();
      this.#release();
    }
    this.#dispatch("error", new EcouteError(code).detail);
  }

  #onCause() {
    const { cause } = this.#microphone;
    this.#dispatch("microphone", { muted: cause !== null });
    if (this.#state === "asking") return;
    if (cause === null && this.#isTooLate()) return;
    if (cause !== null) this.#sayCause();
    // The end of a call must not end the pause of its user.
    else if (!this.#isPaused) this.#sayResume();
    if (cause === null && this.#link.state === "closed") this.#resume();
    this.#become(this.#state);
  }

  async #onTrack(track) {
    const [sender] = this.#link.peer?.getSenders() ?? [];
    this.#dispatch("microphone", { muted: track.muted });
    // A connection that closes meanwhile takes the track when it is built anew.
    await sender?.replaceTrack(track).catch(() => {});
  }

  /** Builds the connection anew, unless the microphone is away: then it is built when that comes back. */
  #resume() {
    if (this.#isTooLate()) return;
    if (this.#microphone.cause === null) this.#link.open();
    else this.#link.close();
  }

  /** Makes the server's picture of us true, after it has got or found our broadcast. */
  #tellState(serverState) {
    this.#isTold = true;
    if (this.#isPaused) this.#say("pause_streaming");
    else if (serverState === "paused" || serverState === "interrupted") this.#sayResume();
    this.#sayCause();
  }

  /** What was sent until now is heard by nobody. Resuming ends what the server knows of a call as well, which may go on. */
  async #sayResume() {
    const sent = await this.countSent().catch(() => ({}));
    if (this.#isPaused) return;
    this.#say("resume_streaming", sent);
    this.#sayCause();
  }

  /** In a pause nobody waits to hear, so nobody needs to know why there would be nothing. */
  #sayCause() {
    const { cause } = this.#microphone;
    if (cause !== null && !this.#isPaused) this.#say("stream_interrupted", { cause });
  }

  #say(event, data = {}) {
    if (this.#isTold) this.#send(event, data);
  }

  #isTooLate() {
    const isTooLate = this.#lostAt !== null && Date.now() - this.#lostAt >= RESUME_MAX_MS;
    if (isTooLate) this.#end(this.#microphone.isEnded ? "microphone_ended" : "interrupted_too_long");
    return isTooLate;
  }

  #end(code) {
    this.#stopOwn();
    this.#dispatch("error", new EcouteError(code).detail);
  }

  #become(state) {
    this.#state = state;
    // What its user asked for hours ago must not go on air then, either.
    const isLost = state === "starting" || (state !== "off" && this.#own.interrupted !== null);
    if (isLost !== (this.#lostAt !== null)) {
      this.#lostAt = isLost ? Date.now() : null;
      clearTimeout(this.#lostTimer);
      if (isLost) this.#lostTimer = setTimeout(() => this.#isTooLate(), RESUME_MAX_MS);
    }
    // Only what is sent can be missed.
    if (state === "live" && !this.#isPaused && this.#microphone.cause === null) this.#watch.start();
    else this.#watch.stop();
    this.#dispatch("streaming", this.detail);
  }
}
