/**
 * Notices within a second that audio is on its way and does not arrive, and has new paths looked for.
 *
 * Browsers notice only after several seconds. It counts packets on this side, and asks the server for its count. Its one
 * invariant: it heals only where one side sent many and the other got none, so neither silence nor a server that does
 * not answer is taken for loss.
 */

const LOOK_EVERY_MS = 200;
/** A pause in what comes that is no reason to ask yet, in ms: mobile networks have such. */
const PAUSE_MAX_MS = 400;
/** How many packets of 20 ms must have been sent of which none came. */
const SENT_MIN = 10;
/** Between two tries to heal, in ms, doubled after every one that follows soon. */
const HEAL_MIN_MS = 2_000;
const HEAL_MAX_MS = 30_000;

export class Watch {
  #options;
  #timer = 0;
  #isLooking = false;
  /** How many packets this side had counted when it last looked, and since when there are so many. */
  #own = 0;
  #since = 0;
  /** Both counts at the first answer since which the receiving side got nothing, or null. */
  #base = null;
  #healedAt = -Infinity;
  #healAfter = HEAL_MIN_MS;

  /**
   * @param {object} options
   * @param {"inbound-rtp"|"outbound-rtp"} options.kind which packets are this side's
   * @param {() => RTCPeerConnection|null} options.peer null where there is nothing to watch now
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
    this.#base = null;
  }

  /** The server's answer. @param {{media_packets?: number}} pong its count, absent where it sends or gets nothing */
  handlePong({ media_packets: theirs }) {
    if (this.#timer === 0 || theirs === undefined) return;
    const isSender = this.#options.kind === "outbound-rtp";
    const [sent, received] = isSender ? [this.#own, theirs] : [theirs, this.#own];
    if (this.#base?.received !== received || sent < this.#base.sent) this.#base = { sent, received };
    if (sent - this.#base.sent >= SENT_MIN) this.#heal();
  }

  async #look() {
    const peer = this.#options.peer();
    if (!peer || this.#isLooking) return;
    this.#isLooking = true;
    const own = await countOf(peer, this.#options.kind).catch(() => this.#own);
    this.#isLooking = false;
    if (own !== this.#own) this.#since = performance.now();
    this.#own = own;
    const mayBeLost = this.#options.kind === "outbound-rtp" || performance.now() - this.#since > PAUSE_MAX_MS;
    if (mayBeLost && this.#timer !== 0) this.#options.ask();
  }

  #heal() {
    const now = performance.now();
    const since = now - this.#healedAt;
    if (since < this.#healAfter) return;
    this.#healAfter = since < 2 * HEAL_MAX_MS ? Math.min(HEAL_MAX_MS, 2 * this.#healAfter) : HEAL_MIN_MS;
    this.#healedAt = now;
    this.#base = null;
    this.#options.heal();
  }
}

async function countOf(peer, kind) {
  const field = kind === "outbound-rtp" ? "packetsSent" : "packetsReceived";
  let count = 0;
  for (const report of (await peer.getStats()).values()) if (report.type === kind) count += report[field];
  return count;
}
