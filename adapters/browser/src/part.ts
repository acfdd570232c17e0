// What a client is composed of: the core, in socket.ts, and parts, which it asks at a few points. Nothing else knows of a part.
//
// A message of the server: its link gives the unit to the socket (`Carrier.unit`), and that to the session, which checks and counts
// it; parts see it at once (`arrived`). It waits in the session until no part `holds` it. Then it is taken, parts get it (`handed`),
// and it is dispatched. When nothing waits any more, they hear that (`drained`). One of the application's goes by `put` into the
// session's queue, and from there to the link, when that collects what may be sent.
//
// A link that is lost: it tells the socket (`Carrier.lost`), and that the session, which tells its host (`Host.down`): parts let go of
// what they had to do with the link (`down`), and the next one of the round is opened, at once or after a delay. Which there are, the
// parts say (`openers`); in which order, too (`plan`). When it serves, they hear that (`granted`). Where the session is lost with it,
// they let go of that (`over`), unless nobody may go on with it (`foreign`), and the next one begins with what was not sent.

import type { Options, Rung, Socket } from './api.js';
import type { ClosedError } from './errors.js';
import type { Format, Frame, Kind, Unit } from './frames.js';
import type { Outgoing } from './message.js';
import type { Ending, Host, Kept, Link, Session } from './session.js';
import type { createTimers } from './timers.js';

type Timers = ReturnType<typeof createTimers>;

export type Transport = 'websocket' | 'sse' | 'long-polling';

/** A transport, and what is known of it. */
export interface Watched extends Rung {
  state: Rung['state'];
  reason?: string | undefined;
  /** How often in a row it broke too early. */
  strikes: number;
  /** Not tried by itself before this time. */
  rest: number;
}

/** What links see of the socket. */
export interface Carrier {
  readonly format: Format;
  /** The link is there: it may be asked for the session. */
  ready(link: Carried): void;
  unit(link: Carried, unit: Unit, number?: number): void;
  /** Something other than a unit changed the session. */
  changed(): void;
  /** It is over; `status` and `code` where an answer said them. */
  lost(link: Carried, reason: string, status?: number, code?: number): void;
}

/** A link as the socket sees it. */
export interface Carried extends Link {
  /** Sends what may be sent. */
  flush(): void;
  /** Sends the rest without waiting: the page is going away. False if it cannot. */
  leave(): boolean;
}

/** The same, with the transport that it is of, and the token that it showed. */
export interface Dialled extends Carried {
  rung: Watched;
  bearer: string | undefined;
}

/** Begins a link of that session. */
export type Open = (carrier: Carrier, session: Session, url: string, bearer?: string) => Carried;

/** What parts see of the socket, which is also what its session and its links do. */
export interface Core extends Host, Carrier, Pick<Timers, 'after' | 'stop'> {
  readonly options: Options;
  /** What the application has; a part adds its members to it. */
  readonly socket: Socket;
  /** Is aborted when the socket is closed. */
  readonly gone: AbortSignal;
  readonly session: Session;
  /** The transport in use, or tried. */
  readonly rung: Watched;
  /** All parts. */
  readonly on: Asks;
  /** Empty until a function has given it. */
  url: string;
  /** The token of the last link. */
  bearer?: string | undefined;
  /** How links of a transport are opened; nothing: the platform lacks it. */
  readonly openers: Partial<Record<Transport, Open | null>>;
  /** The transports that the platform has, best first. */
  usable: Watched[];
  /** How many requests there were. */
  asked: number;
  /** Pages that are left keep their session. */
  resumes?: boolean;
  /** What this page kept for the next one: until it is shown again, nothing may be opened or given up. */
  kept?: Kept | undefined;
  /** What the next session begins with. */
  found?: Kept | undefined;

  emit(type: string, fields: object): void;
  /** Queues a message, or throws. */
  put(data: unknown, kind?: Kind, exchange?: Frame['exchange'], id?: number): Outgoing;
  /** Gives a message that was taken, out of that session, to who waits for such ones. */
  hand(frame: Frame, session?: Session): void;
  /** Hands over what may be handed over, and sends what may be sent. */
  pass(): void;
  /** The token, asked for now. */
  identify(): Promise<string | undefined>;
  /** A link of that transport, on its way. */
  linkTo(rung: Watched, bearer: string | undefined, carrier?: Carrier): Dialled;
  /** Makes it the session's. */
  dial(link: Dialled): void;
  /** Lets the next attempt begin with the best. */
  plan(): void;
  /** Says of a transport that it did not work. */
  failed(rung: Watched, reason: string): void;
  /** The machine slept, the network is another one, or the page is looked at again. */
  awake(): void;
  /** Gives up the link from here: nobody is to blame. */
  unplug(reason: string): void;
}

/** What a part does, and when. */
export interface Hooks {
  /** Changes the transports of a round, and their order. */
  plan?(round: Watched[]): void;
  /** The address is known. */
  entered?(url: string): void;
  /** A link serves. */
  granted?(): void;
  /** A link is lost, after it served for some time, or 0. */
  down?(reason: string, lasted: number): void;
  /** A message came, and waits to be taken. */
  arrived?(frame: Frame): void;
  /** Whether the next message, if there is one, is not to be taken now. */
  holds?(): boolean;
  /** A message was taken. */
  handed?(frame: Frame, session?: Session): void;
  /** Whether too much of older sessions waits for another one to begin; awake() when that was taken. */
  full?(): boolean;
  /** Nothing waits to be taken. */
  drained?(): void;
  /** A request or reply from before the session is longer than the server takes. */
  unfit?(message: Outgoing, error: Error): void;
  /** Whether somebody waits for a reply. */
  asks?(): boolean;
  /** Whether a session that is over is somebody else's by now; then nothing of it may be sent in the next one. */
  foreign?(ending: Ending): boolean;
  /** The session is over. `moved`: what is sent in the next one. */
  over?(error: ClosedError, moved: Outgoing[]): void;
  /** The page goes. `persisted`: it may be shown again as it is now. */
  hide?(persisted: boolean): void;
  /** It is shown again. */
  show?(): void;
}

type Points = Required<Hooks>;

/** All parts as one: whether one says yes. */
export type Asks = { readonly [Point in keyof Points]: (...said: Parameters<Points[Point]>) => boolean };
