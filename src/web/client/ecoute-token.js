/**
 * The tokens that an application hands over: asked for, waited for, looked at.
 *
 * It knows no connection. Its one invariant: at most one question is open; whoever asks meanwhile waits for its answer.
 */

import { EcouteError, kindOf, misuse } from "./ecoute-error.js";
import { claimsOf } from "./session.js";

/** How long an answer may take before that is told, in ms. */
const SLOW_MS = 10_000;
/** How long it may take before the question is asked anew, in ms: a person may have to log in. */
const ANSWER_MAX_MS = 180_000;

export class Tokens {
  #getToken;
  #onProblem;
  /** @type {Promise<string>|null} */
  #answer = null;
  #timers = [];
  /** What was told last, and is so still. */
  #told = "";

  /**
   * @param {() => Promise<string>} getToken the application's
   * @param {(detail: object) => void} onProblem told of every problem once, until there is a token
   */
  constructor(getToken, onProblem) {
    this.#getToken = getToken;
    this.#onProblem = onProblem;
  }

  /** The next token; empty where there is none. Rejects where none came that can be used. @returns {Promise<string>} */
  ask() {
    if (this.#answer) return this.#answer;
    const answer = new Promise((resolve, reject) => {
      const late = () => new EcouteError("token_unavailable");
      this.#timers = [setTimeout(() => this.#tell(late()), SLOW_MS), setTimeout(() => reject(late()), ANSWER_MAX_MS)];
      tokenFrom(this.#getToken).then(resolve, reject);
    });
    this.#answer = answer;
    const isOver = () => {
      if (this.#answer !== answer) return false;
      this.forget();
      return true;
    };
    answer.then(() => isOver() && (this.#told = ""), (error) => isOver() && this.#tell(error));
    return answer;
  }

  /** Waits no more for what was asked. */
  forget() {
    this.#answer = null;
    this.#timers.forEach(clearTimeout);
  }

  #tell(error) {
    if (this.#told === error.message) return;
    this.#told = error.message;
    console.warn(`écoute: ${error.message}`, error.cause ?? "");
    this.#onProblem(error.detail);
  }
}

/** Asks once. @throws {EcouteError} `misused`, or `token_unavailable` with what it threw as its cause */
export async function tokenFrom(getToken) {
  if (typeof getToken !== "function") throw misuse("function", kindOf(getToken));
  let token;
  try {
    token = await getToken();
  } catch (error) {
    throw error instanceof EcouteError ? error : new EcouteError("token_unavailable", error);
  }
  if (typeof token !== "string") throw misuse("token", kindOf(token));
  // With the line end that a file or a program's output has.
  token = token.trim();
  const [other] = token.match(/[^\w.~+/=-]/u) ?? [];
  if (other) throw misuse("token", `string, ${JSON.stringify(other)}`);
  return token;
}

/**
 * Who a token says it is of: equal for all tokens of one person in one role.
 * @returns {{role: string, key: string}}
 */
export function personIn(token) {
  const { iss, sub = token, role } = claimsOf(token);
  return { role: JSON.stringify(role), key: JSON.stringify([iss, sub, role]) };
}
