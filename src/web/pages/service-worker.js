/**
 * What runs beside the pages: one page that says that there is no network, and what a click on a notification does.
 *
 * Its one invariant: it answers only for a page that can't be loaded, and for that page's style. All else, the API and
 * whatever carries a token first of all, goes to the network as if it were not there.
 */

const CACHE = "offline";
const PAGE = "/offline";
const STYLE = "/page.css?offline";

addEventListener("install", (event) => {
  skipWaiting(); // It keeps no state, so the newest one may always run.
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll([PAGE, STYLE])));
});

addEventListener("activate", (event) => event.waitUntil(clients.claim()));

addEventListener("fetch", (event) => {
  const { mode, url } = event.request;
  const { origin, pathname, search } = new URL(url);
  if (origin !== location.origin) return;
  if (mode === "navigate") event.respondWith(fetch(event.request).catch(() => kept(PAGE)));
  else if (pathname + search === STYLE) event.respondWith(kept(STYLE));
});

addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(openPage(event.notification.data));
});

async function kept(path) {
  return await (await caches.open(CACHE)).match(path) ?? Response.error();
}

/** Brings the page that asked to the front, or opens it. @param {string} path */
async function openPage(path) {
  const windows = await clients.matchAll({ type: "window", includeUncontrolled: true });
  const open = windows.find((window) => new URL(window.url).pathname === path);
  return open ? open.focus() : clients.openWindow(path);
}
