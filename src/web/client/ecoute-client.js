/**
 * The client of écoute: stream a microphone, or listen to one, with a page that draws everything itself.
 *
 * It is signaling, one audio connection and playback; it draws nothing, and keeps nothing but a note of the server's journal. Its one invariant: a
 * listener is acknowledged only once the element that {@link EcouteClient#acknowledge} named can be read, or a notification
 * names them.
 *
 * ```js
 * import { EcouteClient } from "https://ecoute.example/ecoute.js";
 * const client = new EcouteClient({ server: "https://ecoute.example", getToken: async () => token });
 * client.addEventListener("commercials", ({ detail }) => draw(detail.commercials));
 * client.connect();
 * button.onclick = () => client.listen("lea", { reason: "formation" });
 * ```
 */

import { Clock } from "./ecoute-clock.js";
import { Connection } from "./ecoute-connection.js";
import { serverProblem } from "./ecoute-error.js";
import { JournalNote } from "./ecoute-journal.js";
import { Listener } from "./ecoute-listener.js";
import { Publisher } from "./ecoute-publisher.js";
import { Told } from "./ecoute-told.js";

/** Names of all events of {@link EcouteClient}, for logs and diagnostics. */
export const EVENTS = Object.freeze([
  "connection", "registered", "token_expiring", "commercials", "commercial", "streaming", "microphone",
  "listener_joined", "listener_told", "listener_left", "audio", "listening_pending", "listening_started", "listening_stopped", "quality",
  "position", "journal", "journal_doubt", "error",
]);

/**
 * One salesperson as supervisors see them. Times are unix milliseconds of the server ({@link EcouteClient#now}), or null.
 * @typedef {object} Commercial
 * @property {string} commercial_id
 * @property {string} name equals the id where the token had no name
 * @property {unknown} commercial_info
 * @property {"offline"|"online"|"on_air"|"paused"|"interrupted"} state later servers know more states
 * @property {"call"|"muted"|"locked"|"network"|null} interrupted_by why, where the state is `interrupted`; later servers know more
 * @property {boolean} is_streaming
 * @property {boolean} speaking whether they speak, as far as their microphone tells; of a hidden page this may be out of date
 * @property {"encoder"|"device"} [source] what streams, where it is no page
 * @property {number} listeners_count
 * @property {{id: string, name: string}[]} listeners
 * @property {number|null} since on air since
 * @property {number|null} last_seen
 */

/**
 * One person who listens to this page's microphone.
 * @typedef {object} Hearer
 * @property {string|number} notice_id
 * @property {string} [listening_id] of one wish to listen; stays when the notice comes again
 * @property {{id: string, name: string, looks_like?: {id: string, name: string}}} admin `looks_like`: another person, whose
 *   name this one's is easily taken for
 * @property {string} reason
 * @property {number} since unix milliseconds of the server at which this page was told
 * @property {"seen"|"notified"|null} told how its person was told; null until then, and they hear nothing
 */

