// The types of the package. See README.md for what they mean to who uses them.

import type { Format, Kind, Size } from './frames.js';
import type { Message } from './message.js';
import type { Core, Hooks, Transport } from './part.js';

type Awaitable<T> = T | Promise<T>;

/** An address, or a function that gives it, asked for each attempt. */
export type Address = string | URL | (() => Awaitable<string | URL>);

export interface Options {
  /** Which transports may be used, best first. Default: `['websocket', 'sse', 'long-polling']`. */
  transports?: Transport[];
  /** The wire format. Default: JSON; `messagepack` is in `nosphere/messagepack`. */
  format?: Format;
  /** Says who this is, asked for each attempt: `Authorization: Bearer …`, or a subprotocol on a WebSocket (SPEC NEG-5). */
  token?: () => Awaitable<string | undefined>;
  /** As of `fetch`, whose default is `same-origin`. A WebSocket always brings its cookies. */
  credentials?: RequestCredentials;
  /** What the server may have unacknowledged. Default: 256 messages, 1 MiB. */
  window?: Partial<Size>;
  /** What waits here, unsent and unacknowledged. Full: `send` throws `QueueFullError`. Default: 4,096 messages, 4 MiB. */
  queue?: Partial<Size>;
  /** How long a transport has to show that it works, ms; more when all of them failed. Default: 5,000. */
  connectTimeout?: number;
  /** When a better transport is tried for the first time, ms; 0: only by `climb()`. Default: 5,000. */
  climbAfter?: number;
  /** The delay between rounds of attempts, ms, doubled from `min` to `max`, less up to half by chance; and after how many to give
   * up. Default: 250, 30,000, never. */
  retry?: { min?: number; max?: number; attempts?: number };
  /** How long `close` waits for what was sent to be taken, ms. Default: 5,000. */
  closeTimeout?: number;
  /** How long a request waits for its reply, ms. Default: 10,000. */
  requestTimeout?: number;
  /** Whether the transport that worked is remembered for a day, in `localStorage`. Default: true. */
  remember?: boolean;
  /** Whether a page that is reloaded goes on with its session, by `sessionStorage`. Default: false. */
  resume?: boolean;
  /** Whether tabs of this browser can talk to each other. Default: true. */
  tabs?: boolean;
  /** Closes the socket when it is aborted. */
  signal?: AbortSignal;
  /** Instead of the platform's. `null`: there is none. */
  WebSocket?: unknown;
  fetch?: typeof globalThis.fetch | null;
}

/** What is known of a transport. */
export interface Rung {
  readonly transport: Transport;
  /** Whether this platform has it. */
  readonly browser: boolean;
  readonly state: 'untried' | 'trying' | 'works' | 'failed';
  readonly reason?: string | undefined;
}

export type State = 'connecting' | 'open' | 'suspended' | 'closing' | 'closed';

interface Fields<In> {
  open: { session: string; transport: Transport };
  message: { data: In; kind: Kind };
  close: { by: 'client' | 'server' | 'network'; code: number; reason: string; unknown: Message[]; unsent: Message[] };
  error: { error: Error; message?: Message };
  reconnect: { reason: string; delay: number; attempt: number };
  reopen: { transport: Transport };
  move: { transport: Transport };
  transportfailure: { transport: Transport; reason: string };
  lost: { session: string; code: number; reason: string; unknown: Message[] };
  localmessage: { data: any };
  clienttimeout: { transport: Transport };
  acknowledged: { messages: Message[] };
  statechange: { state: State; transport: Transport };
}

export type SocketEvents<In = any> = { [Type in keyof Fields<In>]: Event & Readonly<Fields<In>[Type]> };

type Handlers<In> = { [Type in keyof Fields<In> as `on${Type}`]: ((event: SocketEvents<In>[Type]) => void) | null | undefined };

/** One session after the other over whatever gets through. Made by `connect`. */
export interface Socket<In = any, Out = any> extends EventTarget, AsyncIterable<In>, Handlers<In> {
  readonly state: State;
  /** The one in use, or being tried. */
  readonly transport: Transport;
  /** The id of the session, null while there is none. Not a secret. */
  readonly session: string | null;
  readonly url: string;
  /** How many messages the server has not acknowledged. */
  readonly waiting: number;
  /** What the platform and the path allow, as far as it was tried. */
  readonly transports: Rung[];
  /** Answers the server's requests: what it returns is the reply; undefined: there is none. */
  onrequest: ((data: any, kind: Kind) => unknown) | null | undefined;
  /** Accepts a message, now or as soon as there is a connection. */
  send(data: Out, options?: { as?: Kind }): Message<Out>;
  /** Asks the server. */
  request<Reply = In>(data: Out, options?: { as?: Kind; timeout?: number; signal?: AbortSignal }): Promise<Reply>;
  /** Ends the session when everything sent was taken. */
  close(code?: number, reason?: string): void;
  /** Sends to the other tabs of this browser. */
  local(data: unknown): void;
  /** Tries a better transport within the session. Resolves to whether one took over, or none is better. */
  climb(): Promise<boolean>;
  /** Asks the server for a sign of life, and for what it has taken. */
  ping(): void;

  addEventListener<Type extends keyof Fields<In>>(
    type: Type, listener: ((event: SocketEvents<In>[Type]) => void) | { handleEvent(event: SocketEvents<In>[Type]): void } | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<Type extends keyof Fields<In>>(
    type: Type, listener: ((event: SocketEvents<In>[Type]) => void) | { handleEvent(event: SocketEvents<In>[Type]): void } | null,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void;
}

/** What a part adds to the socket. */
interface Members {
  http: never;
  requests: 'request' | 'onrequest';
  iteration: typeof Symbol.asyncIterator;
  climbing: 'climb';
  leaving: never;
  reloading: never;
  tabs: 'local' | 'onlocalmessage';
}

/** What options a part has. */
interface Settings {
  http: 'credentials' | 'fetch';
  requests: 'requestTimeout';
  iteration: never;
  climbing: 'climbAfter' | 'remember';
  leaving: never;
  reloading: 'resume';
  tabs: 'tabs';
}

export type PartName = keyof Members;

/** A part of the client, for `connector`. There are those of this package; nobody can make others. */
export interface Part<Name extends PartName> {
  (core: Core): Hooks;
  readonly adds?: Name;
}

/** The options that there are with these parts. */
export type OptionsOf<Name extends PartName> = Omit<Options, Exclude<Settings[PartName], Settings[Name]> | 'transports'> & {
  /** Which transports may be used, best first. Default: all that there are with these parts. */
  transports?: ('http' extends Name ? Transport : 'websocket')[];
};

/** What a socket of these parts has. */
export type SocketOf<Name extends PartName, In = any, Out = any> = Omit<Socket<In, Out>, Exclude<Members[PartName], Members[Name]>>;

/** `connect`, with these parts. */
export type Connect<Name extends PartName> = <In = any, Out = any>(address: Address, options?: OptionsOf<Name>) => SocketOf<Name, In, Out>;
