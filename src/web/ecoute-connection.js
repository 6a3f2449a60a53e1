/**
 * The WebSocket to the server: registers, notices silence, comes back by itself.
 *
 * It knows nothing of audio. Its one invariant: at most one socket is current, and whatever an older one still says is
 * dropped.
 */

import { EcouteError } from "./ecoute-error.js";

/** How often the server hears from us, in ms; it takes a page that is silent for 10 s on air for gone. */
const PING_EVERY_MS = 4_000;
/** How long a socket may say nothing at all, in ms. */
const SILENCE_MAX_MS = 12_000;
/** How early a tick may come, in ms, so that the one that should notice the silence does. */
const TICK_JITTER_MS = 500;
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 4_000;
/** A connection that ends sooner after it began is no success that makes the next try quick, in ms. */
const SETTLED_MS = 10_000;

const CLOSE_UNAUTHORIZED = 4401;
const CLOSE_FORBIDDEN = 4403;
const CLOSE_TAKEN_OVER = 4409;

export class Connection {
  #url;
  #page = randomPage();
  #getToken;
  #onState;
  #onMessage;
  #onError;

  /** idle → connecting → registered | already_open | expired | waiting → connecting …; closed ends it. */
  #state = "idle";
  #socket = null;
  /** Grows with every dial and every end, so that late callbacks of an older try see that they are late. */
  #epoch = 0;
  #sentToken = "";
  #takesOver = false;
  #retries = 0;
  /** When the server knew us, on the clock of `performance.now()`. */
  #registeredAt = Infinity;
  #retryTimer = 0;
  /** Set where the server named its own delay; used once. */
  #nextDelayMs = null;
  #tickTimer = 0;
  /** When an answer must have come at the latest, on the clock of `performance.now()`. */
  #answerDue = Infinity;

