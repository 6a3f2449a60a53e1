/**
 * `<ecoute-micro>`: one button to go on air, and the truth about who hears.
 *
 * Everything shown follows from the client's state in `draw`, which runs inside every event. Its one invariant: when
 * `draw` returns, everyone in `client.listeners` who can hear is on the page, three by name and the others as a number.
 */

import { EcouteElement } from "./ecoute-element.js";
import { microphoneProblem } from "./ecoute-microphone.js";
import { MICRO } from "./ecoute-styles.js";
import {
  clock, duration, element, lines, qualityWords, reasonWords, retryWords, setText,
} from "./ecoute-view.js";
import { icon, setIcon } from "./icons.js";
import { Meter } from "./meter.js";

/** Listeners shown before « +2 » opens the rest. */
const LISTENERS_SHOWN = 3;
/** Pictures of the states; ready has the large one of its button. */
const STATE_ICONS = { on_air: "dot", paused: "pause", interrupted: "warn", connecting: "wait", starting: "wait", error: "warn" };
/** How long an announcement can be found by a screen reader; the element shows what is true, this only what happened. */
const ANNOUNCEMENT_MS = 5_000;
/** Events of the client that go on to the application. */
const TOLD = { streaming: "streaming", listener_joined: "listener-joined", listener_left: "listener-left", error: "error" };

export class EcouteMicro extends EcouteElement {
  #parts = makeParts();
  #meter = new Meter(this.#parts.meter);
  #isListOpen = false;
  #announcementTimer = 0;

