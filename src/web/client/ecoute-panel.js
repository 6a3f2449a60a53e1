/**
 * The floating panel: whom one hears or waits for, how loud, and the way out. One per client, over every route.
 *
 * It shows one person: whoever is heard or was last, otherwise the latest wish. Others stand below, each with its own end.
 * After a reload it goes on by itself where the browser plays without a click, and otherwise offers one large button.
 */

import { PANEL } from "./ecoute-casque-styles.js";
import "./ecoute-casque-words.js";
import { nameOf, plain, showPerson, who } from "./ecoute-names.js";
import { styled } from "./ecoute-styles.js";
import { clock, element, lines, qualityWords, reasonWords, setText } from "./ecoute-view.js";
import { icon, setIcon } from "./icons.js";
import { LevelBar } from "./meter.js";
import { load, save } from "./session.js";
import { hasWords, language, t } from "./words.js";

const VOLUME_DEFAULT_PERCENT = 80;
/** Between the panel and the edges of the window, as in its styles. */
const MARGIN_PX = 16;
const volumeKey = (id) => `ecoute.volume.${id}`;
/** Of this tab only: what it listened to, so that a reload goes on. */
const LISTENING_KEY = "ecoute.listening";

export class Panel {
  #shared;
  #client;
  #host = document.createElement("ecoute-panel");
  #parts = makeParts();
  /** When listening to the person started, in unix ms of the server, by id. */
  #startedAt = new Map();
  #shownId = null;
  /** Wishes of before a reload that wait for a click, `[{id, name, reason}]`. */
  #toResume = [];

