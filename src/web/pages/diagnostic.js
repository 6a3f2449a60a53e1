/**
 * « Copier le diagnostic »: what a page tells whoever helps its user.
 *
 * Its one invariant: it holds neither a token nor a name, only states and codes.
 */

import { EVENTS } from "./ecoute-client.js";
import { byId, toast } from "./page.js";
import { language, t } from "./words.js";

const EVENTS_MAX = 50;

/** The last events of one page and its client. */
export class Diagnostic {
  #client;
  #events = [];

  /** @param {import("./ecoute.js").EcouteClient} client */
  constructor(client) {
    this.#client = client;
    // What comes all the time would leave room for nothing else.
    const kept = EVENTS.filter((name) => !["commercial", "position", "quality"].includes(name));
    for (const name of kept) client.addEventListener(name, ({ detail }) => this.note(name, detail));
    addEventListener("online", () => this.note("online"));
    addEventListener("offline", () => this.note("offline"));
    document.addEventListener("visibilitychange", () => this.note(document.visibilityState));
  }

  /** Adds one line; of `detail` only what is listed here, so that no name and no token can slip in. */
  note(name, detail = {}) {
    const kept = ["state", "code", "close_code", "cause", "connection", "output", "muted", "retry_in_ms", "renewed", "rtt_ms", "s", "told", "doubt"]
      .filter((field) => detail?.[field] !== undefined)
      .map((field) => `${field}=${detail[field]}`);
    this.#events.push([new Date(this.#client.now).toISOString(), name, ...kept].join(" "));
    if (this.#events.length > EVENTS_MAX) this.#events.shift();
  }

  /** Makes `#diagnostic` copy the text, or show it where the browser does not let pages copy. */
  attach() {
    byId("diagnostic").addEventListener("click", async () => {
      const text = this.#text();
      try {
        await navigator.clipboard.writeText(text);
        toast(t("diagnostic_copied"));
      } catch {
        const place = byId("diagnostic-text");
        place.value = text;
        place.hidden = false;
        place.select();
      }
    });
  }

  #text() {
    const client = this.#client;
    const { connection, output } = client.audio;
    return [
      `écoute ${location.pathname} ${new Date(client.now).toISOString()}`,
      `browser: ${navigator.userAgent}`,
      `page: secure=${isSecureContext} visible=${document.visibilityState} online=${navigator.onLine} lang=${language()}`,
      `server: ${client.user?.server_version ?? "?"} role=${client.user?.role ?? "?"}`,
      `states: connection=${client.connectionState} streaming=${client.streamingState} listeners=${client.listeners.length}`
        + ` audio=${connection} output=${output} wishes=${client.wishes.map((wish) => wish.state).join(",") || "none"}`,
      ...this.#events,
    ].join("\n");
  }
}
