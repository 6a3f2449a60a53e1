// What an application may write against the types of the library. It is compiled, strictly, and never run.

import {
  EcouteCasque, EcouteClient, EcouteError, EcouteMicro, EVENTS, microphoneProblem, microphones, showListeners,
} from "https://ecoute.example/ecoute.js";
import type {
  AudioState, Commercial, Ecoute, EcouteErrorCode, EcouteEvents, Failure, Hearer, Position, Quality, Reason, Streaming, Told, User, Wish,
} from "https://ecoute.example/ecoute.js";
import { createUseEcoute } from "https://ecoute.example/useEcoute.js";

const getToken = async (): Promise<string> => (await fetch("/ecoute-token")).text();

export async function salesperson(client: EcouteClient): Promise<void> {
  const problem: "insecure_page" | "audio_unsupported" | "microphone_unsupported" | "microphone_forbidden" | null = microphoneProblem();
  const [first] = await microphones();
  client.connect();
  try {
    await client.startStreaming(first && problem === null ? { deviceId: first.deviceId, noiseSuppression: false } : {});
    await client.useMicrophone({ noiseSuppression: true });
  } catch (error) {
    if (error instanceof EcouteError) {
      const code: EcouteErrorCode = error.code;
      const detail: Failure = error.detail;
      throw new EcouteError(code, detail);
    }
  }
  client.addEventListener("listener_joined", ({ detail }) => {
    const { notice_id, admin, reason, since, listeners_count } = detail;
    console.log(admin.name.trim(), reason.trim(), since.toFixed(), listeners_count.toFixed());
    client.acknowledge(notice_id, document.body.appendChild(document.createElement("li")));
  });
  const streaming: Streaming = client.streaming;
  const listeners: Hearer[] = client.listeners;
  const told: Told | null | undefined = listeners[0]?.told;
  const microphone: MediaStream | null = client.microphone;
  const position: Position = { lat: 48.8, lon: 2.3, accuracy_m: 8, at: Date.now() };
  if (client.isPaused && client.sendPosition(position)) client.resumeStreaming();
  else client.pauseStreaming();
  console.log(streaming.since?.toFixed(), told, listeners.length, microphone?.active, client.streamingState === "live");
  showListeners(client);
  client.takeOver();
  client.stopStreaming();
}

export async function supervisor(client: EcouteClient): Promise<boolean> {
  for (const name of EVENTS) client.addEventListener(name, ({ detail }) => console.log(detail));
  const onQuality = ({ detail }: CustomEvent<Quality>): void => console.log(detail.rtt_ms?.toFixed());
  client.addEventListener("quality", onQuality, { once: true });
  client.removeEventListener("quality", onQuality);
  const reason: Reason = "autre: bilan";
  const mayPlay: boolean = await client.listen("lea", { reason });
  const lea: Commercial | undefined = client.commercial("lea");
  const speaks: boolean | undefined = lea?.speaking;
  const heard: AudioNode | null = client.heardNode;
  const wishes: Wish[] = client.wishes;
  const audio: AudioState = client.audio;
  const user: User | null = client.user;
  if (!mayPlay) await client.resumeAudio();
  client.setVolume(client.volume * 2);
  client.setMuted(!client.isMuted);
  const gain: number | undefined = client.audioNode?.gain.value;
  const answer: string | null = await client.testConnection("v=0");
  console.log(speaks, heard?.context.state, lea?.since && client.now - lea.since, lea?.listeners[0]?.name, wishes[0]?.cause, audio.output, user?.role, gain, answer, client.commercials.length);
  console.log(client.connection.retry_at, client.connectionState === "registered");
  client.stop("lea");
  client.stop();
  client.close();
  return mayPlay;
}

export function elements(): void {
  const micro = document.querySelector("ecoute-micro") ?? new EcouteMicro();
  micro.server = "https://ecoute.example";
  micro.getToken = getToken;
  micro.lang = "en";
  micro.addEventListener("ecoute-streaming", ({ detail }) => console.log(detail.state === "live", micro.state === "on_air"));
  micro.addEventListener("ecoute-listener-joined", ({ detail }) => console.log(detail.admin.name));
  micro.addEventListener("ecoute-listener-left", ({ detail }) => console.log(detail.listeners_count));
  micro.addEventListener("ecoute-error", ({ detail }) => console.log(detail.message));
  micro.addEventListener("click", (event) => console.log(event.type));
  const casque = Object.assign(document.createElement("ecoute-casque"), { commercial: "lea", getToken });
  const same: EcouteCasque = casque;
  same.reason = "qualité";
  same.client = new EcouteClient({ server: "https://ecoute.example", getToken });
  same.addEventListener("ecoute-listen", (event) => event.detail.commercial_id === "tom" && event.preventDefault());
  same.addEventListener("ecoute-listening", ({ detail }) => console.log(detail.state === same.listening));
  same.toggle();
}

export function hook(React: Parameters<typeof createUseEcoute>[0]): Ecoute {
  const useEcoute = createUseEcoute(React);
  const {
    isConnected, isListening, isStreaming, error, availableStreams, currentListeningTo, audioVolume, startListening,
    stopListening, setVolume, startStreaming, stopStreaming, connect, disconnect, now, ...nothingElse
  } = useEcoute({ getToken, server: "https://ecoute.example", autoConnect: false });
  const none: Record<string, never> = nothingElse;
  const told: boolean[] = [isConnected, isListening, isStreaming];
  const actions = { startListening, stopListening, setVolume, startStreaming, stopStreaming, connect, disconnect, now };
  console.log(now() - (availableStreams[0]?.since ?? 0), none, error?.code, availableStreams[0]?.state, currentListeningTo?.trim());
  setVolume(audioVolume / 2);
  void startStreaming({ noiseSuppression: false });
  void startListening("lea", { reason: "formation" }).then((mayPlay: boolean) => told.push(mayPlay));
  return { ...actions, isConnected, isListening, isStreaming, error, availableStreams, currentListeningTo, audioVolume };
}

// What is wrong is told.
export function wrong(client: EcouteClient, events: EcouteEvents, micro: EcouteMicro): void {
  // @ts-expect-error: there is no such reason
  void client.listen("lea", { reason: "ennui" });
  // @ts-expect-error: it is shown somewhere
  client.acknowledge(7);
  // @ts-expect-error: it says who somebody is
  new EcouteClient({});
  // @ts-expect-error: it follows from what happens
  client.volume = 2;
  // @ts-expect-error: it follows from what happens
  micro.state = "ready";
  // @ts-expect-error: there is no such event
  console.log(events.nothing);
  // @ts-expect-error: it has no such detail
  client.addEventListener("position", ({ detail }) => console.log(detail.altitude));
}
