/** Level meters: of the own microphone, bars of the last moments, newest on the right; of others, one bar each. */

import { element } from "./ecoute-view.js";

const BARS = 24;
const BAR_MS = 80;
/** Quieter than this is an empty bar, in dBFS; speech near a phone is between here and −15. */
const FLOOR_DB = -60;

/** A bar for a level that comes from the server. @param {HTMLElement} bar the part that moves */
export function levelBar(bar) {
  const frame = element("span", { className: "level" }, bar);
  frame.setAttribute("aria-hidden", "true");
  return frame;
}

/** Moves the bar. @param {HTMLElement} bar @param {number|undefined} level dBov; absent is silence */
export function setLevel(bar, level = FLOOR_DB) {
  bar.style.transform = `scaleX(${Math.min(1, Math.max(0, 1 - level / FLOOR_DB))})`;
}

export class Meter {
  #place;
  #bars;
  #levels = new Array(BARS).fill(0);
  #stream = null;
  #context = null;
  #analyser = null;
  #samples = new Float32Array(1024);
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
      this.#analyser = new AnalyserNode(this.#context, { fftSize: this.#samples.length });
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
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const power = this.#samples.reduce((sum, sample) => sum + sample * sample, 0) / this.#samples.length;
    const db = 10 * Math.log10(power + 1e-12);
    this.#levels.push(Math.min(1, Math.max(0, 1 - db / FLOOR_DB)));
    this.#levels.shift();
    this.#bars.forEach((bar, index) => { bar.style.transform = `scaleY(${0.06 + 0.94 * this.#levels[index]})`; });
  }
}
