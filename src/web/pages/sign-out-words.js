/** What is asked before somebody signs out amid something. As `words.js`, in French first and in English. */

import { addWords } from "./words.js";

addWords({
  fr: {
    sign_out_title: "Se déconnecter ?",
    sign_out_commercial: "Votre direct s'arrêtera. Pour revenir, il faudra ouvrir à nouveau votre lien.",
    sign_out_admin: "Vos écoutes s'arrêteront, et celles en attente seront annulées. Pour revenir, il faudra ouvrir à nouveau votre lien.",
    sign_out_stay: "Rester",
  },
  en: {
    sign_out_title: "Sign out?",
    sign_out_commercial: "Your broadcast will stop. To come back, you will need to open your link again.",
    sign_out_admin: "Listening will stop, and anything you are waiting for will be cancelled. To come back, you will need to open your link again.",
    sign_out_stay: "Stay",
  },
});
