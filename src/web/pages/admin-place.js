/**
 * Where one salesperson is: the coordinates, how exact and how old they are, and the way to a map of one's own.
 *
 * No map is drawn and nobody else is asked: a position of a person leaves this page only when its reader opens it.
 */

import { age } from "./admin-list.js";
import { showPerson } from "./ecoute-names.js";
import { byId, setText } from "./page.js";
import { t } from "./words.js";

export class PlaceCard {
  /** @type {import("./admin-list.js").Entry|null} */
  #entry = null;

  constructor() {
    byId("place-copy").addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(byId("place-point").textContent);
        label("place_copied"); // A message of the page would lie behind the card.
      } catch {
        getSelection().selectAllChildren(byId("place-point"));
      }
    });
    const dialog = byId("place");
    byId("place-close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => { this.#entry = null; });
  }

  /** Opens the card for one row. @param {import("./admin-list.js").Entry} entry @param {number} now unix ms */
  show(entry, now) {
    this.#entry = entry;
    label("place_copy");
    this.draw(now);
    byId("place").showModal();
  }

  /** Keeps an open card true; a position that was withdrawn closes it. @param {number} now unix ms */
  draw(now) {
    if (!this.#entry) return;
    const { position, commercial } = this.#entry;
    if (!position) return byId("place").close();
    const point = `${position.lat.toFixed(5)}, ${position.lon.toFixed(5)}`;
    showPerson(byId("place-name"), { id: commercial.commercial_id, name: commercial.name });
    setText(byId("place-when"), t("place_when", { age: age(now - position.at), m: Math.round(position.accuracy_m) }));
    setText(byId("place-point"), point);
    const [lat, lon] = point.split(", ");
    // RFC 5870; the query is what map applications of phones read to set a mark.
    byId("place-map").href = `geo:${lat},${lon}?q=${lat},${lon}`;
  }
}

/** Names the copy button by what it does, or did. */
function label(key) {
  byId("place-copy").dataset.t = key;
  setText(byId("place-copy"), t(key));
}
