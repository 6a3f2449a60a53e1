/**
 * Keeps the screen on while it is wanted; browsers take that back whenever the page is hidden.
 *
 * Its one invariant: at most one lock is held or being asked for.
 */
export class WakeLock {
  #isWanted;
  #lock = null;
  #isAsking = false;

  /** @param {() => boolean} isWanted */
  constructor(isWanted) { this.#isWanted = isWanted; }

  /** Takes or gives back the lock, as it is wanted now; to be called whenever the page is shown, too. */
  async hold() {
    if (!this.#isWanted()) {
      this.#lock?.release();
      this.#lock = null;
      return;
    }
    const isHeld = this.#lock && !this.#lock.released;
    if (!navigator.wakeLock || document.hidden || isHeld || this.#isAsking) return;
    this.#isAsking = true;
    try {
      this.#lock = await navigator.wakeLock.request("screen");
    } catch {
      return; // Battery saver, or a page in the background; « Gardez cet écran ouvert » stands there.
    } finally {
      this.#isAsking = false;
    }
    if (!this.#isWanted()) this.hold();
  }
}
