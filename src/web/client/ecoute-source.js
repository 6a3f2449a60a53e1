/**
 * Which client elements and hooks use: those with the same server share one, whoever it is of, as their tokens say.
 *
 * Applications make their `getToken` anew as they please, with every element and at every mount, so a function says
 * nothing; what is mounted last decides which one is asked. A client that was left is adopted by what comes next, and what
 * ran on it goes on; where the next token is somebody else's, it ends. Its one invariant: a client is one person's in one
 * role, as far as the tokens have come.
 */

import { EcouteClient } from "./ecoute-client.js";
import { personIn, tokenFrom } from "./ecoute-token.js";

/** Where this library was loaded from: the server, unless another is named. */
export const HOME = new URL(import.meta.url).origin;

/** By when something was mounted on them, the last one last. @type {Source[]} */
const sources = [];

/** What one element or component uses while it is mounted. */
export class Use {
  /** @type {Source|null} */
  source = null;
  /** Who the token of its function is of; null before that is known. */
  person = null;
  getToken = null;
  isAsked = false;
  #onMoved;

  /** @param {(former: EcouteClient) => void} onMoved there is another client, because the token is somebody else's */
  constructor(onMoved) { this.#onMoved = onMoved; }

  /** @returns {EcouteClient|null} */
  get client() { return this.source?.client ?? null; }

  /** Finds or makes the client of a server. A function in place of one before is the same question to the same client. */
  prefer(server, getToken) {
    if (this.source?.server !== server) {
      this.leave();
      this.source = sourceOf(server, getToken) ?? new Source(server);
    }
    this.getToken = getToken;
  }

  /** It is mounted. */
  enter() { this.source.enter(this); }

  /** It is no more; what runs goes on. */
  leave() {
    this.source?.leave(this);
    this.person = null;
  }

  /** Goes on with another client. @param {Source} source */
  moveTo(source) {
    const { client } = this;
    this.source.leave(this);
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
  /** Of what was left last. */
  #getToken;
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

  knows(getToken) { return this.#known.has(getToken); }

  /** Something is mounted. Until its token is known it is taken for the same person's. */
  enter(use) {
    if (this.#uses.has(use)) return this.#know(use.getToken);
    const isKnown = this.knows(use.getToken);
    this.take(use);
    sources.push(...sources.splice(sources.indexOf(this), 1));
    if (!isKnown && !["idle", "closed"].includes(this.client.connectionState)) this.#verify(use);
  }

  take(use) {
    this.#uses.add(use);
    this.person ??= use.person;
    this.#know(use.getToken);
  }

  leave(use) {
    if (this.#uses.delete(use) && !this.#isStranger(use)) this.#getToken = use.getToken;
  }

  #know(getToken) {
    if (typeof getToken === "function") this.#known.add(getToken);
  }

  #forget() {
    this.person = null;
    this.#known = new WeakSet();
    for (const use of this.#uses) use.person = null;
  }

  /** Asks the function of what came to a client that has a token already. */
  async #verify(use) {
    // What is wrong with it is told once the client asks.
    use.isAsked = true;
    const token = await tokenFrom(use.getToken).catch(() => "");
    use.isAsked = false;
    if (!token || !this.#uses.has(use)) return;
    use.person = personIn(token);
    this.#settle();
  }

  /** Asks what was mounted last; where that turns out to be somebody else's it goes elsewhere, and the next one is asked. */
  async #ask() {
    for (;;) {
      const last = [...this.#uses].at(-1);
      const getToken = last ? last.getToken : this.#getToken;
      // All who had one are somebody else by now.
      if (!last && !getToken) return "";
      const token = await tokenFrom(getToken);
      if (!token) return token;
      const person = personIn(token);
      const others = [...this.#uses].filter((use) => use.getToken !== getToken);
      for (const use of this.#uses) if (use.getToken === getToken) use.person = person;
      const isLoggedInAnew = others.length === 0 && person.role === this.person?.role && !ownOf(this.server, person);
      if (!this.person || person.key === this.person.key || isLoggedInAnew) {
        this.person = person;
        this.#settle();
        for (const use of others) if (!use.person && !use.isAsked) this.#verify(use);
        return token;
      }
      this.#settle();
    }
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