  constructor() {
    super(MICRO);
    const parts = this.#parts;
    this.shadowRoot.append(parts.micro);
    for (const button of [parts.start, parts.useHere]) button.addEventListener("click", () => this.#start());
    parts.stop.addEventListener("click", () => this.client.stopStreaming());
    parts.pause.addEventListener("click", () => {
      const { client } = this;
      if (client.isPaused) client.resumeStreaming();
      else client.pauseStreaming();
    });
    parts.takeOver.addEventListener("click", () => this.client.takeOver());
    parts.more.addEventListener("click", () => {
      this.#isListOpen = !this.#isListOpen;
      this.draw();
    });
  }

  /** Where the names of listeners can be read, or would be: while that is in view nothing else has to show them. */
  get noticePlace() {
    const { heard, micro } = this.#parts;
    return heard.hidden ? micro : heard;
  }

  /** The names in it that must be readable for that: nothing may cover them, nor cut them off. */
  get noticeNames() {
    const { heard, listeners } = this.#parts;
    return heard.hidden ? [] : [...listeners.querySelectorAll(".name")].slice(0, LISTENERS_SHOWN);
  }

  /**
   * One word for all of it, also in `data-state` inside: `connecting`, `ready`, `error`, `starting`, `on_air`, `paused`,
   * `interrupted`, `already_open` or `expired`.
   */
  get state() {
    if (!this.client) return "connecting";
    const { connectionState, streaming } = this.client;
    if (connectionState === "expired" || connectionState === "already_open") return connectionState;
    if (connectionState !== "registered") return "connecting";
    if (streaming.state === "off") return this.#helpTopic() ? "error" : "ready";
    if (streaming.paused) return "paused";
    if (streaming.interrupted) return "interrupted";
    return streaming.state === "live" ? "on_air" : "starting";
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#meter.show(null);
  }

  /** Reacts to one event of the client. */
  handle(name, detail) {
    if (name === "listener_joined") {
      this.#announce(this.words("heard_started", { name: detail.admin.name, reason: reasonWords(detail.reason, this.language) }));
    } else if (name === "listener_left") {
      this.#announce(this.words("heard_ended", { name: detail.admin.name }));
    } else if (name === "streaming") {
      // Whoever was said to listen hears nothing now.
      if (detail.state !== "live" || detail.paused || detail.interrupted) this.#announce("");
      if (detail.state === "off") this.#isListOpen = false;
    }
    if (TOLD[name]) this.tell(TOLD[name], detail);
  }

  /** Brings everything up to date. */
  draw() {
    const { client } = this;
    if (!client) return;
    const parts = this.#parts;
    const focused = this.shadowRoot.activeElement;
    const { state } = this;
    const { streaming } = client;
    const isWanted = streaming.state !== "off";
    const isLive = streaming.state === "live" && client.connectionState === "registered";
    const isElsewhere = state === "already_open";
    const isHeard = state === "on_air" && client.listeners.length > 0;
    parts.micro.hidden = false;
    parts.micro.dataset.state = state;
    parts.micro.setAttribute("aria-label", this.words("micro_label"));

    parts.status.hidden = !isLive;
    parts.live.hidden = state !== "on_air";
    setText(parts.live.lastElementChild, this.words("live"));
    setText(parts.elapsed, streaming.since ? clock(Date.now() - streaming.since) : "");
    this.#drawElsewhere(isElsewhere);
    parts.start.hidden = isWanted || isElsewhere || state === "expired";
    parts.start.disabled = client.connectionState !== "registered";
    setText(parts.start.lastElementChild, this.words("start"));
    // An encoder is stopped by the server, where that is reached.
    const isBeyondReach = streaming.source !== null && client.connectionState !== "registered";
    parts.useHere.hidden = streaming.source === null || isBeyondReach;
    setText(parts.useHere.lastElementChild, this.words("use_here"));
    parts.stop.hidden = !isWanted || isBeyondReach;
    setText(parts.stop.lastElementChild, this.words("stop"));
    parts.pause.hidden = !["live", "reconnecting"].includes(streaming.state) && !streaming.paused || isBeyondReach;
    setIcon(parts.pause.firstElementChild, streaming.paused ? "mic" : "pause");
    setText(parts.pause.lastElementChild, this.words(streaming.paused ? "resume_streaming" : "pause"));
    parts.keepOpen.hidden = !isWanted;
    setText(parts.keepOpen, this.words(streaming.source ? `keep_open_${streaming.source}` : "keep_open"));
    this.#drawQuality(isLive);

    parts.state.parentElement.hidden = isElsewhere;
    const [words, detail] = this.#stateWords(state);
    parts.state.firstElementChild.hidden = !STATE_ICONS[state];
    if (STATE_ICONS[state]) setIcon(parts.state.firstElementChild, isHeard ? "headphones" : STATE_ICONS[state]);
    setText(parts.state.lastElementChild, words);
    setText(parts.stateDetail, detail);
    this.#drawListeners();
    this.#drawHelp();
    this.#meter.show(client.microphone);
    // A button that goes leaves the keyboard at what it has brought about, before the buttons that come.
    if (focused && !focused.checkVisibility()) parts.state.focus();
  }

  async #start() {
    const { client, shared } = this; // While the browser asks, a route may take the element away.
    shared.help = null;
    try {
      await client.startStreaming();
    } catch (error) {
      const code = error.code ?? "microphone_failed";
      shared.help = code;
      this.tell("error", { code, message: error.message });
    }
    shared.draw();
  }

  #helpTopic() { return this.shared?.helpTopic ?? microphoneProblem(); }

