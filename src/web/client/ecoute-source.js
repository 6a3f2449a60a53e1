/**
 * Which client elements and hooks use: those with the same server share one, whoever it is of, as their tokens say.
 *
 * Applications make their `getToken` anew as they please, with every element and at every mount, so a function says
 * nothing; what is mounted last decides which one is asked. A client that was left is adopted by what comes next, and what
 * ran on it goes on; where the next token is somebody else's, it ends. Its one invariant: a client is one person's in one
 * role, and whatever is mounted on it begins nothing before its own token was that person's.
 */

import { EcouteClient } from "./ecoute-client.js";
import { personIn, tokenFrom, Tokens } from "./ecoute-token.js";

/** Where this library was loaded from: the server, unless another is named. */
export const HOME = new URL(import.meta.url).origin;

/** Between two questions to a function whose token is unknown, in ms, doubled after every one. */
const ASK_MIN_MS = 1_000;
const ASK_MAX_MS = 15_000;

/** By when something was mounted on them, the last one last. @type {Source[]} */
const sources = [];

/** What one element or component uses while it is mounted. */
export class Use {
  /** @type {Source|null} */
  source = null;
  /** Who the token of its function is of; null before that is known. */
  person = null;
  getToken = null;
  /** Why its own function gives no token, the `detail` of an error; null where it does, or was not asked alone. */
  problem = null;
  #onMoved;
  #onTold;
  /** Asks its function alone; null while nobody does. @type {Tokens|null} */
  #tokens = null;
  #timer = 0;

  /**
   * @param {(former: EcouteClient) => void} onMoved there is another client, because the token is somebody else's
   * @param {(problem?: object) => void} onTold there is a problem of its own, or none any more and its person is known
   */
  constructor(onMoved, onTold = () => {}) {
    this.#onMoved = onMoved;
    this.#onTold = onTold;
  }

  /** @returns {EcouteClient|null} */
  get client() { return this.source?.client ?? null; }