/**
 * One connection to the server, as whoever the token names. Comes back by itself after every loss and restores what
 * was wanted: the broadcast, for up to 5 minutes of interruption, or the audio connection and everyone who was joined.
 *
 * Every event is a `CustomEvent`; `detail` holds:
 *
 * | event | detail |
 * |---|---|
 * | `connection` | `state`: `connecting`, `registered`, `waiting` (with `retry_in_ms`), `already_open` (with `since?`, `broadcast_state?`, `source?`), `witness` (another page of the same person took over: this one goes on to show state and listeners, and may pause and stop), `expired` (with `close_code?` and `reason?`, why the server refused the token), `closed` |
 * | `registered` | `id`, `role`, `name`, `server_version`, `devices?` (microphones that stand in rooms: `id`, `place`), `rights?` (of a supervisor: `audit`, `manage`), `renewed` (true when only the token was renewed) |
 * | `token_expiring` | `in_s`; `getToken` is asked by itself, and a new token is sent |
 * | `commercials` | `commercials`: every {@link Commercial} in scope (supervisors) |
 * | `commercial` | `commercial`: one {@link Commercial} that changed; for a salesperson, their own |
 * | `streaming` | `state`: `off`, `asking` (for the microphone), `starting`, `live`, `reconnecting`; `since`: unix ms of the first `live`, or null; `paused`: whether its user wants nothing transmitted; `interrupted`: `muted` (by the system: a key, its settings, maybe a call), `locked`, `network` or null, of another page also `call` or what later pages know; `source`: `encoder`, `device`, or for a witness `page`, where that is on air under this id and not this page, otherwise null |
 * | `microphone` | `muted`: the system silenced or gave back the microphone, for example for a call |
 * | `listener_joined` | a {@link Hearer} and `listeners_count`. Show it, then call {@link EcouteClient#acknowledge}: until then they hear nothing |
 * | `listener_told` | a {@link Hearer}, who is acknowledged now |
 * | `listener_left` | `notice_id`, `listening_id`, `admin`, `reason`, `listeners_count` |
 * | `audio` | `connection`: `none`, `opening`, `ready`; `output`: `none`, `suspended`, `running` (suspended needs a click: {@link EcouteClient#resumeAudio}); `problem`: null, `audio_connection_failed`, `audio_unsupported`; `volume`, `muted` |
 * | `listening_pending` | `commercial_id`, `cause`: `asked`, `reconnecting`, `connection_lost`, `audio_connection_failed`, `audio_unsupported`, or the server's `offline`, `off_air`, `paused`, `interrupted`, `ack`, `ack_late`, `hidden` (nobody sees the page) |
 * | `listening_started` | `commercial_id`, `listeners_count`, `told?`: `seen` or `notified`, how the other person was told; absent for a device |
 * | `listening_stopped` | `commercial_id`, `listeners_count?`, `cause?` (absent: this page asked for it) |
 * | `quality` | `commercial_id`, `loss` (0 to 1), `jitter_ms`, `rtt_ms` or null, `bitrate_bps`, over the last 2 s: one's own, or of whom one hears |
 * | `position` | `commercial_id`, `lat`, `lon`, `accuracy_m`, `at` (unix ms): a {@link Commercial} who shares it (supervisors) |
 * | `journal` | `ok`: whether the server can write down who listens; while it can't, nobody begins to hear anybody, and `cause` says why: `disk_full`, `not_permitted`, `hangs`, `damaged`, `replaced`, `other`. `restored?`: the journal was restored `at` this moment from a backup `made` at that one, in unix ms, and nobody has confirmed yet that they know |
 * | `journal_doubt` | `doubt`: `missing`, `different` or `other_key`, where the server's journal does not contain the note that was kept here, or null once that is over; `note`: that note, for `ecoute audit verify --checkpoint` |
 * | `error` | `code`, `message`, `retry_after_s?`; the server's, or one of {@link EcouteError} |
 */
export class EcouteClient extends EventTarget {
  #clock = new Clock();
  #connection;
  #publisher;
  #listener;
  #user = null;
  #connectionDetail = { state: "idle" };
  #iceServers = [];
  #journal = { ok: true };
  /** @type {Map<string, Commercial>} */
  #commercials = new Map();
  /** @type {Map<string|number, Hearer>} */
  #hearers = new Map();
  #told;
  #note;
  /** Ends what the page is watched for, from the first call on until {@link EcouteClient#close}; null while it is not. */
  #life = null;
  /** Takes the answer to the last test that was asked for. @type {(sdp: string|null) => void} */
  #answerTest = () => {};

