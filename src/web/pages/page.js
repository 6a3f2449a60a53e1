/**
 * What the three pages share: words in place, toasts, the connection, the paste form and help.
 *
 * Text from the network becomes text nodes only; nothing here parses markup.
 */

import { element, lines, retryWords, setText } from "./ecoute-view.js";
import { icon } from "./icons.js";
import { showPerson } from "./ecoute-names.js";
import { isElsewhere, pastedLink } from "./session.js";
import { hasWords, language, LANGUAGES, setLanguage, t } from "./words.js";

export { clock, duration, element, inFrame, isFarewell, isVisible, lines, reasonWords, retryWords, setAttribute, setText } from "./ecoute-view.js";

const TOAST_MS = 6_000;

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
 * Says in `#journal` that nobody can begin to listen, and why, for as long as that is so.
 * @param {import("./ecoute.js").EcouteClient} client
 * @param {"admin"|"commercial"} role
 */
export function showJournal({ connectionState, journal: { ok, cause } }, role) {
  const isTold = !ok && (connectionState === "registered" || connectionState === "witness");
  const why = hasWords(`journal_${cause}`) ? cause : "other";
  const keys = [`of_${role}`, why, "goes_on", ...(role === "admin" ? ["tell"] : [])];
  byId("journal").hidden = !isTold;
  setText(byId("journal").firstElementChild, isTold ? keys.map((key) => t(`journal_${key}`)).join(" ") : "");
}

/**
 * Says in `#gate` why the server does not take the token, as far as the person can do something about it.
 * @param {import("./ecoute.js").EcouteClient} client
 * @param {import("./session.js").PageToken} token
 * @param {string} role
 */
export function showRefused(client, token, role) {
  const { reason = "signature" } = client.connection;
  if (reason === "signature") showGate(client.user || token.isPast(client.now) ? "expired" : "refused", role);
  else if (["expired", "revoked", "not_yet_valid"].includes(reason)) showGate(reason, role);
  // Only who makes links can do something about all else.
  else showGate("unusable", role, reason);
}

/**
 * Shows the form that takes a link, in `#gate`.
 * @param {"no_token"|"expired"|"refused"|"revoked"|"not_yet_valid"|"unusable"|"damaged"} why
 * @param {string} [role] role of the page, whose bare token is taken too
 * @param {string} [reason] the server's word, for who makes links
 */
export function showGate(why, role, reason = "") {
  const input = element("input", { type: "text", autocomplete: "off", spellcheck: false, placeholder: "https://…#t=…" });
  input.dataset.label = "paste_label";
  const problem = element("p", { className: "problem" });
  problem.setAttribute("role", "alert");
  const form = element("form", {}, input, labelled("button", "paste_open", { className: "primary", type: "submit" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const pasted = input.value;
    const link = pastedLink(pasted, role);
    input.value = "";
    if (link) location.assign(link);
    else setText(problem, t(isElsewhere(pasted) ? "paste_other_site" : "paste_bad"));
  });
  const [title, text] = {
    no_token: ["no_token_title", "no_token"],
    expired: ["expired_title", "expired"],
    damaged: ["no_token_title", "paste_bad"],
  }[why] ?? ["refused_title", why];
  fillGate(labelled("h2", title), labelled("p", text), reason, form, problem);
}

/**
 * Says in `#gate` that the link is of the other role, and offers the page where it works.
 * @param {"admin"|"commercial"} role what the link is for
 * @param {import("./session.js").PageToken} token
 */
export function showOtherRole(role, token) {
  const open = labelled("button", `link_of_${role}_open`, { className: "primary", type: "button" });
  open.addEventListener("click", () => location.assign(token.addressOn(role)));
  fillGate(labelled("h2", `link_of_${role}`), open);
}

/**
 * Asks in `#gate` whether the person here is somebody else now; until then nothing of the link is sent anywhere.
 * @param {import("./session.js").PageToken} token
 * @param {() => void} change goes on as whoever the link is of
 */
export function askToReplace(token, change) {
  const stay = element("button", { id: "replace-stay", type: "button", className: "primary" }, labelled("span", "replace_stay"), " ", named(token.replaces));
  const go = labelled("button", "replace_go", { id: "replace-go", type: "button" });
  // The link is no longer in the address.
  stay.addEventListener("click", () => location.reload());
  go.addEventListener("click", () => {
    byId("gate").hidden = true;
    change();
  });
  fillGate(labelled("h2", "replace_title"),
    element("p", {}, labelled("span", "replace_now"), " ", named(token.replaces)),
    element("p", {}, labelled("span", "replace_link"), " ", named(token.person)), stay, go);
}

/** A person by themselves, behind a label. */
function named(person) {
  const shown = element("span", { className: "whom" });
  showPerson(shown, person);
  return shown;
}

function fillGate(...children) {
  byId("gate").replaceChildren(...children);
  byId("gate").hidden = false;
  fillWords();
}

/** An element whose words follow the language. */
function labelled(tag, key, properties = {}) {
  const made = element(tag, properties);
  made.dataset.t = key;
  return made;
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

/** How long ago, in its largest unit: « 12 s », « 2 min », « 3 h ». @param {number} ms */
export function age(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return t("seconds", { s });
  return s < 3600 ? t("about_minutes", { min: Math.floor(s / 60) }) : t("about_hours", { h: Math.floor(s / 3600) });
}

/** « à 18:02 », « hier 18:02 », « 3 mars 18:02 ». @param {number} at unix ms @param {number} now unix ms of the server */
export function whenWords(at, now) {
  const then = new Date(at);
  const time = then.toLocaleTimeString(language(), { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  if (at >= midnight) return t("today", { time });
  const yesterday = new Date(midnight);
  yesterday.setDate(yesterday.getDate() - 1);
  if (at >= yesterday.getTime()) return t("yesterday", { time });
  return `${then.toLocaleDateString(language(), { day: "numeric", month: "short" })} ${time}`;
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
