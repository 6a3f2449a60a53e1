/**
 * The supervisor's page: who is on air, and one button per person to hear them.
 *
 * It joins the parts: the list (`admin-list.js`), the floating panel (`admin-panel.js`) and the client. Everything shown
 * follows from the client's state in `draw`, which runs inside every event.
 */

import { CommercialList } from "./admin-list.js";
import { ListeningPanel } from "./admin-panel.js";
import { Diagnostic } from "./diagnostic.js";
import { EcouteClient } from "./ecoute.js";
import {
  byId, isFarewell, setText, showConnection, showGate, showHelp, showOtherRole, startLanguages, toast,
} from "./page.js";
import { load, PageToken, save } from "./session.js";
import { hasWords, t } from "./words.js";

const ROLE = "admin";
const REASON_KEY = "ecoute.reason";
/** Of this tab only: what it listened to, so that a reload goes on. */
const LISTENING_KEY = "ecoute.listening";
const TRIES_BEFORE_HELP = 3;

const token = new PageToken(ROLE);
const client = new EcouteClient({ getToken: async () => token.current });
const diagnostic = new Diagnostic(client);
const list = new CommercialList(byId("commercials"), toggle);
const panel = new ListeningPanel({ client, nameOf: (id) => list.nameOf(id) });

const view = {
  hasToken: token.current !== "",
  connection: { state: "idle" },
  /** Since when the list may be out of date, in unix ms; null while connected. */
  lostAt: null,
  failedTries: 0,
  hasList: false,
  /** Wishes of before a reload that wait for a click, `[{id, name, reason}]`. */
  toResume: [],
  isAudioFailing: false,
};

client.addEventListener("connection", ({ detail }) => {
  view.connection = { ...detail, retry_at: Date.now() + (detail.retry_in_ms ?? 0) };
  if (detail.state === "waiting") view.failedTries += 1;
  if (detail.state === "registered") view.failedTries = 0;
  view.lostAt = detail.state === "registered" ? null : view.lostAt ?? Date.now();
  if (detail.state === "expired") client.stop();
  if (detail.state !== "registered") drawLevels({});
  // A supervisor may open many pages; only a salesperson is asked which one to use.
  if (detail.state === "already_open") return refuseRole("commercial");
  draw();
});
client.addEventListener("registered", ({ detail }) => {
  if (detail.role !== ROLE) return refuseRole(detail.role);
  token.accept();
  if (!detail.renewed && client.wishes.length === 0) restoreListening();
  draw();
});
client.addEventListener("commercials", ({ detail }) => {
  view.hasList = true;
  list.replace(detail.commercials);
  draw();
});
client.addEventListener("commercial", ({ detail }) => {
  list.update(detail.commercial);
  draw();
});
client.addEventListener("levels", ({ detail }) => drawLevels(detail.levels));
client.addEventListener("audio", ({ detail }) => {
  if (detail.connection === "ready") view.isAudioFailing = false;
  draw();
});
client.addEventListener("listening_pending", onListening);
client.addEventListener("listening_started", ({ detail }) => {
  panel.onStarted(detail.commercial_id);
  onListening();
});
client.addEventListener("listening_stopped", ({ detail }) => {
  const name = list.nameOf(detail.commercial_id);
  // A switch is seen in the panel; any other end that nobody here asked for is said.
  if (detail.cause && detail.cause !== "switched") toast(t("stopped_by_server", { name }));
  onListening();
});
client.addEventListener("error", ({ detail }) => {
  if (detail.code === "audio_connection_failed") view.isAudioFailing = true;
  // A refusal to register ends the connection, and that has its own words.
  else if (view.connection.state === "registered" && !isFarewell(detail)) toast(refusalWords(detail.code));
  draw();
});

byId("resume").addEventListener("click", resume);
byId("forget").addEventListener("click", () => {
  client.close();
  token.forget();
  sessionStorage.removeItem(LISTENING_KEY);
  location.reload();
});
for (const id of ["reason-kind", "reason-text"]) byId(id).addEventListener("input", onReason);
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());

