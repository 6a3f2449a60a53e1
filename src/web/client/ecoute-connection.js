/**
 * The WebSocket to the server: registers, notices silence, comes back by itself.
 *
 * It knows nothing of audio. Its one invariant: at most one socket is current, and whatever an older one still says is
 * dropped.
 */

import { onNetworkChange } from "./ecoute-network.js";
import { personIn, Tokens } from "./ecoute-token.js";

/** How often the server hears from us, in ms; it takes a page that is silent for 10 s on air for gone. */
const PING_EVERY_MS = 4_000;
/** How long a ping may go without an answer, in ms. */
const ANSWER_MAX_MS = 8_000;
/** The same for one that was asked for because audio is missing. */
const ASKED_MAX_MS = 4_000;
/** The same after a change of network: most often the socket's own address is gone, and nothing says so. */
const CHANGED_MAX_MS = 1_000;
/**
 * How long a dial may take, in ms, by how many before it in a row got no answer. What opens a connection is sent again
 * after 1, 3 and 7 s, so after a blackout a new dial gets through sooner than the old one; a slow network gets its time.
 */
const DIAL_MAX_MS = [12_000, 2_100, 2_100, 2_100, 2_100, 2_100, 2_100, 3_500, 3_500, 3_500, 3_500, 7_000, 12_000];
/**
 * How long until the server is asked again whether it is there, and how long an answer may take, in ms. As with dials, after
 * a blackout a new ask gets through sooner than an old one, which has its time for a slow network.
 */
const ASK_EVERY_MS = 1_250;
const ASK_MAX_MS = 7_000;
/** How many refused requests there are for a socket at the most. */
const SOCKET_EVERY = 32;
/** How late a timer may come, in ms, without a look at what came while the page slept. */
const LATE_MS = 500;
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 4_000;
/** Between two questions for a token that is newer than the one that ends, in ms, doubled after every one. */
const RENEW_MIN_MS = 1_000;
const RENEW_MAX_MS = 15_000;
/** A connection that ends sooner after it began is no success that makes the next try quick, in ms. */
const SETTLED_MS = 4_000;

/** What this page says of itself: it goes for good, or goes on with another socket. */
const CLOSE_GONE = 1000;
const CLOSE_COMES_BACK = 4000;
const CLOSE_UNAUTHORIZED = 4401;
const CLOSE_FORBIDDEN = 4403;
const CLOSE_TAKEN_OVER = 4409;

/** What the server says its time in. */
const TIMED = ["user_registered", "pong", "taken_over", "error"];

/** What a page still may say that another one took over from. */
const OF_WITNESS = ["pause_streaming", "stop_streaming"];

export class Connection {
  #url;
  #healthUrl;
  #page = randomPage();
  #tokens;
  #clock;
  #noteFor;
  #onState;
  #onMessage;

  /**
   * idle → connecting → registered | already_open | expired | waiting → connecting …; closed ends it. A registered page that
   * another one takes over from is a witness: it sees, and says no more than what stops its person being heard.
   */
  #state = "idle";
  #socket = null;
  /** Grows with every dial and every end, so that late callbacks of an older try see that they are late. */
  #epoch = 0;
  #dialedAt = -Infinity;
  #sentToken = "";
  #renewTimer = 0;
  /** When a newer token was sent last, on the clock of `performance.now()`. */
  #renewedAt = -Infinity;
  #takesOver = false;
  /** Why the server refused the token, in its word; of another error none. */
  #reason;
  /** What the server refused and how, as the last state says it, while another token may be better; otherwise null. */
  #refused = null;
  #retries = 0;
  /** How many sockets in a row were given up because nothing came. */
  #unanswered = 0;
  /** Whether nothing came on the last socket, or nothing comes any more. */
  #isMissed = false;
  /** How often the server was asked since it was last heard. */
  #asked = 0;
  /** Whether the last answer was a refusal, or none could come. */
  #isRefused = false;
  /** @type {Set<AbortController>} asks without an answer */
  #asks = new Set();
  /** When the server knew us, on the clock of `performance.now()`. */
  #registeredAt = Infinity;
  #retryTimer = 0;
  /** Set where the server named its own delay; used once. */
  #nextDelayMs = null;
  /** Whether the present delay is the server's. */
  #isDelayFixed = false;
  #tickTimer = 0;
  /** When an answer must have come at the latest, on the clock of `performance.now()`. */
  #answerDue = Infinity;
  #dueTimer = 0;

