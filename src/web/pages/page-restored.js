/**
 * That the server's journal was restored from a backup, which is loaded when that is so: until its person has closed it on this
 * browser, or somebody who manages people has confirmed for all that they know.
 *
 * Its one invariant: it is on the page only while the client says so.
 */

import "./restored-words.js";
import { clockWords, longDate } from "./history-source.js";
import { byId, element, fillWords, setText } from "./page.js";
import { load, save } from "./session.js";
import { language, t } from "./words.js";

/** For how long the button waits for what the server says, in ms. */
const WAIT_MS = 5_000;

/** How long the server may take to say again what it says at each connection, in ms: the notice does not flicker meanwhile. */
const SAID_AGAIN_MS = 1_000;

let shown = null;
let goneTimer = 0;

/**
 * Brings it up to date.
 * @param {import("./ecoute.js").EcouteClient} client
 * @param {boolean} [isPatient]
 */
export function draw(client, isPatient = true) {
  const { journal: { restored }, user } = client;
  if (shown && !restored && isPatient) {
    goneTimer ||= setTimeout(() => draw(client, false), SAID_AGAIN_MS);
    return;
  }
  clearTimeout(goneTimer);
  goneTimer = 0;
  const mayConfirm = user?.rights?.includes("manage") ?? false;
  // On air the page is for who listens, and nothing may move under a finger.
  const isTold = Boolean(restored && user) && client.streamingState === "off" && !isClosed(user.id, restored, mayConfirm) && client.connectionState !== "expired";
  const drawnFor = isTold ? [restored.at, user.id, mayConfirm, language()].join() : "";
  if ((shown?.dataset.drawnFor ?? "") === drawnFor) return;
  shown?.remove();
  shown = null;
  if (!isTold) return;
  const date = longDate(restored.made, { year: "numeric" });
  const words = element("p", { role: "status" });
  const text = element("div", {}, words, ...(mayConfirm ? [worded("p", "restored_manage", { className: "detail" })] : []));
  shown = element("section", { id: "restored", className: "card restored" }, text, mayConfirm ? confirm(client) : close(client));
  shown.dataset.drawnFor = drawnFor;
  byId("journal").after(shown);
  fillWords();
  // What comes into a place that is there is read aloud.
  setText(words, t("restored", { date, time: clockWords(restored.made) }));
}

/** For who may confirm it this is the way to close it, or nobody might. */
function confirm(client) {
  const button = worded("button", "restored_confirm", { id: "restored-confirm", type: "button", className: "primary" });
  button.addEventListener("click", () => {
    button.disabled = true;
    client.confirmRestoration();
    setTimeout(() => { button.disabled = false; }, WAIT_MS);
  });
  return button;
}

function close(client) {
  const button = worded("button", "close", { id: "restored-close", type: "button" });
  button.addEventListener("click", () => {
    const { journal: { restored }, user } = client;
    if (restored && user) save(keyOf(user.id), String(restored.at));
    closed.add(`${user?.id} ${restored?.at}`);
    draw(client);
  });
  return button;
}

/** What was closed here, where nothing can be kept. */
const closed = new Set();
const keyOf = (id) => `ecoute.restored.${id}`;

function isClosed(id, { at }, mayConfirm) {
  return !mayConfirm && (load(keyOf(id)) === String(at) || closed.has(`${id} ${at}`));
}

/** An element whose words follow the language. */
function worded(tag, key, properties = {}) {
  const made = element(tag, properties);
  made.dataset.t = key;
  return made;
}
