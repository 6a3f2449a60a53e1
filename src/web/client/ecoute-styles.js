/**
 * How the elements look, as constructable stylesheets: no page's strict `style-src` stands against them, and no page's
 * own styles reach in.
 *
 * A host page may set, on the element or above it: `--ecoute-font`, and the colours `--ecoute-surface`, `--ecoute-ink`,
 * `--ecoute-quiet`, `--ecoute-line`, `--ecoute-act`, `--ecoute-air`, `--ecoute-heard`, `--ecoute-up`, `--ecoute-warn`,
 * each with its `--ecoute-on-…` where text stands on it. A page whose keyboard mutes names the key, quoted, in
 * `--ecoute-mute-key`. Red is "on air", violet is "being heard"; neither colour ever
 * means the other, and neither stands without its icon and its words.
 */

const BASE = sheet(`
  :host {
    color-scheme: light dark;
    --surface: var(--ecoute-surface, #fff);
    --ink: var(--ecoute-ink, #1b1b22);
    --quiet: var(--ecoute-quiet, #5c5c6b);
    --line: var(--ecoute-line, #d9d9e2);
    --act: var(--ecoute-act, #14633f);
    --on-act: var(--ecoute-on-act, #fff);
    --air: var(--ecoute-air, #c3261d);
    --on-air: var(--ecoute-on-air, #fff);
    --heard: var(--ecoute-heard, #4a33b8);
    --on-heard: var(--ecoute-on-heard, #fff);
    --heard-soft: var(--ecoute-heard-soft, #ece8ff);
    --up: var(--ecoute-up, #177346);
    --trying: var(--ecoute-trying, #925400);
    --warn: var(--ecoute-warn, #fff1d6);
    --on-warn: var(--ecoute-on-warn, #5a3a00);
    --shadow: 0 6px 28px rgb(20 20 40 / 22%);
    color: var(--ink);
    font: var(--ecoute-font, 17px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif);
    text-align: start;
    overflow-wrap: anywhere;
  }
  @media (prefers-color-scheme: dark) {
    :host {
      --surface: var(--ecoute-surface, #1d1d25);
      --ink: var(--ecoute-ink, #f1f1f5);
      --quiet: var(--ecoute-quiet, #a9a9b8);
      --line: var(--ecoute-line, #383845);
      --act: var(--ecoute-act, #3ecf8a);
      --on-act: var(--ecoute-on-act, #06281a);
      --air: var(--ecoute-air, #ff5a4f);
      --on-air: var(--ecoute-on-air, #2a0301);
      --heard: var(--ecoute-heard, #a796ff);
      --on-heard: var(--ecoute-on-heard, #170c4d);
      --heard-soft: var(--ecoute-heard-soft, #2a2450);
      --up: var(--ecoute-up, #3ecf8a);
      --trying: var(--ecoute-trying, #ffb655);
      --warn: var(--ecoute-warn, #3d2d0c);
      --on-warn: var(--ecoute-on-warn, #ffdf9f);
      --shadow: 0 6px 28px rgb(0 0 0 / 60%);
    }
  }
  * { box-sizing: border-box; }
  [hidden] { display: none !important; }
  h2, h3, p, ul { margin: 0; padding: 0; }
  h2 { font-size: 1.1em; }
  h3 { font-size: 1em; }
  ul { list-style: none; }
  .icon { width: 1.25em; height: 1.25em; fill: currentcolor; flex: none; vertical-align: -0.28em; }
  .elapsed { font-variant-numeric: tabular-nums; white-space: nowrap; }
  .detail { color: var(--quiet); }
  .problem { padding: 0.6em 0.9em; border-radius: 14px; background: var(--warn); color: var(--on-warn); }
  .unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
  button, summary { font: inherit; color: inherit; min-height: 44px; }
  button {
    display: inline-flex;
    align-items: center;
    justify-content: center;
    gap: 0.5em;
    padding: 0 1em;
    border: 1.5px solid var(--line);
    border-radius: 12px;
    background: var(--surface);
    cursor: pointer;
    touch-action: manipulation;
  }
  button:hover:not(:disabled) { border-color: var(--quiet); }
  button:disabled { opacity: 0.5; cursor: default; }
  :focus-visible { outline: 3px solid var(--heard); outline-offset: 2px; }
  .primary { background: var(--act); border-color: var(--act); color: var(--on-act); font-weight: 650; }
  .link { border: 0; background: none; padding: 0; color: var(--quiet); text-decoration: underline; min-width: 44px; }
  .stop { background: var(--air); border-color: var(--air); color: var(--on-air); font-weight: 650; }
  .wide { width: 100%; min-height: 72px; font-size: 1.15em; border-radius: 16px; }
  .live {
    display: inline-flex;
    align-items: center;
    gap: 0.3em;
    padding: 0.1em 0.6em 0.1em 0.35em;
    border-radius: 99px;
    background: var(--air);
    color: var(--on-air);
    font-size: 0.85em;
    font-weight: 800;
    letter-spacing: 0.04em;
    white-space: nowrap;
    flex: none;
  }
  .level { display: block; height: 6px; border-radius: 3px; background: var(--line); overflow: hidden; }
  .level i { display: block; height: 100%; background: var(--up); transform: scaleX(0); transform-origin: left; transition: transform 0.2s linear; }
  .help { width: 100%; padding: 0.9em 1.1em; border-radius: 14px; background: var(--warn); color: var(--on-warn); text-align: left; }
  .help ul, .hints ul { list-style: disc; padding-left: 1.2em; margin-top: 0.4em; font-size: 0.95em; }
  /* Marks piled over letters reach no other line. */
  .person { overflow: clip; overflow-clip-margin: 0.15em; line-height: 1.25; }
  .person > bdi { font-weight: 750; }
  .alike { font-weight: 650; }
  .alike .icon { margin-right: 0.3em; }
  /* A long name leaves room for what stands beside it. */
  .name { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; min-width: 0; }
  /* Colours that the person chose take the place of grounds, which then need an edge. */
  @media (forced-colors: active) {
    .meter i, .level i { background: CanvasText !important; }
    .live, .heard, .help { border: 2px solid; }
  }
`);

