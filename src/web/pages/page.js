/**
 * What the three pages share: words in place, toasts, the connection, the way to the gate and help.
 *
 * Text from the network becomes text nodes only; nothing here parses markup.
 */

import { element, lines, retryWords, setText } from "./ecoute-view.js";
import { icon } from "./icons.js";
import { language, LANGUAGES, setLanguage, t } from "./words.js";

export { clock, duration, element, inFrame, isFarewell, isVisible, lines, reasonWords, retryWords, setAttribute, setText } from "./ecoute-view.js";

const TOAST_MS = 6_000;
/** How long a page that lacks its gate stands before it is loaded anew, in ms. */
const GATE_RELOAD_MS = 2_000;

/** @param {string} id @returns {HTMLElement} */
export const byId = (id) => document.getElementById(id);

/** Fills every `data-t` (text), `data-lines` (list), `data-label` (accessible name) and `data-icon` of the page. */
export function fillWords() {
  document.documentElement.lang = language();
  for (const place of document.querySelectorAll("[data-t]")) setText(place, t(place.dataset.t));
  for (const place of document.querySelectorAll("[data-lines]")) {
    place.replaceChildren(...lines(place.dataset.lines).children);
  }
  for (const place of document.querySelectorAll("[data-label]")) {
    place.setAttribute("aria-label", t(place.dataset.label));
    if (place.matches("button")) place.title = t(place.dataset.label);
    if (place.matches("#reason-text, #search")) place.placeholder = t(place.dataset.label);
  }
  for (const place of document.querySelectorAll("[data-icon]:empty")) place.append(icon(place.dataset.icon));
}

/**
 * Builds the FR|EN toggle in `#languages` and fills the words in.
 * @param {() => void} onChange draws what is not static
 */
export function startLanguages(onChange) {
  const buttons = LANGUAGES.map((code) => {
    const button = element("button", { type: "button", lang: code, textContent: code.toUpperCase() });
    button.addEventListener("click", () => {
      setLanguage(code);
      show();
      onChange();
    });
    return button;
  });
  const show = () => {
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.lang === language())));
    fillWords();
  };
  byId("languages").append(...buttons);
  show();
  // The browser is none that is too old, or these words would not be read.
  byId("old").remove();
}

/**
 * Shows a passing message in `#toasts`; it is read aloud too.
 * @param {string} text empty shows nothing new
 * @param {string} [topic] an older message of the same topic is not true any more, and goes
 */
export function toast(text, topic = text) {
  for (const older of [...byId("toasts").children]) if (older.dataset.topic === topic) older.remove();
  if (!text) return;
  const shown = element("p", { className: "toast", textContent: text });
  shown.dataset.topic = topic;
  byId("toasts").append(shown);
  setTimeout(() => shown.remove(), TOAST_MS);
}

/**
 * Keeps `#connection` true, seconds to the next try included; call it at every state and every second.
 * @param {{state: string, retry_at?: number}} connection
 */
export function showConnection({ state, retry_at }) {
  const place = byId("connection");
  const isUp = state === "registered" || state === "witness";
  const isTrying = state === "connecting" || state === "idle" || state === "waiting";
  place.dataset.state = isUp ? "up" : isTrying ? "trying" : "down";
  setText(place.lastElementChild, isUp ? t("connected") : isTrying ? retryWords(state, retry_at) : t("disconnected"));
}

/**
 * Opens `#gate`, which is loaded when there is something to say there: the server was reached just now.
 * @param {(gate: typeof import("./gate.js")) => void} open what to say
 */
export async function openGate(open) {
  const gate = await import("./gate.js").catch((error) => console.warn("écoute: the gate can't be loaded", error));
  if (gate) open(gate);
  else setTimeout(() => location.reload(), GATE_RELOAD_MS);
}

/**
 * Lets `#sign-out` forget who one is, after a question where something ends by it.
 * @param {"commercial"|"admin"} role
 * @param {import("./ecoute-client.js").EcouteClient} client
 * @param {import("./session.js").PageToken} token
 * @param {() => boolean} endsSomething whether a broadcast or a listening of this page goes on
 */
export function attachSignOut(role, client, token, endsSomething) {
  const leave = () => {
    client.close();
    token.forget();
    location.reload();
  };
  byId("sign-out").addEventListener("click", async () => {
    if (!endsSomething()) return leave();
    // Where it can't be loaded, the server is away and nothing is heard.
    const asking = await import("./sign-out.js").catch(() => null);
    if (asking) asking.askToSignOut(role, leave);
    else leave();
  });
}

/**
 * Shows a help text in `#help`, or hides it.
 * @param {string|null} topic `help_<topic>_title` and the lines of `help_<topic>`
 */
export function showHelp(topic) {
  const place = byId("help");
  const shownFor = topic ? `${topic} ${language()}` : "";
  if (place.dataset.shown === shownFor) return;
  place.dataset.shown = shownFor;
  place.hidden = !topic;
  if (!topic) return place.replaceChildren();
  place.replaceChildren(element("h2", { textContent: t(`help_${topic}_title`) }), lines(`help_${topic}`));
}

/**
 * Starts the service worker, which says when there is no network and shows system notifications.
 * @returns {Promise<ServiceWorkerRegistration|undefined>} undefined where the browser has none, or refuses
 */
export async function startWorker() {
  try {
    return await navigator.serviceWorker?.register("/service-worker.js");
  } catch {
    return undefined;
  }
}
