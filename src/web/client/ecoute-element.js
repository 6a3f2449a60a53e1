/**
 * What both elements have in common: which client they show, in which language, and events that bubble.
 *
 * Elements with the same server and the same `getToken` function share one client, so fifty headphones open one
 * WebSocket. Its one invariant: an element that is not in the document draws nothing, and takes nothing with it that runs.
 */

import { Shared } from "./ecoute-shared.js";
import { HOME, sourceOf } from "./ecoute-source.js";
import { styled } from "./ecoute-styles.js";
import { language, t } from "./words.js";

export class EcouteElement extends HTMLElement {
  static observedAttributes = ["server", "lang", "reason", "commercial"];

  #source = null;
  #getToken = null;
  #ownClient = null;
  /** @type {Shared|null} */
  #shared = null;

  /** @param {CSSStyleSheet} sheet */
  constructor(sheet) {
    super();
    const root = styled(this, sheet);
    // A key that stays down presses a button again and again: on air, off air, on air.
    root.addEventListener("keydown", (event) => event.repeat && event.key === "Enter" && event.preventDefault());
  }

  /** Origin of the server; by default the one that this library came from. */
  get server() { return this.getAttribute("server") ?? HOME; }
  set server(server) { this.setAttribute("server", server); }

  /** Asked for a token before every connection. A later function replaces the former, and the connection stays. */
  get getToken() { return this.#getToken; }
  set getToken(getToken) {
    this.#getToken = getToken;
    this.#attach();
  }

  /** The client that the element shows; set it to share one, which its owner then connects. @returns {EcouteClient|null} */
  get client() { return this.#shared?.client ?? this.#ownClient; }
  set client(client) {
    this.#ownClient = client;
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
    this.#shared?.remove(this);
    this.#shared = null;
  }

  attributeChangedCallback(name) {
    if (name === "server") this.#attach();
    else if (this.#shared) this.draw();
  }

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

  #attach() {
    if (!this.isConnected) return;
    this.#source = this.#ownClient ? null : this.#getToken && sourceOf(this.server, this.#getToken, this.#source);
    const client = this.#ownClient ?? this.#source?.client;
    const shared = client ? Shared.of(client) : null;
    if (shared !== this.#shared) this.#shared?.remove(this);
    this.#shared = shared;
    shared?.add(this);
    if (this.#source && client.connectionState === "idle") client.connect();
  }
}
