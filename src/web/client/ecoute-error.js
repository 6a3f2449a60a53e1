/**
 * What can go wrong on this side of the connection. The server's own errors arrive in the `error` event as they are.
 */

import { t } from "./words.js";

/** Every code that the library itself raises, with what to do about it. */
const MESSAGES = {
  insecure_page: "The microphone needs a page on HTTPS or localhost.",
  microphone_unsupported: "This browser has no access to microphones.",
  audio_unsupported: "This browser has no WebRTC or no Web Audio, or may not use them: open the page in another one.",
  microphone_forbidden: "This page may not use the microphone: a frame needs allow=\"microphone\", and no Permissions-Policy against it.",
  microphone_refused: "Access to the microphone was refused; allow it in the browser's site settings.",
  microphone_missing: "No microphone was found.",
  microphone_busy: "The microphone is in use, for example by a call.",
  microphone_failed: "The microphone could not be opened.",
  microphone_ended: "The microphone was taken away; start again.",
  interrupted_too_long: "The broadcast was interrupted for more than 5 minutes; start again.",
  audio_connection_failed: "The audio connection could not be established; trying again.",
  notice_not_shown: "A listener is acknowledged with the element that shows their name.",
  token_unavailable: "getToken has failed, or has given no token yet; trying again.",
  misused: "What the application hands over can't be used.",
};

/** An error with a stable `code`. */
export class EcouteError extends Error {
  /** @param {keyof typeof MESSAGES} code @param {unknown} [cause] @param {string} [message] */
  constructor(code, cause, message = MESSAGES[code]) {
    super(message, { cause });
    this.name = "EcouteError";
    /** Stable name of what happened. */
    this.code = code;
  }

  /** The `detail` of an `error` event. */
  get detail() { return { code: this.code, message: this.message }; }
}

/**
 * What an application hands over and can't be used.
 * @param {"function"|"token"|"server"|"client"|"commercial"|"attribute"} of what it is, of the words `misused_…`
 * @param {string} [what] what came instead
 */
export function misuse(of, what) {
  const error = new EcouteError("misused", undefined, t(`misused_${of}`, { what }, "en"));
  return Object.defineProperty(error, "detail", { value: { code: error.code, message: error.message, misuse: { of, what } } });
}

/** Whether a `detail` of an error is over once there is a token that works. */
export function isOfToken(detail) { return detail?.code === "token_unavailable" || detail?.misuse !== undefined; }

/** Why a server can't be named so, or null. @param {unknown} server */
export function serverProblem(server) {
  try {
    if (/^https?:[/][/]/i.test(server) && new URL(server).host) return null;
  } catch {
    // No address at all.
  }
  return misuse("server", typeof server === "string" ? JSON.stringify(server.slice(0, 80)) : kindOf(server));
}

/** What sort of a value came, as programmers say it in any language; no value, which may be a token. */
export function kindOf(value) {
  if (value === null) return "null";
  return typeof value === "object" ? String(value.constructor?.name ?? "object") : typeof value;
}
