/**
 * One audio connection to the server that heals itself: first by new paths for the same session (an ICE restart), then by
 * a new session.
 *
 * It makes the offers and takes the answers; who carries them, and what sounds, is its owner's. Its one invariant: an
 * answer is given only to the connection whose offer it answers.
 */

import { onNetworkChange } from "./ecoute-network.js";

/** A pause in connectivity that is no loss yet, in ms: phones change networks. */
const DISCONNECTED_MAX_MS = 2_000;
/** How long a restart may take until a new session is tried, in ms. */
const RESTART_MAX_MS = 5_000;
/** How long a new connection may take, in ms; doubled after every failure. */
const CONNECT_MIN_MS = 8_000;
const CONNECT_MAX_MS = 30_000;
/** How often a connection looks whether it goes over TCP, in ms. */
const LOOK_EVERY_MS = 5_000;
/** How long a connection over TCP waits until it tries UDP again, in ms; doubled after every try. */
const UDP_RETRY_MIN_MS = 10_000;
const UDP_RETRY_MAX_MS = 120_000;

export class PeerLink {
  #options;
  /** closed → offering → connecting → connected ⇄ restarting; back to offering when it can't be healed. */
  #state = "closed";
  /** @type {RTCPeerConnection|null} */
  #peer = null;
  /** Offers sent and not answered yet, by kind; only the answer to the last one is ours to take. */
  #answersOwed = 0;
  #restartsOwed = 0;
  #failures = 0;
  #timer = 0;
  #lookTimer = 0;
  /** Since when it goes over TCP and has not tried UDP, on the clock of `performance.now()`; Infinity over UDP. */
  #overTcpSince = Infinity;
  #udpRetryMs = UDP_RETRY_MIN_MS;

