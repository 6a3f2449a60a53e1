/**
 * The supervisor's page: who is on air, and one button per person to hear them.
 *
 * It joins the list (`admin-list.js`), whose headphones bring their floating panel along, what is shown of it
 * (`admin-find.js`), the keyboard and the client. Everything shown follows from the client's state in `draw`, which runs
 * inside every event; of people, who may be many, what comes often is drawn in the next frame.
 */

import "./admin-words.js";
import { Finder } from "./admin-find.js";
import { areLettersOn, attachKeys, setLetters } from "./admin-keys.js";
import { CommercialList, whenWords } from "./admin-list.js";
import { Notices } from "./admin-notices.js";
import { Views } from "./admin-views.js";
import { Diagnostic } from "./diagnostic.js";
import { EcouteCasque } from "./ecoute-casque.js";
import { EcouteClient } from "./ecoute-client.js";
import { nameOf, who } from "./ecoute-names.js";
import { attachHelp, linesOf, showDevices, worded } from "./help.js";
import {
  attachSignOut, byId, element, isFarewell, openGate, retryWords, setText, showConnection, showHelp, startLanguages, toast,
} from "./page.js";
import { showJournal, watchJournal } from "./page-journal.js";
import { load, PageToken, save } from "./session.js";
import { hasWords, t } from "./words.js";

const ROLE = "admin";
const REASON_KEY = "ecoute.reason";
const TRIES_BEFORE_HELP = 3;

// Of the elements this page has one alone, and is spared the other's code.
customElements.define("ecoute-casque", EcouteCasque);

const token = new PageToken(ROLE);
const client = new EcouteClient({ getToken: async () => token.current });
const diagnostic = new Diagnostic(client);
const list = new CommercialList(byId("commercials"), client, showPlace, drawList);
const finder = new Finder(list);
const notices = new Notices();
const views = new Views(client, () => token.current, () => draw());

const view = {
  hasToken: token.current !== "" && token.replaces === null,
  connection: { state: "idle" },
  /** Since when the list may be out of date, in unix ms; null while connected. */
  lostAt: null,
  failedTries: 0,
  hasList: false,
  /** The card with a position, once one was asked for. @type {import("./admin-place.js").PlaceCard|null} */
  place: null,
};

client.addEventListener("connection", ({ detail }) => {
  view.connection = { ...detail, retry_at: Date.now() + (detail.retry_in_ms ?? 0) };
  if (detail.state === "waiting") view.failedTries += 1;
  if (detail.state === "registered") view.failedTries = 0;
  view.lostAt = detail.state === "registered" ? null : view.lostAt ?? client.now;
  if (detail.state !== "registered") list.forgetSpeech();
  // A supervisor may open many pages; only a salesperson is asked which one to use.
  if (detail.state === "already_open") return refuseRole("commercial");
  draw();
});
client.addEventListener("registered", ({ detail }) => {
  if (detail.role !== ROLE) return refuseRole(detail.role);
  token.accept(client.now);
  showDevices(detail.devices);
  draw();
});
client.addEventListener("commercials", ({ detail }) => {
  view.hasList = true;
  tellNews(detail.commercials);
  list.replace(detail.commercials);
  draw();
});
client.addEventListener("commercial", ({ detail: { commercial } }) => {
  tellNews([commercial]);
  list.update(commercial);
});
client.addEventListener("position", ({ detail }) => list.locate(detail));
client.addEventListener("audio", () => draw());
client.addEventListener("journal", () => draw());
client.addEventListener("listening_pending", ({ detail: { commercial_id, cause } }) => {
  if (cause === "hearing_another") announce(t("notice_on_air", { who: who(list.personOf(commercial_id)) }));
  draw();
});
client.addEventListener("listening_started", () => {
  announce(""); // The panel says so itself.
  draw();
});
client.addEventListener("listening_stopped", ({ detail }) => {
  const words = { who: who(list.personOf(detail.commercial_id)) };
  // A switch is seen in the panel; any other end that nobody here asked for is said.
  if (!detail.cause) announce(t("stopped_here", words));
  // And a refusal has words of its own.
  else if (!["switched", "journal_unavailable"].includes(detail.cause)) toast(t("stopped_by_server", words));
  draw();
});
client.addEventListener("error", ({ detail }) => {
  // What keeps the audio away stays on the page. A refusal to register ends the connection, and that has its own words.
  const hasOwnWords = detail.code === client.audio.problem || isFarewell(detail);
  if (view.connection.state === "registered" && !hasOwnWords) toast(refusalWords(detail.code));
  draw();
});

watchJournal(client, ROLE);
byId("commercials").addEventListener("ecoute-listen", onListen);
attachSignOut(ROLE, client, token, () => client.wishes.length > 0);
for (const id of ["reason-kind", "reason-text"]) byId(id).addEventListener("input", onReason);
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());

showStoredReason();
attachKeys({
  list,
  views,
  mute: () => client.setMuted(client.wishes.length > 0 && !client.isMuted),
  stop: () => client.stop(client.currentWish?.commercial_id),
  help: () => byId("help-open").click(),
});
attachHelp(["sound", "server", "audio", "audio_unsupported"], keysHelp());
diagnostic.attach();
startLanguages(() => draw());
setInterval(() => draw("aged"), 1000);
if (view.hasToken) client.connect();
else if (token.replaces) openGate((gate) => gate.askToReplace(token, onReplaced));
else openGate((gate) => gate.showGate(token.isDamaged ? "damaged" : "no_token", ROLE));
draw();

