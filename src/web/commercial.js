/**
 * The salesperson's page: one button to go on air, and the truth about who hears.
 *
 * Everything shown follows from the client's state in `draw`, which runs inside every event. Its one invariant: when
 * the handler of `listener_joined` returns, the name is on the page and in the title.
 */

import { Diagnostic } from "./diagnostic.js";
import { EcouteClient, microphoneProblem } from "./ecoute.js";
import { icon, setIcon } from "./icons.js";
import { Meter } from "./meter.js";
import {
  byId, clock, duration, element, isFarewell, reasonWords, retryWords, setText, showConnection, showGate, showHelp,
  showOtherRole, startLanguages, toast,
} from "./page.js";
import { PageToken } from "./session.js";
import { hasWords, t } from "./words.js";

const ROLE = "commercial";
/** Listeners shown before « +2 » opens the rest. */
const LISTENERS_SHOWN = 3;
/** Failed tries after which the page says what may be wrong. */
const TRIES_BEFORE_HELP = 3;
/** How long an announcement can be found by a screen reader; the page shows what is true, this only what happened. */
const ANNOUNCEMENT_MS = 5_000;

const token = new PageToken(ROLE);
const client = new EcouteClient({ getToken: async () => token.current });
const diagnostic = new Diagnostic(client);
const meter = new Meter(byId("meter"));

/** What the client does not keep: help to show, tries that failed, what the last event left behind. */
const view = {
  hasToken: token.current !== "",
  connection: { state: "idle" },
  failedTries: 0,
  since: null,
  help: microphoneProblem(),
  isMuted: false,
  isListOpen: false,
  wasToldLive: false,
  announcementTimer: 0,
};

client.addEventListener("connection", ({ detail }) => {
  view.connection = { ...detail, retry_at: Date.now() + (detail.retry_in_ms ?? 0) };
  if (detail.state === "waiting") view.failedTries += 1;
  if (detail.state === "registered") view.failedTries = 0;
  // Another device has taken over: it is on air now, this one must not come back by itself.
  if (detail.state === "already_open" || detail.state === "expired") client.stopStreaming();
  // The server knows the person, and asks which page to use.
  if (detail.state === "already_open") token.accept();
  draw();
  const isFirstFailure = detail.state === "waiting" && view.failedTries === 1;
  if (isFirstFailure && client.streamingState !== "off") announce(t("offline_detail"));
});
client.addEventListener("registered", ({ detail }) => {
  if (detail.role !== ROLE) return refuseRole(detail.role);
  token.accept();
  draw();
});
client.addEventListener("streaming", ({ detail }) => onStreaming(detail));
client.addEventListener("microphone", ({ detail }) => {
  view.isMuted = detail.muted;
  draw();
});
client.addEventListener("listener_joined", ({ detail }) => {
  draw();
  announce(t("heard_started", { name: detail.admin.name, reason: reasonWords(detail.reason) }));
});
client.addEventListener("listener_left", ({ detail }) => {
  draw();
  announce(t("heard_ended", { name: detail.admin.name }));
});
client.addEventListener("error", ({ detail }) => onError(detail));

byId("start").addEventListener("click", start);
byId("stop").addEventListener("click", () => client.stopStreaming());
byId("pause").addEventListener("click", () => (client.isPaused ? client.resumeStreaming() : client.pauseStreaming()));
byId("take-over").addEventListener("click", () => client.takeOver());
byId("more").addEventListener("click", () => {
  view.isListOpen = !view.isListOpen;
  draw();
});
byId("forget").addEventListener("click", () => {
  client.close();
  token.forget();
  location.reload();
});
document.addEventListener("visibilitychange", holdScreen);
// Leaving the page ends the broadcast now, instead of leaving silence that looks like one.
addEventListener("pagehide", () => client.close());
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());

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

