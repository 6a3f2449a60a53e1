/**
 * A React hook over the client library, for the React that an application already has.
 *
 * It keeps no connection of its own: components of the same person on the same server share one client, also with the
 * elements, and it outlives them all until `disconnect()`. What is mounted last decides which `getToken` is asked; where its
 * token is somebody else's in the same role, what the one before began ends. Who listens is always shown: by an
 * `<ecoute-micro>` in view, or else by a badge. On a server there is nothing yet.
 *
 * ```js
 * import * as React from "react";
 * import { createUseEcoute } from "https://ecoute.example/useEcoute.js";
 * const useEcoute = createUseEcoute(React);
 * ```
 */

import { showListeners } from "./ecoute.js";
import { EcouteError, isOfToken } from "./ecoute-error.js";
import { HOME, Use } from "./ecoute-source.js";
import { inFrame } from "./ecoute-view.js";

/** @type {WeakMap<import("./ecoute.js").EcouteClient, Store>} */
const stores = new WeakMap();

/** What there is of a client on a server that draws pages. */
const NONE = { connectionState: "idle", streamingState: "off", commercials: [], wishes: [], volume: 1, addEventListener() {} };

/**
 * Makes the hook of a React, 18 or later: `useEcoute({ getToken, server?, autoConnect? })`.
 * @param {{useEffect: Function, useRef: Function, useSyncExternalStore: Function}} React
 */
export function createUseEcoute({ useEffect, useRef, useSyncExternalStore }) {
  return function useEcoute({ getToken, server = HOME, autoConnect = true }) {
    if (!globalThis.document) {
      const { read, actions } = storeOf(NONE);
      return { ...read(), ...actions };
    }
    const use = useRef(null);
    // Where it turns out to be somebody else's, the component is drawn again, with another client.
    use.current ??= new Use((former) => storeOf(former).touch());
    use.current.prefer(server, getToken);
    const { client, source } = use.current;
    const { subscribe, read, actions } = storeOf(client);
    const hasToken = Boolean(getToken);
    const mayConnect = autoConnect && hasToken;
    const begin = useRef(null);
    begin.current ??= beginnings(use.current);
    useEffect(() => {
      use.current.enter();
      return () => use.current.leave();
    }, [source, hasToken]);
    useEffect(() => {
      showListeners(client);
      if (mayConnect) client.connect();
    }, [client, mayConnect]);
    const state = useSyncExternalStore(subscribe, read, read);
    return { ...state, ...actions, ...begin.current };
  };
}

/** What nobody begins in another one's name: not before the token of the component was of the client's person. */
function beginnings(use) {
  const guarded = (name) => async (...all) => {
    const store = storeOf(use.client);
    if (use.isKnown) return store.actions[name](...all);
    store.fail(new EcouteError("token_unavailable").detail);
    return false;
  };
  return { startListening: guarded("startListening"), startStreaming: guarded("startStreaming") };
}

function storeOf(client) {
  if (!stores.has(client)) stores.set(client, new Store(client));
  return stores.get(client);
}

/** What React may ask for at any time: one object, which is another one exactly when something in it is. */
class Store {
  #client;
  #error = null;
  #state;
  #subscribers = new Set();

  constructor(client) {
    this.#client = client;
    this.#state = this.#look();
    client.addEventListener("error", ({ detail }) => this.fail(detail));
    client.addEventListener("registered", () => isOfToken(this.#error) && this.fail(null));
    client.addEventListener("commercial", inFrame(() => this.touch()));
    for (const name of ["connection", "registered", "commercials", "streaming", "audio", "listening_pending", "listening_started", "listening_stopped"]) {
      client.addEventListener(name, () => this.touch());
    }
  }

  subscribe = (subscriber) => {
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  };

  read = () => this.#state;

  /** What components call; the same functions for ever. */
  actions = {
    connect: () => this.#begin(() => this.#client.connect()),
    disconnect: () => this.#client.close(),
    startListening: (id, options) => this.#begin(() => this.#client.listen(id, options)),
    stopListening: (id) => this.#client.stop(id),
    setVolume: (volume) => this.#client.setVolume(volume),
    startStreaming: (options) => this.#begin(async () => {
      try {
        await this.#client.startStreaming(options);
      } catch ({ code, message }) {
        this.fail({ code, message });
      }
    }),
    stopStreaming: () => this.#client.stopStreaming(),
    now: () => this.#client.now,
  };

  /** What went wrong before is over once something else is begun. */
  #begin(action) {
    this.fail(null);
    return action();
  }

  fail(error) {
    this.#error = error;
    this.touch();
  }

  /** Something may be another one. */
  touch() {
    this.#state = this.#look();
    for (const subscriber of this.#subscribers) subscriber();
  }

  #look() {
    const { connectionState, streamingState, commercials, wishes, volume } = this.#client;
    const heard = wishes.find((wish) => wish.state === "started");
    return {
      isConnected: connectionState === "registered",
      isListening: heard !== undefined,
      isStreaming: streamingState !== "off" && streamingState !== "asking",
      error: this.#error,
      availableStreams: commercials,
      currentListeningTo: heard?.commercial_id ?? null,
      audioVolume: volume,
    };
  }
}
