/**
 * Which client elements and hooks share: one for each server and each function that has its token.
 *
 * Its one invariant: a client lives until `close()` or until the page is left, however often its users come and go.
 */

import { EcouteClient } from "./ecoute-client.js";

/** Where this library was loaded from: the server, unless another is named. */
export const HOME = new URL(import.meta.url).origin;

/** @typedef {{server: string, getToken: () => Promise<string>, client: EcouteClient}} Source */

/** @type {Map<string, WeakMap<Function, Source>>} */
const sources = new Map();

/**
 * Finds or makes the source of a client. A function that is new replaces the one of `former`, and the connection stays.
 * @param {string} server
 * @param {() => Promise<string>} getToken
 * @param {Source|null} former what the caller has used until now
 * @returns {Source}
 */
export function sourceOf(server, getToken, former) {
  const known = sources.get(server) ?? new WeakMap();
  sources.set(server, known);
  let source = known.get(getToken) ?? (former?.server === server ? former : undefined);
  if (!source || source.client.connectionState === "closed") {
    source = { server, getToken };
    source.client = new EcouteClient({ server, getToken: () => source.getToken() });
    endWithPage(source.client);
  }
  source.getToken = getToken;
  known.set(getToken, source);
  return source;
}

/** Leaving the page ends the broadcast now, instead of leaving silence that looks like one. */
function endWithPage(client) {
  let isEnded = false;
  addEventListener("pagehide", () => {
    isEnded = client.streamingState !== "off";
    if (isEnded) client.close();
  });
  addEventListener("pageshow", () => isEnded && client.connect());
}
