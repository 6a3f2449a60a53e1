/** Why the journal can't be written, as both pages say it. As `words.js`, in French first and in English. */

import { addWords } from "./words.js";

addWords({
  fr: {
    journal_of_admin: "Le journal ne peut pas être écrit : aucune nouvelle écoute ne peut commencer.",
    journal_of_commercial: "Aucune nouvelle écoute ne peut commencer : le serveur ne peut pas écrire son journal.",
    journal_disk_full: "Le disque du serveur est plein.",
    journal_not_permitted: "Le disque du serveur refuse l'écriture.",
    journal_hangs: "Le disque du serveur ne répond pas.",
    journal_damaged: "Le journal est endommagé.",
    journal_replaced: "Le journal a été modifié ou remplacé.",
    journal_other: "Les messages du serveur disent pourquoi.",
    journal_goes_on: "Les écoutes en cours continuent.",
    journal_tell: "Prévenez la personne qui s'occupe du serveur.",
  },
  en: {
    journal_of_admin: "The journal can't be written: nobody can begin to listen.",
    journal_of_commercial: "Nobody else can start listening: the server can't write its journal.",
    journal_disk_full: "The server's disk is full.",
    journal_not_permitted: "The server's disk refuses writes.",
    journal_hangs: "The server's disk does not answer.",
    journal_damaged: "The journal is damaged.",
    journal_replaced: "The journal was changed or replaced.",
    journal_other: "The server's log says why.",
    journal_goes_on: "Anyone already listening stays connected.",
    journal_tell: "Tell whoever looks after the server.",
  },
});