async function start() {
  view.help = null;
  try {
    await client.startStreaming();
  } catch (error) {
    view.help = error.code ?? "microphone_failed";
    diagnostic.note("error", { code: view.help });
  }
  draw();
}

function onStreaming({ state, since }) {
  view.since = since;
  // Whoever was said to listen hears nothing now.
  if (state !== "live" || client.isPaused) announce("");
  if (state === "live") {
    if (view.help === "audio") view.help = null;
    if (!view.wasToldLive) toast(t("toast_start"), "streaming");
    view.wasToldLive = true;
  }
  if (state === "off") {
    if (view.wasToldLive) toast(t("toast_stop"), "streaming");
    view.wasToldLive = false;
    view.isMuted = false;
    view.isListOpen = false;
    if (view.help === "audio") view.help = null;
  }
  meter.show(client.microphone);
  holdScreen();
  draw();
}

function onError(detail) {
  const { code } = detail;
  if (code === "audio_connection_failed") view.help = "audio";
  else if (hasWords(`help_${code}_title`)) view.help = code;
  // A refusal to register ends the connection, and that has its own words.
  else if (view.connection.state === "registered" && !isFarewell(detail)) view.help = "refused";
  draw();
}

function draw() {
  const { state } = view.connection;
  const streaming = client.streamingState;
  const isWanted = streaming !== "off";
  const isLive = streaming === "live" && state === "registered";
  const isExpired = state === "expired";
  const isElsewhere = state === "already_open";

  document.body.dataset.state = stateName();
  const gated = !view.hasToken || isExpired;
  if (isExpired && byId("gate").hidden) showGate(client.user || token.isPast ? "expired" : "refused", ROLE);
  byId("stage").hidden = gated || isElsewhere;
  byId("elsewhere").hidden = !isElsewhere;
  byId("forget").hidden = !view.hasToken;
  byId("connection").hidden = !view.hasToken;
  setText(byId("name"), (view.hasToken && (client.user?.name || client.user?.id || token.name)) || "écoute");
  showConnection(view.connection);
  if (isElsewhere) drawElsewhere();

  byId("live").hidden = !isLive || client.isPaused;
  byId("elapsed").hidden = !isLive;
  setText(byId("elapsed"), clock(Date.now() - view.since));
  byId("start").hidden = isWanted;
  byId("start").disabled = state !== "registered";
  byId("stop").hidden = !isWanted;
  byId("pause").hidden = streaming !== "live" && !client.isPaused;
  setIcon(byId("pause").firstElementChild, client.isPaused ? "mic" : "pause");
  setText(byId("pause-words"), t(client.isPaused ? "resume_streaming" : "pause"));
  byId("keep-open").hidden = !isWanted;
  byId("microphone-muted").hidden = !isWanted || !view.isMuted;

  const [words, detail] = stateWords();
  setText(byId("state"), words);
  setText(byId("state-detail"), detail);
  drawListeners();
  drawTitle();
  showHelp(view.help ?? (view.failedTries >= TRIES_BEFORE_HELP ? "server" : null));
}

/** One word for the whole page, for its style and for tests. */
function stateName() {
  const { state } = view.connection;
  if (!view.hasToken) return "no_token";
  if (state === "expired" || state === "already_open") return state;
  if (state !== "registered") return "connecting";
  switch (client.streamingState) {
    case "live": return client.isPaused ? "paused" : "on_air";
    case "off": return view.help ? "error" : "ready";
    default: return "starting";
  }
}

function stateWords() {
  const { state, retry_at } = view.connection;
  const listeners = client.listeners;
  if (client.isPaused && state === "registered") return [t("paused"), pausedDetail()];
  if (listeners.length === 1) return [t("on_air_heard", { names: listeners[0].admin.name }), ""];
  if (listeners.length > 1) return [t("on_air_heard_many", { names: shortNames() }), ""];
  if (state !== "registered") return [retryWords(state, retry_at), t("offline_detail")];
  switch (client.streamingState) {
    case "asking": return [t("asking"), t("asking_detail")];
    case "starting": return [t("starting"), t("starting_detail")];
    case "reconnecting": return [t("restarting"), t("starting_detail")];
    case "live": return [t("on_air_alone"), t("on_air_alone_detail")];
    default: return [t(view.help ? "failed" : "ready"), t("ready_detail")];
  }
}

