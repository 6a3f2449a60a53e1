/**
 * Notices within a second that audio is on its way and does not arrive, and has new paths looked for.
 *
 * Browsers notice only after several seconds. It asks the server, which knows when the last packet came. Its one
 * invariant: while the server is silent nothing is healed, because that is the connection's to notice.
 */

const LOOK_EVERY_MS = 200;
/** A pause in packets that is no stall yet, in ms: mobile networks have such. */
const STALL_MS = 400;
/** How often the server is asked at the most, in ms. */
const ASK_EVERY_MS = 400;
/** Between two tries to heal, in ms, doubled after every one. */
const HEAL_MIN_MS = 2_000;
const HEAL_MAX_MS = 30_000;

export class Watch {
  #options;
  #timer = 0;
  #askedAt = -Infinity;
  #healedAt = -Infinity;
  #healAfter = HEAL_MIN_MS;

  /**
   * @param {object} options
   * @param {() => Promise<boolean>|boolean} options.isSuspect whether the server is to be asked
   * @param {(mediaAgeMs: number) => boolean} options.isStalled whether audio is lost on its way, by the server's answer
   * @param {() => void} options.ask
   * @param {() => void} options.heal
   */
  constructor(options) { this.#options = options; }

  start() {
    if (this.#timer === 0) this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#healAfter = HEAL_MIN_MS;
  }

  /** The server's answer. @param {{media_age_ms?: number}} pong absent where nothing is to come */
  handlePong({ media_age_ms }) {
    if (this.#timer === 0 || media_age_ms === undefined) return;
    if (!this.#options.isStalled(media_age_ms)) return;
    const now = performance.now();
    if (now - this.#healedAt < this.#healAfter) return;
    this.#healAfter = now - this.#healedAt < 2 * HEAL_MAX_MS ? Math.min(HEAL_MAX_MS, 2 * this.#healAfter) : HEAL_MIN_MS;
    this.#healedAt = now;
    this.#options.heal();
  }

  async #look() {
    const now = performance.now();
    // Timers of a hidden tab come late and then at once.
    if (now - this.#askedAt < ASK_EVERY_MS || !await this.#options.isSuspect()) return;
    this.#askedAt = now;
    this.#options.ask();
  }
}

/** Counts the packets that a session gets. */
export class Inflow {
  #packets = -1;
  #since = 0;

  /** Takes it that packets come from now on. */
  expect() {
    this.#packets = -1;
    this.#since = performance.now();
  }

  /** Looks again; tells whether nothing has come for too long. @param {RTCPeerConnection} peer */
  async look(peer) {
    let packets = 0;
    for (const report of (await peer.getStats()).values()) {
      if (report.type === "inbound-rtp") packets += report.packetsReceived;
    }
    if (packets !== this.#packets) this.#since = performance.now();
    this.#packets = packets;
    return this.isStalled;
  }

  get isStalled() { return performance.now() - this.#since > STALL_MS; }
}