  /**
   * @param {object} options
   * @param {(peer: RTCPeerConnection) => void} options.prepare adds the transceiver
   * @param {(sdp: string) => boolean} options.sendOffer returns false where there is no way to send it now
   * @param {(sdp: string) => boolean} options.sendRestart the same, for an offer on the present connection
   * @param {() => boolean} options.canSend
   * @param {() => RTCIceServer[]} options.iceServers
   * @param {(state: string) => void} options.onState
   * @param {(code: "audio_connection_failed"|"audio_unsupported") => void} options.onFailed a try did not connect, or the
   *   browser did not even begin one; another follows by itself
   */
  constructor(options) { this.#options = options; }

  /** The page lives. @param {AbortSignal} signal until when */
  begin(signal) {
    onNetworkChange(() => {
      this.#udpRetryMs = UDP_RETRY_MIN_MS;
      if (this.#state === "connected") this.restart();
    }, signal);
  }

  get state() { return this.#state; }

  /** What carries the media, for the owner to replace a track on; null while there is none. */
  get peer() { return this.#peer; }

  /** Whether there is a session that was connected once, so that a restart may heal it. */
  get canRestart() { return this.#state === "connected" || this.#state === "restarting"; }

  /** Builds a new connection in place of the present one, and offers it. */
  async open() {
    this.#discard();
    const peer = this.#make();
    this.#become("offering");
    if (peer !== this.#peer || this.#state !== "offering") return;
    this.#wait(this.#connectMaxMs(), () => this.#onTimeout());
    const offer = peer && await offerOf(peer);
    if (peer !== this.#peer) return;
    if (!offer) {
      this.#peer?.close();
      this.#peer = null;
      return this.#options.onFailed("audio_unsupported"); // The timer that is already running tries again.
    }
    if (this.#options.sendOffer(offer.sdp)) this.#answersOwed += 1;
    else this.close();
  }

  /** Makes the connection that is to be offered; null where the browser has none, or does not let a page have one. */
  #make() {
    try {
      const peer = connection(this.#options.iceServers());
      this.#peer = peer;
      peer.onconnectionstatechange = () => peer === this.#peer && this.#onConnectionState(peer.connectionState);
      this.#options.prepare(peer);
    } catch {
      this.#peer?.close();
      this.#peer = null;
    }
    return this.#peer;
  }

  /** Looks for new paths for the present session; where none comes in time, builds a new one. */
  async restart() {
    const peer = this.#peer;
    // Without a way to send it the offer would only disturb what may still work; the owner restarts when there is one.
    if (!this.canRestart || !this.#options.canSend()) return;
    this.#become("restarting");
    this.#wait(RESTART_MAX_MS, () => {
      this.#restartsOwed = 0;
      this.open();
    });
    const offer = await offerOf(peer, { iceRestart: true });
    if (peer !== this.#peer || !offer) return;
    if (this.#options.sendRestart(offer.sdp)) this.#restartsOwed += 1;
  }

  /** Takes the server's answer; returns whether it was for the present connection and good. */
  async handleAnswer(sdp) {
    this.#answersOwed = Math.max(0, this.#answersOwed - 1);
    if (this.#answersOwed > 0 || this.#state !== "offering") return false;
    const peer = this.#peer;
    if (!await this.#accept(peer, sdp)) return false;
    if (this.#state === "offering") this.#become("connecting");
    return true;
  }

  /** Takes the server's answer to a restart. */
  async handleRestarted(sdp) {
    this.#restartsOwed = Math.max(0, this.#restartsOwed - 1);
    if (this.#restartsOwed > 0 || this.#state !== "restarting") return;
    const peer = this.#peer;
    if (!await this.#accept(peer, sdp)) return;
    // Where the old path still works nothing changes, so no event will say that it is connected.
    if (this.#state === "restarting" && peer.connectionState === "connected") this.#onConnected();
  }

  /** The server does not know the session that was to be restarted, or has just lost it. */
  handleNoSuchPeer() {
    this.#restartsOwed = Math.max(0, this.#restartsOwed - 1);
    if (this.#restartsOwed === 0 && this.canRestart) this.open();
  }

  /** Ends the connection until the next `open`. */
  close() {
    this.#discard();
    this.#failures = 0;
    if (this.#state !== "closed") this.#become("closed");
  }

  /** Forgets answers that cannot come any more, because the way they would come is gone. */
  handleDisconnected() {
    this.#answersOwed = 0;
    this.#restartsOwed = 0;
    // What was connected may carry media again; what was not waits for an answer in vain.
    if (this.canRestart) clearTimeout(this.#timer);
    else this.close();
  }

  async #accept(peer, sdp) {
    if (peer?.signalingState !== "have-local-offer") return false;
    try {
      await peer.setRemoteDescription({ type: "answer", sdp });
    } catch {
      if (peer === this.#peer) this.#options.onFailed("audio_connection_failed");
      return false; // The timer that is already running tries again.
    }
    return peer === this.#peer;
  }

  #onConnectionState(connectionState) {
    if (connectionState === "connected") this.#onConnected();
    else if (this.#state === "connected" && connectionState === "disconnected") {
      this.#wait(DISCONNECTED_MAX_MS, () => this.restart());
    } else if (this.#state === "connected" && connectionState === "failed") {
      clearTimeout(this.#timer);
      this.restart();
    }
    // One that fails before it ever connected waits for its timer, so that a refusal is no tight loop.
  }

  #onConnected() {
    // With an offer out, this is still the old path: the answer decides.
    if (this.#peer.signalingState !== "stable") return;
    clearTimeout(this.#timer);
    this.#failures = 0;
    this.#lookTimer ||= setInterval(() => this.#look(), LOOK_EVERY_MS);
    if (this.#state !== "connected") this.#become("connected");
  }

  /** TCP is for networks that block UDP: whatever is lost there holds up all that follows. So it goes back when it can. */
  async #look() {
    const peer = this.#peer;
    const isOverTcp = await goesOverTcp(peer).catch(() => false);
    if (peer !== this.#peer || this.#state !== "connected") return;
    const now = performance.now();
    if (!isOverTcp) {
      this.#overTcpSince = Infinity;
      this.#udpRetryMs = UDP_RETRY_MIN_MS;
    } else if (this.#overTcpSince === Infinity) {
      this.#overTcpSince = now;
    } else if (now - this.#overTcpSince >= this.#udpRetryMs) {
      this.#overTcpSince = now;
      this.#udpRetryMs = Math.min(UDP_RETRY_MAX_MS, 2 * this.#udpRetryMs);
      this.restart();
    }
  }

  #onTimeout() {
    this.#failures += 1;
    this.#answersOwed = 0;
    if (this.#peer) this.#options.onFailed("audio_connection_failed");
    this.open();
  }

  #connectMaxMs() {
    return Math.min(CONNECT_MAX_MS, CONNECT_MIN_MS * 2 ** this.#failures);
  }

  #wait(ms, then) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
  }

  #discard() {
    clearTimeout(this.#timer);
    clearInterval(this.#lookTimer);
    this.#lookTimer = 0;
    this.#overTcpSince = Infinity;
    const peer = this.#peer;
    this.#peer = null;
    peer?.close();
  }

  #become(state) {
    this.#state = state;
    this.#options.onState(state);
  }
}

/** Builds a connection with those ICE servers that the browser takes: one that it doesn't, it throws all away for. */
function connection(iceServers) {
  const make = (iceServers) => new RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
  try {
    return make(iceServers);
  } catch {
    make([]).close(); // Throws where it is not for the servers.
    const single = iceServers.flatMap(({ urls, ...rest }) => [urls].flat().map((urls) => ({ ...rest, urls })));
    return make(single.filter((server) => {
      try {
        make([server]).close();
        return true;
      } catch (error) {
        console.warn(`écoute: this browser refuses the ICE server ${server.urls}, so it goes without: ${error.message}`);
        return false;
      }
    }));
  }
}

/** Tells whether the path in use is one of TCP. */
async function goesOverTcp(peer) {
  const reports = await peer.getStats();
  const all = [...reports.values()];
  const transport = all.find((report) => report.type === "transport");
  // Firefox has no reports of transports.
  const pair = reports.get(transport?.selectedCandidatePairId) ?? all.find((report) => report.selected);
  return reports.get(pair?.localCandidateId)?.protocol === "tcp";
}

/** Makes an offer and takes it as ours; candidates are not waited for, the server learns addresses from our checks. */
async function offerOf(peer, options) {
  try {
    const offer = await peer.createOffer(options);
    await peer.setLocalDescription(offer);
    return offer;
  } catch {
    return null; // The timer that is already running tries again.
  }
}
