/**
 * What both elements have in common: which client they show, in which language, and events that bubble.
 *
 * Elements of the same person on the same server share one client, whatever their `getToken` functions are, so fifty
 * headphones open one WebSocket. Its one invariant: an element that is not in the document draws nothing, and takes nothing
 * with it that runs.
 */

import { kindOf, misuse, serverProblem } from "./ecoute-error.js";
import { Shared } from "./ecoute-shared.js";
import { connectAnew, HOME, Use } from "./ecoute-source.js";
import { styled } from "./ecoute-styles.js";
import { element } from "./ecoute-view.js";
import { language, t } from "./words.js";

/** How long an element may be without a `getToken` before the console says so, in ms. */
const MISSING_MS = 10_000;

/** On a server there are no elements; what imports this there finds classes all the same. */
const Base = globalThis.HTMLElement ?? class {};

/** What screen readers are told by an element, and by which: fifty that say the same are read once. @type {Map<string, EcouteElement>} */
const alerts = new Map();

export class EcouteElement extends Base {
  static observedAttributes = ["server", "lang", "reason", "commercial", "gettoken"];

  #use = new Use(() => this.#attach(), (problem) => {
    if (problem) this.tell("error", problem);
    this.draw();
  });
  #getToken = null;
  #ownClient = null;
  /** @type {Shared|null} */
  #shared = null;
  /** What the application handed over and can't be used. @type {EcouteError|null} */
  #misuse = null;
  #problem = element("p", { className: "problem", hidden: true });
  #missingTimer = 0;

  /** @param {CSSStyleSheet} sheet */
  constructor(sheet) {
    super();
    const root = styled(this, sheet);
    // A key that stays down presses a button again and again: on air, off air, on air.
    root.addEventListener("keydown", (event) => event.repeat && event.key === "Enter" && event.preventDefault());
    root.append(this.#problem);
  }

  /** Origin of the server; by default the one that this library came from. */
  get server() { return this.getAttribute("server") ?? HOME; }
  set server(server) { this.setOrRemove("server", server); }

  /** Asked for a token before every connection. A later function replaces the former, and the connection stays. */
  get getToken() { return this.#getToken; }
  set getToken(getToken) {
    if (this.#getToken && !getToken) console.warn("écoute: getToken was taken away from", this);
    this.#getToken = getToken ?? null;
    this.#attach();
  }

  /** The client that the element shows; set it to share one, which its owner then connects. @returns {EcouteClient|null} */
  get client() { return this.#shared?.client ?? (this.#misuse ? null : this.#ownClient); }
  set client(client) {
    this.#ownClient = client ?? null;
    this.#attach();
  }

  connectedCallback() {
    for (const name of ["server", "getToken", "client", "reason", "commercial"]) {
      // Set before the class was known, a property lies over its accessor.
      if (!Object.hasOwn(this, name)) continue;
      const value = this[name];
      delete this[name];
      this[name] = value;
    }
    this.#attach();
  }

  disconnectedCallback() {
    clearTimeout(this.#missingTimer);
    this.#use.leave();
    this.#shared?.remove(this);
    this.#shared = null;
    this.#say("");
  }

  attributeChangedCallback(name) {
    if (!this.isConnected) return;
    const isOther = name === "server" || name === "gettoken" || Boolean(this.#misuse ?? this.ownMisuse);
    if (isOther) this.#attach();
    else this.draw();
  }

  /** Sets an attribute; what a framework leaves undefined is as if it had never been set. */
  setOrRemove(name, value) {
    if (value === undefined || value === null) this.removeAttribute(name);
    else this.setAttribute(name, value);
  }

  /** What the application handed over for one kind of element and can't be used, or null. */
  get ownMisuse() { return null; }

  /** What all elements of the client share; null before there is a client. */
  get shared() { return this.#shared; }

  /** Whether the client is known to be of the person of this element: nobody begins anything in another one's name. */
  get isOwn() { return Boolean(this.#ownClient) || this.#use.isKnown; }

  /** A text in the element's language. */
  words(key, values) { return t(key, values, this.language); }

  get language() { return language(this); }

  /** Sends an event of the client on as `ecoute-…`, for the application. Returns false where it was prevented. */
  tell(name, detail) {
    const options = { detail, bubbles: true, composed: true, cancelable: true };
    return this.dispatchEvent(new CustomEvent(`ecoute-${name}`, options));
  }

  /** Says in place what the application has to mend. */
  drawProblem() {
    const detail = this.#misuse?.detail ?? this.#use.problem ?? this.#shared?.tokenProblem;
    if (!detail) return this.#say("");
    const { of, what } = detail.misuse ?? {};
    this.#say(of ? `${this.words("misused")} ${this.words(`misused_${of}`, { what })}` : this.words(detail.code));
  }

  #say(text) {
    const problem = this.#problem;
    problem.hidden = !text;
    const before = problem.textContent;
    if (text === before) return;
    if (alerts.get(before) === this) alerts.delete(before);
    if (text && !alerts.has(text)) alerts.set(text, this);
    if (alerts.get(text) === this) problem.setAttribute("role", "alert");
    else problem.removeAttribute("role");
    problem.textContent = text;
  }

  #attach() {
    if (!this.isConnected) return;
    this.#look();
    let isNew = false;
    const isShared = !this.#misuse && !this.#ownClient && this.#getToken;
    if (isShared) {
      this.#use.prefer(this.server, this.#getToken);
      isNew = this.#use.enter();
    } else {
      this.#use.leave();
    }
    const client = this.#misuse ? null : this.#ownClient ?? (isShared ? this.#use.client : null);
    const shared = client ? Shared.of(client) : null;
    if (shared !== this.#shared) this.#shared?.remove(this);
    this.#shared = shared;
    shared?.add(this);
    // What was closed stays so, however often a framework sets the same again.
    if (isShared && (isNew || client.connectionState === "idle")) connectAnew(client);
    if (!shared) this.draw();
  }

  /** Looks at what was handed over; the console says what is wrong with it once. */
  #look() {
    const before = this.#misuse?.message;
    this.#misuse = this.#misuseNow();
    if (this.#misuse && this.#misuse.message !== before) {
      console.warn(`écoute: ${this.#misuse.message}`, this);
      this.tell("error", this.#misuse.detail);
    }
    clearTimeout(this.#missingTimer);
    const isMissing = !this.#misuse && !this.#ownClient && !this.#getToken;
    if (isMissing) this.#missingTimer = setTimeout(() => console.warn("écoute: no getToken yet, which is a property:", this), MISSING_MS);
  }

  #misuseNow() {
    if (this.#ownClient) return typeof this.#ownClient.connect === "function" ? this.ownMisuse : misuse("client", kindOf(this.#ownClient));
    if (this.#getToken && typeof this.#getToken !== "function") return misuse("function", kindOf(this.#getToken));
    // Frameworks write one where the library comes later than the element.
    if (!this.#getToken && this.hasAttribute("gettoken")) return misuse("attribute");
    return serverProblem(this.server) ?? this.ownMisuse;
  }
}
