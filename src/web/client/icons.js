/**
 * The pictures of the pages, drawn here, as inline SVG: emoji look different on every phone, and some lack them.
 */

/** 24 × 24 paths, filled with the colour of the text. */
const PATHS = {
  mic: "M12 2a3.5 3.5 0 0 0-3.5 3.5v6a3.5 3.5 0 0 0 7 0v-6A3.5 3.5 0 0 0 12 2zM5 10.5v1a7 7 0 0 0 6 6.9V21H8v1.6h8V21h-3v-2.6a7 7 0 0 0 6-6.9v-1h-1.8v1a5.2 5.2 0 0 1-10.4 0v-1z",
  headphones: "M12 3a9 9 0 0 0-9 9v6.5A2.5 2.5 0 0 0 5.5 21H8v-8H5v-1a7 7 0 0 1 14 0v1h-3v8h2.5a2.5 2.5 0 0 0 2.5-2.5V12a9 9 0 0 0-9-9z",
  stop: "M5 5h14v14H5z",
  pause: "M6 5h4v14H6zm8 0h4v14h-4z",
  dot: "M12 5.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z",
  ring: "M12 5.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zm0 2.2a4.3 4.3 0 1 1 0 8.6 4.3 4.3 0 0 1 0-8.6z",
  speech: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zm0 2a6 6 0 1 1 0 12 6 6 0 0 1 0-12zM8.2 9.3h1.6v5.4H8.2zm3-2h1.6v9.4h-1.6zm3 2h1.6v5.4h-1.6z",
  wait: "M6 2h12v2.5c0 3-2 5.5-4 7.5 2 2 4 4.5 4 7.5V22H6v-2.5c0-3 2-5.5 4-7.5-2-2-4-4.5-4-7.5zm2.2 2c.2 2.5 2 4.6 3.8 6.3C13.8 8.6 15.6 6.5 15.8 4z",
  volume: "M3 9v6h4l5 4.5v-15L7 9zm11-1.5v9a4.5 4.5 0 0 0 0-9zm0-4v2a6.6 6.6 0 0 1 0 13v2a8.6 8.6 0 0 0 0-17z",
  muted: "M3 9v6h4l5 4.5v-15L7 9zm11.4-.5L13 9.9l2.1 2.1-2.1 2.1 1.4 1.4 2.1-2.1 2.1 2.1 1.4-1.4-2.1-2.1 2.1-2.1-1.4-1.4-2.1 2.1z",
  check: "M9.5 16.3 5.2 12l-1.5 1.5 5.8 5.8L20.6 8.2l-1.5-1.5z",
  close: "M6.4 5 5 6.4 10.6 12 5 17.6 6.4 19 12 13.4 17.6 19 19 17.6 13.4 12 19 6.4 17.6 5 12 10.6z",
  warn: "M12 3 1.5 21h21zm-1 6h2v6h-2zm0 7.5h2v2h-2z",
  search: "M10 3a7 7 0 1 0 4.2 12.6l5 5 1.6-1.6-5-5A7 7 0 0 0 10 3zm0 2.2a4.8 4.8 0 1 1 0 9.6 4.8 4.8 0 0 1 0-9.6z",
  pin: "M12 2a7 7 0 0 0-7 7c0 5 7 13 7 13s7-8 7-13a7 7 0 0 0-7-7zm0 4.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5z",
  bell: "M12 2a6 6 0 0 0-6 6v5l-2 3v1.5h16V16l-2-3V8a6 6 0 0 0-6-6zm-2.5 17a2.5 2.5 0 0 0 5 0z",
  bell_off: "M12 2a6 6 0 0 0-6 6v5l-2 3v1.5h16V16l-2-3V8a6 6 0 0 0-6-6zm0 2a4 4 0 0 1 4 4v5.6l1.3 1.9H6.7L8 13.6V8a4 4 0 0 1 4-4zm-2.5 15a2.5 2.5 0 0 0 5 0z",
};

/**
 * Makes one icon; the words beside it carry its meaning, so assistive technology skips it.
 * @param {keyof typeof PATHS} name
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.dataset.name = name;
  const path = document.createElementNS(namespace, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** Shows another icon in a place that is redrawn every second, without touching what is already right. */
export function setIcon(place, name) {
  if (place.firstElementChild?.dataset.name !== name) place.replaceChildren(icon(name));
}