  /** @param {{server: string, getToken: Function, onState: Function, onMessage: Function, onError: Function}} options */
  constructor({ server, getToken, onState, onMessage, onError }) {
    this.#url = new URL("/ws", new URL(server, location.href));
    this.#url.protocol = this.#url.protocol === "https:" ? "wss:" : "ws:";
    this.#getToken = getToken;
    this.#onState = onState;
    this.#onMessage = onMessage;
    this.#onError = onError;
    addEventListener("online", () => this.#onOnline());
  }

  get state() { return this.#state; }

  /** Changes whenever the socket does. */
  get epoch() { return this.#epoch; }

  open() {
    if (["connecting", "registered", "waiting"].includes(this.#state)) return;
    this.#retries = 0;
    this.#dial();
  }

  takeOver() {
    this.#takesOver = true;
    if (this.#state !== "already_open" || this.#socket?.readyState !== WebSocket.OPEN) return this.#dial();
    this.#answerDue = performance.now() + SILENCE_MAX_MS;
    this.#register();
    this.#become({ state: "connecting" });
  }

  /** Sends one message; returns false where the server does not know us yet. */
  send(event, data) {
    if (this.#state !== "registered") return false;
    this.#write(event, data);
    return true;
  }

  close() { this.#end({ state: "closed" }); }

  async #dial() {
    this.#detach();
    const epoch = this.#epoch;
    this.#answerDue = performance.now() + SILENCE_MAX_MS;
    this.#tickTimer = setInterval(() => this.#tick(), PING_EVERY_MS);
    this.#become({ state: "connecting" });
    let token;
    try {
      token = await this.#getToken();
    } catch (error) {
      if (epoch !== this.#epoch) return;
      this.#onError(new EcouteError("token_unavailable", error).detail);
      return this.#retry();
    }
    if (epoch !== this.#epoch) return;
    if (!token) return this.#end({ state: "expired" });
    this.#sentToken = token;
    this.#attach(new WebSocket(this.#url), epoch);
  }

  #attach(socket, epoch) {
    this.#socket = socket;
    socket.onopen = () => epoch === this.#epoch && this.#register();
    socket.onmessage = ({ data }) => epoch === this.#epoch && this.#onFrame(data);
    socket.onclose = ({ code }) => epoch === this.#epoch && this.#onClose(code);
  }

  #register() {
    const takeover = this.#takesOver ? { takeover: true } : {};
    this.#write("register_user", { token: this.#sentToken, page: this.#page, ...takeover });
  }

  #write(event, data = {}) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ event, data }));
  }

  #onFrame(text) {
    this.#answerDue = Infinity;
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    const { event, data = {} } = message ?? {};
    switch (event) {
      case "user_registered": return this.#onRegistered(data);
      case "server_draining": this.#nextDelayMs = data.reconnect_in_ms; return;
      case "token_expiring": this.#renew(); break;
      case "error": return this.#onRefusal(data);
    }
    this.#onMessage(event, data);
  }

  #onRegistered(data) {
    const renewed = this.#state === "registered";
    if (!renewed) this.#registeredAt = performance.now();
    this.#nextDelayMs = null;
    this.#takesOver = false;
    if (!renewed) this.#become({ state: "registered" });
    this.#onMessage("user_registered", { ...data, renewed });
  }

  #onRefusal(data) {
    if (data.code === "already_open") {
      // Not an error to show as one: a question to the user. The socket stays, unregistered.
      return this.#become({ state: "already_open", since: data.since, broadcast_state: data.state });
    }
    if (this.#state !== "registered" && data.retry_after_s) this.#nextDelayMs = data.retry_after_s * 1000;
    this.#onMessage("error", data);
  }

  /** Registers again on the same socket, before the token expires, if there is a newer one. */
  async #renew() {
    const epoch = this.#epoch;
    const token = await Promise.resolve(this.#getToken()).catch(() => "");
    if (epoch !== this.#epoch || !token || token === this.#sentToken) return;
    this.#sentToken = token;
    this.#register();
  }

  #onClose(code) {
    if (code === CLOSE_UNAUTHORIZED || code === CLOSE_FORBIDDEN) {
      console.warn(`écoute: the token is refused or over (${code}); the server's log says why at level debug`);
      return this.#end({ state: "expired", close_code: code });
    }
    if (code === CLOSE_TAKEN_OVER) return this.#end({ state: "already_open" });
    this.#retry();
  }

  #tick() {
    const now = performance.now();
    if (now >= this.#answerDue) return this.#retry();
    if (this.#state !== "registered") return;
    // Counted from the first ping without an answer, not from the last message: in a hidden tab the next ping itself
    // may be a minute late, and that is no silence of the server's.
    if (this.#answerDue === Infinity) this.#answerDue = now + SILENCE_MAX_MS - PING_EVERY_MS - TICK_JITTER_MS;
    this.#write("ping", { t: Math.round(now) });
  }

  #retry() {
    this.#detach();
    if (performance.now() - this.#registeredAt > SETTLED_MS) this.#retries = 0;
    this.#registeredAt = Infinity;
    const backoff = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** this.#retries) * (0.5 + Math.random());
    const delay = Math.round(this.#nextDelayMs ?? backoff);
    this.#retries += 1;
    this.#retryTimer = setTimeout(() => this.#dial(), delay);
    this.#become({ state: "waiting", retry_in_ms: delay });
  }

  #onOnline() {
    const serverChoseDelay = this.#nextDelayMs !== null;
    if (this.#state === "waiting" && !serverChoseDelay) this.#dial();
  }

  #end(detail) {
    this.#detach();
    this.#become(detail);
  }

  /** Lets go of the current socket and of every timer. */
  #detach() {
    this.#epoch += 1;
    clearTimeout(this.#retryTimer);
    clearInterval(this.#tickTimer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  #become(detail) {
    this.#state = detail.state;
    this.#onState(detail);
  }
}

/** 128 random bits in hex; `crypto.randomUUID` is missing on pages without HTTPS. */
function randomPage() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
