/** How `<ecoute-casque>` and its panel look; what all elements share is in `ecoute-styles.js`. */

import { sheet } from "./ecoute-styles.js";

/** `<ecoute-casque>`: one button. */
export const CASQUE = sheet(`
  :host { display: inline-block; }
  :host([hidden]) { display: none; }
  button { width: 100%; padding: 0 0.8em; }
  [data-state="on_air"] { border-color: var(--heard); color: var(--heard); font-weight: 650; }
  [data-listening="pending"] { border: 1.5px dashed var(--heard); color: var(--heard); }
  [data-listening="started"] { border-color: var(--air); background: var(--air); color: var(--on-air); }
`);

/** The floating panel; on a phone, a bottom sheet. */
export const PANEL = sheet(`
  :host { position: fixed; right: 16px; bottom: 16px; z-index: 2147483000; }
  .panel {
    width: min(29em, calc(100vw - 32px));
    max-height: calc(100vh - 32px);
    overflow: auto;
    padding: 1em 1.1em;
    display: flex;
    flex-direction: column;
    gap: 0.6em;
    background: var(--surface);
    border: 2px solid var(--heard);
    border-radius: 18px;
    box-shadow: var(--shadow);
  }
  [data-listening="pending"] { border-style: dashed; }
  [data-listening="pending"] .live { background: var(--heard-soft); color: var(--heard); letter-spacing: 0; }
  .resume { background: var(--heard); border-color: var(--heard); color: var(--on-heard); font-weight: 650; }
  .shown { display: contents; }
  header { display: flex; align-items: center; gap: 0.7em; }
  header h2 { flex: 1; }
  .volume { display: flex; align-items: center; gap: 0.7em; }
  .volume input { flex: 1; min-width: 0; min-height: 44px; accent-color: var(--heard); }
  output { min-width: 3.6em; text-align: right; font-variant-numeric: tabular-nums; }
  #mute::before { content: var(--ecoute-mute-key, none) / ""; padding: 0 0.4em; border: 1px solid currentcolor; border-radius: 4px; font-size: 0.75em; }
  #mute[aria-pressed="true"] { background: var(--warn); color: var(--on-warn); border-color: currentcolor; }
  .others { display: flex; flex-direction: column; font-size: 0.9em; color: var(--quiet); }
  .others li { display: flex; align-items: center; gap: 0.6em; border-top: 1px solid var(--line); }
  .others p { flex: 1; min-width: 0; }
  .others p > span { display: block; }
  .others .cancel { border: 0; background: none; padding: 0; min-width: 44px; }
  .actions { display: flex; justify-content: space-between; align-items: flex-end; gap: 0.8em; flex-wrap: wrap; }
  .actions .stop { padding: 0 1.6em; margin-left: auto; }
  details[open] { flex-basis: 100%; }
  summary { display: flex; align-items: center; color: var(--quiet); text-decoration: underline; cursor: pointer; }
  @media (max-width: 699px) {
    :host { right: 0; bottom: 0; left: 0; }
    .panel { width: 100%; max-height: 70vh; border-width: 2px 0 0; border-radius: 20px 20px 0 0; padding-bottom: max(1em, env(safe-area-inset-bottom)); }
    .volume { flex-wrap: wrap; }
    .volume input { order: 1; flex-basis: 100%; }
    output { text-align: left; }
    #mute { margin-left: auto; }
  }
`);
