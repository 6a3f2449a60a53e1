/**
 * A React hook over the client library, for the React that an application already has.
 *
 * It keeps no connection of its own: components with the same server and the same `getToken` share one client, also with
 * the elements, and it outlives them all until `disconnect()`. A component that comes back with a `getToken` made anew
 * goes on with the client that it left. Who listens is always shown: by an `<ecoute-micro>` in view, or else by a badge.
 *
 * ```js
 * import * as React from "react";
 * import { createUseEcoute } from "https://ecoute.example/useEcoute.js";
 * const useEcoute = createUseEcoute(React);
 * ```
 */

import { showListeners } from "./ecoute.js";
import { HOME, sourceOf } from "./ecoute-source.js";

/** @type {WeakMap<import("./ecoute.js").EcouteClient, Store>} */
const stores = new WeakMap();

/**
 * Makes the hook of a React, 18 or later: `useEcoute({ getToken, server?, autoConnect? })`.
 * @param {{useEffect: Function, useRef: Function, useSyncExternalStore: Function}} React
 */
export function createUseEcoute({ useEffect, useRef, useSyncExternalStore }) {
  const places = new Places();
  return function useEcoute({ getToken, server = HOME, autoConnect = true }) {
    const source = useRef(null);
    // A function that is made anew at every render is the same question to the same client.
    if (source.current?.server === server) source.current.getToken = getToken;
    else source.current = sourceOf(server, getToken, places.left(server, getToken));
    const { client } = source.current;
    if (!stores.has(client)) stores.set(client, new Store(client));
    const store = stores.get(client);
    useEffect(() => places.enter(source.current), [client]);
    useEffect(() => {
      showListeners(client);
      if (autoConnect) client.connect();
    }, [client, autoConnect]);
    const state = useSyncExternalStore(store.subscribe, store.read, store.read);
    return { ...state, ...store.actions };
  };
}

/**
 * Which clients components have left, by the code of their `getToken`: a function made anew is known by nothing else.
 *
 * Where functions of one code asked for several clients at once, it says nothing, and nobody is taken for another.
 */
class Places {
  /** @type {Map<string, {source: object, getToken: Function, components: number, isAmbiguous: boolean}>} */
  #places = new Map();

  /** The source that a component which mounts may go on with, or null. */
  left(server, getToken) {
    const place = this.#places.get(`${server} ${getToken}`);
    return place && place.components === 0 && !place.isAmbiguous ? place.source : null;
  }

  /** A component is mounted; returns what to do once it is not. */
  enter(source) {
    const { server, getToken } = source;
    const key = `${server} ${getToken}`;
    const place = this.#places.get(key) ?? { source, getToken, components: 0, isAmbiguous: false };
    if (place.components > 0 && place.source !== source) place.isAmbiguous = true;
    // The same code, but perhaps another person's token.
    if (place.source === source && place.getToken !== getToken) source.client.askToken();
    Object.assign(place, { source, getToken });
    place.components += 1;
    this.#places.set(key, place);
    return () => { place.components -= 1; };
  }
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
    client.addEventListener("error", ({ detail }) => this.#fail(detail));
    for (const name of ["connection", "registered", "commercials", "commercial", "streaming", "audio", "listening_pending", "listening_started", "listening_stopped"]) {
      client.addEventListener(name, () => this.#update());
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
        this.#fail({ code, message });
      }
    }),
    stopStreaming: () => this.#client.stopStreaming(),
  };

  /** What went wrong before is over once something else is begun. */
  #begin(action) {
    this.#fail(null);
    return action();
  }

  #fail(error) {
    this.#error = error;
    this.#update();
  }

  #update() {
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
