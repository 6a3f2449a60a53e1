/**
 * The listening half: one warm audio connection, the wishes that use it, and the sound.
 *
 * A wish stays until it is left, through every loss of connection. Its one invariant: at most one wish is `started`,
 * and the volume is zero while none is.
 */

import { EcouteError } from "./ecoute-error.js";
import { PeerLink } from "./ecoute-peer.js";
import { Watch } from "./ecoute-watch.js";

/** How long a browser may take to start playback before we say that it will not, in ms. */
const RESUME_WAIT_MS = 300;
/** Time constant of volume changes, in s: a hard edge would click. */
const FADE_S = 0.005;
const VOLUME_MAX = 2;

export class Listener {
  #send;
  #dispatch;
  #link;
  #output;
  /** @type {Map<string, {reason: string|undefined, state: "pending"|"started", cause: string|null, told: string|null, waits: boolean}>} */
  #wishes = new Map();
  /** Who is heard, or was last and is still wished for. @type {string|null} */
  #current = null;
  /** Ids that this connection to the server has joined. */
  #joined = new Set();
  /** Departures that the server has not confirmed yet, by id: its late word must not end a newer wish. */
  #leavesOwed = new Map();
  #mayJoin = false;
  /** Why there is no audio connection, since the last one; null where that is not known, or there is one. */
  #linkProblem = null;
  #watch;
  /** Whether the server takes it that the page is hidden; null while it does not know us. @type {boolean|null} */
  #isHiddenTold = null;

