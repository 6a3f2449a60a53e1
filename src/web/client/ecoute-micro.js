/**
 * `<ecoute-micro>`: one button to go on air, and the truth about who hears.
 *
 * Everything shown follows from the client's state in `draw`, which runs inside every event. Its one invariant: when
 * `draw` returns, everyone in `client.listeners` has a row with their name, and no words say that nobody hears.
 */

import "./ecoute-micro-words.js";
import { EcouteElement } from "./ecoute-element.js";
import { EcouteError } from "./ecoute-error.js";
import { microphoneProblem } from "./ecoute-microphone.js";
import { isolated, ListenerRows, plain, who } from "./ecoute-names.js";
import { MICRO } from "./ecoute-micro-styles.js";
import {
  clock, duration, element, interruptedWords, isVisible, lines, qualityWords, reasonWords, retryWords, setText,
} from "./ecoute-view.js";
import { icon, setIcon } from "./icons.js";
import { Meter } from "./meter.js";
import { t } from "./words.js";

/** Pictures of the states; ready has the large one of its button. */
const STATE_ICONS = { on_air: "dot", paused: "pause", interrupted: "warn", connecting: "wait", starting: "wait", error: "warn" };
/** How long an announcement can be found by a screen reader; the element shows what is true, this only what happened. */
const ANNOUNCEMENT_MS = 5_000;
/** Events of the client that go on to the application. */
const TOLD = { streaming: "streaming", listener_joined: "listener-joined", listener_left: "listener-left", error: "error" };

export class EcouteMicro extends EcouteElement {
  #parts = makeParts();
  #meter = new Meter(this.#parts.meter);
  #rows = new ListenerRows(this.#parts.listeners, (hearer, code) => detailOf(hearer, this.client.now, code));
  #announcementTimer = 0;

  constructor() {
    super(MICRO);
    const parts = this.#parts;
    this.shadowRoot.append(parts.micro);
    for (const button of [parts.start, parts.useHere]) button.addEventListener("click", () => this.tell("start", {}) && this.start());
    parts.stop.addEventListener("click", () => this.client.stopStreaming());
    parts.pause.addEventListener("click", () => {
      const { client } = this;
      if (client.isPaused) client.resumeStreaming();
      else client.pauseStreaming();
    });
    parts.takeOver.addEventListener("click", () => this.isOwn && this.client.takeOver());
  }

  /** Where the names of listeners can be read, or would be: while that is in view nothing else has to show them. */
  get noticePlace() {
    const { heard, micro } = this.#parts;
    return heard.hidden ? micro : heard;
  }