/** Who waits for the end of the pause stays on the page, but not as somebody who hears. */
function pausedDetail() {
  return client.listeners.length > 0 ? t("paused_detail_heard", { names: shortNames() }) : t("paused_detail");
}

/** « Paul D. », « Paul D. +2 ». */
function shortNames() {
  const [first, ...others] = client.listeners;
  return others.length ? t("and_more", { names: first.admin.name, count: others.length }) : first.admin.name;
}

function drawListeners() {
  const listeners = client.listeners;
  const list = byId("listeners");
  const shown = view.isListOpen ? listeners : listeners.slice(0, LISTENERS_SHOWN);
  byId("heard").hidden = listeners.length === 0 || client.isPaused;
  byId("more").hidden = listeners.length <= LISTENERS_SHOWN;
  byId("more").setAttribute("aria-expanded", String(view.isListOpen));
  setText(byId("more"), view.isListOpen
    ? t("fewer_listeners")
    : t("more_listeners", { count: listeners.length - LISTENERS_SHOWN }));
  const rows = new Map([...list.children].map((row) => [row.dataset.notice, row]));
  const wanted = shown.map((hearer) => rows.get(String(hearer.notice_id)) ?? listenerRow(hearer));
  if (wanted.length !== list.children.length || wanted.some((row, index) => row !== list.children[index])) {
    list.replaceChildren(...wanted);
  }
  shown.forEach((hearer, index) => {
    const [name, detail] = wanted[index].querySelectorAll("span");
    setText(name, t("heard_by", { name: hearer.admin.name }));
    setText(detail, `${reasonWords(hearer.reason)} · ${duration(Date.now() - hearer.since)}`);
  });
}

function listenerRow({ notice_id, admin }) {
  const row = element("li", {}, icon("headphones"), element("span", { className: "name" }), element("span"));
  row.dataset.notice = notice_id;
  row.dataset.admin = admin.id;
  return row;
}

function drawTitle() {
  const isHeard = client.listeners.length > 0 && !client.isPaused;
  const title = isHeard ? t("page_listened", { names: shortNames() }) : t(client.isPaused ? "page_paused" : "page_commercial");
  if (document.title !== title) document.title = title;
}

function drawElsewhere() {
  const { since, broadcast_state } = view.connection;
  const isOnAir = ["on_air", "paused", "interrupted"].includes(broadcast_state) && since;
  setText(byId("elsewhere-since"), isOnAir ? t("elsewhere_on_air", { time: duration(Date.now() - since) }) : "");
  byId("elsewhere-effect").hidden = !isOnAir;
}

/** Listeners starting and stopping are read aloud at once, whatever else is being said; empty ends the last one. */
function announce(text) {
  clearTimeout(view.announcementTimer);
  byId("announce").replaceChildren(...(text ? [element("span", { textContent: text })] : []));
  if (text) view.announcementTimer = setTimeout(() => announce(""), ANNOUNCEMENT_MS);
}

let wakeLock = null;

/** Keeps the screen on while on air; the browser takes that back whenever the page is hidden. */
async function holdScreen() {
  const wanted = client.streamingState !== "off" && !document.hidden;
  if (!wanted) {
    wakeLock?.release();
    wakeLock = null;
    return;
  }
  if (!navigator.wakeLock || (wakeLock && !wakeLock.released)) return;
  try {
    wakeLock = await navigator.wakeLock.request("screen");
  } catch {
    return; // Battery saver; « Gardez cet écran ouvert » stands on the page.
  }
  if (client.streamingState === "off") holdScreen();
}
