/**
 * Says when this device is on a network again, or on another one.
 *
 * It knows no connection of ours. Its one invariant: a mere guess of how fast the network is, which browsers tell as a
 * change too, is none.
 */

/** @param {() => void} callback called as long as the page lives */
export function onNetworkChange(callback) {
  addEventListener("online", callback);
  let type = navigator.connection?.type;
  navigator.connection?.addEventListener("change", () => {
    const before = type;
    type = navigator.connection.type;
    if (type !== before) callback();
  });
}