/** The person here is who the link is of. */
function onReplaced() {
  view.hasToken = true;
  client.connect();
  draw();
}

/** The link is somebody's of another role: it works on another page only. */
function refuseRole(role) {
  view.hasToken = false;
  client.close();
  openGate((gate) => gate.showOtherRole(role, token));
  draw();
}

/** The headphones of one row are about to wish: the reason is the page's. */
function onListen(event) {
  const reason = chosenReason();
  if (reason !== null) event.target.reason = reason;
  else {
    event.preventDefault();
    byId("reason-text").focus(); // Its placeholder says what is missing.
  }
}

/** Tells of people one waits for who are on air now; the list does not know yet. */
function tellNews(commercials) {
  for (const { commercial_id: id, name, state } of commercials) {
    const isNews = state === "on_air" && list.stateOf(id) !== "on_air";
    if (isNews && client.wishes.some((wish) => wish.commercial_id === id)) {
      notices.onAir({ id, name }, !client.wishes.some((wish) => wish.state === "started" || wish.cause === "paused"));
    }
  }
}

/** @param {"all"|"aged"} [rows] which rows of the list */
function draw(rows = "all") {
  const { state } = view.connection;
  const isExpired = state === "expired";
  if (isExpired && byId("gate").hidden) openGate((gate) => gate.showRefused(client, token, ROLE));
  document.body.dataset.connection = connectionName(state);
  document.body.dataset.audio = client.audio.connection;
  const isUsable = view.hasToken && !isExpired;
  byId("team").hidden = byId("reason").hidden = !isUsable || views.isHistory;
  views.draw(isUsable);
  byId("connection").hidden = byId("sign-out").hidden = !view.hasToken;
  setText(byId("name"), view.hasToken ? nameOf(client.user ?? token.person) : "");
  showConnection(view.connection);
  showHelp(helpTopic());

  notices.draw();
  showJournal(client, ROLE);
  drawLost();
  drawList(rows);
}

/** Shows where somebody is. @param {import("./admin-list.js").Entry} entry */
async function showPlace(entry) {
  try {
    const { PlaceCard } = await import("./admin-place.js");
    view.place ??= new PlaceCard();
    view.place.show(entry, client.now);
  } catch {
    toast(t("view_failed"));
  }
}

/** What is said of people, who may be many: in events that come often, only whom they are of. */
function drawList(rows = "fresh") {
  byId("team-empty").hidden = list.size > 0;
  setText(byId("team-empty"), t(view.hasList ? "team_empty" : "team_waiting"));
  const now = view.lostAt ?? client.now;
  list.draw(rows, client.wishes, now);
  finder.draw();
  view.place?.draw(now);
  drawTitle();
}

/** What keeps this page from its work, a topic of the help; null where nothing does. */
function helpTopic() {
  const { problem } = client.audio;
  if (problem) return problem === "audio_connection_failed" ? "audio" : problem;
  return view.failedTries >= TRIES_BEFORE_HELP ? "server" : null;
}

function connectionName(state) {
  if (!view.hasToken) return "no_token";
  if (state === "registered") return "connected";
  return state === "expired" ? state : "connecting";
}

/** A banner over a list that may not be true any more; it is read aloud once, not every second. */
function drawLost() {
  const { state, retry_at } = view.connection;
  const isLost = view.hasList && !views.isHistory && (state === "waiting" || state === "connecting");
  byId("lost").hidden = !isLost;
  setText(byId("lost").firstElementChild, isLost ? t("lost", { when: whenWords(view.lostAt, client.now) }) : "");
  setText(byId("lost").lastElementChild, isLost ? retryWords(state, retry_at) : "");
}

/** What starts and stops here is read aloud at once. */
function announce(text) { byId("announce").replaceChildren(element("span", { textContent: text })); }

function keysHelp() {
  const input = element("input", { type: "checkbox", checked: areLettersOn() });
  input.addEventListener("input", () => setLetters(input.checked));
  const choice = element("label", { className: "check" }, input, worded("span", "help_keys_letters"));
  return [worded("h3", "help_keys_title"), linesOf("help_keys"), choice];
}

function drawTitle() {
  const started = client.wishes.find((wish) => wish.state === "started");
  const title = started ? t("page_admin_started", { who: who(list.personOf(started.commercial_id)) }) : t("page_admin");
  if (document.title !== title) document.title = title;
}

function refusalWords(code) {
  return t(hasWords(`refused_${code}`) ? `refused_${code}` : "refused_other", { code });
}

/** The reason as the protocol has it, or null where « autre » is not explained yet. */
function chosenReason() {
  const kind = byId("reason-kind").value;
  if (kind !== "autre") return kind;
  const text = byId("reason-text").value.trim();
  return text ? `autre: ${text}` : null;
}

function onReason() {
  const kind = byId("reason-kind").value;
  const text = byId("reason-text");
  const wasHidden = text.hidden;
  text.hidden = kind !== "autre";
  if (wasHidden && !text.hidden) text.focus();
  save(REASON_KEY, JSON.stringify({ kind, text: text.value }));
}

function showStoredReason() {
  try {
    const { kind, text } = JSON.parse(load(REASON_KEY)) ?? {};
    byId("reason-kind").value = kind ?? "accompagnement";
    byId("reason-text").value = text ?? "";
  } catch {
    // An unreadable choice is none.
  }
  if (!byId("reason-kind").value) byId("reason-kind").value = "accompagnement";
  byId("reason-text").hidden = byId("reason-kind").value !== "autre";
}
