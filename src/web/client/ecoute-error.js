/**
 * What can go wrong on this side of the connection. The server's own errors arrive in the `error` event as they are.
 */

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
  token_unavailable: "No token could be fetched; trying again.",
};

/** An error with a stable `code`. */
export class EcouteError extends Error {
  /** @param {keyof typeof MESSAGES} code @param {unknown} [cause] */
  constructor(code, cause) {
    super(MESSAGES[code], { cause });
    this.name = "EcouteError";
    /** Stable name of what happened. */
    this.code = code;
  }

  /** The `detail` of an `error` event. */
  get detail() { return { code: this.code, message: this.message }; }
}
