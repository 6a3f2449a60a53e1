/**
 * Why nobody can begin to listen, which is loaded when that is so.
 *
 * Its one invariant: it says what the client says, when it is called.
 */

import "./fault-words.js";
import { byId, setText } from "./page.js";
import { hasWords, t } from "./words.js";

/**
 * Fills `#journal`.
 * @param {import("./ecoute.js").EcouteClient} client
 * @param {"admin"|"commercial"} role
 */
export function sayFault({ journal: { cause } }, role) {
  const why = hasWords(`journal_${cause}`) ? cause : "other";
  const keys = [`of_${role}`, why, "goes_on", ...(role === "admin" ? ["tell"] : [])];
  setText(byId("journal").firstElementChild, keys.map((key) => t(`journal_${key}`)).join(" "));
}
