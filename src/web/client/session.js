/**
 * The tokens that this browser holds, one per role, and the one that the open page uses.
 *
 * A token comes in the fragment of a link, which browsers never send to a server, leaves the address bar as soon as the
 * page runs, and is stored once the server has accepted it, so that a damaged link costs nobody their access. Any site may
 * open a link: one of somebody else waits until the person here has said so. Its one invariant: an open page stays the same
 * person, whatever links other tabs open.
 */

/** Roles that have a page. */
export const ROLES = ["commercial", "admin"];

const keyOf = (role) => `ecoute.token.${role}`;
/** How far the server's time was ahead of this device's when a token was last accepted, in ms. */
const AHEAD_KEY = "ecoute.server_ahead_ms";

/** Stands in where the browser refuses storage (some private windows): the page works until it is closed. */
const memory = new Map();

/**
 * Reads a stored value, or null.
 * @param {string} key
 */
export function load(key) {
  try {
    return localStorage.getItem(key) ?? memory.get(key) ?? null;
  } catch {
    return memory.get(key) ?? null;
  }
}

/**
 * Stores a value; null removes it.
 * @param {string} key
 * @param {string|null} value
 */
export function save(key, value) {
  if (value === null) memory.delete(key);
  else memory.set(key, value);
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // The memory has it.
  }
}

/** The token of one page: the one in its address, otherwise the one stored for its role. */
export class PageToken {
  #role;
  #token;
  #isStored;
  /** Whether the address had a link that was cut off; then there is no token, not that of whoever was here before. */
  isDamaged;
  /** Who is logged in here, where the link is somebody else's; null where there is nothing to ask. */
  replaces = null;

  /** Takes the token out of the address. A link opened over an open page starts that page anew. @param {string} role */
  constructor(role) {
    this.#role = role;
    const linked = tokenIn(location.hash);
    this.isDamaged = linked === "" && isLink(location.hash);
    this.#isStored = !linked && !this.isDamaged;
    this.#token = this.#isStored ? storedToken(role) : linked;
    if (linked && wouldReplace(storedToken(role), linked, role)) this.replaces = personIn(storedToken(role));
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
    addEventListener("hashchange", () => isLink(location.hash) && location.reload());
  }

  /** What to register with, or empty: a stored token that was issued later to the same person renews the page's own. */
  get current() {
    const stored = storedToken(this.#role);
    const [own, other] = [claimsOf(this.#token), claimsOf(stored)];
    if (own.sub !== undefined && own.sub === other.sub && other.iat > own.iat) {
      this.#token = stored;
      this.#isStored = true;
    }
    return this.#token;
  }

  /** Who the token says it is of, to show before the server has confirmed it. @returns {{id: string, name: string}} */
  get person() { return personIn(this.#token); }

  /** Whether the token says itself that its time is over. @param {number} now unix ms of the server */
  isPast(now) { return claimsOf(this.#token).exp * 1000 <= now; }

  /**
   * Stores the token, once: later it would replace that of somebody whose link was opened in another tab.
   * @param {number} now unix ms of the server
   */
  accept(now) {
    save(AHEAD_KEY, String(now - Date.now()));
    if (!this.#isStored) save(keyOf(this.#role), this.#token);
    this.#isStored = true;
  }

  /** The address of the page of another role, which the server says the token is of; that page asks as this one would. */
  addressOn(role) { return `/${role}#t=${this.#token}`; }

  /** Forgets the token of the page's role; one that was never accepted is forgotten with the page. */
  forget() { if (this.#isStored) save(keyOf(this.#role), null); }
}

/** Roles that have a token here. */
export function storedRoles() { return ROLES.filter(storedToken); }

/**
 * Understands what someone pasted: a link of ours, or the bare token where the page's role is known.
 * @param {string} text
 * @param {string} [pageRole]
 * @returns {string|null} the address to open, or null where it is no link of ours
 */
export function pastedLink(text, pageRole) {
  if (isElsewhere(text)) return null;
  const pasted = readable(text.trim());
  const [link, linkRole] = pasted.match(/\/(commercial|admin)\/?#t=.*/s) ?? [];
  const token = linkRole ? tokenIn(link.slice(link.indexOf("#"))) : bareToken(pasted);
  const role = linkRole ?? pageRole;
  if (!token || !role) return null;
  return `/${role}#t=${token}`;
}

/** Whether a pasted address is one of another site, which this one must not be handed to. @param {string} text */
export function isElsewhere(text) {
  const pasted = text.trim();
  try {
    return /^https?:/i.test(pasted) && new URL(pasted).origin !== location.origin;
  } catch {
    return false;
  }
}

function storedToken(role) { return load(keyOf(role)) ?? ""; }

/** Whether a link would log in somebody else than who is logged in under a role. One of another role, or of none, can't. */
function wouldReplace(stored, linked, role) {
  const [known, other] = [claimsOf(stored), claimsOf(linked)];
  // A clock that is wrong, or was, logs nobody out.
  const isLoggedIn = known.exp * 1000 > Date.now() + Math.min(0, Number(load(AHEAD_KEY)));
  const isOfRole = other.exp !== undefined && (!ROLES.includes(other.role) || other.role === role);
  return isLoggedIn && isOfRole && (known.sub === undefined || known.sub !== other.sub);
}

function personIn(token) {
  const { name, sub } = claimsOf(token);
  return { id: String(sub ?? ""), name: String(name ?? "") };
}

/** What a token says of itself, which only the server can verify: for comparing and showing. */
export function claimsOf(token) {
  try {
    const base64 = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) ?? {};
  } catch {
    return {};
  }
}

function parametersOf(fragment) { return new URLSearchParams(readable(fragment).replace(/^#/, "")); }

function isLink(fragment) { return parametersOf(fragment).has("t"); }

function tokenIn(fragment) { return bareToken(parametersOf(fragment).get("t") ?? ""); }

/** A link whose `#` or `=` a mail program wrote as `%23` or `%3D`, maybe twice. */
function readable(link) { return link.replace(/%(25)*23t/, "#t").replace(/#t%(25)*3D/i, "#t="); }

/** A JWT is three base64url parts. The full stop or bracket behind a link in a sentence is none of it. */
function bareToken(text) {
  return text.replace(/[\u200b\u00ad]/g, "").match(/^[\w-]+\.[\w-]+\.[\w-]+/)?.[0] ?? "";
}
