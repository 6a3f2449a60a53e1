/**
 * Types of `ecoute.js` and `useEcoute.js`.
 *
 * Copy it into an application, and name it under `paths` in tsconfig.json for the addresses that are imported.
 */

// What is not exported here is a name of this file only; without this line all of it could be imported.
export {};

export interface Commercial {
  commercial_id: string;
  /** Equals the id where the token had no name. */
  name: string;
  commercial_info: unknown;
  state: "offline" | "online" | "on_air" | "paused" | "interrupted";
  interrupted_by: InterruptedBy | null;
  is_streaming: boolean;
  /** Whether they speak, as far as their microphone tells; of a hidden page this may be out of date. */
  speaking: boolean;
  /** What streams, where it is no page: an encoder of the person's, or a device that is nobody's microphone. */
  source?: StreamSource;
  listeners_count: number;
  listeners: Person[];
  /** On air since, in Unix milliseconds of the server, as `last_seen`: {@link EcouteClient.now}. */
  since: number | null;
  last_seen: number | null;
}

/** Why somebody listens, as the other person is told. */
export type Reason = "accompagnement" | "qualité" | "formation" | "sécurité" | `autre: ${string}`;

export interface Person {
  id: string;
  name: string;
}

export interface Supervisor extends Person {
  /** Another person, whose name this one's is easily taken for. */
  looks_like?: Person;
}

/** Someone who listens to this page's microphone. */
export interface Hearer {
  notice_id: number;
  /** Of one wish to listen; stays when the notice comes again after a loss of connection. */
  listening_id: string;
  admin: Supervisor;
  reason: string;
  /** Unix milliseconds of the server at which this page was told. */
  since: number;
  /** How the person at this page was told; null until then, and nothing is heard. */
  told: Told | null;
}

/** On a page that was visible, or by a notification that names who listens. */
export type Told = "seen" | "notified";

export interface Wish {
  commercial_id: string;
  reason: string | undefined;
  state: "pending" | "started";
  cause: PendingCause | null;
  /** How the other person was told; null until then, and for a device. */
  told: Told | null;
}

export interface User {
  id: string;
  role: "admin" | "commercial" | "monitor";
  name: string;
  server_version: string;
  /** Of a supervisor: `audit` sees what everybody listened to, in the history. Absent is none. */
  rights?: ("audit" | (string & {}))[];
  /** The microphones that stand in rooms, nobody's own; everybody may know of them. */
  devices?: { id: string; place: string }[];
}

export interface Position {
  lat: number;
  lon: number;
  accuracy_m: number;
  /** Unix milliseconds: of this device where it is sent, of the server where it is received. */
  at: number;
}

export interface Quality {
  commercial_id: string;
  /** 0 to 1, over the last 2 s. */
  loss: number;
  jitter_ms: number;
  rtt_ms: number | null;
  bitrate_bps: number;
}

export interface MicrophoneOptions {
  /** One of {@link microphones}. */
  deviceId?: string;
  /** False lets voices further away through; true at first. */
  noiseSuppression?: boolean;
}

export type StreamSource = "encoder" | "device";
/** `muted`: the system silences the microphone, for a key, its settings or a call. Later servers know more. */
export type InterruptedBy = "call" | "muted" | "locked" | "network";
export type ConnectionState = "idle" | "connecting" | "registered" | "waiting" | "already_open" | "witness" | "expired" | "closed";
export type StreamingState = "off" | "asking" | "starting" | "live" | "reconnecting";
export type PendingCause =
  | "asked" | "reconnecting" | "connection_lost" | "audio_connection_failed" | "audio_unsupported"
  | "offline" | "off_air" | "paused" | "interrupted" | "ack" | "ack_late" | "hidden"
  | "hearing_another";

export interface Connection {
  state: ConnectionState;
  since?: number;
  broadcast_state?: Commercial["state"];
  source?: StreamSource;
  close_code?: number;
  reason?: string;
}

export interface Streaming {
  state: StreamingState;
  /** Unix milliseconds of the first `live`. */
  since: number | null;
  /** Whether its user wants nothing transmitted. */
  paused: boolean;
  interrupted: InterruptedBy | null;
  /** What is on air under this id instead of this page's microphone. */
  source: StreamSource | "page" | null;
}

export interface AudioState {
  connection: "none" | "opening" | "ready";
  /** Suspended needs a click that calls {@link EcouteClient.resumeAudio}. */
  output: "none" | "suspended" | "running";
  /** Why nobody can be heard; null where that is not known, or somebody can. */
  problem: "audio_connection_failed" | "audio_unsupported" | null;
  /** 0 to 2; 1 is as it came. */
  volume: number;
  muted: boolean;
}