  /** @param {{server: string, getToken: Function, clock: import("./ecoute-clock.js").Clock, noteFor: (token: string) => string|null, onState: Function, onMessage: Function, onError: Function}} options */
  constructor({ server, getToken, clock, noteFor, onState, onMessage, onError }) {
    this.#url = new URL("/ws", new URL(server, location.href));
    this.#healthUrl = new URL("/health", this.#url);
    this.#url.protocol = this.#url.protocol === "https:" ? "wss:" : "ws:";
    this.#tokens = new Tokens(getToken, onError);
    this.#clock = clock;
    this.#noteFor = noteFor;
    this.#onState = onState;
    this.#onMessage = onMessage;
  }

  /** The page lives. @param {AbortSignal} signal until when */
  begin(signal) { onNetworkChange(() => this.#onNetwork(), signal); }

  get state() { return this.#state; }

  /** Changes whenever the socket does. */
  get epoch() { return this.#epoch; }

  open() {
    if (this.#isKnown || ["connecting", "waiting"].includes(this.#state)) return;
    this.#retries = 0;
    this.#dial();
  }

  takeOver() {
    this.#takesOver = true;
    if (!["already_open", "witness"].includes(this.#state) || this.#socket?.readyState !== WebSocket.OPEN) return this.#dial();
    this.#expect(ANSWER_MAX_MS);
    this.#register();
    this.#become({ state: "connecting" });
  }

  /** Asks the server whether it is there, because audio is missing; its `pong` says what it knows of that. */
  ask() {
    if (this.#isKnown) this.#ping(ASKED_MAX_MS);
  }

  /** Sends one message; returns false where the server does not know us yet. */
  send(event, data) {
    const may = this.#state === "registered" || (this.#state === "witness" && OF_WITNESS.includes(event));
    if (may) this.#write(event, data);
    return may;
  }

  /** Whether the server knows us on this socket. */
  get #isKnown() { return this.#state === "registered" || this.#state === "witness"; }

  close() {
    this.#tokens.forget();
    this.#refused = null;
    this.#end({ state: "closed" });
  }

  async #dial(isAnswered = false) {
    this.#detach(CLOSE_COMES_BACK);
    const epoch = this.#epoch;
    this.#dialedAt = performance.now();
    this.#become({ state: "connecting" });
    if (epoch !== this.#epoch) return;
    if (this.#isMissed && !isAnswered && (this.#unanswered === 0 || keepsSockets())) {
      this.#expect(ASK_EVERY_MS);
      return this.#ask();
    }
    this.#endAsks();
    const token = await this.#tokens.ask().catch(() => null);
    if (epoch !== this.#epoch) return;
    if (token === null) return this.#retry();
    if (!token || token === this.#refused?.token) return this.#expire();
    this.#sentToken = token;
    // A person may have had to log in for it.
    this.#dialedAt = performance.now();
    this.#expect(isAnswered ? DIAL_MAX_MS[0] : DIAL_MAX_MS[Math.min(this.#unanswered, DIAL_MAX_MS.length - 1)]);
    this.#tickTimer = setInterval(() => this.#tick(), PING_EVERY_MS);
    try {
      this.#attach(new WebSocket(this.#url), epoch);
    } catch {
      this.#retry(); // None in this browser, or not for this page.
    }
  }

  /** Dials once the server answers a request: browsers hold back sockets of a page whose others failed, not requests. */
  async #ask() {
    const nth = ++this.#asked;
    this.#isRefused = false;
    const ask = new AbortController();
    this.#asks.add(ask);
    const timer = setTimeout(() => ask.abort(), ASK_MAX_MS);
    // What stands before a server that is gone says 502 to 504, and the server itself 503 when it goes.
    const isThere = await fetch(this.#healthUrl, { cache: "no-store", credentials: "omit", signal: ask.signal })
      .then(({ status }) => status < 500, () => false);
    clearTimeout(timer);
    if (!this.#asks.delete(ask)) return;
    this.#isRefused = !isThere && !ask.signal.aborted;
    if (isThere) this.#asked = 0;
    // A host's policy or a proxy may refuse requests alone: sockets are tried all the same, less and less often.
    else if (!this.#isRefused || ((nth & (nth - 1)) > 0 && nth % SOCKET_EVERY > 0)) return;
    this.#dial(true);
  }

  #endAsks() {
    for (const ask of this.#asks) ask.abort();
    this.#asks.clear();
  }

  #attach(socket, epoch) {
    this.#socket = socket;
    this.#isMissed = true;
    this.#isRefused = false;
    socket.onopen = () => epoch === this.#epoch && this.#register();
    socket.onmessage = ({ data }) => epoch === this.#epoch && this.#onFrame(data);
    socket.onclose = ({ code }) => epoch === this.#epoch && this.#onClose(code);
  }

  #register() {
    const takeover = this.#takesOver ? { takeover: true } : {};
    // Once on a socket: what follows there is another token, or another wish.
    const journal_note = (!this.#isKnown && this.#noteFor(this.#sentToken)) || undefined;
    this.#write("register_user", { token: this.#sentToken, page: this.#page, journal_note, ...takeover });
  }

  #write(event, data = {}) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ event, data }));
  }

  #onFrame(text) {
    this.#stopExpecting();
    this.#unanswered = 0;
    this.#isMissed = false;
    this.#asked = 0;
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    const { event, data = {} } = message ?? {};
    if (TIMED.includes(event)) {
      this.#clock.read(data.now, event === "pong" ? data.t : undefined);
      delete data.now;
    }
    switch (event) {
      case "user_registered": return this.#onRegistered(data);
      case "server_draining": this.#nextDelayMs = data.reconnect_in_ms; return;
      case "token_expiring": this.#onExpiring(); break;
      case "taken_over": return this.#onTakenOver();
      case "error": return this.#onRefusal(data);
    }
    this.#onMessage(event, data);
  }

  #onRegistered(data) {
    const renewed = this.#isKnown;
    if (!renewed) this.#registeredAt = performance.now();
    this.#nextDelayMs = null;
    this.#takesOver = false;
    this.#refused = null;
    if (!renewed) this.#become({ state: "registered" });
    this.#onMessage("user_registered", { ...data, renewed });
  }

  /** Another page took over from this one, just now or while its connection was lost. */
  #onTakenOver() {
    if (!this.#isKnown) this.#registeredAt = performance.now();
    this.#nextDelayMs = null;
    this.#takesOver = false;
    this.#refused = null;
    this.#become({ state: "witness" });
  }

  #onRefusal(data) {
    if (data.code === "already_open") {
      // Not an error to show as one: a question to the user. The socket stays, unregistered.
      const { since, state: broadcast_state, source } = data;
      return this.#become({ state: "already_open", since, broadcast_state, source });
    }
    this.#reason = data.reason;
    if (this.#state !== "registered" && data.retry_after_s) this.#nextDelayMs = data.retry_after_s * 1000;
    this.#onMessage("error", data);
  }

  /** Where tokens last no longer than that, each is not asked for as soon as the one before it is sent. */
  #onExpiring() {
    clearTimeout(this.#renewTimer);
    if (performance.now() - this.#renewedAt > RENEW_MAX_MS) this.#renew();
    else this.#renewTimer = setTimeout(() => this.#renew(), RENEW_MAX_MS / 2);
  }

  /** Registers again on the same socket, before the token expires: asks until there is a newer one. */
  async #renew(pauseMs = RENEW_MIN_MS) {
    const epoch = this.#epoch;
    const token = await this.#tokens.ask().catch(() => "");
    if (epoch !== this.#epoch) return;
    if (!token || token === this.#sentToken) {
      this.#renewTimer = setTimeout(() => this.#renew(Math.min(RENEW_MAX_MS, 2 * pauseMs)), pauseMs);
      return;
    }
    // A socket stays one person's.
    if (personIn(token).key !== personIn(this.#sentToken).key) {
      this.#detach();
      return this.#dial();
    }
    this.#renewedAt = performance.now();
    this.#sentToken = token;
    this.#register();
  }

  #onClose(code) {
    this.#unanswered = 0;
    if (code === CLOSE_UNAUTHORIZED || code === CLOSE_FORBIDDEN) {
      const isFirst = this.#refused === null;
      this.#refused = { token: this.#sentToken, detail: { close_code: code, reason: this.#reason } };
      // The application may have a better one by now, and no more than one.
      return code === CLOSE_UNAUTHORIZED && isFirst ? this.#dial() : this.#expire();
    }
    if (code === CLOSE_TAKEN_OVER) return this.#end({ state: "already_open" });
    this.#retry();
  }

  #tick() {
    if (this.#isKnown) this.#ping(ANSWER_MAX_MS);
  }

  /** Counted from the first ping without an answer: in a hidden tab the next ping itself may be a minute late. */
  #ping(answerMs) {
    this.#expect(answerMs);
    this.#write("ping", { t: Math.round(performance.now()) });
  }

  /** Waits for anything to come, so long at the most, or as long as was said before where that is sooner. */
  #expect(ms, mayBeLate = false) {
    const due = performance.now() + ms;
    if (due >= this.#answerDue) return;
    this.#answerDue = due;
    clearTimeout(this.#dueTimer);
    this.#dueTimer = setTimeout(() => this.#onDue(mayBeLate), ms);
  }

  #stopExpecting() {
    this.#answerDue = Infinity;
    clearTimeout(this.#dueTimer);
  }

  #onDue(mayBeLate) {
    const isLate = performance.now() - this.#answerDue > LATE_MS;
    this.#stopExpecting();
    // What came while the page slept is handed out only now.
    if (isLate && !mayBeLate) return this.#expect(LATE_MS, true);
    this.#unanswered = this.#isRefused ? 0 : this.#unanswered + 1;
    this.#isMissed = true;
    this.#retry();
  }

  #retry() {
    this.#detach(CLOSE_COMES_BACK);
    if (performance.now() - this.#registeredAt > SETTLED_MS) this.#retries = 0;
    this.#registeredAt = Infinity;
    // Where nothing answers, the next dial waits long enough by itself.
    const doublings = this.#unanswered > 0 || this.#asked > 0 ? 0 : this.#retries++;
    const backoff = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** doublings) * (0.5 + Math.random());
    const delay = Math.round(this.#nextDelayMs ?? backoff);
    this.#isDelayFixed = this.#nextDelayMs !== null;
    this.#nextDelayMs = null;
    this.#retryTimer = setTimeout(() => this.#dial(), delay);
    this.#become({ state: "waiting", retry_in_ms: delay });
  }

  /** There is a network again, or another one. */
  #onNetwork() {
    // A change is told several times; what was begun on the network before it leads nowhere.
    const isStale = this.#state === "connecting" && performance.now() - this.#dialedAt > CHANGED_MAX_MS;
    if (isStale || (this.#state === "waiting" && !this.#isDelayFixed)) {
      this.#endAsks();
      this.#dial();
    } else if (this.#isKnown) this.#ping(CHANGED_MAX_MS);
  }

  #expire() {
    const { detail } = this.#refused ?? {};
    if (detail) console.warn(`écoute: token refused or over (${detail.close_code} ${detail.reason}): see the server's log`);
    this.#end({ state: "expired", ...detail });
  }

  #end(detail) {
    this.#takesOver = false;
    this.#endAsks();
    this.#detach();
    this.#become(detail);
  }

  /** Lets go of the current socket and of every timer. @param {number} [code] says whether another socket takes its place */
  #detach(code = CLOSE_GONE) {
    this.#epoch += 1;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#renewTimer);
    clearInterval(this.#tickTimer);
    this.#stopExpecting();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(code);
  }

  #become(detail) {
    this.#state = detail.state;
    this.#onState(detail);
  }
}

/**
 * Whether this browser goes on with WebSockets that were given up, which then hold new ones back: Firefox, which forgets
 * requests. Chromium forgets WebSockets, and goes on with requests, so that a new one waits for what an old one sends again.
 */
function keepsSockets() { return navigator.userAgent.includes("Firefox/"); }

/** 128 random bits in hex; `crypto.randomUUID` is missing on pages without HTTPS. They keep no secret. */
function randomPage() {
  const bytes = new Uint8Array(16).map(() => 256 * Math.random());
  globalThis.crypto?.getRandomValues?.(bytes);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
