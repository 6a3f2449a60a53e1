/**
 * The tokens that this browser holds, one per role.
 *
 * A token comes in the fragment of a link, which browsers never send to a server, is stored, and leaves the address
 * bar at once. Its one invariant: no token ever stands in an address, a title or a log of ours.
 */

/** Roles that have a page. */
export const ROLES = ["commercial", "admin"];

const keyOf = (role) => `ecoute.token.${role}`;

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

/** Moves a token from the address into storage. A link opened over an open page starts that page anew. */
export function takeTokenFromAddress(role) {
  const token = tokenIn(location.hash);
  if (token) save(keyOf(role), token);
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  addEventListener("hashchange", () => {
    const next = tokenIn(location.hash);
    if (!next) return;
    save(keyOf(role), next);
    history.replaceState(null, "", location.pathname + location.search);
    location.reload();
  });
}

/** The stored token of a role; empty where there is none. @returns {string} */
export function tokenOf(role) { return load(keyOf(role)) ?? ""; }

/** Forgets the token of a role. */
export function forgetToken(role) { save(keyOf(role), null); }

/** Roles that have a token here. */
export function storedRoles() { return ROLES.filter(tokenOf); }

/**
 * Takes what someone pasted: a link of ours, or the bare token where the page's role is known.
 * @param {string} text
 * @param {string} [pageRole]
 * @returns {string|null} the path to open, or null where it is no link of ours
 */
export function takePastedLink(text, pageRole) {
  const pasted = text.trim();
  const linkRole = ROLES.find((role) => new RegExp(`/${role}/?#t=`).test(pasted));
  const token = linkRole ? tokenIn(pasted.slice(pasted.indexOf("#"))) : bareToken(pasted);
  const role = linkRole ?? pageRole;
  if (!token || !role) return null;
  save(keyOf(role), token);
  return `/${role}`;
}

function tokenIn(fragment) {
  return bareToken(new URLSearchParams(fragment.replace(/^#/, "")).get("t") ?? "");
}

/** A JWT is three base64url parts; anything else was cut off or is something else. */
function bareToken(text) {
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text) ? text : "";
}