/** Whether the server can write down who listens: while it can't, nobody begins to hear anybody. */
export interface Journal {
  ok: boolean;
  /** Why not; later servers know more. */
  cause?: "disk_full" | "not_permitted" | "hangs" | "damaged" | "replaced" | "other" | (string & {});
  /** The journal was restored from a backup, and nobody has confirmed yet that they know. */
  restored?: {
    /** When the backup was made, in Unix milliseconds: what happened since is missing. */
    made: number;
    /** When it was restored. */
    at: number;
  };
}

export interface JournalDoubt {
  /** Why the server's journal does not contain the note that was kept here; null where it does. */
  doubt: "missing" | "different" | "other_key" | null;
  /** That note, for `ecoute audit verify --checkpoint`. */
  note: string | null;
}

/** What went wrong: the server's word, or one of {@link EcouteErrorCode}. */
export interface Failure {
  code: EcouteErrorCode | (string & {});
  message: string;
  retry_after_s?: number;
  commercial_id?: string;
  reason?: string;
  /** Of `misused`: what the application handed over and can't be used, and what came. */
  misuse?: { of: "function" | "token" | "server" | "client" | "commercial" | "attribute"; what?: string };
}

export type EcouteErrorCode =
  | "insecure_page" | "audio_unsupported" | "microphone_unsupported" | "microphone_forbidden" | "microphone_refused" | "microphone_missing" | "microphone_busy"
  | "microphone_failed" | "microphone_ended" | "interrupted_too_long" | "audio_connection_failed" | "notice_not_shown"
  | "token_unavailable" | "misused";

/** `detail` of every event of {@link EcouteClient}. */
export interface EcouteEvents {
  connection: Connection & { retry_in_ms?: number };
  registered: User & { renewed: boolean };
  token_expiring: { in_s: number };
  commercials: { commercials: Commercial[] };
  commercial: { commercial: Commercial };
  streaming: Streaming;
  microphone: { muted: boolean };
  listener_joined: Hearer & { listeners_count: number };
  listener_told: Hearer;
  listener_left: { notice_id: number; listening_id: string; admin: Supervisor; reason: string; listeners_count: number };
  audio: AudioState;
  listening_pending: { commercial_id: string; cause: PendingCause };
  listening_started: { commercial_id: string; listeners_count: number; told?: Told };
  listening_stopped: { commercial_id: string; listeners_count?: number; cause?: string };
  quality: Quality;
  position: Position & { commercial_id: string };
  journal: Journal;
  /** The server's journal is doubted, or is not any more. */
  journal_doubt: JournalDoubt;
  error: Failure;
}

export const EVENTS: readonly (keyof EcouteEvents)[];

export interface SourceOptions {
  /** Origin of the server. */
  server?: string;
  /** Asked before every connection; an empty string means that there is none. */
  getToken: () => Promise<string>;
}

export interface ClientOptions extends SourceOptions {
  /** Names listeners in notifications while the page is hidden, where its person allowed them. */
  serviceWorker?: Promise<ServiceWorkerRegistration | undefined>;
}

