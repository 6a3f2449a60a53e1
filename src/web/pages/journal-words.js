/** What is said of a journal that is not the one any more, on both pages. As `words.js`, in French first and in English. */

import { addWords } from "./words.js";

addWords({
  fr: {
    journal_doubt: "Le journal du serveur a été modifié : il ne contient plus ce qui avait été noté sur cet appareil.",
    journal_tell_commercial: "Prévenez votre responsable, et remettez-lui la preuve.",
    journal_tell_admin: "Prévenez la personne qui gère le serveur, et remettez-lui la preuve.",
    journal_proof: "Télécharger la preuve",
    journal_told: "C'est fait, ne plus afficher",
  },
  en: {
    journal_doubt: "The server's journal has been changed: it no longer contains what had been noted on this device.",
    journal_tell_commercial: "Tell your supervisor, and hand over the proof.",
    journal_tell_admin: "Tell whoever runs the server, and hand over the proof.",
    journal_proof: "Download the proof",
    journal_told: "Done, do not show this again",
  },
});