showStoredReason();
diagnostic.attach();
startLanguages(draw);
setInterval(draw, 1000);
if (view.hasToken) client.connect();
else showGate(token.isDamaged ? "damaged" : "no_token", ROLE);
draw();

/** The link is somebody's of another role: it works on another page only. */
function refuseRole(role) {
  view.hasToken = false;
  client.close();
  showOtherRole(role, token);
  draw();
}

/** The headphones of one row: a wish, or its end. */
function toggle(id) {
  if (client.wishes.some((wish) => wish.commercial_id === id)) return client.stop(id);
  const reason = chosenReason();
  if (reason === null) {
    byId("reason-text").focus(); // Its placeholder says what is missing.
    return;
  }
  view.toResume = [];
  client.listen(id, { reason });
}

function onListening() {
  const { id: admin } = client.user;
  const wishes = client.wishes.map(({ commercial_id: id, reason }) => ({ id, name: list.nameOf(id), reason }));
  try {
    if (wishes.length > 0) sessionStorage.setItem(LISTENING_KEY, JSON.stringify({ admin, wishes }));
    else sessionStorage.removeItem(LISTENING_KEY);
  } catch {
    // Without storage a reload only forgets.
  }
  draw();
}

/** After a reload: goes on by itself where the browser plays without a click, otherwise offers one button. */
async function restoreListening() {
  const { admin, wishes = [] } = storedListening();
  if (admin !== client.user.id || wishes.length === 0) return;
  view.toResume = wishes;
  const mayPlay = await client.resumeAudio();
  if (mayPlay && view.toResume === wishes) resume();
  draw();
}

function storedListening() {
  try {
    return JSON.parse(sessionStorage.getItem(LISTENING_KEY)) ?? {};
  } catch {
    return {};
  }
}

function resume() {
  client.resumeAudio();
  const wishes = view.toResume;
  view.toResume = [];
  for (const { id, reason } of wishes) client.listen(id, { reason });
  draw();
}

function drawLevels(levels) {
  list.drawLevels(levels);
  panel.drawLevels(levels);
}

function draw() {
  const { state } = view.connection;
  const isExpired = state === "expired";
  if (isExpired && byId("gate").hidden) showGate(client.user || token.isPast ? "expired" : "refused", ROLE);
  document.body.dataset.connection = connectionName(state);
  document.body.dataset.audio = client.audio.connection;
  byId("team").hidden = byId("reason").hidden = !view.hasToken || isExpired;
  byId("connection").hidden = byId("forget").hidden = !view.hasToken;
  setText(byId("name"), view.hasToken ? client.user?.name || client.user?.id || token.name : "");
  showConnection(view.connection);
  showHelp(view.isAudioFailing ? "audio" : view.failedTries >= TRIES_BEFORE_HELP ? "server" : null);

  byId("team-empty").hidden = list.size > 0;
  setText(byId("team-empty"), t(view.hasList ? "team_empty" : "team_waiting"));
  list.draw(client.wishes, view.lostAt ?? Date.now());
  panel.draw();
  drawResume();
  drawTitle();
}

function connectionName(state) {
  if (!view.hasToken) return "no_token";
  if (state === "registered") return "connected";
  return state === "expired" ? state : "connecting";
}

/** One large button wherever only a click can bring the sound back. */
function drawResume() {
  const started = client.wishes.find((wish) => wish.state === "started");
  const isHeldBack = started && client.audio.output === "suspended";
  const name = view.toResume.at(-1)?.name ?? (isHeldBack ? list.nameOf(started.commercial_id) : null);
  byId("resume").hidden = name === null;
  if (name !== null) setText(byId("resume").lastElementChild, t("resume", { name }));
}

function drawTitle() {
  const started = client.wishes.find((wish) => wish.state === "started");
  const title = started ? t("page_admin_started", { name: list.nameOf(started.commercial_id) }) : t("page_admin");
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
