/**
 * The salesperson's page: `<ecoute-micro>` and what stands around it, who one is, the title and passing messages.
 *
 * Everything shown follows from the client's state in `draw`, which runs inside every event. Its one invariant: when an
 * event of a listener has been handled, the title says whether anybody listens.
 */

import "./commercial-words.js";
import { HiddenNotices } from "./commercial-hidden.js";
import { Later } from "./commercial-later.js";
import { CommercialOptions } from "./commercial-options.js";
import { PastListenings } from "./commercial-past.js";
import { PositionShare } from "./commercial-position.js";
import { ConnectionTest } from "./commercial-test.js";
import { Diagnostic } from "./diagnostic.js";
import { EcouteClient } from "./ecoute-client.js";
import { EcouteMicro } from "./ecoute-micro.js";
import { nameOf } from "./ecoute-names.js";
import { attachHelp, showDevices } from "./help.js";
import { attachSignOut, byId, openGate, setText, showConnection, startLanguages, startWorker, toast } from "./page.js";
import { showJournal, watchJournal } from "./page-journal.js";
import { PageToken } from "./session.js";
import { t } from "./words.js";

const ROLE = "commercial";

// Of the elements this page has one alone, and is spared the other's code.
customElements.define("ecoute-micro", EcouteMicro);

const token = new PageToken(ROLE);
const client = new EcouteClient({ getToken: async () => token.current, serviceWorker: startWorker() });
const diagnostic = new Diagnostic(client);
const micro = byId("micro");
const options = new CommercialOptions(client, micro);
const hidden = new HiddenNotices(client, micro, () => micro.start());
const position = new PositionShare(client);
const past = new PastListenings(client);
const heard = new Later(byId("heard-open"), client, async () => {
  const { OwnHistory } = await import("./commercial-history.js");
  return new OwnHistory(client, () => token.current);
});
const test = new ConnectionTest(client, options, (name, detail) => diagnostic.note(name, detail));

const view = {
  hasToken: token.current !== "" && token.replaces === null,
  wasToldLive: false,
};

client.addEventListener("connection", ({ detail }) => {
  // The server knows the person, and asks which page to use.
  if (detail.state === "already_open") token.accept(client.now);
  draw();
});
client.addEventListener("registered", ({ detail }) => {
  if (detail.role !== ROLE) return refuseRole(detail.role);
  token.accept(client.now);
  showDevices(detail.devices);
  draw();
});
client.addEventListener("streaming", ({ detail }) => onStreaming(detail));
for (const name of ["listener_joined", "listener_left", "journal", "error"]) client.addEventListener(name, draw);
micro.addEventListener("ecoute-error", ({ detail }) => {
  // What the microphone refused comes from the element alone; the diagnostic has heard of all else.
  if (detail.code.startsWith("microphone_")) diagnostic.note("error", detail);
  draw();
});
micro.client = client;
watchJournal(client, ROLE);

// What an encoder streams goes on without this page.
attachSignOut(ROLE, client, token, () => client.streamingState !== "off" && client.streaming.source === null);
// Leaving the page ends the broadcast now, instead of leaving silence that looks like one.
document.addEventListener("visibilitychange", drawTitle);
addEventListener("pagehide", () => client.close());
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());

attachHelp([
  "howling", "microphone_refused", "microphone_missing", "microphone_busy", "insecure_page", "server", "audio",
  "audio_unsupported", "position",
]);
diagnostic.attach();
startLanguages(draw);
setInterval(draw, 1000);
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

function onStreaming({ state }) {
  if (state === "live") {
    if (!view.wasToldLive) toast(t("toast_start"), "streaming");
    view.wasToldLive = true;
  }
  if (state === "off") {
    if (view.wasToldLive) toast(t("toast_stop"), "streaming");
    view.wasToldLive = false;
  }
  draw();
}

function draw() {
  const isExpired = client.connectionState === "expired";
  document.body.dataset.state = view.hasToken ? micro.state : "no_token";
  // What was said of the start is not true any more.
  if (view.wasToldLive && micro.state !== "on_air") toast("", "streaming");
  if (isExpired && byId("gate").hidden) openGate((gate) => gate.showRefused(client, token, ROLE));
  micro.hidden = !view.hasToken || isExpired;
  byId("options").hidden = micro.hidden || micro.state === "already_open";
  options.draw();
  position.draw();
  hidden.draw();
  past.draw();
  heard.draw(!byId("options").hidden, client.user !== null);
  test.draw(!byId("options").hidden);
  byId("sign-out").hidden = !view.hasToken;
  byId("connection").hidden = !view.hasToken;
  setText(byId("name"), (view.hasToken && nameOf(client.user ?? token.person)) || "écoute");
  showConnection(client.connection);
  showJournal(client, ROLE);
  drawTitle();
}

function drawTitle() {
  const isHeard = client.listeners.length > 0 && !client.isPaused;
  const title = t(isHeard ? "page_listened" : client.isPaused ? "page_paused" : "page_commercial");
  if (document.title !== title) document.title = title;
}