  #stateWords(state) {
    const { streaming, listeners, connection } = this.client;
    if (state === "expired") return [this.words("session_over_title"), this.words("session_over")];
    if (state === "paused") return [this.words("paused"), this.#pausedDetail()];
    if (state === "interrupted" && streaming.source) {
      return [this.words("interrupted_source"), this.words("interrupted_source_detail")];
    }
    if (state === "interrupted") return [this.words(`interrupted_${streaming.interrupted}`), this.words("interrupted_detail")];
    if (listeners.length === 1) return [this.words("on_air_heard", { names: listeners[0].admin.name }), ""];
    if (listeners.length > 1) return [this.words("on_air_heard_many", { names: this.#shortNames() }), ""];
    if (state === "connecting") {
      return [retryWords(connection.state, connection.retry_at, this.language), this.words("offline_detail")];
    }
    switch (streaming.state) {
      case "asking": return [this.words("asking"), this.words("asking_detail")];
      case "starting": return [this.words("starting"), this.words("starting_detail")];
      case "reconnecting": return [this.words("restarting"), this.words("starting_detail")];
      case "live": return [this.words("on_air_alone"), this.words("on_air_alone_detail")];
      default: return [this.words(state === "error" ? "failed" : "ready"), this.words("ready_detail")];
    }
  }

  /** Who waits for the end of the pause stays on the page, but not as somebody who hears. */
  #pausedDetail() {
    if (this.client.listeners.length === 0) return this.words("paused_detail");
    return this.words("paused_detail_heard", { names: this.#shortNames() });
  }

  /** « Paul D. », « Paul D. +2 ». */
  #shortNames() {
    const [first, ...others] = this.client.listeners;
    return others.length ? this.words("and_more", { names: first.admin.name, count: others.length }) : first.admin.name;
  }

  #drawListeners() {
    const { heard, more, listeners: list } = this.#parts;
    const { listeners, streaming } = this.client;
    heard.hidden = listeners.length === 0 || streaming.paused || Boolean(streaming.interrupted);
    heard.setAttribute("aria-label", this.words("listeners_label"));
    more.hidden = listeners.length <= LISTENERS_SHOWN;
    more.setAttribute("aria-expanded", String(this.#isListOpen));
    const count = listeners.length - LISTENERS_SHOWN;
    setText(more, this.#isListOpen ? this.words("fewer_listeners") : this.words("more_listeners", { count }));
    const shown = this.#isListOpen ? listeners : listeners.slice(0, LISTENERS_SHOWN);
    const rows = new Map([...list.children].map((row) => [row.dataset.notice, row]));
    const wanted = shown.map((hearer) => rows.get(String(hearer.notice_id)) ?? listenerRow(hearer));
    if (wanted.length !== list.children.length || wanted.some((row, index) => row !== list.children[index])) {
      list.replaceChildren(...wanted);
    }
    shown.forEach((hearer, index) => {
      const [name, detail] = wanted[index].querySelectorAll("span");
      setText(name, this.words("heard_by", { name: hearer.admin.name }));
      const since = duration(Date.now() - hearer.since, this.language);
      setText(detail, `${reasonWords(hearer.reason, this.language)} · ${since}`);
    });
  }

  #drawElsewhere(isElsewhere) {
    const { elsewhere, takeOver } = this.#parts;
    const { since, broadcast_state, source } = this.client.connection;
    elsewhere.hidden = !isElsewhere;
    if (!isElsewhere) return;
    // What an encoder streams goes on, whichever page is open.
    const isOnAir = ["on_air", "paused", "interrupted"].includes(broadcast_state) && since && !source;
    const [title, tab, where, effect] = elsewhere.children;
    setText(title, this.words("elsewhere"));
    setText(tab, this.words("elsewhere_tab"));
    where.hidden = effect.hidden = !isOnAir;
    const time = duration(Date.now() - since, this.language);
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
    more: element("button", { id: "more", type: "button", className: "link" }),
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
    element("h2"), element("p"), element("p"), element("p"), parts.takeOver);
  parts.heard = element("section", { id: "heard", className: "heard" }, parts.listeners, parts.more);
  parts.micro = element("section", { className: "micro", hidden: true },
    parts.status, parts.elsewhere, parts.heard,
    element("div", { className: "words" }, parts.state, parts.stateDetail),
    parts.meter, parts.help, parts.start, parts.pause, parts.stop, parts.useHere, parts.quality, parts.keepOpen, parts.announce);
  return parts;
}

function listenerRow({ notice_id, admin }) {
  const row = element("li", {}, icon("headphones"), element("span", { className: "name" }), element("span"));
  row.dataset.notice = notice_id;
  row.dataset.admin = admin.id;
  return row;
}
