/**
 * Tells the person at this page who listens: by a row that is seen, or, where the page is hidden, by a silent notification
 * of the system that names them.
 *
 * Its one invariant: a listener is acknowledged only once one of the two is so, with what had been sent until then. What
 * was told stays so while they listen, and for a while when the connection is lost, because it is the same listening.
 */

import { EcouteError } from "./ecoute-error.js";
import { nameOf, plain, who } from "./ecoute-names.js";
import { isReadable, reasonWords } from "./ecoute-view.js";
import { language, t } from "./words.js";

/** How long a listening that was told and is gone counts as told when it is announced again, in ms. */
const REMEMBERED_MS = 5 * 60_000;
/** Between two looks at whether a row can be seen by now, in ms. */
const LOOK_EVERY_MS = 250;
/** How long a server may take to announce again who listened, in ms. */
const ANNOUNCED_MAX_MS = 5_000;
/** Longest wait for the frame that shows a row, in ms. */
const FRAME_WAIT_MS = 150;

export class Told {
  #options;
  /** @type {Map<string|number, {element: Element|null, isAsking: boolean, isHiddenSaid: boolean}>} by notice */
  #notices = new Map();
  /** What was told, by listening; `goneAt` in unix ms, null while they listen. */
  #memory = new Map();
  #lookTimer = 0;
  #announcedTimer = 0;

