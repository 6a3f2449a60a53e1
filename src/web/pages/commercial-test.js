/**
 * « Tester ma connexion »: whether a broadcast would work from here, one thing after the other, and what to do if not.
 *
 * Off air only, in a dialog; nothing that it opens carries the microphone anywhere. Its one invariant: when it is closed,
 * or a broadcast starts, it holds neither a microphone nor a connection.
 */

import { microphoneProblem, openMicrophone } from "./ecoute-microphone.js";
import { icon } from "./icons.js";
import { byId, element, lines, setText } from "./page.js";
import { hasWords, language, t } from "./words.js";

/** In the order in which they are tried. */
const CHECKS = ["server", "udp", "tcp", "microphone", "clock"];
const ICONS = { waiting: "ring", running: "wait", ok: "check", warn: "warn", fail: "close", skipped: "ring" };
/** How long the server may take to answer, in ms. */
const ANSWER_MAX_MS = 4_000;
/** How long a way to the server may take to open, in ms; checks that get lost are repeated for less. */
const ROUTE_MAX_MS = 6_000;
/** How long the microphone is listened to, in ms, and what is louder than silence, in dBFS. */
const HEAR_MAX_MS = 2_000;
const SILENCE_DB = -60;
/** How far the clock may be off, in ms. */
const SKEW_MAX_MS = 30_000;
/** What is so where the browser is what keeps a broadcast from working. */
const UNSUPPORTED = { state: "fail", words: "help_audio_unsupported_title", advice: "help_audio_unsupported" };

export class ConnectionTest {
  #client;
  #options;
  #note;
  #rows = new Map(CHECKS.map((name) => [name, makeRow(name)]));
  /** @type {Map<string, {state: string, words?: string, values?: object, advice?: string}>} */
  #results = new Map();
  /** Ends what runs. @type {AbortController|null} */
  #run = null;