  /** Whether its function is being asked alone. */
  get isAsked() { return this.#tokens !== null; }

  /** Whether the client is known to be of its own person; before that it shows it, and begins nothing. */
  get isKnown() { return this.person !== null && this.person.key === this.source.person?.key; }

  /** Finds or makes the client of a server. A function in place of one before is the same question to the same client. */
  prefer(server, getToken) {
    if (this.source?.server !== server) {
      this.leave();
      this.source = sourceOf(server, getToken) ?? new Source(server);
    }
    this.getToken = getToken;
  }

  /** It is mounted, or has another function. Returns whether it was not before. */
  enter() { return this.source.enter(this); }

  /** It is no more; what runs goes on. */
  leave() {
    this.source?.leave(this);
    this.know(null);
  }

  /** Its person is another one, or not known any more. */
  know(person) {
    const isNews = person && !this.person;
    this.person = person;
    this.problem = null;
    this.#tokens?.forget();
    this.#tokens = null;
    clearTimeout(this.#timer);
    if (isNews) this.#onTold();
  }

  /** Asks its function until there is a token. @param {(token: string) => void} onToken */
  async ask(onToken) {
    const tokens = new Tokens(() => tokenFrom(this.getToken), (problem) => {
      this.problem = problem;
      this.#onTold(problem);
    });
    this.#tokens = tokens;
    for (let pauseMs = ASK_MIN_MS; ; pauseMs = Math.min(ASK_MAX_MS, 2 * pauseMs)) {
      const token = await tokens.ask().catch(() => "");
      if (this.#tokens !== tokens) return;
      if (token) return onToken(token);
      await new Promise((resolve) => { this.#timer = setTimeout(resolve, pauseMs); });
    }
  }

  /** Goes on with another client. @param {Source} source */
  moveTo(source) {
    const { client } = this;
    this.source = source;
    source.take(this);
    connectAnew(source.client);
    this.#onMoved(client);
  }
}

/** What has just been mounted may have a token where there was none. @param {EcouteClient} client */
export function connectAnew(client) {
  if (["idle", "closed", "expired"].includes(client.connectionState)) client.connect();
}

/** One that knows the function, otherwise one that was left, otherwise the one that something was mounted on last. */
function sourceOf(server, getToken) {
  const all = sources.filter((source) => source.server === server);
  return all.find((source) => source.knows(getToken)) ?? all.filter((source) => source.isLeft).at(-1) ?? all.at(-1);
}

/** The one of a person, or undefined. */
function ownOf(server, { key }) { return sources.find((source) => source.server === server && source.person?.key === key); }

/** The one of a person, otherwise one that was left in the same role: somebody else has logged in. */
function sourceFor(server, person) {
  const own = ownOf(server, person);
  if (own) return own;
  const isFree = (source) => source.server === server && source.isLeft && (source.person ?? person).role === person.role;
  const former = sources.find(isFree);
  former?.client.close();
  return former ?? new Source(server);
}

class Source {
  server;
  client;
  /** Who it is of; null before its first token. */
  person = null;
  /** In the order in which they were mounted. @type {Set<Use>} */
  #uses = new Set();
  /** What was left last, or null. @type {{getToken: Function}|null} */
  #left = null;
  /** Functions that gave a token of its person, or came in place of one. */
  #known = new WeakSet();

  constructor(server) {
    this.server = server;
    this.client = new EcouteClient({ server, getToken: () => this.#ask() });
    this.client.addEventListener("connection", ({ detail }) => {
      if (detail.state === "closed") this.#forget();
    });
    endWithPage(this.client);
    sources.push(this);
  }

  /** Whether nothing that is mounted uses it. */
  get isLeft() { return this.#uses.size === 0; }

  knows(getToken) { return this.#known.has(getToken) || [...this.#uses].some((use) => use.getToken === getToken); }

  /** Something is mounted, or has another function. Returns whether it was not before. */
  enter(use) {
    const isNew = !this.#uses.has(use);
    if (isNew && this.person && this.#known.has(use.getToken)) use.know(this.person);
    this.take(use);
    if (isNew) sources.push(...sources.splice(sources.indexOf(this), 1));
    this.#verify();
    return isNew;
  }

  take(use) {
    this.#uses.add(use);
    this.person ??= use.person;
    if (use.isKnown && isFunction(use.getToken)) this.#known.add(use.getToken);
  }

  leave(use) {
    if (!this.#uses.delete(use)) return;
    if (isFunction(use.getToken) && (use.isKnown || !this.person)) this.#left = { getToken: use.getToken };
    this.#verify();
  }

  #forget() {
    this.person = null;
    this.#known = new WeakSet();
    for (const use of this.#uses) use.know(null);
  }

  /** A client that has a token already asks whatever came to it whose it is. */
  #verify() {
    if (!this.person) return;
    const asked = new Set([...this.#uses].filter((use) => use.isAsked).map((use) => use.getToken));
    for (const use of this.#uses) {
      const { getToken } = use;
      if (use.person || use.isAsked || asked.has(getToken) || !isFunction(getToken)) continue;
      asked.add(getToken);
      use.ask((token) => {
        this.#learn(use.getToken, personIn(token));
        this.#settle();
        this.#verify();
      });
    }
  }

  /** All who have a function are one person. */
  #learn(getToken, person) {
    for (const use of this.#uses) if (use.getToken === getToken) use.know(person);
    if (person.key === this.person?.key) this.#known.add(getToken);
  }

  /** Asks what was mounted last; where that has none, or one of somebody else, who goes elsewhere, the one before. */
  async #ask() {
    const asked = new Set();
    let problem = null;
    for (;;) {
      // One that gets another function with every question is not asked for ever.
      const uses = this.#answering().filter((use) => !asked.has(use) && !asked.has(use.getToken));
      if (uses.length === 0) {
        if (problem) throw problem;
        return "";
      }
      const [{ getToken }] = uses;
      for (const use of uses) if (use.getToken === getToken) asked.add(use).add(getToken);
      const token = await tokenFrom(getToken).catch((error) => {
        problem ??= error;
      });
      if (token && this.#accepts(getToken, personIn(token))) return token;
    }
  }

  /** Those to be asked, in this order. What is none is one only where there is no other, so that this is told. */
  #answering() {
    const all = this.isLeft ? [this.#left].filter(Boolean) : [...this.#uses].reverse();
    const able = all.filter((use) => isFunction(use.getToken));
    return able.length > 0 ? able : all;
  }

  /** Whether the client goes on, or begins, as a person. */
  #accepts(getToken, person) {
    const isAlone = [...this.#uses].every((use) => use.getToken === getToken);
    const isSame = !this.person || person.key === this.person.key;
    const isOurs = isSame || (isAlone && person.role === this.person.role && !ownOf(this.server, person));
    if (isOurs) {
      if (!isSame) this.#known = new WeakSet();
      this.person = person;
    } else if (this.isLeft) {
      this.#left = null;
    }
    this.#learn(getToken, person);
    this.#settle();
    if (isOurs) this.#verify();
    return isOurs;
  }

  #isStranger({ person }) { return person && this.person && person.key !== this.person.key; }

  /** Who is somebody else goes elsewhere. Where nobody stays, and they are in the same role, what the one before began ends. */
  #settle() {
    const { person } = this;
    const strangers = [...this.#uses].filter((use) => this.#isStranger(use));
    for (const use of strangers) this.#uses.delete(use);
    for (const use of strangers) use.moveTo(sourceFor(this.server, use.person));
    const isReplaced = strangers.some((use) => use.source !== this && use.person.role === person.role);
    if (isReplaced && this.isLeft) this.client.close();
  }
}

function isFunction(getToken) { return typeof getToken === "function"; }

/** Leaving the page ends the broadcast now, instead of leaving silence that looks like one. */
function endWithPage(client) {
  let life = null;
  client.addEventListener("connection", ({ detail }) => {
    if (detail.state === "closed") {
      life?.abort();
      life = null;
    } else if (!life) {
      life = new AbortController();
      addEventListener("pagehide", () => {
        if (client.streamingState === "off") return;
        client.close();
        addEventListener("pageshow", () => client.connect(), { once: true });
      }, { signal: life.signal });
    }
  });
}
