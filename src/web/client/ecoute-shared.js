/**
 * What all elements of one client share: the client itself, one floating panel, one badge, and the acknowledgements.
 *
 * It lives as long as its client, so elements may come and go with the routes of an application. Its one invariant: a
 * listener is acknowledged only while their name is on the page, in an `<ecoute-micro>` in view or else in the badge.
 */

import { Badge } from "./ecoute-badge.js";
import { EcouteClient, EVENTS } from "./ecoute-client.js";
import { isOfToken } from "./ecoute-error.js";
import { inFrame, isFarewell, isOnScreen, isReadable } from "./ecoute-view.js";
import { WakeLock } from "./ecoute-wake.js";
import { hasWords, t } from "./words.js";

/** Failed tries after which an element says what may be wrong. */
const TRIES_BEFORE_HELP = 3;
/** How long a measurement of the network is worth showing, in ms; a new one comes every 2 s. */
const QUALITY_MAX_MS = 6_000;

/**
 * Shows a badge with the names of the listeners while the client is on air and no `<ecoute-micro>` is in view, and lets
 * the listeners hear once they are shown. For pages that stream without the element.
 * @param {EcouteClient} client
 */
export function showListeners(client) { Shared.of(client); }

export class Shared {
  /** @type {WeakMap<EcouteClient, Shared>} */
  static #all = new WeakMap();

