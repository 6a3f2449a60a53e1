/**
 * The question before « Se déconnecter » ends something. It is loaded when it is asked.
 */

import { byId, element, fillWords } from "./page.js";
import "./sign-out-words.js";

/** @param {"commercial"|"admin"} role whose page it is @param {() => void} leave what the answer may be */
export function askToSignOut(role, leave) {
  const worded = (tag, key, properties) => {
    const made = element(tag, properties);
    made.dataset.t = key;
    return made;
  };
  const question = byId("sign-out-ask") ?? element("dialog", { id: "sign-out-ask", className: "card card-dialog" },
    worded("h2", "sign_out_title", { id: "sign-out-title" }), worded("p", `sign_out_${role}`),
    worded("button", "sign_out_stay", { id: "sign-out-stay", type: "button", className: "primary" }),
    worded("button", "sign_out", { id: "sign-out-leave", type: "button" }));
  question.setAttribute("aria-labelledby", "sign-out-title");
  document.body.append(question);
  fillWords();
  byId("sign-out-stay").onclick = () => question.close();
  byId("sign-out-leave").onclick = leave;
  question.showModal();
}