export class EcouteClient extends EventTarget {
  constructor(options: ClientOptions);
  /** The server's time in Unix milliseconds, to compare `since` with: a device's own clock may be wrong. */
  readonly now: number;
  readonly connectionState: ConnectionState;
  readonly connection: Connection & { retry_at?: number };
  readonly user: User | null;
  readonly journal: Journal;
  readonly journalDoubt: JournalDoubt;
  readonly commercials: Commercial[];
  commercial(id: string): Commercial | undefined;
  readonly streamingState: StreamingState;
  readonly streaming: Streaming;
  readonly isPaused: boolean;
  readonly microphone: MediaStream | null;
  readonly listeners: Hearer[];
  readonly wishes: Wish[];
  /** Of these the one that is heard, or was last; without one the latest. */
  readonly currentWish: Wish | undefined;
  readonly audio: AudioState;
  readonly volume: number;
  readonly isMuted: boolean;
  readonly audioNode: GainNode | null;
  /** What is heard before the volume is applied. */
  readonly heardNode: AudioNode | null;
  /** Takes the server's journal for what it is now; only where a person has read that it was doubted. */
  acceptJournal(): void;
  /** Says that somebody knows that the journal was restored; with the right `manage`. */
  confirmRestoration(): void;
  connect(): void;
  takeOver(): void;
  /** @throws {EcouteError} */
  startStreaming(options?: MicrophoneOptions): Promise<void>;
  /** @throws {EcouteError} */
  useMicrophone(options?: MicrophoneOptions): Promise<void>;
  stopStreaming(): void;
  pauseStreaming(): void;
  resumeStreaming(): void;
  /** Returns whether it was sent: only on air, neither paused nor interrupted. */
  sendPosition(position: Position): boolean;
  /**
   * Says which element shows a listener's name; until that can be read on the screen they hear nothing.
   * @throws {EcouteError} where it is no element with their name
   */
  acknowledge(noticeId: number, element: Element): void;
  /** Resolves to whether sound may play. */
  listen(commercialId: string, options?: { reason?: Reason; waits?: boolean }): Promise<boolean>;
  stop(commercialId?: string): void;
  setVolume(volume: number): void;
  setMuted(muted: boolean): void;
  /** Resolves to the answer to an offer of a session that carries nothing, or null. */
  testConnection(sdp: string): Promise<string | null>;
  resumeAudio(): Promise<boolean>;
  close(): void;
  addEventListener<Name extends keyof EcouteEvents>(
    name: Name,
    listener: (event: CustomEvent<EcouteEvents[Name]>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(...all: Parameters<EventTarget["addEventListener"]>): void;
  removeEventListener<Name extends keyof EcouteEvents>(
    name: Name,
    listener: (event: CustomEvent<EcouteEvents[Name]>) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(...all: Parameters<EventTarget["removeEventListener"]>): void;
}

export class EcouteError extends Error {
  constructor(code: EcouteErrorCode, cause?: unknown, message?: string);
  readonly code: EcouteErrorCode;
  readonly detail: Failure;
}

/** What both elements have. Their events bubble. */
declare class EcouteElement<Events> extends HTMLElement {
  /** Origin of the server; by default the one that the library came from. */
  server: string;
  getToken: (() => Promise<string>) | null;
  /** The client that the element shows; set it to share one. */
  client: EcouteClient | null;
  addEventListener<Name extends keyof Events>(
    name: Name,
    listener: (event: CustomEvent<Events[Name]>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(...all: Parameters<HTMLElement["addEventListener"]>): void;
}

/** `detail` of every event of {@link EcouteMicro}. */
export interface EcouteMicroEvents {
  /** Before going on air, which may be prevented. */
  "ecoute-start": Record<string, never>;
  "ecoute-streaming": Streaming;
  "ecoute-listener-joined": EcouteEvents["listener_joined"];
  "ecoute-listener-left": EcouteEvents["listener_left"];
  "ecoute-error": Failure;
}

/** `<ecoute-micro>`. */
export class EcouteMicro extends EcouteElement<EcouteMicroEvents> {
  readonly state:
    | "connecting" | "ready" | "error" | "starting" | "on_air" | "paused" | "interrupted" | "already_open" | "expired";
  /** Goes on air, as its button does; not before `getToken` has said who that is. */
  start(): Promise<void>;
}

/** `detail` of every event of {@link EcouteCasque}. */
export interface EcouteCasqueEvents {
  /** Before a wish, which may be prevented. */
  "ecoute-listen": { commercial_id: string };
  "ecoute-listening": {
    commercial_id: string;
    state: EcouteCasque["listening"];
    cause?: string;
    listeners_count?: number;
    told?: Told;
  };
  "ecoute-error": Failure;
}

/** `<ecoute-casque>`. */
export class EcouteCasque extends EcouteElement<EcouteCasqueEvents> {
  commercial: string;
  /** What the other person is told; absent is « accompagnement ». */
  reason: Reason | undefined;
  readonly listening: "stopped" | "pending" | "started";
  /** Wishes to hear the person, or ends that; inside a click, so that the browser allows sound. */
  toggle(): void;
}

/** Why this page can't have any microphone, or null. */
export function microphoneProblem(): "insecure_page" | "audio_unsupported" | "microphone_unsupported" | "microphone_forbidden" | null;

/** The microphones to choose from; empty until the browser has been allowed one. */
export function microphones(): Promise<{ deviceId: string; label: string }[]>;

/** Shows who listens in a badge while no `<ecoute-micro>` is in view, and lets them hear. */
export function showListeners(client: EcouteClient): void;

declare global {
  interface HTMLElementTagNameMap {
    "ecoute-micro": EcouteMicro;
    "ecoute-casque": EcouteCasque;
  }
}

/** What the hook of `useEcoute.js` returns. */
export interface Ecoute {
  isConnected: boolean;
  /** Whether somebody is heard now. */
  isListening: boolean;
  /** From the moment the microphone is open, or an encoder is on air, until it is stopped, interruptions and pauses included. */
  isStreaming: boolean;
  /** What went wrong last, until something else is begun. */
  error: Failure | null;
  availableStreams: Commercial[];
  currentListeningTo: string | null;
  /** 0 to 2; 1 is as it came. */
  audioVolume: number;
  startListening(commercialId: string, options?: { reason?: Reason }): Promise<boolean>;
  stopListening(commercialId?: string): void;
  setVolume(volume: number): void;
  /** What goes wrong is in `error`. */
  startStreaming(options?: MicrophoneOptions): Promise<void>;
  stopStreaming(): void;
  connect(): void;
  disconnect(): void;
  /** The server's time in Unix milliseconds, to compare `since` with. */
  now(): number;
}

/** Exported by `useEcoute.js`: the hook of a React, 18 or later. */
export function createUseEcoute(React: {
  useEffect: Function;
  useRef: Function;
  useSyncExternalStore: Function;
}): (options: SourceOptions & { autoConnect?: boolean }) => Ecoute;
