/** What is said of a journal that was restored, on both pages. As `words.js`, in French first and in English. */

import { addWords } from "./words.js";

addWords({
  fr: {
    restored: "Journal restauré depuis la sauvegarde du {date} à {time} ; la suite manque.",
    restored_manage: "Tout le monde voit cet avis jusqu'à votre confirmation.",
    restored_confirm: "J'en ai pris connaissance",
  },
  en: {
    restored: "The journal was restored from the backup of {date} at {time}. Everything after that is missing.",
    restored_manage: "Everyone sees this notice until you confirm it.",
    restored_confirm: "I have taken note",
  },
});
