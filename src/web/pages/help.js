/**
 * « Aide »: every help text of a page in one dialog, at hand before anything goes wrong.
 *
 * Its one invariant: what it says is what the page itself shows when that trouble comes; the texts are the same.
 */

import { plain } from "./ecoute-names.js";
import { byId, element, fillWords } from "./page.js";

/**
 * Fills the dialog `#help-all` and lets `#help-open` open it. Call it before words are filled in.
 * @param {string[]} topics `help_<topic>_title` and the lines of `help_<topic>`
 * @param {Node[]} [first] what stands above the topics
 */
export function attachHelp(topics, first = []) {
  const dialog = byId("help-all");
  const title = worded("h2", "help");
  const close = worded("button", "close");
  title.id = "help-all-title";
  close.type = "button";
  dialog.setAttribute("aria-labelledby", title.id);
  dialog.append(element("header", {}, title, close), element("ul", { id: "help-devices", hidden: true }), ...first, ...topics.map(topicPart));
  close.addEventListener("click", () => dialog.close());
  // The dialog itself is what one hits beside its content.
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  byId("help-open").addEventListener("click", () => dialog.showModal());
}

/** Says which microphones stand in rooms, heard without a page: everybody may know. @param {{id: string, place: string}[]} [devices] */
export function showDevices(devices = []) {
  const rows = devices.map(({ id, place }) => element("li", {},
    worded("span", "room_microphone"), " ", element("bdi", { textContent: plain(place) || plain(id) }),
    element("span", { className: "detail" }, " (", element("bdi", { textContent: plain(id) }), ")")));
  byId("help-devices").hidden = rows.length === 0;
  byId("help-devices").replaceChildren(...rows);
  fillWords();
}

/** An element with a text that follows the language. */
export function worded(tag, key) {
  const made = element(tag);
  made.dataset.t = key;
  return made;
}

/** A list with the lines of a text, which follows the language. */
export function linesOf(key) {
  const made = element("ul");
  made.dataset.lines = key;
  return made;
}

function topicPart(topic) {
  return element("details", { name: "help" }, worded("summary", `help_${topic}_title`), linesOf(`help_${topic}`));
}
