/**
 * One audio connection to the server that rebuilds itself when it breaks.
 *
 * It makes the offers and takes the answers; who carries them, and what sounds, is its owner's. Its one invariant: an
 * answer is given only to the connection whose offer it answers.
 */

/** A pause in connectivity that is no loss yet, in ms: phones change networks. */
const DISCONNECTED_MAX_MS = 3_000;
/** How long a new connection may take, in ms; doubled after every failure. */
const CONNECT_MIN_MS = 8_000;
const CONNECT_MAX_MS = 30_000;

export class PeerLink {
  #prepare;
  #sendOffer;
  #iceServers;
  #onState;
  #onFailed;

  /** closed → offering → connecting → connected; back to offering when it breaks. */
  #state = "closed";
  /** @type {RTCPeerConnection|null} */
  #peer = null;
  /** Offers sent and not answered yet; only the answer to the last one is ours to take. */
  #answersOwed = 0;
  #failures = 0;
  #timer = 0;

  /**
   * @param {object} options
   * @param {(peer: RTCPeerConnection) => void} options.prepare adds the transceiver
   * @param {(sdp: string) => boolean} options.sendOffer returns false where there is no way to send it now
   * @param {() => RTCIceServer[]} options.iceServers
   * @param {(state: string) => void} options.onState
   * @param {() => void} options.onFailed a try did not connect; another follows by itself
   */
  constructor({ prepare, sendOffer, iceServers, onState, onFailed }) {
    this.#prepare = prepare;
    this.#sendOffer = sendOffer;
    this.#iceServers = iceServers;
    this.#onState = onState;
    this.#onFailed = onFailed;
  }

  get state() { return this.#state; }

  /** Builds a new connection in place of the present one, and offers it. */
  async open() {
    this.#discard();
    const peer = new RTCPeerConnection({ iceServers: this.#iceServers(), bundlePolicy: "max-bundle" });
    this.#peer = peer;
    this.#become("offering");
    this.#timer = setTimeout(() => this.#onTimeout(), this.#connectMaxMs());
    peer.onconnectionstatechange = () => peer === this.#peer && this.#onConnectionState(peer.connectionState);
    this.#prepare(peer);
    const offer = await peer.createOffer().catch(() => null);
    if (peer !== this.#peer || !offer) return;
    // Sent before candidates are known: the server learns addresses from our checks.
    await peer.setLocalDescription(offer).catch(() => {});
    if (peer !== this.#peer) return;
    if (this.#sendOffer(offer.sdp)) this.#answersOwed += 1;
    else this.close();
  }

  /** Takes the server's answer; returns whether it was for the present connection and good. */
  async handleAnswer(sdp) {
    this.#answersOwed = Math.max(0, this.#answersOwed - 1);
    const peer = this.#peer;
    if (this.#answersOwed > 0 || this.#state !== "offering" || peer.signalingState !== "have-local-offer") return false;
    try {
      await peer.setRemoteDescription({ type: "answer", sdp });
    } catch {
      if (peer === this.#peer) this.#onFailed();
      return false; // The timer that is already running tries again.
    }
    if (peer !== this.#peer) return false;
    if (this.#state === "offering") this.#become("connecting");
    return true;
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
    this.close();
  }

  #onConnectionState(connectionState) {
    if (connectionState === "connected") {
      clearTimeout(this.#timer);
      this.#failures = 0;
      if (this.#state !== "connected") this.#become("connected");
    } else if (this.#state === "connected" && connectionState === "disconnected") {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.open(), DISCONNECTED_MAX_MS);
    } else if (this.#state === "connected" && connectionState === "failed") {
      this.open();
    }
    // One that fails before it ever connected waits for its timer, so that a refusal is no tight loop.
  }

  #onTimeout() {
    this.#failures += 1;
    this.#answersOwed = 0;
    this.#onFailed();
    this.open();
  }

  #connectMaxMs() {
    return Math.min(CONNECT_MAX_MS, CONNECT_MIN_MS * 2 ** this.#failures);
  }

  #discard() {
    clearTimeout(this.#timer);
    const peer = this.#peer;
    this.#peer = null;
    peer?.close();
  }

  #become(state) {
    this.#state = state;
    this.#onState(state);
  }
}
