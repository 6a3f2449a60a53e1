/** Level meters: of the own microphone, bars of the last moments, newest on the right; of what is heard, one bar. */

import { element } from "./ecoute-view.js";

const BARS = 24;
const BAR_MS = 80;
/** Quieter than this is an empty bar, in dBFS; speech near a phone is between here and −15. */
const FLOOR_DB = -60;
const SAMPLES = 1024;

/** One bar for what passes a node of Web Audio. Nothing is measured while it follows none. */
export class LevelBar {
  #bar = element("i");
  /** @type {AudioNode|null} */
  #node = null;
  #analyser = null;
  #samples = new Float32Array(SAMPLES);
  #timer = 0;

  /** To be shown; the words beside it say what is heard. */
  frame = element("span", { className: "level", ariaHidden: "true" }, this.#bar);

  constructor() { this.#move(0); }

  /** Follows this node, or nothing, which is silence. @param {AudioNode|null} node */
  follow(node) {
    if (node === this.#node) return;
    clearInterval(this.#timer);
    this.#node?.disconnect(this.#analyser);
    this.#node = node;
    if (!node) return this.#move(0);
    this.#analyser = new AnalyserNode(node.context, { fftSize: SAMPLES });
    node.connect(this.#analyser);
    this.#timer = setInterval(() => this.#move(loudness(this.#analyser, this.#samples)), BAR_MS);
  }

  #move(loudness) { this.#bar.style.transform = `scaleX(${loudness})`; }
}

export class Meter {
  #place;
  #bars;
  #levels = new Array(BARS).fill(0);
  #stream = null;
  #context = null;
  #analyser = null;
  #samples = new Float32Array(SAMPLES);
  #timer = 0;

  /** @param {HTMLElement} place */
  constructor(place) {
    this.#place = place;
    this.#bars = Array.from({ length: BARS }, () => element("i"));
    place.append(...this.#bars);
  }

  /** Shows this microphone, or nothing. @param {MediaStream|null} stream */
  show(stream) {
    if (stream === this.#stream) return;
    this.#stream = stream;
    this.#place.hidden = !stream;
    clearInterval(this.#timer);
    this.#context?.close();
    this.#context = null;
    if (!stream) return;
    try {
      this.#context = new AudioContext();
      this.#analyser = new AnalyserNode(this.#context, { fftSize: SAMPLES });
      new MediaStreamAudioSourceNode(this.#context, { mediaStream: stream }).connect(this.#analyser);
    } catch {
      this.#place.hidden = true; // It is heard all the same.
      return;
    }
    this.#levels.fill(0);
    this.#timer = setInterval(() => this.#draw(), BAR_MS);
  }

  #draw() {
    if (document.hidden) return;
    this.#levels.push(loudness(this.#analyser, this.#samples));
    this.#levels.shift();
    this.#bars.forEach((bar, index) => { bar.style.transform = `scaleY(${0.06 + 0.94 * this.#levels[index]})`; });
  }
}

/** How loud it is now, from 0 for silence to 1. @param {AnalyserNode} analyser @param {Float32Array} samples are overwritten */
function loudness(analyser, samples) {
  analyser.getFloatTimeDomainData(samples);
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  const db = 10 * Math.log10(power + 1e-12);
  return Math.min(1, Math.max(0, 1 - db / FLOOR_DB));
}
