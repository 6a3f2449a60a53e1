/**
 * What pages and elements draw with: elements, times and words that depend on a value.
 *
 * Text from the network becomes text nodes only; nothing here parses markup. Where a `code` may be given it is the
 * language, otherwise the page's own.
 */

import { hasWords, t } from "./words.js";

/**
 * Makes an element.
 * @param {string} tag
 * @param {object} [properties] DOM properties, `className` for example
 * @param {...(Node|string)} children strings become text nodes
 */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  // Firefox knows these properties only since 119.
  for (const [name, value] of Object.entries(properties)) {
    if (/^(role$|aria)/.test(name)) made.setAttribute(name.replace("aria", "aria-").toLowerCase(), value);
  }
  made.append(...children);
  return made;
}

/** Sets text only where it differs, so that selections and screen readers are not disturbed every second. */
export function setText(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

/** Sets an attribute only where it differs. */
export function setAttribute(place, name, value) {
  if (place.getAttribute(name) !== value) place.setAttribute(name, value);
}

/** How long what is to be drawn waits where there are no frames, as on a hidden page, in ms. */
const FRAME_MAX_MS = 250;

/** Makes of what draws a function that has it drawn once in the next frame, however often it is called before. */
export function inFrame(draw) {
  let frame = 0;
  let timer = 0;
  const run = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    frame = 0;
    draw();
  };
  return () => {
    if (frame !== 0) return;
    frame = requestAnimationFrame(run);
    timer = setTimeout(run, FRAME_MAX_MS);
  };
}

/** 872 s → `00:14:32`. @param {number} ms */
export function clock(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  return [s / 3600, (s / 60) % 60, s % 60].map((part) => String(Math.floor(part)).padStart(2, "0")).join(":");
}

/** 130 s → `2 min 10`. @param {number} ms */
export function duration(ms, code) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return t("seconds", { s }, code);
  if (s < 3600) return t("minutes", { min: Math.floor(s / 60), s: String(s % 60).padStart(2, "0") }, code);
  return t("hours", { h: Math.floor(s / 3600), min: String(Math.floor(s / 60) % 60).padStart(2, "0") }, code);
}

/** The reason of a listener in the reader's words; `autre: …` is someone's own words and stays. */
export function reasonWords(reason = "accompagnement", code) {
  const own = /^autre\s*:\s*(.*)$/su.exec(reason);
  if (own) return t("reason_own", { text: own[1] }, code);
  const known = { accompagnement: "coaching", qualité: "quality", formation: "training", sécurité: "safety" }[reason];
  return known ? t(`reason_${known}`, {}, code) : reason;
}

/** Why a broadcast is interrupted; of what a later page knows, only that it is. */
export function interruptedWords(cause, code) {
  const key = `interrupted_${cause}`;
  return t(hasWords(key) ? key : "state_interrupted", {}, code);
}

/** « Connexion… » or « Reconnexion dans 3 s ». */
export function retryWords(state, retryAt, code) {
  if (state !== "waiting") return t("connecting", {}, code);
  return t("reconnecting_in", { s: Math.max(1, Math.ceil((retryAt - Date.now()) / 1000)) }, code);
}

/** Whether an error of the server is its last word on this connection, whose end has words of its own. */
export function isFarewell({ code, commercial_id }) {
  return code === "token_refused" || (code === "not_allowed" && commercial_id === undefined);
}

/** A text of several lines as a list. */
export function lines(key, code) {
  return element("ul", {}, ...t(key, {}, code).split("\n").map((line) => element("li", { textContent: line })));
}

/**
 * How good a network is, by what gets lost and how long it takes.
 * @param {{loss: number, rtt_ms: number|null}} quality
 * @param {"quality"|"network"} words with the loss, or without
 */
export function qualityWords({ loss, rtt_ms }, code, words = "quality") {
  const isPoor = loss > 0.08 || rtt_ms > 600;
  const isFair = loss > 0.02 || rtt_ms > 300;
  const percent = (loss * 100).toLocaleString(code, { maximumFractionDigits: 1 });
  return t(`${words}_${isPoor ? "poor" : isFair ? "fair" : "good"}`, { loss: percent }, code);
}

/** Whether a person who looks at the page sees a place, as far as a page can know at once. @param {Element} place */
export function isOnScreen(place) {
  const { left, top, right, bottom, width, height } = place.getBoundingClientRect();
  const isInside = width * height > 0 && right > 0 && bottom > 0 && left < innerWidth && top < innerHeight;
  return isInside && isVisible(place);
}

/** Whether styles let a place be seen, wherever it is. @param {Element} place */
export function isVisible(place) {
  if (!place.checkVisibility) return place.getClientRects().length > 0 && getComputedStyle(place).visibility === "visible";
  // The last two are older names of the others.
  return place.checkVisibility({ visibilityProperty: true, opacityProperty: true, checkVisibilityCSS: true, checkOpacity: true });
}

/**
 * Whether a row can be read: nothing covers it or cuts it off, or it can be scrolled to in a list that is seen itself.
 * @param {Element|undefined} row
 * @param {Element} [name] the part of it that must be seen
 */
export function isReadable(row, name = row) {
  if (!row) return false;
  const { parentElement: list } = row;
  const isOnItsWay = () => list && list !== document.body && list.scrollHeight > list.clientHeight
    && /auto|scroll/.test(getComputedStyle(list).overflowY) && isSeen(list);
  return isSeen(name) || Boolean(isOnItsWay());
}

/** Whether the middle of a place, of its first line, is on the screen and where a finger would touch it. */
function isSeen(place) {
  if (!isOnScreen(place)) return false;
  // What is on top of everything is also seen where a dialog of the page takes every touch.
  if ("popover" in place && place.closest(":popover-open")) return true;
  const { left, top, width, height } = place.getClientRects()[0];
  return place.contains(place.getRootNode().elementFromPoint(left + width / 2, top + height / 2));
}
