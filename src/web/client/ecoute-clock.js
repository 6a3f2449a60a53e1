/**
 * The server's time, which this page counts by: a phone's own clock may be wrong by minutes or days.
 *
 * Its one invariant: what has been read from the server once is never mixed with this device's clock again.
 */

export class Clock {
  /** What is to be added to `performance.now()`, in ms. Until the server has said its time, this device's counts. */
  #offset = null;

  /** Unix ms of the server. */
  get now() { return Math.round(this.#offset === null ? Date.now() : performance.now() + this.#offset); }

  /**
   * Reads what the server said.
   * @param {number|undefined} now unix ms; absent from a server that does not tell it
   * @param {number} [askedAt] when it was asked, on the clock of `performance.now()`: it was so between then and now
   */
  read(now, askedAt = performance.now()) {
    if (!Number.isFinite(now)) return;
    const half = (performance.now() - askedAt) / 2;
    const offset = now - askedAt - half;
    // A better one stays, unless it can't be right: a device that slept, or whose clock runs fast.
    if (this.#offset === null || Math.abs(offset - this.#offset) > half) this.#offset = offset;
  }
}