  /**
   * @param {object} options
   * @param {() => import("./ecoute-client.js").Hearer[]} options.hearers
   * @param {(event: string, data: object) => boolean} options.send
   * @param {() => unknown} options.epoch changes with every connection
   * @param {() => boolean} options.mayTell whether this page is the one that tells
   * @param {() => Promise<object>} options.countSent
   * @param {() => void} options.beforeAck
   * @param {() => string} options.userId
   * @param {Promise<ServiceWorkerRegistration|undefined>} [options.serviceWorker] shows the notifications
   * @param {(hearer: object) => void} options.onTold
   */
  constructor(options) { this.#options = options; }

  /** The page lives. @param {AbortSignal} signal until when */
  begin(signal) {
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#closeNotifications(() => false);
      this.#lookAll();
    }, { signal });
  }

  /** Somebody is announced. */
  handleJoined(hearer) {
    this.#notices.set(hearer.notice_id, { element: null, isAsking: false, isHiddenSaid: false });
    const known = this.#memory.get(hearer.listening_id);
    const isKnown = known && (known.goneAt === null || Date.now() - known.goneAt <= REMEMBERED_MS);
    if (isKnown && this.#options.mayTell()) hearer.since = known.since;
    // A notification may have been closed since, so it is shown again.
    if (isKnown && known.told === "seen" && this.#options.mayTell()) this.#tell(hearer, "seen");
    else this.#look(hearer);
  }

  /** Somebody is gone; where it is not over, only what announced them. */
  handleGone(hearer, isOver) {
    this.#notices.delete(hearer.notice_id);
    const known = this.#memory.get(hearer.listening_id);
    if (known) known.goneAt ??= Date.now();
    for (const [id, { goneAt }] of this.#memory) {
      if (goneAt !== null && Date.now() - goneAt > REMEMBERED_MS) this.#memory.delete(id);
    }
    if (isOver) this.#closeNotifications((tag) => tag !== this.#tagOf(hearer));
  }

  /** The server knows us again: who listened before and is not announced now does not listen any more. */
  handleRegistered() {
    const isOf = (tag) => document.hidden && this.#options.hearers().some((hearer) => this.#tagOf(hearer) === tag);
    clearTimeout(this.#announcedTimer);
    this.#announcedTimer = setTimeout(() => this.#closeNotifications(isOf), ANNOUNCED_MAX_MS);
  }

  /** Whoever listened here does so no more, nor will by themselves. */
  handleOver() {
    clearTimeout(this.#announcedTimer);
    const tags = [...this.#memory.keys()].map((listening_id) => this.#tagOf({ listening_id }));
    if (tags.length > 0) this.#closeNotifications((tag) => !tags.includes(tag));
    this.#lookAll();
  }

  /** A new connection carries what we send, and counts anew. */
  handlePeer() {
    for (const hearer of this.#options.hearers()) if (hearer.told) this.#acknowledge(hearer);
  }

  /** A row says who listens, from now on wherever it is. @throws {EcouteError} */
  show(hearer, element) {
    if (!(element instanceof Element) || !holds(element, nameOf(hearer.admin))) throw new EcouteError("notice_not_shown");
    const notice = this.#notices.get(hearer.notice_id);
    if (!notice) return;
    notice.element = element;
    this.#look(hearer);
    if (!hearer.told && this.#lookTimer === 0) this.#lookTimer = setInterval(() => this.#lookAll(), LOOK_EVERY_MS);
  }

  #lookAll() {
    const untold = this.#options.hearers().filter((hearer) => !hearer.told);
    for (const hearer of untold) this.#look(hearer);
    if (untold.length > 0) return;
    clearInterval(this.#lookTimer);
    this.#lookTimer = 0;
  }

  #look(hearer) {
    const notice = this.#notices.get(hearer.notice_id);
    if (!notice || hearer.told || !this.#options.mayTell()) return;
    if (document.hidden) this.#notify(hearer, notice);
    else if (notice.element && isReadable(notice.element, holderOf(notice.element, nameOf(hearer.admin)))) {
      this.#tell(hearer, "seen");
    }
  }

  async #notify(hearer, notice) {
    if (notice.isAsking || notice.isHiddenSaid) return;
    notice.isAsking = true;
    const isProven = await this.#showNotification(hearer).catch(() => false);
    notice.isAsking = false;
    // They may have left meanwhile, or the page may be seen again.
    if (this.#notices.get(hearer.notice_id) !== notice) return this.#closeNotifications((tag) => tag !== this.#tagOf(hearer));
    if (!document.hidden) return this.#look(hearer);
    if (isProven) return this.#tell(hearer, "notified");
    notice.isHiddenSaid = this.#options.mayTell() && this.#options.send("listener_hidden", { notice_id: hearer.notice_id });
  }

  async #showNotification(hearer) {
    const registration = await this.#options.serviceWorker;
    if (!registration || globalThis.Notification?.permission !== "granted") return false;
    const code = language(document.documentElement);
    const tag = this.#tagOf(hearer);
    const body = `${who(hearer.admin)}\n${plain(reasonWords(hearer.reason, code))}`;
    await registration.showNotification(t("page_listened", {}, code), {
      body, tag, silent: true, requireInteraction: true, icon: "/icon.svg", lang: code, data: location.pathname,
    });
    return (await registration.getNotifications({ tag })).some((shown) => shown.body === body);
  }

  /** Closes those of ours that are not to be kept. @param {(tag: string) => boolean} isKept */
  async #closeNotifications(isKept) {
    const registration = await this.#options.serviceWorker;
    const all = await registration?.getNotifications().catch(() => []) ?? [];
    const isOurs = ({ tag }) => tag.startsWith(this.#tagOf({ listening_id: "" }));
    for (const shown of all) if (isOurs(shown) && !isKept(shown.tag)) shown.close();
  }

  #tagOf({ listening_id, notice_id }) { return `ecoute.heard.${this.#options.userId()}.${listening_id ?? notice_id}`; }

  #tell(hearer, told) {
    hearer.told = told;
    if (hearer.listening_id !== undefined) {
      this.#memory.set(hearer.listening_id, { told, since: hearer.since, goneAt: null });
    }
    this.#options.onTold(hearer);
    if (document.hidden) this.#acknowledge(hearer);
    else onceDrawn(() => this.#acknowledge(hearer));
  }

  async #acknowledge(hearer) {
    const { epoch, countSent, mayTell, beforeAck, send } = this.#options;
    const before = epoch();
    // What was spoken before is heard by nobody: the server counts from here.
    const sent = await countSent().catch(() => ({}));
    // A notice belongs to the connection that brought it; on the next one it comes again under a new id.
    if (epoch() !== before || !this.#notices.has(hearer.notice_id) || !mayTell()) return;
    beforeAck();
    send("listener_ack", { notice_id: hearer.notice_id, told: hearer.told, ...sent });
  }
}

function holds(element, name) { return plain(element.textContent).includes(name); }

/** The smallest part of an element that has all of a name. */
function holderOf(element, name) {
  const inner = [...element.children].find((child) => holds(child, name));
  return inner ? holderOf(inner, name) : element;
}

/** Calls back once, at the next frame or after {@link FRAME_WAIT_MS}, whichever is first. */
function onceDrawn(callback) {
  let isDone = false;
  const finish = () => {
    if (isDone) return;
    isDone = true;
    callback();
  };
  requestAnimationFrame(finish);
  setTimeout(finish, FRAME_WAIT_MS);
}
