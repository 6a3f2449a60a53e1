/**
 * The newest note of the server's journal that a person was given on this device, and whether that journal still contains it.
 *
 * A note is what the server signed: how many entries there are, and where the chain through them is. It knows no connection
 * and no page. Its one invariant: a kept note goes only for one of a journal that contains it, or once its person has said so.
 */

import { claimsOf, load, save } from "./session.js";

/** A longer text is no note, and more than the server reads. */
const NOTE_CHARS_MAX = 340;
/** What the server says of a note that it signed, or another one did, and can't prove. */
const DOUBTS = ["missing", "different", "other_key"];

export class JournalNote {
  #origin;
  #onChange;
  /** Where the note is kept. */
  #key = "";
  /** What the page registered with; null where it had none. */
  #brought = null;
  /** What would be kept instead, where the journal is doubted. */
  #offered = null;
  /** Why the journal is doubted; null where it is not. @type {"missing"|"different"|"other_key"|null} */
  #doubt = null;

  /** @param {string} server its address @param {() => void} onChange told when the doubt comes or goes */
  constructor(server, onChange) {
    this.#origin = new URL(server, location.href).origin;
    this.#onChange = onChange;
  }

  /** The `detail` of the `journal` event. */
  get detail() { return { doubt: this.#doubt, note: this.#doubt && this.#brought }; }

  /** What to register with, or null. @param {string} token of whom */
  bring(token) {
    const key = `ecoute.note.${this.#origin}.${claimsOf(token).sub ?? ""}`;
    if (key !== this.#key) this.#become(null);
    this.#key = key;
    const kept = load(key);
    this.#brought = kept && kept.length <= NOTE_CHARS_MAX ? kept : null;
    return this.#brought;
  }

  /** The server tells its newest note, and proves the one that was brought. */
  handleNote({ note = null, proof }) {
    const { result, chain } = proof ?? {};
    const isContained = result === "contained" && chain === chainOf(this.#brought);
    if (DOUBTS.includes(result) || (result === "contained" && !isContained)) {
      this.#offered = note;
      return this.#become(isContained || result !== "contained" ? result : "different");
    }
    if (isContained) this.#become(null);
    // Of what another page has kept meanwhile the newest stays.
    const kept = load(this.#key);
    const isNewer = !(sizeOf(kept) > sizeOf(note)) || (result === "unreadable" && kept === this.#brought);
    const isAnswered = isContained || result === "unreadable" || this.#brought === null;
    if (note !== null && isAnswered && isNewer) save(this.#key, note);
  }

  /** The person knows that the journal is another one: from now on it is this one. */
  accept() {
    if (this.#doubt === null) return;
    save(this.#key, this.#offered);
    this.#become(null);
  }

  #become(doubt) {
    if (this.#doubt === doubt) return;
    this.#doubt = doubt;
    this.#onChange();
  }
}

/** How many entries a note is of; of no note, NaN. */
function sizeOf(note) { return Number(note?.split("\n")[1]); }

function chainOf(note) { return note?.split("\n")[2]; }