  /** The row that names a listener, or undefined. */
  rowOf(noticeId) { return this.#rows.rowOf(noticeId); }

  /**
   * One word for all of it, also in `data-state` inside: `connecting`, `ready`, `error`, `starting`, `on_air`, `paused`,
   * `interrupted`, `already_open` or `expired`.
   */
  get state() {
    if (!this.client) return "connecting";
    const { connectionState, streaming } = this.client;
    if (connectionState === "expired") return connectionState;
    if (connectionState === "already_open" || connectionState === "witness") return "already_open";
    if (connectionState !== "registered") return "connecting";
    if (streaming.state === "off") return this.#helpTopic() ? "error" : "ready";
    return airState(streaming);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#announce("");
    this.#meter.show(null);
  }

  /** Reacts to one event of the client. */
  handle(name, detail) {
    if (name === "listener_joined") {
      const reason = isolated(reasonWords(detail.reason, this.language));
      this.#announce(this.words("heard_started", { who: who(detail.admin), reason }));
    } else if (name === "listener_left") {
      this.#announce(this.words("heard_ended", { who: who(detail.admin) }));
    } else if (name === "streaming") {
      // Whoever was said to listen hears nothing now.
      if (detail.state === "off" || detail.paused) this.#announce("");
    }
    if (TOLD[name]) this.tell(TOLD[name], detail);
  }

  /** Brings everything up to date. */
  draw() {
    const { client } = this;
    const parts = this.#parts;
    this.drawProblem();
    parts.micro.hidden = !this.shared;
    if (!this.shared) return this.#meter.show(null);
    const focused = this.shadowRoot.activeElement;
    const { state } = this;
    const { streaming } = client;
    const isWanted = streaming.state !== "off";
    const isElsewhere = state === "already_open";
    // A page that another one took over from shows what goes on in its person's name.
    const isWitness = client.connectionState === "witness";
    const isConnected = isWitness || client.connectionState === "registered";
    const shownState = isWitness && isWanted ? airState(streaming) : state;
    const isLive = streaming.state === "live" && isConnected;
    const isHeard = client.listeners.length > 0;
    parts.micro.dataset.state = shownState;
    parts.micro.setAttribute("aria-label", this.words("micro_label"));

    parts.status.hidden = !isLive;
    parts.live.hidden = shownState !== "on_air";
    setText(parts.live.lastElementChild, this.words("live"));
    setText(parts.elapsed, streaming.since ? clock(client.now - streaming.since) : "");
    this.#drawElsewhere(isElsewhere);
    parts.start.hidden = isWanted || isElsewhere || state === "expired";
    parts.start.disabled = client.connectionState !== "registered" || !this.isOwn;
    setText(parts.start.lastElementChild, this.words("start"));
    // An encoder is stopped by the server, where that is reached.
    const isBeyondReach = streaming.source !== null && !isConnected;
    parts.useHere.hidden = streaming.source === null || isBeyondReach || isWitness;
    setText(parts.useHere.lastElementChild, this.words("use_here"));
    parts.stop.hidden = !isWanted || isBeyondReach;
    setText(parts.stop.lastElementChild, this.words("stop"));
    parts.pause.hidden = !["live", "reconnecting"].includes(streaming.state) && !streaming.paused || isBeyondReach
      || (isWitness && streaming.paused);
    setIcon(parts.pause.firstElementChild, streaming.paused ? "mic" : "pause");
    setText(parts.pause.lastElementChild, this.words(streaming.paused ? "resume_streaming" : "pause"));
    parts.keepOpen.hidden = !isWanted || isWitness;
    if (!isWitness) setText(parts.keepOpen, this.words(streaming.source ? `keep_open_${streaming.source}` : "keep_open"));
    this.#drawQuality(isLive && !isWitness);

    // Who listens is said above it, larger and in its own colour.
    parts.state.parentElement.hidden = shownState === "already_open" || (isHeard && shownState === "on_air");
    const [words, detail] = this.#stateWords(shownState);
    parts.state.firstElementChild.hidden = !STATE_ICONS[shownState];
    if (STATE_ICONS[shownState]) setIcon(parts.state.firstElementChild, STATE_ICONS[shownState]);
    setText(parts.state.lastElementChild, words);
    setText(parts.stateDetail, detail);
    this.#drawListeners();
    this.#drawHelp();
    this.#meter.show(client.microphone);
    // A button that goes leaves the keyboard at what it has brought about, before the buttons that come.
    if (focused && !isVisible(focused)) (isVisible(parts.state) ? parts.state : parts.heardTitle).focus();
  }

  /** Goes on air, as the button does; not before `getToken` has said who that is. */
  async start() {
    if (!this.isOwn) {
      this.tell("error", new EcouteError("token_unavailable").detail);
      return;
    }
    const { client, shared } = this; // While the browser asks, a route may take the element away.
    shared.help = null;
    try {
      await client.startStreaming();
    } catch (error) {
      const code = error.code ?? "microphone_failed";
      shared.help = code;
      console.warn(`écoute: ${error.message}`);
      this.tell("error", { code, message: error.message });
    }
    shared.draw();
  }

  #helpTopic() { return this.shared?.helpTopic ?? microphoneProblem(); }

  #stateWords(state) {
    const { streaming, listeners, connection } = this.client;
    const isHeard = listeners.length > 0;
    if (state === "expired") return [this.words("session_over_title"), this.words("session_over")];
    if (state === "paused") return [this.words("paused"), isHeard ? "" : this.words("paused_detail")];
    if (state === "interrupted" && streaming.source && streaming.source !== "page") {
      return [this.words("interrupted_source"), this.words("interrupted_source_detail")];
    }
    if (state === "interrupted") {
      const detail = isHeard ? "interrupted_detail_heard" : "interrupted_detail";
      const advice = streaming.interrupted === "muted" ? `${this.words("interrupted_muted_detail")} ` : "";
      return [interruptedWords(streaming.interrupted, this.language), advice + this.words(detail)];
    }
    if (state === "connecting") {
      // What this page sends it silences itself; what another sends is heard until the server misses this page.
      const detail = streaming.source ? "offline_detail_source" : "offline_detail";
      return [retryWords(connection.state, connection.retry_at, this.language), this.words(detail)];
    }
    const startingDetail = isHeard ? "" : this.words("starting_detail");
    switch (streaming.state) {
      case "asking": return [this.words("asking"), this.words("asking_detail")];
      case "starting": return [this.words("starting"), startingDetail];
      case "reconnecting": return [this.words("restarting"), startingDetail];
      case "live": return [this.words("on_air_alone"), this.words("on_air_alone_detail")];
      default: return [this.words(state === "error" ? "failed" : "ready"), isHeard ? "" : this.words("ready_detail")];
    }
  }

