/**
 * `#gate`: what a page says instead of all else where there is no token, or none that works, and the form that takes another.
 *
 * Text from the network becomes text nodes only. Its one invariant: nothing of a link that is asked about is sent anywhere.
 */

import { showPerson } from "./ecoute-names.js";
import "./gate-words.js";
import { byId, element, fillWords, setText } from "./page.js";
import { isElsewhere, pastedLink } from "./session.js";
import { t } from "./words.js";

/**
 * Says in `#gate` why the server does not take the token, as far as the person can do something about it.
 * @param {import("./ecoute.js").EcouteClient} client
 * @param {import("./session.js").PageToken} token
 * @param {string} role
 */
export function showRefused(client, token, role) {
  const { reason = "signature" } = client.connection;
  if (reason === "signature") showGate(client.user || token.isPast(client.now) ? "expired" : "refused", role);
  else if (["expired", "revoked", "not_yet_valid"].includes(reason)) showGate(reason, role);
  // Only who makes links can do something about all else.
  else showGate("unusable", role, reason);
}

/**
 * Shows the form that takes a link, in `#gate`.
 * @param {"no_token"|"expired"|"refused"|"revoked"|"not_yet_valid"|"unusable"|"damaged"} why
 * @param {string} [role] role of the page, whose bare token is taken too
 * @param {string} [reason] the server's word, for who makes links
 */
export function showGate(why, role, reason = "") {
  const input = element("input", { type: "text", autocomplete: "off", spellcheck: false, placeholder: "https://…#t=…" });
  input.dataset.label = "paste_label";
  const problem = element("p", { className: "problem" });
  problem.setAttribute("role", "alert");
  const form = element("form", {}, input, labelled("button", "paste_open", { className: "primary", type: "submit" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const pasted = input.value;
    const link = pastedLink(pasted, role);
    input.value = "";
    if (link) location.assign(link);
    else setText(problem, t(isElsewhere(pasted) ? "paste_other_site" : "paste_bad"));
  });
  const [title, text] = {
    no_token: ["no_token_title", "no_token"],
    expired: ["expired_title", "expired"],
    damaged: ["no_token_title", "paste_bad"],
  }[why] ?? ["refused_title", why];
  fillGate(labelled("h2", title), labelled("p", text), reason, form, problem);
}

/**
 * Says in `#gate` that the link is of the other role, and offers the page where it works.
 * @param {"admin"|"commercial"} role what the link is for
 * @param {import("./session.js").PageToken} token
 */
export function showOtherRole(role, token) {
  const open = labelled("button", `link_of_${role}_open`, { className: "primary", type: "button" });
  open.addEventListener("click", () => location.assign(token.addressOn(role)));
  fillGate(labelled("h2", `link_of_${role}`), open);
}

/**
 * Asks in `#gate` whether the person here is somebody else now; until then nothing of the link is sent anywhere.
 * @param {import("./session.js").PageToken} token
 * @param {() => void} change goes on as whoever the link is of
 */
export function askToReplace(token, change) {
  const stay = element("button", { id: "replace-stay", type: "button", className: "primary" }, labelled("span", "replace_stay"), " ", named(token.replaces));
  const go = labelled("button", "replace_go", { id: "replace-go", type: "button" });
  // The link is no longer in the address.
  stay.addEventListener("click", () => location.reload());
  go.addEventListener("click", () => {
    byId("gate").hidden = true;
    change();
  });
  fillGate(labelled("h2", "replace_title"),
    element("p", {}, labelled("span", "replace_now"), " ", named(token.replaces)),
    element("p", {}, labelled("span", "replace_link"), " ", named(token.person)), stay, go);
}

/** A person by themselves, behind a label. */
function named(person) {
  const shown = element("span", { className: "whom" });
  showPerson(shown, person);
  return shown;
}

function fillGate(...children) {
  byId("gate").replaceChildren(...children);
  byId("gate").hidden = false;
  fillWords();
}

/** An element whose words follow the language. */
function labelled(tag, key, properties = {}) {
  const made = element(tag, properties);
  made.dataset.t = key;
  return made;
}