  client;
  /** What went wrong, a topic of the words `help_…`; null where nothing did. */
  help = null;
  /** Why there is no token, the `detail` of an error; null where there is one, or none was needed yet. */
  tokenProblem = null;
  #failedTries = 0;
  /** @type {Map<string, object>} by salesperson, the last `quality` and when it came */
  #qualities = new Map();
  #views = new Set();
  /** Those of the views where who listens can be read. */
  #tellers = new Set();
  /** Views that were not drawn since they came, and salespeople of whom something new was not drawn. */
  #freshViews = new Set();
  #freshIds = new Set();
  /** Of a thousand headphones those are drawn of which something changed. */
  #drawFreshSoon = inFrame(() => this.#drawFresh());
  #panel = null;
  #badge = new Badge(this);
  #wakeLock;
  /** The page's own title while a hidden tab says that somebody listens; null otherwise. */
  #ownTitle = null;
  #isDrawingSoon = false;
  /** Ends what keeps it drawing; null while nothing changes by itself. @type {AbortController|null} */
  #life = null;
  #timer = 0;
  #languages = new MutationObserver(() => this.draw());
  /** Elements that something of the page hides, scrolled out of a part of it for example. */
  #clipped = new WeakSet();
  #observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) this.#clipped.delete(target);
      else this.#clipped.add(target);
    }
    this.draw();
  });

  /** Everything shared by the elements of a client. @param {EcouteClient} client @returns {Shared} */
  static of(client) {
    if (!Shared.#all.has(client)) Shared.#all.set(client, new Shared(client));
    return Shared.#all.get(client);
  }

  constructor(client) {
    this.client = client;
    this.#wakeLock = new WakeLock(() => client.streamingState !== "off");
    for (const name of EVENTS) client.addEventListener(name, ({ detail }) => this.#onEvent(name, detail));
    this.#liveOrEnd();
  }

  /** Draws every second as long as the client lives, or an element waits for it to. */
  #liveOrEnd() {
    const { connectionState: state } = this.client;
    const isAlive = state !== "closed" && (state !== "idle" || this.#views.size > 0);
    if (isAlive === (this.#life !== null)) return;
    if (isAlive) {
      this.#life = new AbortController();
      this.#timer = setInterval(() => this.draw(), 1000);
      document.addEventListener("visibilitychange", () => this.draw(), { signal: this.#life.signal });
      this.#languages.observe(document.documentElement, { attributeFilter: ["lang"] });
      return;
    }
    this.#life.abort();
    this.#life = null;
    clearInterval(this.#timer);
    this.#languages.disconnect();
    this.#panel?.remove();
  }

  /** An element shows this client from now on. It has `draw()`, `handle(event, detail)`, `noticePlace` and `rowOf(notice)`. */
  add(view) {
    this.#views.add(view);
    this.#freshViews.add(view);
    if (view.noticePlace !== null) {
      this.#tellers.add(view);
      this.#observer.observe(view);
    }
    this.#liveOrEnd();
    this.#drawSoon();
  }

  remove(view) {
    for (const views of [this.#views, this.#tellers, this.#freshViews]) views.delete(view);
    this.#observer.unobserve(view);
    this.#clipped.delete(view);
    this.#liveOrEnd();
    this.#drawSoon();
  }

  /** The floating panel, which exists from the first headphones on, and so comes with them. @param {typeof import("./ecoute-panel.js").Panel} Panel */
  needPanel(Panel) { this.#panel ??= new Panel(this); }

  /** The salesperson as far as they are known. @returns {{id: string, name?: string}} */
  personOf(id) { return { id, name: this.client.commercial(id)?.name }; }

  /** The network of one salesperson as last measured, or null. */
  qualityOf(id) {
    const quality = this.#qualities.get(id);
    return quality && Date.now() - quality.at < QUALITY_MAX_MS ? quality : null;
  }

  /** The topic to help with: what went wrong, or a server that can't be reached. */
  get helpTopic() { return this.help ?? (this.#failedTries >= TRIES_BEFORE_HELP ? "server" : null); }

  draw() {
    for (const view of this.#views) this.#freshViews.add(view);
    this.#drawFresh();
  }

  #drawFresh() {
    const fresh = new Set([...this.#freshViews, ...this.#tellers]);
    if (this.#freshIds.size > 0) {
      for (const view of this.#views) if (this.#freshIds.has(view.commercial)) fresh.add(view);
    }
    this.#freshViews.clear();
    this.#freshIds.clear();
    for (const view of fresh) view.draw();
    if (this.#life) this.#panel?.draw();
    this.#wakeLock.hold();
    const { listeners } = this.client;
    const isInView = [...this.#tellers].some((view) => !this.#clipped.has(view) && showsListeners(view, listeners));
    this.#badge.draw(isInView);
    this.#drawTitle();
    for (const { notice_id } of listeners) {
      const rows = [...this.#tellers].map((view) => view.rowOf(notice_id));
      const row = isInView ? rows.find((shown) => isReadable(shown)) : this.#badge.isShown && this.#badge.rowOf(notice_id);
      if (row) this.client.acknowledge(notice_id, row);
    }
  }

  /** Of a hidden tab nothing but the title is on the screen: it says that somebody listens until one looks at the page. */
  #drawTitle() {
    const isHeard = this.client.listeners.length > 0 && !this.client.streaming.paused;
    const told = t("page_listened");
    if (!isHeard || !document.hidden) {
      if (this.#ownTitle !== null && document.title === told) document.title = this.#ownTitle;
      this.#ownTitle = null;
    } else if (document.title !== told) {
      this.#ownTitle = document.title;
      document.title = told;
    }
  }

  /** Draws once what comes and goes together, before anything is painted. */
  #drawSoon() {
    if (this.#isDrawingSoon) return;
    this.#isDrawingSoon = true;
    queueMicrotask(() => {
      this.#isDrawingSoon = false;
      this.#drawFresh();
    });
  }

  #onEvent(name, detail) {
    this.#note(name, detail);
    this.#panel?.handle(name, detail);
    if (name === "position") return;
    if (name === "commercial") {
      this.#freshIds.add(detail.commercial.commercial_id);
      return this.#drawFreshSoon();
    }
    for (const view of this.#views) view.handle(name, detail);
    this.draw();
    if (name === "connection") this.#liveOrEnd();
  }

  #note(name, detail) {
    switch (name) {
      case "connection":
        if (detail.state === "waiting" && !this.tokenProblem) this.#failedTries += 1;
        if (!["connecting", "waiting"].includes(detail.state)) this.tokenProblem = null;
        if (detail.state === "registered") this.#failedTries = 0;
        break;
      case "registered": this.tokenProblem = null; break;
      case "streaming":
        if (detail.state === "asking" || (detail.state === "live" && this.help === "audio")) this.help = null;
        if (detail.state === "off" && this.help === "audio") this.help = null;
        break;
      case "audio":
        if (detail.connection === "ready" && this.help === "audio") this.help = null;
        break;
      case "quality":
        this.#qualities.set(detail.commercial_id, { ...detail, at: Date.now() });
        break;
      case "error":
        if (isOfToken(detail)) this.tokenProblem = detail;
        else this.help = this.#helpWith(detail);
        break;
    }
  }

  #helpWith(detail) {
    if (detail.code === "audio_connection_failed") return "audio";
    if (hasWords(`help_${detail.code}_title`)) return detail.code;
    // A refusal to register ends the connection, and that has its own words; one of a wish is the headphones' own.
    const isOurs = this.client.connectionState === "registered" && !isFarewell(detail) && !detail.commercial_id;
    return isOurs ? "refused" : this.help;
  }
}

/** Whether a person who looks at the page can read in an element who listens. */
function showsListeners(view, listeners) {
  const { noticePlace } = view;
  const isNamed = ({ notice_id }) => isReadable(view.rowOf(notice_id));
  return noticePlace !== null && isOnScreen(noticePlace) && listeners.every(isNamed);
}
