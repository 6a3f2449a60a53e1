/** How `<ecoute-micro>` looks; what all elements share is in `ecoute-styles.js`. */

import { sheet } from "./ecoute-styles.js";

/** `<ecoute-micro>`: made for a phone held in one hand. */
export const MICRO = sheet(`
  :host { display: flex; flex-direction: column; }
  :host([hidden]) { display: none; }
  .micro { flex: 1; display: flex; flex-direction: column; align-items: center; gap: 1em; text-align: center; }
  .status { align-self: stretch; display: flex; align-items: center; justify-content: space-between; gap: 0.6em; }
  .status .elapsed { margin-left: auto; }
  .elsewhere { align-self: stretch; padding: 1.2em; display: flex; flex-direction: column; gap: 0.9em; border: 1px solid var(--line); border-radius: 16px; background: var(--surface); text-align: left; }
  .words { margin-top: 1em; }
  .state { font-size: 1.35em; font-weight: 750; line-height: 1.25; text-wrap: balance; }
  .state span + span { margin-left: 0.35em; }
  .state [hidden] + span { margin: 0; }
  [data-state="on_air"] .state { color: var(--air); }
  [data-state="paused"] .state, [data-state="interrupted"] .state { color: var(--trying); }
  .heard:not([hidden]) ~ .words { margin-top: 0; }
  .heard { width: 100%; padding: 1em; border-radius: 16px; background: var(--heard); color: var(--on-heard); text-align: left; }
  .heard h2 { margin-bottom: 0.4em; font-size: 1.2em; font-weight: 750; outline: none; }
  /* Who waits for the end of a pause hears nothing now. */
  .heard[data-paused="true"] { background: var(--heard-soft); color: var(--ink); border: 2px solid var(--heard); }
  .listeners { display: flex; flex-direction: column; gap: 0.7em; max-height: 38vh; overflow-y: auto; overflow-anchor: none; }
  .listeners li { display: grid; grid-template-columns: 2.2em 1fr; align-items: center; flex: none; }
  .listeners li > .icon { grid-row: span 3; width: 1.6em; height: 1.6em; align-self: start; }
  .listeners li > span { grid-column: 2; }
  .listeners .person { font-size: 1.1em; }
  .meter { width: 100%; height: 56px; display: flex; align-items: center; justify-content: center; gap: 4px; }
  .meter i { flex: 0 1 8px; height: 100%; border-radius: 4px; background: var(--quiet); transform: scaleY(0.06); }
  .start { flex-direction: column; gap: 0.9em; margin: auto; padding: 1.2em 1.6em; border: 0; border-radius: 28px; background: none; font-size: 1.2em; font-weight: 700; }
  .disc { display: grid; place-items: center; width: 144px; height: 144px; border-radius: 50%; background: var(--act); color: var(--on-act); box-shadow: var(--shadow); }
  .disc .icon { width: 68px; height: 68px; }
  .start:active .disc { transform: scale(0.97); }
  .pause { font-weight: 650; border-color: var(--quiet); margin-top: auto; }
  .pause[hidden] + .stop { margin-top: auto; }
  @media (prefers-reduced-motion: reduce) { .start:active .disc { transform: none; } }
`);