  constructor({ send, canSend, ask, iceServers, dispatch }) {
    this.#send = send;
    this.#dispatch = dispatch;
    this.#output = new Output(() => this.#dispatch("audio", this.audio));
    this.#link = new PeerLink({
      iceServers,
      canSend,
      prepare: (peer) => {
        peer.addTransceiver("audio", { direction: "recvonly" });
        peer.ontrack = ({ track }) => this.#output.play(new MediaStream([track]));
      },
      sendOffer: (sdp) => send("open_audio", { sdp }),
      sendRestart: (sdp) => send("restart_ice", { sdp }),
      onState: (state) => this.#onLinkState(state),
      onFailed: (code) => {
        this.#linkProblem = code;
        this.#tellProblem();
      },
    });
    this.#watch = new Watch({
      ask,
      kind: "inbound-rtp",
      peer: () => this.#link.state === "connected" ? this.#link.peer : null,
      heal: () => this.#link.restart(),
    });
  }

  /** The page lives. @param {AbortSignal} signal until when */
  begin(signal) {
    this.#link.begin(signal);
    document.addEventListener("visibilitychange", () => this.#tellHidden(), { signal });
  }

  get audio() {
    const connection = { closed: "none", connected: "ready" }[this.#link.state] ?? "opening";
    return { connection, output: this.#output.state, problem: this.#problem, volume: this.volume, muted: this.isMuted };
  }

  get node() { return this.#output.node; }
  get heardNode() { return this.#output.heardNode; }

  get wishes() {
    return [...this.#wishes].map(([commercial_id, { reason, state, cause, told }]) => ({ commercial_id, reason, state, cause, told }));
  }

  get currentWish() {
    const { wishes } = this;
    return wishes.find((wish) => wish.commercial_id === this.#current)
      ?? wishes.filter((wish) => wish.cause !== "hearing_another").at(-1) ?? wishes.at(-1);
  }

  listen(id, reason, waits) {
    const allowed = this.#output.resume();
    const wish = this.#wishes.get(id);
    if (!wish) {
      this.#wishes.set(id, { reason, state: "pending", told: null, waits });
      this.#wait(id, this.#problem ?? "asked");
      this.#join(id);
    } else if (wish.cause === "hearing_another") {
      wish.waits = waits;
      this.#join(id);
    }
    return allowed;
  }

  leave(id) {
    // Whoever is heard last: what waits for that would begin.
    for (const commercial_id of id === undefined ? [...this.#others, this.#current] : [id]) {
      if (!this.#wishes.delete(commercial_id)) continue;
      if (this.#current === commercial_id) this.#current = null;
      if (this.#joined.delete(commercial_id) && this.#send("leave_commercial_stream", { commercial_id })) {
        this.#leavesOwed.set(commercial_id, (this.#leavesOwed.get(commercial_id) ?? 0) + 1);
      }
      this.#applyVolume();
      this.#dispatch("listening_stopped", { commercial_id });
    }
  }

  /** Whom one wishes to hear beside whoever is heard. */
  get #others() { return [...this.#wishes.keys()].filter((id) => id !== this.#current); }

  get volume() { return this.#output.volume; }
  get isMuted() { return this.#output.isMuted; }

  setVolume(volume) {
    this.#output.setVolume(Math.min(VOLUME_MAX, Math.max(0, volume)));
    this.#dispatch("audio", this.audio);
  }

  setMuted(muted) {
    this.#output.setMuted(muted);
    this.#dispatch("audio", this.audio);
  }

  resume() { return this.#output.resume(); }

  close() {
    this.leave();
    this.#link.close();
    this.#output.close();
  }

  handleRegistered() {
    this.#isHiddenTold = false;
    this.#tellHidden();
    this.#link.open();
  }

  handleDisconnected() {
    this.#joined.clear();
    this.#leavesOwed.clear();
    this.#isHiddenTold = null;
    // The server ends a supervisor's session with the connection, so there is nothing to heal.
    this.#link.close();
    this.#link.handleDisconnected();
    for (const id of this.#wishes.keys()) this.#wait(id, "reconnecting");
  }

  async handleReady({ sdp }) {
    if (!await this.#link.handleAnswer(sdp)) return;
    this.#mayJoin = true;
    for (const id of [this.#current, ...this.#others]) if (id !== null) this.#join(id);
  }

  handlePong(pong) { this.#watch.handlePong(pong); }
  handleRestarted({ sdp }) { this.#link.handleRestarted(sdp); }
  handleNoSuchPeer() { this.#link.handleNoSuchPeer(); }

  handlePending({ commercial_id, cause }) {
    if (this.#wishes.has(commercial_id)) this.#wait(commercial_id, cause);
  }

  handleStarted(data) {
    const wish = this.#wishes.get(data.commercial_id);
    if (!wish) return;
    this.#current = data.commercial_id;
    wish.state = "started";
    wish.cause = null;
    wish.told = data.told ?? null;
    this.#applyVolume();
    this.#dispatch("listening_started", data);
  }

  handleStopped(data) {
    const { commercial_id, cause } = data;
    // Either the answer to a departure, or it crossed with one, which then gets no answer: the wish it ends is an older one.
    const isOlder = this.#takeLeaveOwed(commercial_id);
    if (!this.#wishes.has(commercial_id) || (isOlder && cause !== "connection_lost")) return;
    if (cause === "connection_lost") {
      this.#joined.delete(commercial_id);
      this.#wait(commercial_id, cause);
      if (this.#link.state !== "offering") this.#link.open();
      return;
    }
    this.#forget(commercial_id, data);
  }

  /** The server said no to a wish. */
  handleRefused({ commercial_id, code }) {
    if (this.#wishes.has(commercial_id)) this.#forget(commercial_id, { commercial_id, cause: code });
  }

  /** Why nobody can be heard; a connection does not help where nothing can be played. */
  get #problem() { return this.#output.isRefused ? "audio_unsupported" : this.#linkProblem; }

  /** Who speaks is not told to a page that nobody sees. */
  #tellHidden() {
    const isHidden = document.hidden;
    if (this.#isHiddenTold === null || this.#isHiddenTold === isHidden) return;
    if (this.#send("page_visible", { visible: !isHidden })) this.#isHiddenTold = isHidden;
  }

  #onLinkState(linkState) {
    if (linkState === "offering" || linkState === "closed") this.#mayJoin = false;
    if (linkState === "connected") this.#linkProblem = null;
    if (linkState === "offering") {
      // Whoever was heard came over the connection that is being replaced.
      for (const [id, wish] of this.#wishes) if (wish.state === "started") this.#wait(id, "connection_lost");
    }
    this.#dispatch("audio", this.audio);
  }

  /** Nobody looks at a wish for ever that can't come true. */
  #tellProblem() {
    const code = this.#problem;
    for (const [id, { state }] of this.#wishes) if (state === "pending") this.#wait(id, code);
    this.#dispatch("audio", this.audio);
    this.#dispatch("error", new EcouteError(code).detail);
  }

  #join(commercial_id) {
    // Nobody is heard where nothing can be played.
    if (this.#output.isRefused) return this.#tellProblem();
    // Without an audio connection there is nothing to play it on; `handleReady` joins later.
    if (!this.#mayJoin) return;
    const wish = this.#wishes.get(commercial_id);
    const { reason, waits } = wish;
    if (this.#send("join_commercial_stream", { commercial_id, ...(reason && { reason }), ...(waits && { waits }) })) {
      this.#joined.add(commercial_id);
      // After a loss whoever was heard is heard again, and not whoever is asked for last.
      wish.waits = true;
    }
  }

  #takeLeaveOwed(commercial_id) {
    const owed = this.#leavesOwed.get(commercial_id) ?? 0;
    if (owed > 1) this.#leavesOwed.set(commercial_id, owed - 1);
    else this.#leavesOwed.delete(commercial_id);
    return owed > 0;
  }

  #wait(commercial_id, cause) {
    const wish = this.#wishes.get(commercial_id);
    if (wish.state === "pending" && wish.cause === cause) return;
    wish.state = "pending";
    wish.cause = cause;
    wish.told = null;
    this.#applyVolume();
    this.#dispatch("listening_pending", { commercial_id, cause });
  }

  #forget(commercial_id, detail) {
    this.#wishes.delete(commercial_id);
    this.#joined.delete(commercial_id);
    if (this.#current === commercial_id) this.#current = null;
    this.#applyVolume();
    this.#dispatch("listening_stopped", detail);
  }

  #applyVolume() {
    const isHeard = [...this.#wishes.values()].some((wish) => wish.state === "started");
    this.#output.setOpen(isHeard);
    if (isHeard) this.#watch.start();
    else this.#watch.stop();
  }
}

/** Remote stream → what is heard → gain → speakers. A GainNode, because iOS ignores the volume of media elements. */
class Output {
  #onState;
  /** @type {AudioContext|null} */
  #context = null;
  /** Stays as long as the context, whatever stream comes. @type {GainNode|null} */
  #heard = null;
  /** @type {GainNode|null} */
  #gain = null;
  #source = null;
  #stream = null;
  #element = null;
  #volume = 1;
  #isMuted = false;
  #isOpen = false;
  /** Whether the browser has no Web Audio, or did not let the page have it. */
  isRefused = false;

  constructor(onState) { this.#onState = onState; }

  get state() {
    if (!this.#context) return "none";
    return this.#context.state === "running" ? "running" : "suspended";
  }

  get node() { return this.#gain; }
  get heardNode() { return this.#heard; }
  get volume() { return this.#volume; }
  get isMuted() { return this.#isMuted; }

  play(stream) {
    this.#stream = stream;
    // Chromium lets a remote stream flow into WebAudio only while a media element plays it too.
    this.#element ??= Object.assign(new Audio(), { muted: true, hidden: true });
    this.#element.srcObject = stream;
    this.#element.play().catch(() => {});
    this.#wire();
  }

  async resume() {
    if (!this.#context && !this.#make()) return false;
    if (this.#context.state !== "running") {
      // Without a click the promise of `resume` may stay open for ever.
      const resumed = this.#context.resume().catch(() => {});
      await Promise.race([resumed, new Promise((resolve) => setTimeout(resolve, RESUME_WAIT_MS))]);
      this.#element?.play().catch(() => {});
    }
    return this.state === "running";
  }

  setVolume(volume) {
    this.#volume = volume;
    this.#applyGain();
  }

  setMuted(isMuted) {
    this.#isMuted = isMuted;
    this.#applyGain();
  }

  setOpen(isOpen) {
    this.#isOpen = isOpen;
    this.#applyGain();
  }

  close() {
    this.#context?.close();
    this.#context = null;
    this.#gain = this.#heard = null;
    this.#source = null;
    if (this.#element) this.#element.srcObject = null;
  }

  /** Returns false where the browser has no Web Audio, or does not let a page have it. */
  #make() {
    try {
      this.#context = new AudioContext({ latencyHint: "interactive" });
    } catch {
      this.isRefused = true;
      return false;
    }
    this.isRefused = false;
    this.#context.onstatechange = () => this.#onState();
    this.#gain = new GainNode(this.#context, { gain: 0 });
    this.#gain.connect(this.#context.destination);
    this.#heard = new GainNode(this.#context);
    this.#heard.connect(this.#gain);
    this.#wire();
    this.#applyGain();
    return true;
  }

  #wire() {
    if (!this.#context || !this.#stream) return;
    this.#source?.disconnect();
    this.#source = new MediaStreamAudioSourceNode(this.#context, { mediaStream: this.#stream });
    this.#source.connect(this.#heard);
  }

  #applyGain() {
    const gain = this.#isOpen && !this.#isMuted ? this.#volume : 0;
    this.#gain?.gain.setTargetAtTime(gain, this.#context.currentTime, FADE_S);
  }
}