  /**
   * @param {import("./ecoute.js").EcouteClient} client
   * @param {import("./commercial-options.js").CommercialOptions} options which microphone, and the trial that may have it
   * @param {(name: string, detail: object) => void} note keeps a result for the diagnostic
   */
  constructor(client, options, note) {
    this.#client = client;
    this.#options = options;
    this.#note = note;
    const dialog = byId("test-all");
    byId("test-list").append(...this.#rows.values());
    byId("test-open").addEventListener("click", () => {
      dialog.showModal();
      this.#start();
    });
    byId("test-again").addEventListener("click", () => this.#start());
    byId("test-close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
    dialog.addEventListener("close", () => this.#stop());
    client.addEventListener("streaming", ({ detail }) => detail.state !== "off" && dialog.close());
    addEventListener("pagehide", () => this.#stop());
  }

  /** Brings everything up to date. @param {boolean} isOffered whether there is anybody to test for */
  draw(isOffered) {
    byId("test-open").hidden = !isOffered || this.#client.streamingState !== "off";
    if (!byId("test-all").open) return;
    for (const [name, row] of this.#rows) drawRow(row, this.#results.get(name) ?? { state: "waiting" });
    byId("test-again").disabled = this.#run !== null;
    setText(byId("test-summary"), t(this.#summary()));
  }

  #summary() {
    if (this.#run) return "test_in_progress";
    const states = CHECKS.map((name) => this.#results.get(name)?.state);
    const blocked = ["udp", "tcp"].every((name) => this.#results.get(name)?.state === "fail");
    if (blocked || ["server", "microphone"].some((name) => this.#results.get(name)?.state === "fail")) return "test_bad";
    return states.every((state) => state === "ok") ? "test_good" : "test_fair";
  }

  async #start() {
    this.#stop();
    const run = new AbortController();
    this.#run = run;
    this.#results.clear();
    // Here, in the click, it is allowed to run.
    const audio = audioContext();
    const checks = {
      server: () => this.#checkServer(),
      udp: () => this.#checkRoute("udp", run.signal),
      tcp: () => this.#checkRoute("tcp", run.signal),
      microphone: () => this.#checkMicrophone(audio, run.signal),
      clock: () => checkClock(run.signal),
    };
    for (const name of CHECKS) {
      if (run.signal.aborted) break;
      this.#show(name, { state: "running" });
      const result = await checks[name]().catch(() => ({ state: "fail", words: "test_failed" }));
      if (run.signal.aborted) break;
      this.#show(name, result);
      this.#note(`test_${name}`, { state: result.state, ...result.values, code: result.words });
    }
    audio?.close();
    if (this.#run !== run) return;
    this.#run = null;
    this.draw(true);
  }

  #stop() {
    this.#run?.abort();
    this.#run = null;
  }

  #show(name, result) {
    this.#results.set(name, result);
    // Whether a blocked way matters depends on the other one.
    if (name === "tcp" && result.state !== "running") this.#weighRoutes();
    this.draw(true);
  }

  #weighRoutes() {
    const [udp, tcp] = ["udp", "tcp"].map((name) => this.#results.get(name));
    if (udp.state === "fail") udp.advice ??= tcp.state === "ok" ? "test_udp_advice" : "help_audio";
    if (tcp.state === "fail") {
      tcp.advice ??= udp.state === "ok" ? "test_tcp_advice" : "help_audio";
      if (udp.state === "ok") tcp.state = "warn";
    }
    // One advice for both.
    if (udp.advice === tcp.advice) delete udp.advice;
  }

  async #checkServer() {
    if (this.#client.connectionState === "registered") return { state: "ok", words: "connected" };
    return { state: "fail", words: "disconnected", advice: "help_server" };
  }

  /** Opens a connection of which one way alone is left, and asks the browser how it goes. */
  async #checkRoute(protocol, signal) {
    if (this.#results.get("server").state !== "ok") return { state: "skipped", words: "test_needs_server" };
    let peer = null;
    try {
      const sdp = await offered(() => peer = new RTCPeerConnection());
      // Copied: weighing takes advice away.
      if (!sdp) return { ...UNSUPPORTED };
      const answer = await within(ANSWER_MAX_MS, signal, this.#client.testConnection(sdp));
      if (!answer) return { state: "skipped", words: "test_no_answer" };
      const left = onlyCandidates(answer, protocol);
      if (!left) return { state: "skipped", words: "test_not_offered" };
      await peer.setRemoteDescription({ type: "answer", sdp: left });
      const isOpen = await within(ROUTE_MAX_MS, signal, opened(peer));
      if (!isOpen) return { state: "fail", words: "test_blocked" };
      const route = await routeOf(peer).catch(() => null);
      // It passes, though the browser does not say how.
      if (!route) return { state: "ok", words: "connected" };
      const { isRouted, rtt_ms } = route;
      return { state: "ok", words: isRouted ? "test_open_routed" : "test_open", values: { rtt_ms } };
    } finally {
      peer?.close();
    }
  }

  async #checkMicrophone(audio, signal) {
    const problem = microphoneProblem();
    if (problem) return { state: "fail", words: `help_${problem}_title`, advice: `help_${problem}` };
    // Phones open a microphone only once.
    this.#options.stopTrial();
    let stream = null;
    try {
      stream = await openMicrophone(this.#options.microphone);
      // It can be sent all the same.
      if (!audio) return { ...UNSUPPORTED, state: "warn" };
      // The permission may be given after the dialog was closed.
      if (!signal.aborted && await isHeard(audio, stream, signal)) return { state: "ok", words: "test_heard" };
      return { state: "warn", words: "test_silent", advice: "test_silent_advice" };
    } catch ({ code = "microphone_failed" }) {
      return { state: "fail", words: `help_${code}_title`, advice: `help_${code}` };
    } finally {
      for (const track of stream?.getTracks() ?? []) track.stop();
    }
  }
}

/** Null where the browser has none, or does not let a page have one. */
function audioContext() {
  try {
    return new AudioContext();
  } catch {
    return null;
  }
}

/** An offer to receive audio; null where the browser makes none. @param {() => RTCPeerConnection} make */
async function offered(make) {
  try {
    const peer = make();
    peer.addTransceiver("audio", { direction: "recvonly" });
    await peer.setLocalDescription();
    return peer.localDescription.sdp;
  } catch {
    return null;
  }
}

/** Compares this clock with the server's, which judges whether an access has expired. */
async function checkClock(signal) {
  const begin = Date.now();
  const answer = await within(ANSWER_MAX_MS, signal, fetch("/health", { cache: "no-store", signal }).catch(() => null));
  const date = Date.parse(answer?.headers.get("Date") ?? "");
  if (Number.isNaN(date)) return { state: "skipped", words: "test_no_answer" };
  // It says the second that had begun; half of it has passed on average.
  const skew_s = Math.round(((begin + Date.now()) / 2 - (date + 500)) / 1000);
  if (Math.abs(skew_s) * 1000 <= SKEW_MAX_MS) return { state: "ok", words: "test_clock_good" };
  return { state: "warn", words: "test_clock_off", values: { s: Math.abs(skew_s) }, advice: "test_clock_advice" };
}

/** What a promise gives, or null after so long or at the end of the test. */
async function within(ms, signal, promise) {
  let timer;
  const end = new Promise((resolve) => {
    timer = setTimeout(resolve, ms, null);
    signal.addEventListener("abort", () => resolve(null), { once: true });
  });
  try {
    return await Promise.race([promise, end]);
  } finally {
    clearTimeout(timer);
  }
}

/** The answer with the candidates of one protocol; null where there are none. */
function onlyCandidates(sdp, protocol) {
  const isOther = (line) => line.startsWith("a=candidate:") && line.split(" ")[2].toLowerCase() !== protocol;
  const left = sdp.split("\r\n").filter((line) => !isOther(line));
  return left.some((line) => line.startsWith("a=candidate:")) ? left.join("\r\n") : null;
}

function opened(peer) {
  return new Promise((resolve) => {
    const look = () => {
      if (peer.connectionState === "connected") resolve(true);
      if (peer.connectionState === "failed" || peer.connectionState === "closed") resolve(false);
    };
    peer.addEventListener("connectionstatechange", look);
    look();
  });
}

/** How the browser itself says that it reaches the server: round trip, and whether a router gave it another address. */
async function routeOf(peer) {
  const stats = await peer.getStats();
  const pair = [...stats.values()].find(({ type, state, nominated }) => type === "candidate-pair" && state === "succeeded" && nominated);
  if (!pair) return null;
  const local = stats.get(pair.localCandidateId);
  // Over TCP the port is always another than the one that was offered.
  const isRouted = local?.protocol === "udp" && local.candidateType !== "host";
  return { isRouted, rtt_ms: Math.max(1, Math.round((pair.currentRoundTripTime ?? 0) * 1000)) };
}

async function isHeard(audio, stream, signal) {
  await audio.resume();
  const analyser = new AnalyserNode(audio, { fftSize: 1024 });
  new MediaStreamAudioSourceNode(audio, { mediaStream: stream }).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const until = Date.now() + HEAR_MAX_MS;
  while (Date.now() < until && !signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    if (10 * Math.log10(power) > SILENCE_DB) return true;
  }
  return false;
}

function makeRow(name) {
  const title = element("h3");
  title.dataset.t = `test_${name}`;
  const row = element("li", {}, element("span", { className: "mark" }), title, element("p"), element("div"));
  row.dataset.check = name;
  return row;
}

function drawRow(row, { state, words = `test_${state}`, values, advice }) {
  const [mark, , result, place] = row.children;
  const shown = `${state} ${advice} ${language()}`;
  setText(result, t(words, values));
  if (row.dataset.shown === shown) return;
  row.dataset.shown = shown;
  row.dataset.state = state;
  mark.replaceChildren(icon(ICONS[state]));
  place.replaceChildren(...(hasWords(advice) ? [lines(advice)] : []));
}