/** The badge of a broadcast without an element in view. */
export const BADGE = sheet(`
  .badge {
    position: fixed;
    inset: max(8px, env(safe-area-inset-top)) 8px auto auto;
    z-index: 2147483647;
    max-width: calc(100vw - 16px);
    max-height: min(45vh, calc(100vh - 16px));
    margin: 0;
    overflow: hidden;
    padding: 0.4em 0.9em 0.4em 0.6em;
    border: 2px solid var(--on-air);
    border-radius: 1.3em; /* round in one line, and cuts nothing off in several */
    background: var(--air);
    color: var(--on-air);
    box-shadow: var(--shadow);
    font-weight: 750;
    pointer-events: none;
  }
  [data-state="heard"] { background: var(--heard); color: var(--on-heard); border-color: var(--on-heard); }
  [data-state="paused"], [data-state="interrupted"], [data-state="starting"] { background: var(--warn); color: var(--on-warn); border-color: currentcolor; }
  /* Each by itself: a browser that does not know the second one leaves out a rule with both. */
  .badge:not([popover]) { display: flex; flex-direction: column; }
  .badge:popover-open { display: flex; flex-direction: column; }
  .badge p span + span { margin-left: 0.4em; }
  .listeners { min-height: 0; overflow-y: auto; overflow-anchor: none; pointer-events: auto; font-weight: 500; }
  .listeners li > .icon { display: none; }
  .listeners li + li { margin-top: 0.2em; }
`);

/** Gives an element a shadow root in these styles. @param {HTMLElement} host @param {CSSStyleSheet} own */
export function styled(host, own) {
  const root = host.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [BASE, own];
  return root;
}

/** Makes a stylesheet. @param {string} text */
export function sheet(text) {
  // On a server there is none, and nothing to draw.
  const made = globalThis.CSSStyleSheet && new CSSStyleSheet();
  made?.replaceSync(text);
  return made;
}