  #drawListeners() {
    const { heard, heardTitle } = this.#parts;
    const { listeners, streaming } = this.client;
    heard.hidden = listeners.length === 0;
    heard.dataset.paused = String(streaming.paused);
    heard.setAttribute("aria-label", this.words("listeners_label"));
    const count = listeners.length;
    setText(heardTitle, this.words(streaming.paused ? "heard_at_resume" : "heard_by", { count }));
    this.#rows.draw(listeners, this.language);
  }

  #drawElsewhere(isElsewhere) {
    const { elsewhere, takeOver } = this.#parts;
    const { connection, connectionState, streaming } = this.client;
    elsewhere.hidden = !isElsewhere;
    if (!isElsewhere) return;
    const isStreaming = ["on_air", "paused", "interrupted"].includes(connection.broadcast_state) && !connection.source;
    const since = connectionState === "witness" ? streaming.since : connection.since;
    // What an encoder streams goes on, whichever page is open.
    const isOnAir = since && (connectionState === "witness" ? streaming.source === "page" : isStreaming);
    const [title, where, effect] = elsewhere.children;
    setText(title, this.words("elsewhere"));
    where.hidden = effect.hidden = !isOnAir;
    const time = duration(this.client.now - since, this.language);
    setText(where, isOnAir ? this.words("elsewhere_on_air", { time }) : "");
    setText(effect, isOnAir ? this.words("elsewhere_effect") : "");
    setText(takeOver, this.words("elsewhere_use"));
  }

  #drawQuality(isLive) {
    const quality = isLive ? this.shared?.qualityOf(this.client.user?.id) : null;
    this.#parts.quality.hidden = !quality;
    if (quality) setText(this.#parts.quality, qualityWords(quality, this.language, "network"));
  }

  #drawHelp() {
    const { help } = this.#parts;
    const topic = this.#helpTopic();
    const shownFor = topic ? `${topic} ${this.language}` : "";
    if (help.dataset.shown === shownFor) return;
    help.dataset.shown = shownFor;
    help.hidden = !topic;
    if (!topic) return help.replaceChildren();
    const title = element("h2", { textContent: this.words(`help_${topic}_title`) });
    help.replaceChildren(title, lines(`help_${topic}`, this.language));
  }

  /** Listeners starting and stopping are read aloud at once, whatever else is being said; empty ends the last one. */
  #announce(text) {
    clearTimeout(this.#announcementTimer);
    this.#parts.announce.replaceChildren(...(text ? [element("span", { textContent: text })] : []));
    if (text) this.#announcementTimer = setTimeout(() => this.#announce(""), ANNOUNCEMENT_MS);
  }
}

function makeParts() {
  const parts = {
    live: element("p", { id: "live", className: "live" }, icon("dot"), element("span")),
    elapsed: element("time", { id: "elapsed", className: "elapsed" }),
    takeOver: element("button", { id: "take-over", type: "button", className: "primary" }),
    listeners: element("ul", { id: "listeners", className: "listeners" }),
    heardTitle: element("h2", { id: "heard-title", tabIndex: -1 }),
    state: element("p", { id: "state", className: "state", tabIndex: -1 }, element("span"), element("span")),
    stateDetail: element("p", { id: "state-detail", className: "detail" }),
    meter: element("div", { id: "meter", className: "meter", ariaHidden: "true", hidden: true }),
    help: element("section", { id: "help", className: "help", role: "alert", hidden: true }),
    start: element("button", { id: "start", type: "button", className: "start" },
      element("span", { className: "disc" }, icon("mic")), element("span")),
    useHere: element("button", { id: "use-here", type: "button", className: "wide" }, icon("mic"), element("span")),
    pause: element("button", { id: "pause", type: "button", className: "pause wide" }, element("span"), element("span")),
    stop: element("button", { id: "stop", type: "button", className: "stop wide" }, icon("stop"), element("span")),
    quality: element("p", { id: "quality", className: "detail" }),
    keepOpen: element("p", { id: "keep-open", className: "detail" }),
    announce: element("p", { id: "announce", className: "unseen", ariaLive: "assertive" }),
  };
  parts.status = element("div", { className: "status" }, parts.live, parts.elapsed);
  parts.elsewhere = element("section", { id: "elsewhere", className: "elsewhere" },
    element("h2"), element("p"), element("p"), parts.takeOver);
  parts.heard = element("section", { id: "heard", className: "heard" }, parts.heardTitle, parts.listeners);
  parts.micro = element("section", { className: "micro", hidden: true },
    parts.status, parts.elsewhere, parts.heard,
    element("div", { className: "words" }, parts.state, parts.stateDetail),
    parts.meter, parts.help, parts.start, parts.pause, parts.stop, parts.useHere, parts.quality, parts.keepOpen, parts.announce);
  return parts;
}

/** What a broadcast is that is wanted, in one word. */
function airState({ state, paused, interrupted }) {
  if (paused) return "paused";
  if (interrupted) return "interrupted";
  return state === "live" ? "on_air" : "starting";
}

/** « accompagnement · 2 min 10 » */
function detailOf({ reason, since, told }, now, code) {
  const own = element("bdi", { textContent: plain(reasonWords(reason, code)) });
  // Of who was seen the row itself says so.
  const how = told === "notified" ? ` · ${t("told_notified", {}, code)}` : "";
  return [own, new Text(` · ${duration(now - since, code)}${how}`)];
}
