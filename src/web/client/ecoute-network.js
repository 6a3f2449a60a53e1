/**
 * Says when this device is on a network again, or on another one.
 *
 * It knows no connection of ours. Its one invariant: a mere guess of how fast the network is, which browsers tell as a
 * change too, is none.
 */

/** @param {() => void} callback @param {AbortSignal} signal until when it is called */
export function onNetworkChange(callback, signal) {
  addEventListener("online", callback, { signal });
  let type = navigator.connection?.type;
  navigator.connection?.addEventListener("change", () => {
    const before = type;
    type = navigator.connection.type;
    if (type !== before) callback();
  }, { signal });
}
