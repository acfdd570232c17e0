// A socket: sessions, one after the other, over links of whatever transport works. It has the clock and the timers.

import { Code } from './codes.js';
import { ClosedError, TimeoutError } from './errors.js';
import { json } from './json.js';
import { createLadder } from './ladder.js';
import { outgoing } from './message.js';
import { createSession } from './session.js';
import { keep, memorize, recall, reclaim } from './storage.js';
import { TRANSPORTS } from './transports.js';
import type { Address, Options, Socket, State } from './api.js';
import type { Frame, Kind } from './frames.js';
import type { Outgoing } from './message.js';
import type { Host, Session } from './session.js';
import type { Carried, Carrier, Transport } from './transports.js';

const STABLE = 5000; // a link that lived this long is no reason to hold back the next one
const LATE = 5000; // a timer that is so late slept with its machine
const SLOWEST = 300_000; // between attempts to climb
const REOPENS: number[] = [
  Code.UnknownSession, Code.Unproved, Code.Expired, Code.GoingAway, Code.Overflow, Code.Unexpected, Code.Malformed,
];

/**
 * Opens a session, and keeps it over any sequence of connections. In and Out are the messages of either side.
 *
 * Throws a `TypeError` for an address or options that cannot be.
 */
export function connect<In = any, Out = any>(address: Address, options: Options = {}): Socket<In, Out> {
  const {
    transports = ['websocket', 'sse', 'long-polling'], format = json, token, credentials, connectTimeout = 5000, climbAfter = 5000,
    retry, closeTimeout = 5000, requestTimeout = 10_000, remember = true, resume, tabs = true, signal,
    WebSocket = globalThis.WebSocket, fetch = globalThis.fetch,
  } = options as Options & { fetch?: typeof globalThis.fetch | undefined };
  const limits = {
    window: { messages: 256, bytes: 1 << 20, ...options.window }, queue: { messages: 4096, bytes: 4 << 20, ...options.queue }, closeTimeout,
  };
  const absolute = (where: string | URL) => new URL(where, globalThis.location?.href).href;

  let url = typeof address == 'function' ? '' : absolute(address);
  for (const name of transports) if (!TRANSPORTS[name]) throw new TypeError(`no such transport: ${name}`);
  const ladder = createLadder(
    transports, (name) => !!(name == 'websocket' ? WebSocket : (fetch as unknown) && (name != 'sse' || globalThis.ReadableStream)),
    remember ? recall(url, Date.now()) : undefined,
  );
  if (!ladder.usable) throw new TypeError('none of the transports is supported here');

  let state: State = 'connecting';
  let transport: Transport = transports[0]!;
  let announced = '';
  let link: Carried | undefined;
  let candidate: Carried | undefined; // a WebSocket that may become the link
  let climbing: { left: Transport[]; result: Promise<boolean>; resolve(won: boolean): void } | undefined;
  let attempts = 0; // so that an older one that still waits for its token does nothing
  let failures = 0;
  let rounds = 0; // in which nothing worked
  let since = 0; // when the link was granted, 0: it is not
  let local = false; // the link is given up from here, and not to blame
  let refused: string | undefined; // the token that the server did not take
  let armed = Infinity; // when the session's timer fires
  let readers = 0; // who iterate
  let rested = () => {};
  let channel: BroadcastChannel | undefined;
  const wanted: ((frame?: Frame) => void)[] = []; // by who iterates
  const backlog: Frame[] = []; // what a session that is over left to them
  const asked = new Map<number, { resolve(value: any): void; reject(error: Error): void }>();
  const timers = new Map<string, ReturnType<typeof setTimeout>>();
  const gone = new AbortController(); // the listeners

  const kept = resume && url ? reclaim(url, format) : undefined;
  let requests = kept?.requests ?? 0;

  // --- small things ----------------------------------------------------------------------------------------------------

  const seen = new Set<string>();
  const emit = (type: string, fields: object) => {
    if (!seen.has(type)) {
      seen.add(type);
      socket.addEventListener(type, (event) => (socket as any)[`on${type}`]?.(event));
    }
    socket.dispatchEvent(Object.assign(new Event(type), fields));
  };

  const announce = () => {
    if (announced != (announced = state + transport)) emit('statechange', { state, transport });
  };

  const become = (next: State) => {
    state = next;
    announce();
  };

  const stop = (...names: string[]) => {
    for (const name of names) {
      clearTimeout(timers.get(name));
      timers.delete(name);
    }
  };

  const after = (name: string, delay: number, work: () => void) => {
    stop(name);
    timers.set(name, setTimeout(() => {
      timers.delete(name);
      work();
    }, Math.min(delay, 2 ** 31 - 1)));
  };

  /** Lets the session know when its deadline comes. */
  const watch = () => {
    const { deadline } = session;
    if (deadline >= armed) return;
    armed = deadline;
    after('session', deadline - Date.now(), () => {
      const late = Date.now() - armed > LATE;
      armed = Infinity;
      if (late && session.up && !session.asked) session.doubt(Date.now(), connectTimeout);
      else session.expire(Date.now());
      flush();
    });
  };

  const flush = () => {
    link?.flush();
    watch();
  };

  /** How long a transport has to show that it works. */
  const patience = () => connectTimeout * Math.min(4, 1 + rounds);

  // --- the session -----------------------------------------------------------------------------------------------------

  const granted = (type: string) => {
    stop('open');
    since = Date.now();
    refused = undefined;
    rounds = 0;
    transport = link!.transport;
    ladder.works(transport);
    if (remember) memorize(url, transport, since);
    settle(true);
    if (state != 'closing') become('open');
    announce();
    emit(type, { session: session.grant!.session, transport });
    climbLater(climbAfter);
  };

  const host: Host = {
    opened: () => granted('open'),
    resumed: (moved) => granted(moved ? 'move' : 'reopen'),
    arrived({ exchange, id, error, value }) {
      if (exchange != 'reply') return;
      const one = asked.get(id!);
      if (error) one?.reject(new Error(error));
      else one?.resolve(value);
    },
    down: (one, reason, code) => fell(one as Carried, reason, code == Code.Timeout),
    taken: (messages) => emit('acknowledged', { messages }),
    over({ by, code, reason, unknown, unsent }) {
      const id = session.grant?.session;
      link = undefined;
      if (since && Date.now() - since > STABLE) failures = 0;
      since = 0;
      settle(false);
      stop('open', 'retry', 'climb');
      for (let frame; (frame = session.take()); ) backlog.push(frame);
      const again = id && state != 'closing' && REOPENS.includes(code);
      const moved = again ? unsent.filter(({ exchange }) => exchange != 'reply') : []; // nobody has asked that of the next one
      for (const [number, { reject }] of asked) {
        if (!moved.some((message) => message.id == number)) reject(new ClosedError(reason || 'the session is over'));
      }
      if (again) {
        session = createSession(host, format, limits);
        for (const message of moved) {
          message.state = 'waiting';
          session.send(message);
        }
        become('connecting');
        emit('lost', { session: id, code, reason, unknown });
        if (state == 'connecting') later(reason);
      } else {
        gone.abort();
        channel?.close();
        become('closed');
        emit('close', { by, code, reason, unknown, unsent });
      }
      drain();
    },
  };
  let session: Session = createSession(host, format, limits, kept);

  // --- links -----------------------------------------------------------------------------------------------------------

  const carrier: Carrier = {
    get session() { return session; },
    format,
    WebSocket: WebSocket as typeof globalThis.WebSocket,
    fetch: (...request) => fetch(...request),
    credentials,
    limit: 2 * limits.window.bytes,
    ready(one) {
      if (one == candidate) session.try(one);
      else if (one == link) session.attach(one, Date.now(), patience());
      watch();
    },
    unit(one, unit, number) {
      if (one != link && one != candidate) return;
      session.receive(one, unit, number, Date.now(), patience());
      if (one == candidate) {
        candidate = undefined;
        if (session.link != one) return step();
        link = one; // which is to grant the session
        since = 0;
      }
      drain();
      flush();
    },
    heard: (one) => session.heard(one, Date.now()),
    counted: (one, count) => session.counted(one, count, Date.now()),
    posted(batch, count) {
      session.posted(batch, count, Date.now());
      watch();
    },
    rest() {
      if (!session.closing && !session.peek()) return;
      return new Promise((resolve) => {
        rested = resolve;
        setTimeout(resolve, session.closing ? 300 : 5000); // the server does not wait for ever for the next poll
      });
    },
    lost(one, reason, status, code) {
      if (one == candidate) return step();
      if (one != link) return;
      const denied = (status == 401 || status == 403 || code == Code.Forbidden) && (code || !ladder.left);
      if (denied) {
        if (!token) return session.abandon('server', Code.Forbidden, reason);
        refused = one.bearer ?? '';
      }
      if (session.link != one) fell(one, reason);
      else if (denied || !(status || session.pending)) session.detach(one, reason, Date.now());
      else session.refused(one, code, reason, Date.now());
      watch();
    },
  };

  /** Tries the next transport of the round. */
  async function attempt() {
    const turn = ++attempts;
    stop('retry');
    const next = (transport = ladder.next()!);
    announce();
    after('open', patience(), () => (link ? carrier.lost(link, 'no answer in time') : fell(undefined, 'no address or token in time')));
    try {
      const where = typeof address == 'function' ? absolute(await address()) : url;
      const bearer = await token?.();
      if (turn != attempts) return;
      url = where;
      listen();
      if (refused == (bearer ?? '')) return session.abandon('server', Code.Forbidden, 'the token is refused');
      refused = undefined;
      link = TRANSPORTS[next](carrier, url, bearer);
    } catch (error) {
      if (turn == attempts) fell(link, String(error));
    }
  }

  /** A link is gone, or never came to be. */
  function fell(one: Carried | undefined, reason: string, silent?: boolean) {
    if (one != link || session.ended) return;
    const now = Date.now();
    const lasted = since && now - since + 1;
    const name = one?.transport ?? transport;
    attempts += 1;
    one?.end(Code.Closed);
    link = undefined;
    since = 0;
    settle(false);
    stop('open', 'climb');
    if (lasted > STABLE) failures = 0;
    if (!local) {
      if (lasted) ladder.broke(name, reason, lasted, now);
      else ladder.failed(name, reason);
      emit('transportfailure', { transport: name, reason });
      if (silent && lasted) emit('clienttimeout', { transport: name });
    }
    if (session.ended) return;
    if (state == 'open') become('suspended');
    if (!lasted && !local && refused == undefined) {
      if (ladder.left) return void attempt();
      rounds += 1;
    }
    later(reason);
  }

  /** Begins the next round, in a while. */
  function later(reason: string) {
    if (failures >= (retry?.attempts ?? Infinity)) return session.abandon('network', Code.Timeout, reason);
    const delay = Math.min(retry?.max ?? 30_000, (retry?.min ?? 250) * 2 ** failures++) * (0.5 + Math.random() / 2);
    ladder.begin(Date.now());
    after('retry', delay, attempt);
    emit('reconnect', { reason, delay, attempt: failures });
    watch();
  }

  // --- climbing, §9.1 --------------------------------------------------------------------------------------------------

  function climbLater(delay: number) {
    if (!delay || !ladder.better(transport, Date.now()).length) return;
    after('climb', delay, async () => {
      if (!(await climb()) && since) climbLater(Math.min(delay * 2, SLOWEST));
    });
  }

  function climb(): Promise<boolean> {
    const left = ladder.better(transport, 0);
    if (climbing || !since || !left.length) return climbing?.result ?? Promise.resolve(!!since);
    let resolve!: (won: boolean) => void;
    climbing = { left, result: new Promise((settled) => (resolve = settled)), resolve };
    const { result } = climbing;
    void step();
    return result;
  }

  /** Tries the next better transport beside the link in use, which stays so until the new one has shown that it works. */
  async function step() {
    stop('probe');
    candidate?.end(Code.Closed);
    candidate = undefined;
    const next = climbing?.left.shift();
    if (!next) return settle(false);
    const mine = climbing;
    after('probe', patience(), step);
    try {
      const bearer = await token?.();
      if (climbing != mine) return;
      const one = TRANSPORTS[next](carrier, url, bearer);
      if (next == 'websocket') return void (candidate = one);
      // What begins with a request cannot be proved before: if it does not work, the way back is a resume, too.
      stop('probe');
      ladder.begin(Date.now());
      link = one;
      since = 0;
    } catch {
      if (climbing == mine) void step();
    }
  }

  function settle(won: boolean) {
    stop('probe');
    candidate?.end(Code.Closed);
    candidate = undefined;
    climbing?.resolve(won);
    climbing = undefined;
  }

  // --- what arrives ----------------------------------------------------------------------------------------------------

  const ahead = () => backlog[0] ?? session.peek();

  /** Hands over what came; to who iterates, as fast as they take it. */
  function drain() {
    for (let frame; (frame = ahead()) && (!readers || wanted.length || frame.exchange || frame.error); ) {
      backlog.shift() ?? session.take();
      const { kind, value, exchange, error } = frame;
      if (error) emit('error', { error: new Error(error) });
      else if (exchange == 'request') void answer(frame);
      else if (!exchange) {
        emit('message', { data: value, kind });
        wanted.shift()?.(frame);
      }
    }
    if (session.ended && !ahead()) for (const resolve of wanted.splice(0)) resolve();
    if (!ahead()) rested();
  }

  /** What onrequest says goes back to who asked, as long as there is the session in which it did. */
  async function answer({ kind, value, id }: Frame) {
    const asker = session;
    try {
      const reply = await socket.onrequest?.(value, kind as Kind);
      if (reply !== undefined && session == asker) put(reply, undefined, 'reply', id);
    } catch (error) {
      emit('error', { error });
    }
  }

  function put(data: unknown, as?: Kind, exchange?: Outgoing['exchange'], id?: number) {
    if (state == 'closing' || state == 'closed') throw new ClosedError(`the socket is ${state}`);
    const message = outgoing(format, data, as, exchange, id);
    session.send(message);
    flush();
    return message;
  }

  // --- the platform ----------------------------------------------------------------------------------------------------

  const listenTo = (target: any, types: string[], listener: (event: any) => void) => {
    for (const type of types) target?.addEventListener?.(type, listener, { signal: gone.signal });
  };

  /** Tabs of the same address share a channel. */
  function listen() {
    if (!tabs || channel || !globalThis.BroadcastChannel) return;
    channel = new BroadcastChannel(`nosphere ${url}`);
    (channel as any).unref?.(); // it does not keep a program running
    channel.onmessage = ({ data }) => emit('localmessage', { data });
  }

  /** The machine slept, the network is another one, or the page is looked at again. */
  const awake = () => {
    if (since) {
      session.doubt(Date.now(), connectTimeout);
      flush();
    } else if (timers.has('retry')) {
      failures = 0;
      void attempt();
    }
  };

  const unplug = (reason: string) => {
    local = true;
    if (link) carrier.lost(link, reason);
    local = false;
  };

  const { document, navigator } = globalThis as any;
  listenTo(globalThis, ['online'], awake);
  listenTo(globalThis, ['offline'], () => unplug('offline'));
  listenTo(document, ['visibilitychange', 'resume'], () => document.hidden || awake());
  listenTo(navigator?.connection, ['change'], awake);
  listenTo(globalThis, ['pageshow'], ({ persisted }) => {
    if (!persisted) return;
    if (resume) reclaim(url, format);
    awake();
  });
  listenTo(globalThis, ['pagehide'], ({ persisted }) => {
    if (resume || persisted) {
      unplug('the page is gone');
      const now = resume && session.keep();
      if (now) keep(url, format, { ...now, requests });
      return;
    }
    session.close(Code.Closed, '', Date.now());
    if (since) link?.leave();
    session.abandon('client', Code.Closed, '');
  });

  // --- what the application sees ---------------------------------------------------------------------------------------

  const socket: Socket<In, Out> = Object.defineProperties(new EventTarget(), Object.getOwnPropertyDescriptors({
    get state() { return state; },
    get transport() { return transport; },
    get session() { return session.grant?.session ?? null; },
    get url() { return url; },
    get waiting() { return session.waiting; },
    get transports() { return ladder.table(); },

    send: (data: Out, { as }: { as?: Kind } = {}) => put(data, as),

    request(data: Out, { as, timeout = requestTimeout, signal: cancel }: { as?: Kind; timeout?: number; signal?: AbortSignal } = {}) {
      return new Promise((resolve, reject) => {
        cancel?.throwIfAborted();
        const id = requests + 1;
        put(data, as, 'request', id);
        requests = id;
        const cancelled = () => end(reject)(cancel!.reason);
        const timer = setTimeout(() => end(reject)(new TimeoutError('no reply in time')), timeout);
        const end = <T>(settled: (value: T) => void) => (value: T) => { // [REQ-2]
          asked.delete(id);
          clearTimeout(timer);
          cancel?.removeEventListener('abort', cancelled);
          settled(value);
        };
        cancel?.addEventListener('abort', cancelled);
        asked.set(id, { resolve: end(resolve), reject: end(reject) });
      });
    },

    close(code: number = Code.Closed, reason = '') {
      if (code != Code.Closed && !(code >= 3000 && code < 4000)) throw new RangeError(`no code of an application: ${code}`);
      if (state == 'closing' || state == 'closed') return;
      become('closing');
      session.close(code, reason, Date.now());
      flush();
    },

    local(data: unknown) {
      channel?.postMessage(data);
    },

    climb,

    ping() {
      session.ping();
      flush();
    },

    async *[Symbol.asyncIterator]() {
      readers += 1;
      try {
        for (;;) {
          const frame = await new Promise<Frame | undefined>((resolve) => {
            wanted.push(resolve);
            drain();
            flush();
          });
          if (!frame) return;
          yield frame.value;
        }
      } finally {
        readers -= 1;
        drain();
        flush();
      }
    },
  })) as any;

  if (url) listen();
  ladder.begin(Date.now());
  if (kept) become('suspended');
  // Not before whoever called has set the handlers.
  queueMicrotask(() => session.ended || attempt());
  if (signal?.aborted) queueMicrotask(() => socket.close());
  else listenTo(signal, ['abort'], () => socket.close());
  return socket;
}
