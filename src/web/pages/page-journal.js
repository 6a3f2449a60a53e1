/**
 * « Le journal du serveur a été modifié »: lasting and in red, until whoever is at the page has said that it was told on.
 *
 * Its one invariant: it is on the page exactly as long as the client doubts the journal.
 */

import { icon } from "./icons.js";
import { element, fillWords } from "./page.js";
import { worded } from "./help.js";

/**
 * Shows what the client says of the journal, above all else.
 * @param {import("./ecoute.js").EcouteClient} client
 * @param {"admin"|"commercial"} role of the page
 */
export function watchJournal(client, role) {
  let shown = null;
  client.addEventListener("journal_doubt", ({ detail: { doubt, note } }) => {
    if (shown) {
      URL.revokeObjectURL(shown.querySelector("a").href);
      shown.remove();
      shown = null;
    }
    if (!doubt) return;
    const proof = worded("a", "journal_proof");
    proof.className = "button";
    proof.href = URL.createObjectURL(new Blob([note], { type: "text/plain" }));
    proof.download = "ecoute-journal.txt";
    const told = worded("button", "journal_told");
    told.type = "button";
    told.addEventListener("click", () => client.acceptJournal());
    const title = element("h2", {}, icon("warn"), " ", worded("span", "journal_doubt"));
    shown = element("section", { id: "journal-doubt", className: "card doubt" }, title, worded("p", `journal_tell_${role}`), proof, " ", told);
    shown.setAttribute("role", "alert");
    document.querySelector("main").prepend(shown);
    fillWords();
  });
}