  /**
   * Prepares a client; nothing is sent before {@link EcouteClient#connect}.
   * @param {object} options
   * @param {string} [options.server] origin of the server
   * @param {() => Promise<string>} options.getToken asked before every connection, and once `token_expiring` came until
   *   there is a newer token; an empty string means that there is none
   * @param {Promise<ServiceWorkerRegistration|undefined>} [options.serviceWorker] names listeners in notifications while
   *   the page is hidden, where its person allowed them; without it nobody begins to listen then
   * @throws {EcouteError} `misused` where that is no address of a server
   */
  constructor({ server = location.origin, getToken, serviceWorker }) {
    super();
    const problem = serverProblem(server);
    if (problem) throw problem;
    const send = (event, data) => this.#connection.send(event, data);
    const canSend = () => this.#connection.state === "registered";
    const ask = () => this.#connection.ask();
    const iceServers = () => this.#iceServers;
    const dispatch = (name, detail) => this.#dispatch(name, detail);
    this.#note = new JournalNote(server, () => dispatch("journal_doubt", this.journalDoubt));
    this.#connection = new Connection({
      server,
      getToken,
      clock: this.#clock,
      noteFor: (token) => this.#note.bring(token),
      onState: (detail) => this.#onConnectionState(detail),
      onMessage: (event, data) => this.#onMessage(event, data),
      onError: (detail) => dispatch("error", detail),
    });
    this.#publisher = new Publisher({
      send,
      canSend,
      ask,
      iceServers,
      clock: this.#clock,
      dispatch: (name, detail) => {
        // Off air nobody hears; their departures are not waited for.
        if (name === "streaming" && detail.state === "off") this.#forgetHearers(this.listeners, true);
        this.#dispatch(name, detail);
      },
      onPeer: () => this.#told.handlePeer(),
    });
    this.#told = new Told({
      hearers: () => this.listeners,
      send,
      epoch: () => this.#connection.epoch,
      mayTell: canSend,
      countSent: () => this.#publisher.countSent(),
      beforeAck: () => this.#publisher.keepPause(),
      userId: () => this.#user?.id,
      serviceWorker,
      onTold: (hearer) => dispatch("listener_told", { ...hearer }),
    });
    this.#listener = new Listener({ send, canSend, ask, iceServers, dispatch });
  }

  /**
   * The server's time in unix ms, by which all times here are counted, and what is to be shown of them: this device's own
   * clock may be wrong, and counts only until the server has been reached.
   */
  get now() { return this.#clock.now; }

  /** State of the connection, as in the `connection` event; `idle` before the first {@link EcouteClient#connect}. */
  get connectionState() { return this.#connection.state; }

  /** The `detail` of the last `connection` event; `retry_at` instead of `retry_in_ms`, in unix ms of `Date.now()`. */
  get connection() { return this.#connectionDetail; }

  /** The `detail` of the last `journal_doubt` event. */
  get journalDoubt() { return this.#note.detail; }

  /** Who the server says this is, `{id, role, name, server_version}`; null before the first registration. */
  get user() { return this.#user; }

  /** Whether anybody can begin to listen, as in the last `journal` event. */
  get journal() { return this.#journal; }

  /** Every {@link Commercial} known, in the order in which the server named them. */
  get commercials() { return [...this.#commercials.values()]; }

  /** One {@link Commercial}, or undefined while nothing is known of them. @param {string} id */
  commercial(id) { return this.#commercials.get(id); }

  /** State of the own broadcast, as in the `streaming` event. */
  get streamingState() { return this.#publisher.state; }

  /** The `detail` of the last `streaming` event. */
  get streaming() { return this.#publisher.detail; }

  /** Whether the own broadcast is paused: nothing is transmitted until {@link EcouteClient#resumeStreaming}. */
  get isPaused() { return this.#publisher.isPaused; }

  /** The own microphone while streaming, for a level meter; otherwise null. @type {MediaStream|null} */
  get microphone() { return this.#publisher.stream; }

  /**
   * Everyone who hears this page's microphone, or is about to, newest first. Empty whenever the connection is not up.
   * @returns {Hearer[]}
   */
  get listeners() { return [...this.#hearers.values()].reverse().sort((a, b) => b.since - a.since); }

  /** Everyone this page listens to or waits for: `{commercial_id, reason, state: "pending"|"started", cause}`. */
  get wishes() { return this.#listener.wishes; }

  /** Of these the one that is heard, or was last; without one the latest. */
  get currentWish() { return this.#listener.currentWish; }

  /** The volume of what is heard, 0 to 2. */
  get volume() { return this.#listener.volume; }

  /** Whether what is heard is silenced, by {@link EcouteClient#setMuted}. */
  get isMuted() { return this.#listener.isMuted; }

  /** State of the audio connection and of playback, as in the `audio` event. */
  get audio() { return this.#listener.audio; }

  /** The node that everything heard passes, volume applied, for a level meter; null before the first click. @type {GainNode|null} */
  get audioNode() { return this.#listener.node; }

  /** The node that everything heard passes before its volume, for a level meter; null before the first click. @type {AudioNode|null} */
  get heardNode() { return this.#listener.heardNode; }

  /** Takes the server's journal for what it is now, though it was doubted. Only where a person has read so. */
  acceptJournal() { this.#note.accept(); }

  /** Says that somebody knows that the journal was restored, after which nobody is told any more; with the right `manage`. */
  confirmRestoration() {
    const { restored } = this.#journal;
    if (restored) this.#connection.send("confirm_restoration", { at: restored.at });
  }

  /** Connects, and from then on reconnects by itself until {@link EcouteClient#close} or a final refusal. */
  connect() {
    this.#begin();
    this.#connection.open();
  }

  /** Takes over from another page of the same person, in the states `already_open` and `witness`. Only where the user asks. */
  takeOver() {
    this.#begin();
    this.#connection.takeOver();
  }

  /**
   * Asks for the microphone and goes on air. Resolves once the microphone is open; `streaming` says when it is live.
   * On air already, it changes to that microphone without an interruption. What is absent is as before.
   * @param {object} [options]
   * @param {string} [options.deviceId] preferred microphone, one of {@link microphones}
   * @param {boolean} [options.noiseSuppression] false lets voices further away through; true at first
   * @throws {EcouteError} `insecure_page`, `audio_unsupported`, `microphone_unsupported`, `microphone_forbidden`,
   *   `microphone_refused`, `microphone_missing`, `microphone_busy` or `microphone_failed`
   */
  async startStreaming({ deviceId, noiseSuppression } = {}) {
    this.#begin();
    await this.#publisher.start(given({ deviceId, noiseSuppression }));
  }

  /** Prefers another microphone: at once on air, otherwise from the next start. Takes what `startStreaming` takes. */
  async useMicrophone({ deviceId, noiseSuppression } = {}) {
    await this.#publisher.use(given({ deviceId, noiseSuppression }));
  }

  /** Goes off air at once and releases the microphone, connected or not; an encoder, where connected. */
  stopStreaming() { this.#publisher.stop(); }

  /** Pauses the own broadcast: nothing is transmitted, and whoever listened waits. */
  pauseStreaming() { this.#publisher.setPaused(true); }

  /** Ends the pause: whoever waited hears again. */
  resumeStreaming() { this.#publisher.setPaused(false); }

  /**
   * Tells supervisors where one is. Nothing leaves off air, paused or interrupted; at most one a second is passed on.
   * @param {{lat: number, lon: number, accuracy_m: number, at: number}} position degrees, metres, unix ms of this device
   * @returns {boolean} whether it was sent
   */
  sendPosition({ lat, lon, accuracy_m, at }) {
    return this.#publisher.sendPosition({ lat, lon, accuracy_m, at: Math.max(0, at + this.now - Date.now()) });
  }

  /**
   * Says which element shows a listener's name. As soon as that can be read on the screen they are acknowledged and hear:
   * no page is listened to silently. Of a hidden page a notification tells, where there may be one.
   * @param {string|number} noticeId
   * @param {Element} element
   * @throws {EcouteError} `notice_not_shown` where that is no element with their name
   */
  acknowledge(noticeId, element) {
    const hearer = this.#hearers.get(noticeId);
    if (hearer) this.#told.show(hearer, element);
  }

  /**
   * Wishes to hear someone; starts by itself as soon as they are on air and know of it. Where they are on air already,
   * whoever is heard meanwhile goes on until then; one who comes on air later takes nobody away, and waits with the cause
   * `hearing_another` until asked for again. Call it inside a click, so that the browser allows sound.
   * @param {string} commercialId
   * @param {object} [options]
   * @param {string} [options.reason] what the other person is told
   * @param {boolean} [options.waits] takes nobody away even where they are on air already
   * @returns {Promise<boolean>} whether sound may play
   */
  listen(commercialId, { reason, waits = false } = {}) {
    this.#begin();
    return this.#listener.listen(commercialId, reason, waits);
  }

  /** Stops hearing or waiting for one person, or for everyone. Silent at once, connected or not. @param {string} [commercialId] */
  stop(commercialId) { this.#listener.leave(commercialId); }

  /** Sets the volume of what is heard. @param {number} volume 0 to 2; 1 is as it came */
  setVolume(volume) { this.#listener.setVolume(volume); }

  /** Silences what is heard without leaving. @param {boolean} muted */
  setMuted(muted) { this.#listener.setMuted(muted); }

  /** Starts playback, which browsers allow only inside a click. @returns {Promise<boolean>} whether sound may play */
  resumeAudio() { return this.#listener.resume(); }

  /**
   * Asks for a session beside all others that carries nothing, to find out which way the server is reached. It lives for
   * 20 s at most, and until the next one.
   * @param {string} sdp an offer to receive audio
   * @returns {Promise<string|null>} the answer; null where the connection does not last as long. A refusal is an `error`
   */
  testConnection(sdp) {
    this.#answerTest(null);
    return new Promise((resolve) => {
      this.#answerTest = resolve;
      if (!this.#connection.send("test_connection", { sdp })) resolve(null);
    });
  }

  /**
   * Stops everything of this page's, closes the connection and leaves nothing behind. What an encoder streams goes on.
   * {@link EcouteClient#connect} begins anew.
   */
  close() {
    this.#publisher.leave();
    this.#listener.close();
    this.#life?.abort();
    this.#life = null;
    this.#connection.close();
  }

  #begin() {
    if (this.#life) return;
    this.#life = new AbortController();
    for (const part of [this.#connection, this.#publisher, this.#listener, this.#told]) part.begin(this.#life.signal);
  }

  #onConnectionState(detail) {
    const { retry_in_ms, ...kept } = detail;
    this.#connectionDetail = retry_in_ms === undefined ? kept : { ...kept, retry_at: Date.now() + retry_in_ms };
    if (detail.state !== "registered") {
      // Nobody is heard without a connection, so a list that stayed would be untrue.
      const isOver = !["connecting", "waiting"].includes(detail.state);
      this.#forgetHearers(this.listeners, isOver);
      if (detail.state === "expired" || detail.state === "closed") this.#told.handleOver();
      this.#answerTest(null);
      this.#publisher.handleDisconnected();
      this.#listener.handleDisconnected();
    }
    // Another page is in use now, or the access has ended: neither microphone nor wish may come back by itself.
    if (detail.state === "witness") this.#publisher.becomeWitness();
    if (detail.state === "already_open" || detail.state === "expired") {
      this.#publisher.leave();
      this.stop();
    }
    this.#dispatch("connection", detail);
  }

  #onMessage(event, data) {
    switch (event) {
      case "user_registered": return this.#onRegistered(data);
      case "token_expiring": return this.#dispatch("token_expiring", data);
      case "journal_note": return this.#note.handleNote(data);
      case "available_streams": return this.#onCommercials(data);
      case "commercial_updated": return this.#onCommercial(data);
      case "pong": return this.#restartable.handlePong(data);
      case "streaming_started": return this.#publisher.handleStarted(data);
      case "streaming_stopped": return this.#publisher.handleStopped(data);
      case "streaming_paused": return this.#publisher.handlePaused(data);
      case "ice_restarted": return this.#restartable.handleRestarted(data);
      case "connection_test": return this.#answerTest(data.sdp);
      case "stream_quality": return this.#dispatch("quality", data);
      case "commercial_position": return this.#dispatch("position", data);
      case "listener_joined": return this.#onListenerJoined(data);
      case "listener_left": return this.#onListenerLeft(data);
      case "audio_ready": return this.#listener.handleReady(data);
      case "listening_pending": return this.#listener.handlePending(data);
      case "listening_started": return this.#listener.handleStarted(data);
      case "listening_stopped": return this.#listener.handleStopped(data);
      case "journal_state": return this.#onJournal(data);
      case "error": return this.#onError(data);
      default: // A newer server may say more; what is unknown is left alone.
    }
  }

  #onRegistered({ ice_servers, renewed, ...user }) {
    const isAnother = this.#user !== null && (this.#user.id !== user.id || this.#user.role !== user.role);
    this.#user = user;
    // What one person began, another one must not go on with because they have logged in meanwhile.
    if (isAnother) {
      this.#publisher.forget();
      this.stop();
      this.#onCommercials([]);
    }
    this.#iceServers = ice_servers ?? [];
    if (!renewed) {
      this.#forgetHearers(this.listeners, false);
      // Where it is not so, the server says it next.
      this.#journal = { ok: true };
    }
    this.#told.handleRegistered();
    this.#dispatch("registered", { ...user, renewed });
    // A handler may have closed the connection, for example because the role is not the one it expects.
    if (renewed || this.#connection.state !== "registered") return;
    if (user.role === "admin") this.#listener.handleRegistered();
    if (user.role === "commercial") this.#publisher.handleRegistered();
  }

  #onCommercials(commercials) {
    this.#commercials = new Map(commercials.map((commercial) => [commercial.commercial_id, commercial]));
    this.#dispatch("commercials", { commercials });
  }

  #onCommercial(commercial) {
    this.#commercials.set(commercial.commercial_id, commercial);
    if (this.#user.role === "commercial") this.#publisher.handleOwnState(commercial);
    this.#dispatch("commercial", { commercial });
  }

  #onListenerJoined(data) {
    const { notice_id, listening_id, admin, reason } = data;
    // Announced anew it is the same listening, and one row.
    for (const known of this.listeners) if (known.listening_id === listening_id) this.#forgetHearers([known], false);
    const hearer = { notice_id, listening_id, admin, reason, since: this.now, told: null };
    this.#hearers.set(hearer.notice_id, hearer);
    this.#told.handleJoined(hearer);
    this.#dispatch("listener_joined", { ...hearer, listeners_count: data.listeners_count });
  }

  #onListenerLeft(data) {
    const hearer = this.#hearers.get(data.notice_id);
    if (!hearer) return;
    this.#forgetHearers([hearer], true);
    this.#dispatch("listener_left", data);
  }

  /** They are not told of any more; whoever is only announced anew, or may be soon, keeps what names them. */
  #forgetHearers(hearers, isOver) {
    for (const hearer of hearers) {
      this.#hearers.delete(hearer.notice_id);
      this.#told.handleGone(hearer, isOver);
    }
  }

  #onJournal(journal) {
    this.#journal = journal;
    this.#dispatch("journal", { ...journal });
  }

  /** Each role has one audio connection. */
  get #restartable() { return this.#user?.role === "admin" ? this.#listener : this.#publisher; }

  #onError(data) {
    // Nothing went wrong: an older session is over, and a new one is built.
    if (data.code === "no_such_peer") return this.#restartable.handleNoSuchPeer();
    if (data.commercial_id) this.#listener.handleRefused(data);
    this.#dispatch("error", data);
  }

  #dispatch(name, detail) { this.dispatchEvent(new CustomEvent(name, { detail })); }
}

/** Only what was given: what is undefined is to stay as it was. */
function given(options) {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
