/**
 * What is wrong with the server's journal: that it can't be written, and that it is not the one that was kept a note of. The
 * latter is lasting and in red, until whoever is at the page has said that it was told on.
 *
 * Its one invariant: each is on the page exactly as long as the client says so.
 */

import { icon } from "./icons.js";
import "./journal-words.js";
import { byId, element, fillWords } from "./page.js";
import { worded } from "./help.js";

/** The words of it, once they were needed. */
let fault = null;
let coming = null;

/**
 * Says in `#journal` that nobody can begin to listen, and why, for as long as that is so; and below it that the journal was
 * restored.
 * @param {import("./ecoute.js").EcouteClient} client
 * @param {"admin"|"commercial"} role
 */
export function showJournal(client, role) {
  const isTold = !client.journal.ok && ["registered", "witness"].includes(client.connectionState);
  byId("journal").hidden = !isTold || !fault;
  showRestored(client);
  if (isTold && fault) fault.sayFault(client, role);
  else if (isTold) loadFault().then(() => showJournal(client, role), (error) => console.warn("écoute: no words for it", error));
}

/** What is said of a restoration, once that was needed. */
let restored = null;
let restoredComing = null;

/** Says once that the journal was restored, for as long as nobody has confirmed that they know. */
function showRestored(client) {
  if (restored) return restored.draw(client);
  if (!client.journal.restored || restoredComing) return;
  restoredComing = import("./page-restored.js").then((loaded) => {
    restored = loaded;
    showRestored(client);
  }).catch((error) => console.warn("écoute: no words for it", error)).finally(() => { restoredComing = null; });
}

/** Loads the words. The server was here just now; where they do not come, they are asked for again with the next change. */
function loadFault() {
  coming ??= import("./page-fault.js").then((loaded) => { fault = loaded; }).finally(() => { coming = null; });
  return coming;
}

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
