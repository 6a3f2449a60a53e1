/**
 * A React hook over the client library, for the React that an application already has.
 *
 * It keeps no connection of its own: components with the same server and the same `getToken` share one client, also with
 * the elements, and it outlives them all until `disconnect()`. Where a component comes back with a `getToken` made anew,
 * the client that it left ends: nobody could reach it any more, and who asks now may be somebody else. Who listens is
 * always shown: by an `<ecoute-micro>` in view, or else by a badge.
 *
 * ```js
 * import * as React from "react";
 * import { createUseEcoute } from "https://ecoute.example/useEcoute.js";
 * const useEcoute = createUseEcoute(React);
 * ```
 */

import { showListeners } from "./ecoute.js";
import { HOME, sourceOf } from "./ecoute-source.js";
import { inFrame } from "./ecoute-view.js";

/** @type {WeakMap<import("./ecoute.js").EcouteClient, Store>} */
const stores = new WeakMap();

/**
 * Makes the hook of a React, 18 or later: `useEcoute({ getToken, server?, autoConnect? })`.
 * @param {{useEffect: Function, useRef: Function, useSyncExternalStore: Function}} React
 */
export function createUseEcoute({ useEffect, useRef, useSyncExternalStore }) {
  const uses = new Uses();
  return function useEcoute({ getToken, server = HOME, autoConnect = true }) {
    const source = useRef(null);
    // A function that is made anew at every render is the same question to the same client.
    if (source.current?.server === server) source.current.getToken = getToken;
    else source.current = sourceOf(server, getToken, null);
    const { client } = source.current;
    if (!stores.has(client)) stores.set(client, new Store(client));
    const store = stores.get(client);
    useEffect(() => uses.enter(source.current), [client]);
    useEffect(() => {
      showListeners(client);
      if (autoConnect) client.connect();
    }, [client, autoConnect]);
    const state = useSyncExternalStore(store.subscribe, store.read, store.read);
    return { ...state, ...store.actions };
  };
}

/**
 * How many components use which client. One that no component uses may be come back to, with the same `getToken`; once
 * there is another one of the same code instead, it ends.
 */
class Uses {
  /** By code, newest last. @type {Map<string, Map<import("./ecoute-source.js").Source, number>>} */
  #ofCode = new Map();

  /** A component is mounted; returns what to do once it is not. */
  enter(source) {
    const code = `${source.server} ${source.getToken}`;
    const uses = this.#ofCode.get(code) ?? new Map();
    this.#ofCode.set(code, uses);
    const count = uses.get(source) ?? 0;
    uses.delete(source);
    uses.set(source, count + 1);
    this.#endLeft(uses, source);
    return () => {
      uses.set(source, uses.get(source) - 1);
      this.#endLeft(uses, [...uses.keys()].at(-1));
    };
  }

  #endLeft(uses, newest) {
    for (const [source, count] of uses) {
      if (count > 0 || source === newest) continue;
      uses.delete(source);
      source.client.close();
    }
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
    client.addEventListener("commercial", inFrame(() => this.#update()));
    for (const name of ["connection", "registered", "commercials", "streaming", "audio", "listening_pending", "listening_started", "listening_stopped"]) {
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
    now: () => this.#client.now,
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
