/**
 * The supervisor's keyboard: ↑↓ move, Enter listens, M mutes, Esc stops, / searches, H goes to the history and back, where
 * ←→ turn the days, ? helps.
 *
 * Letters work only outside text fields, and can be turned off for whoever speaks to their computer (WCAG 2.1.4). Its
 * one invariant: a key that a control of the page understands itself is left to it.
 */

import { byId } from "./page.js";
import { load, save } from "./session.js";

const OFF_KEY = "ecoute.letters_off";

/** Controls that use arrow keys themselves. */
const USES_ARROWS = "select, input, textarea, dialog *";
const TAKES_LETTERS = "select, textarea, input:not([type=range], [type=checkbox])";

/** Whether letters are shortcuts. */
export const areLettersOn = () => load(OFF_KEY) === null;

/** Turns letters as shortcuts on or off, and remembers it. @param {boolean} isOn */
export function setLetters(isOn) {
  save(OFF_KEY, isOn ? null : "1");
  showLetters();
}

/**
 * Attaches the keyboard to the page.
 * @param {object} actions
 * @param {import("./admin-list.js").CommercialList} actions.list
 * @param {import("./admin-views.js").Views} actions.views
 * @param {() => void} actions.mute
 * @param {() => void} actions.stop
 * @param {() => void} actions.help
 */
export function attachKeys({ list, views, mute, stop, help }) {
  const search = () => views.history?.search ?? byId("search");
  const letters = { m: mute, h: () => views.toggle(), "/": () => search().select(), "?": help };

  showLetters();
  addEventListener("keydown", (event) => {
    const { key } = event;
    const [target] = event.composedPath(); // The headphones' own button, not the element around it.
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    // A key that stays down only moves; it neither listens and stops in turns nor says so to whoever is heard.
    if (event.repeat && !key.startsWith("Arrow")) return;
    const isSearch = target === search();
    const act = () => {
      switch (key) {
        case "ArrowDown":
        case "ArrowUp": return (isSearch || !target.matches(USES_ARROWS)) && move(key === "ArrowDown" ? 1 : -1);
        case "ArrowLeft":
        case "ArrowRight": return views.history !== null && !event.repeat && !target.matches(USES_ARROWS) && turn(key === "ArrowRight" ? 1 : -1);
        case "Home":
        case "End": return target.matches("[role=row], .only") && move(key === "Home" ? "first" : "last");
        case "Enter": return (target.matches("[role=row]") && listen(target)) || (isSearch && move("first"));
        case "Escape": return isSearch ? leaveSearch() : !target.matches(TAKES_LETTERS) && !isOverlayOpen() && perform(stop);
      }
      const letter = letters[key.toLowerCase()];
      return letter && areLettersOn() && !isOverlayOpen() && !target.matches(TAKES_LETTERS) && perform(letter);
    };
    if (act()) event.preventDefault();
  });

  const perform = (action) => {
    action();
    return true;
  };
  // A history that is still loading has no rows, and the list is not there to be moved in.
  const move = (step) => perform(() => (views.isHistory ? views.history : list)?.move(step));
  const turn = (step) => perform(() => views.history.turn(step));
  const listen = (row) => perform(() => row.querySelector("ecoute-casque").toggle());
  const leaveSearch = () => perform(() => {
    search().value = "";
    search().dispatchEvent(new Event("input"));
    move(1);
  });
}

/** The panel, which applications have too, shows a letter only where it is told of one. */
function showLetters() { document.documentElement.classList.toggle("letters", areLettersOn()); }

/** What lies over the page closes with Esc first. */
function isOverlayOpen() { return document.querySelector("dialog[open]") !== null; }