  /** @param {import("./ecoute-shared.js").Shared} shared */
  constructor(shared) {
    this.#shared = shared;
    this.#client = shared.client;
    const parts = this.#parts;
    styled(this.#host, PANEL).append(parts.panel);
    parts.volume.addEventListener("input", () => this.#onVolume());
    parts.mute.addEventListener("click", () => this.#client.setMuted(!this.#client.isMuted));
    parts.stop.addEventListener("click", () => this.#shownId !== null && this.#client.stop(this.#shownId));
    parts.resume.addEventListener("click", () => this.#resume());
    // One that is taken away tells it, too: it has no size any more.
    new ResizeObserver(() => makeRoom(parts.panel.offsetHeight)).observe(parts.panel);
    if (this.#client.connectionState === "registered") this.#restore();
  }

  /** Reacts to one event of the client. */
  handle(name, detail) {
    switch (name) {
      case "registered": if (!detail.renewed) this.#restore(); break;
      case "listening_started":
        this.#startedAt.set(detail.commercial_id, this.#client.now);
        this.#client.setVolume(volumeOf(detail.commercial_id) / 100);
        this.#keep();
        break;
      case "listening_pending":
      case "listening_stopped": this.#keep(); break;
    }
  }

  /** Leaves the page, until there is something to draw again. */
  remove() {
    this.#parts.level.follow(null);
    this.#host.remove();
  }

  draw() {
    if (!this.#host.isConnected) document.documentElement.append(this.#host);
    const { panel, shown: place, noSound } = this.#parts;
    const { wishes } = this.#client;
    const shown = this.#client.currentWish;
    panel.setAttribute("aria-label", this.#words("panel_label"));
    const isResumable = this.#drawResume(shown);
    panel.hidden = !shown && !isResumable;
    place.hidden = !shown;
    if (!shown) {
      this.#shownId = null;
      this.#parts.level.follow(null);
      if (this.#client.isMuted) this.#client.setMuted(false); // The next one must not start silent by surprise.
      noSound.open = false;
      delete panel.dataset.listening;
      delete panel.dataset.commercial;
      return;
    }
    if (this.#shownId !== shown.commercial_id) this.#show(shown.commercial_id);
    this.#drawShown(shown);
    this.#drawSound();
    this.#drawOthers(wishes.filter((wish) => wish.commercial_id !== shown.commercial_id));
  }

  /** Turns the panel to someone. Nothing that a finger may rest on changes while they stay the same. */
  #show(id) {
    this.#shownId = id;
    this.#parts.volume.value = String(volumeOf(id));
    this.#parts.panel.dataset.commercial = id;
  }

  #drawShown({ commercial_id: id, reason, state, cause, told }) {
    const parts = this.#parts;
    const isStarted = state === "started";
    const person = this.#shared.personOf(id);
    parts.panel.dataset.listening = state;
    const [mark, markWords] = parts.mark.children;
    setIcon(mark, isStarted ? "dot" : "wait");
    setText(markWords, this.#words(isStarted ? "live" : "listen_pending"));
    showPerson(parts.name, person);
    // Unknown where it started before there was a panel.
    const startedAt = isStarted ? this.#startedAt.get(id) : undefined;
    setText(parts.elapsed, startedAt ? clock(this.#client.now - startedAt) : "");
    const isPlayed = isStarted && this.#client.audio.output === "running";
    const words = isPlayed ? this.#words("panel_started") : isStarted ? this.#words("panel_output") : this.#pendingWords(cause);
    showNamed(parts.state, words, isPlayed ? nameOf(person) : "");
    const quality = isStarted ? this.#shared.qualityOf(id) : null;
    parts.quality.hidden = !quality;
    // What is not seen is not measured.
    parts.level.follow(isPlayed && !document.hidden ? this.#client.heardNode : null);
    // What is heard may have been made louder by the application; under a finger both are the same.
    if (isStarted) parts.volume.value = String(Math.round(this.#client.volume * 100));
    if (quality) setText(parts.quality, qualityWords(quality, this.#language));
    const { user } = this.#client;
    const isDevice = this.#client.commercial(id)?.source === "device";
    const label = this.#words(isDevice ? "device_sees" : told ? `sees_${told}` : isStarted ? "sees" : "will_see");
    showNamed(parts.sees, label, user ? nameOf(user) : "", plain(reasonWords(reason, this.#language)));
  }

  #drawSound() {
    const { volume, percent, volumeIcon, mute, stop, noSoundTitle, noSoundText } = this.#parts;
    const { isMuted } = this.#client;
    const percentWords = this.#words("percent", { n: volume.value });
    setText(percent, percentWords);
    volume.setAttribute("aria-label", this.#words("volume"));
    volume.setAttribute("aria-valuetext", percentWords);
    setIcon(volumeIcon, isMuted || volume.value === "0" ? "muted" : "volume");
    mute.setAttribute("aria-pressed", String(isMuted));
    setIcon(mute.firstElementChild, isMuted ? "muted" : "volume");
    setText(mute.lastElementChild, this.#words(isMuted ? "unmute" : "mute"));
    setText(stop.lastElementChild, this.#words("panel_stop"));
    setText(noSoundTitle, this.#words("no_sound"));
    if (noSoundText.dataset.language === this.#language) return;
    noSoundText.dataset.language = this.#language;
    const title = element("h3", { textContent: this.#words("help_sound_title") });
    noSoundText.replaceChildren(title, lines("help_sound", this.#language));
  }

  #drawOthers(wishes) {
    const place = this.#parts.others;
    const rows = new Map([...place.children].map((row) => [row.dataset.waiting, row]));
    for (const { commercial_id: id, cause } of wishes) {
      const row = rows.get(id) ?? this.#otherRow(id);
      rows.delete(id);
      const person = this.#shared.personOf(id);
      const [name, words] = row.querySelectorAll("p > span");
      showPerson(name, person);
      setText(words, this.#pendingWords(cause));
      row.querySelector(".cancel").setAttribute("aria-label", this.#words("cancel_wish", { who: who(person) }));
      const listen = row.querySelector(".listen");
      listen.hidden = cause !== "hearing_another";
      setText(listen, this.#words("listen"));
      listen.setAttribute("aria-label", `${this.#words("listen")} – ${who(person)}`);
    }
    for (const row of rows.values()) row.remove();
  }

  #otherRow(id) {
    const listen = element("button", { type: "button", className: "listen", hidden: true });
    listen.addEventListener("click", () => this.#client.listen(id));
    const cancel = element("button", { type: "button", className: "cancel" }, icon("close"));
    cancel.addEventListener("click", () => this.#client.stop(id));
    const words = element("p", {}, element("span", { className: "person" }), element("span"));
    const row = element("li", {}, icon("wait"), words, listen, cancel);
    row.dataset.waiting = id;
    this.#parts.others.append(row);
    return row;
  }

  /** One large button wherever only a click can bring the sound back; returns whether it is shown. */
  #drawResume(shown) {
    const isHeldBack = shown?.state === "started" && this.#client.audio.output === "suspended";
    const person = this.#toResume[0] ?? (isHeldBack ? this.#shared.personOf(shown.commercial_id) : null);
    this.#parts.resume.hidden = person === null;
    if (person !== null) showNamed(this.#parts.resume.lastElementChild, this.#words("resume"), nameOf(person));
    return person !== null;
  }

  #onVolume() {
    const percent = Number(this.#parts.volume.value);
    save(volumeKey(this.#shownId), String(percent));
    this.#client.setVolume(percent / 100);
    this.#drawSound();
  }

  /** Remembers who is listened to, for a reload. */
  #keep() {
    const { user, wishes } = this.#client;
    this.#toResume = [];
    if (!user) return;
    const { currentWish } = this.#client;
    // Whoever is heard comes first, and is heard again.
    const inOrder = [...wishes].sort((a, b) => Number(isOf(b, currentWish)) - Number(isOf(a, currentWish)));
    const kept = inOrder.map(({ commercial_id: id, reason }) => ({ ...this.#shared.personOf(id), reason }));
    try {
      if (kept.length > 0) sessionStorage.setItem(LISTENING_KEY, JSON.stringify({ admin: user.id, wishes: kept }));
      else sessionStorage.removeItem(LISTENING_KEY);
    } catch {
      // Without storage a reload only forgets.
    }
  }

  async #restore() {
    const { admin, wishes = [] } = keptListening();
    if (admin !== this.#client.user.id || wishes.length === 0 || this.#client.wishes.length > 0) return;
    this.#toResume = wishes;
    const mayPlay = await this.#client.resumeAudio();
    if (mayPlay && this.#toResume === wishes) this.#resume();
    this.draw();
  }

  #resume() {
    this.#client.resumeAudio();
    const wishes = this.#toResume;
    this.#toResume = [];
    for (const { id, reason } of wishes) this.#client.listen(id, { reason, waits: true });
    this.draw();
  }

  #pendingWords(cause) { return this.#words(hasWords(`pending_${cause}`) ? `pending_${cause}` : "pending_other"); }

  get #language() { return language(document.documentElement); }

  #words(key, values) { return t(key, values, this.#language); }
}

/** A label and, each by itself behind it, what somebody wrote. */
function showNamed(place, label, ...texts) {
  const shown = texts.filter(Boolean);
  const text = [label, shown.join(" – ")].filter(Boolean).join(" ");
  if (place.textContent === text) return;
  const parts = shown.flatMap((each, index) => [index > 0 ? " – " : " ", element("bdi", { textContent: each })]);
  place.replaceChildren(label, ...parts);
}

const isOf = (wish, other) => wish.commercial_id === other?.commercial_id;

function makeParts() {
  const parts = {
    mark: element("p", { id: "panel-mark", className: "live" }, element("span"), element("span")),
    name: element("h2", { id: "panel-name", className: "person" }),
    elapsed: element("time", { id: "panel-elapsed", className: "elapsed" }),
    state: element("p", { id: "panel-state", role: "status" }),
    level: new LevelBar(),
    quality: element("p", { id: "panel-quality", className: "detail" }),
    sees: element("p", { id: "panel-sees", className: "detail" }),
    volumeIcon: element("span", { id: "volume-icon" }),
    volume: element("input", { id: "volume", type: "range", min: "0", max: "200", step: "5" }),
    percent: element("output", { id: "volume-percent" }),
    mute: element("button", { id: "mute", type: "button" }, element("span"), element("span")),
    others: element("ul", { id: "panel-others", className: "others" }),
    noSoundTitle: element("summary"),
    noSoundText: element("div", { className: "hints" }),
    stop: element("button", { id: "panel-stop", type: "button", className: "stop" }, icon("stop"), element("span")),
    resume: element("button", { id: "resume", type: "button", className: "resume wide" }, icon("headphones"), element("span")),
  };
  parts.noSound = element("details", { id: "no-sound" }, parts.noSoundTitle, parts.noSoundText);
  parts.shown = element("div", { className: "shown" },
    element("header", {}, parts.mark, parts.name, parts.elapsed),
    parts.state, parts.level.frame, parts.quality, parts.sees,
    element("div", { className: "volume" }, parts.volumeIcon, parts.volume, parts.percent, parts.mute),
    parts.others,
    element("div", { className: "actions" }, parts.noSound, parts.stop));
  parts.panel = element("section", { id: "panel", className: "panel", hidden: true }, parts.resume, parts.shown);
  return parts;
}

/** A page may leave as much room below its end, so that everything can be scrolled out from under the panel. */
function makeRoom(height) {
  const room = height > 0 ? `${height + 2 * MARGIN_PX}px` : "0px";
  document.documentElement.style.setProperty("--ecoute-panel-room", room);
}

function volumeOf(id) {
  const stored = Number.parseInt(load(volumeKey(id)) ?? "", 10);
  return stored >= 0 && stored <= 200 ? stored : VOLUME_DEFAULT_PERCENT;
}

function keptListening() {
  try {
    return JSON.parse(sessionStorage.getItem(LISTENING_KEY)) ?? {};
  } catch {
    return {};
  }
}
