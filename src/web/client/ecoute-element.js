/**
 * What both elements have in common: which client they show, in which language, and events that bubble.
 *
 * Elements with the same server and the same `getToken` function share one client, so fifty headphones open one
 * WebSocket. Its one invariant: an element that is not in the document draws nothing, and takes nothing with it that runs.
 */

import { kindOf, misuse, serverProblem } from "./ecoute-error.js";
import { Shared } from "./ecoute-shared.js";
import { connectAnew, HOME, Use } from "./ecoute-source.js";
import { styled } from "./ecoute-styles.js";
import { element, setText } from "./ecoute-view.js";
import { language, t } from "./words.js";

/** How long an element may be without a `getToken` before the console says so, in ms. */
const MISSING_MS = 10_000;

/** On a server there are no elements; what imports this there finds classes all the same. */
const Base = globalThis.HTMLElement ?? class {};

export class EcouteElement extends Base {
  static observedAttributes = ["server", "lang", "reason", "commercial", "gettoken"];

  #use = new Use(() => this.#attach());
  #getToken = null;
  #ownClient = null;
  /** @type {Shared|null} */
  #shared = null;
  /** What the application handed over and can't be used. @type {EcouteError|null} */
  #misuse = null;
  #problem = element("p", { className: "problem", role: "alert", hidden: true });
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
    this.#attach(true);
  }

  disconnectedCallback() {
    clearTimeout(this.#missingTimer);
    this.#use.leave();
    this.#shared?.remove(this);
    this.#shared = null;
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
    const detail = this.#misuse?.detail ?? this.#shared?.tokenProblem;
    this.#problem.hidden = !detail;
    if (!detail) return;
    const { of, what } = detail.misuse ?? {};
    setText(this.#problem, of ? `${this.words("misused")} ${this.words(`misused_${of}`, { what })}` : this.words(detail.code));
  }

  #attach(isMounted = false) {
    if (!this.isConnected) return;
    this.#look();
    const isShared = !this.#misuse && !this.#ownClient && this.#getToken;
    if (isShared) {
      this.#use.prefer(this.server, this.#getToken);
      this.#use.enter();
    } else {
      this.#use.leave();
    }
    const client = this.#misuse ? null : this.#ownClient ?? (isShared ? this.#use.client : null);
    const shared = client ? Shared.of(client) : null;
    if (shared !== this.#shared) this.#shared?.remove(this);
    this.#shared = shared;
    shared?.add(this);
    if (isShared && (isMounted || client.connectionState !== "expired")) connectAnew(client);
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
