// A socket: sessions, one after the other, over links of whatever transport works. It has the clock and the timers.

import { Code, REOPENS } from './codes.js';
import { ClosedError } from './errors.js';
import { sizeOf } from './frames.js';
import { json } from './json.js';
import { outgoing } from './message.js';
import { absolute, watch } from './page.js';
import { createSession } from './session.js';
import { createTimers } from './timers.js';
import { webSocket } from './websocket.js';
import type { Address, Connect, Options, Part, PartName, Socket, State } from './api.js';
import type { Frame, Kind } from './frames.js';
import type { Outgoing } from './message.js';
import type { Asks, Core, Dialled, Transport, Watched } from './part.js';
import type { Session } from './session.js';

const STABLE = 5000; // a link that lived this long is no reason to hold back the next one
const LATE = 5000; // a timer that is so late slept with its machine

/**
 * A `connect` of the core, which is everything over WebSocket that keeps messages safe, and of these parts. What is not named is not
 * in the program, once a bundler has seen that.
 */
export const connector = <Name extends PartName = never>(
  ...parts: Part<Name>[]
): Connect<Name> => (address: Address, options: Options = {}): any => {
  const read = new Set<unknown>(); // names of options that the core or a part knows
  return open([...new Set(parts)], address, new Proxy(options, { get: (all: any, name) => (read.add(name), all[name]) }), () => {
    for (const name in options) {
      if (!read.has(name) && (options as any)[name] !== undefined) throw new TypeError(`no part has the option ${name}`);
    }
  });
};

/** The same, each part once. `check`: whether the options are those of the parts, once all have been read. */
export const open = (parts: Part<any>[], address: Address, options: Options = {}, check?: () => void): Socket => {
  const {
    format = json, token, connectTimeout = 5000, retry: { min = 250, max = 30_000, attempts = Infinity } = {}, closeTimeout = 5000,
    signal, WebSocket = globalThis.WebSocket,
  } = options as any;
  const limits = {
    window: { messages: 256, bytes: 1 << 20, ...options.window }, queue: { messages: 4096, bytes: 4 << 20, ...options.queue }, closeTimeout,
  };
  const now = () => Date.now();

  let session!: Session;
  let rung: Watched; // in use, or tried
  let round: Watched[] = []; // what is to be tried then
  let failures = 0;
  let rounds = 0; // in which nothing worked
  let turn = 0; // of asking for address and token: a late answer is for nobody
  let refused: string | undefined; // the token that the server did not take
  let local = false; // the link is given up from here, and not to blame
  let armed = Infinity; // when the session's timer fires
  let announced = '';
  const timers = createTimers(); // by their work, or the request that waits
  const { after, stop } = timers;
  const gone = new AbortController(); // ends all listeners
  const seen: Record<string, (event: Event) => void> = {}; // what calls the `on…` properties

  /** Asks the parts; whether one says yes. */
  const on = new Proxy({} as Asks, { get: (_, name) => (...said: unknown[]) => hooks.some((part: any) => part[name]?.(...said)) });
  const linkOf = () => session.link as Dialled | undefined;
  const stateOf = (): State =>
    session.ended ? 'closed' : session.closing ? 'closing' : session.since ? 'open' : session.grant ? 'suspended' : 'connecting';

  const emit = (type: string, fields: object) => {
    if (!seen[type]) socket.addEventListener(type, (seen[type] = (event) => (socket as any)[`on${type}`]?.(event)));
    socket.dispatchEvent(Object.assign(new Event(type), fields));
  };

  const announce = () => {
    const state = stateOf();
    const { transport } = rung;
    if (announced != (announced = state + transport)) emit('statechange', { state, transport });
  };

  /** Sends what may be sent, and lets the session know when its deadline comes. */
  const flush = () => {
    linkOf()?.flush();
    announce();
    const { deadline } = session;
    if (deadline == Infinity && stop('session')) armed = deadline; // nothing keeps a program running
    if (deadline >= armed) return;
    armed = deadline;
    after('session', armed - now(), () => {
      const late = now() - armed > LATE;
      armed = Infinity;
      if (core.kept) return;
      if (late && session.since && !session.asked) session.doubt();
      else session.expire();
      flush();
    });
  };

  // --- the session -----------------------------------------------------------------------------------------------------

  const begin = (queue: Outgoing[] = []) => {
    session = createSession(core, format, limits, core.found ?? { queue });
    core.found = undefined;
  };

  const granted = (type: string) => {
    rung = linkOf()!.rung;
    rung.state = 'works';
    rung.reason = refused = undefined;
    rounds = 0;
    on.granted();
    announce();
    emit(type, { session: session.grant!.session, transport: rung.transport });
  };

  // --- links -----------------------------------------------------------------------------------------------------------

  const plan = () => {
    round = [...core.usable];
    on.plan(round);
  };

  const dial = (link: Dialled) => {
    rung = link.rung;
    session.dial(link);
  };

  const unplug = (reason: string) => {
    local = true;
    if (session.link) session.lost(reason);
    local = false;
  };

  const identify = async () => {
    const said = await token?.();
    if (!/^[!-~]*$/.test(said ?? '')) throw new TypeError('the token is not visible ASCII'); // others would quote it
    return said;
  };

  const linkTo: Core['linkTo'] = (to, bearer, carrier = core) =>
    Object.assign(core.openers[to.transport]!(carrier, session, core.url, (core.bearer = bearer)), { rung: to, bearer });

  /** Tries the next transport of the round. */
  const attempt = async (): Promise<void> => {
    if (core.kept || on.full()) return after('retry', max, attempt); // awake() comes before
    const mine = ++turn;
    stop('retry');
    rung = round.shift()!;
    rung.state = 'trying';
    session.wait();
    flush();
    try {
      const where = typeof address == 'function' ? absolute(await address()) : core.url;
      const said = await identify();
      if (mine != turn) return;
      if (core.kept) {
        round.unshift(rung);
        return attempt();
      }
      on.entered((core.url = where));
      if (refused == (said ?? '')) return session.over('server', Code.Forbidden, 'token refused');
      refused = undefined;
      dial(linkTo(rung, said));
    } catch (error) {
      if (mine == turn) session.lost(`${error}`);
    }
  };

  /** Begins the next round, in a while. */
  const later = (reason: string) => {
    if (failures >= attempts) return session.over('network', Code.Timeout, reason);
    const delay = Math.min(max, min * 2 ** failures++) * (0.5 + Math.random() / 2);
    plan();
    after('retry', delay, attempt);
    emit('reconnect', { reason, delay, attempt: failures });
  };

  const awake = () => {
    if (core.kept) return; // the page is shown in a moment, and sees whose the session is now
    session.doubt();
    failures = 0;
    if (stop('retry')) void attempt();
    else flush();
  };

  // --- messages --------------------------------------------------------------------------------------------------------

  const hand = (frame: Frame, from?: Session) => {
    const { kind, value, exchange, error } = frame;
    if (error) return emit('error', { error: new Error(error) });
    on.handed(frame, from);
    if (!exchange) emit('message', { data: value, kind });
  };

  /** Hands over what came, as fast as it is taken. */
  const drain = () => {
    while (!on.holds()) {
      const frame = session.take();
      if (!frame) return on.drained();
      hand(frame, session);
    }
  };

  const pass = () => {
    drain();
    flush();
  };

  const put = (data: unknown, kind?: Kind, exchange?: Frame['exchange'], id?: number) => {
    if (session.closing || session.ended) throw new ClosedError('closed');
    const message = outgoing(format, data, kind, exchange, id);
    session.send(message);
    flush();
    return message;
  };

  // --- what the application, the session, links and parts see ----------------------------------------------------------

  const socket: Socket = Object.defineProperties(new EventTarget(), Object.getOwnPropertyDescriptors({
    get state() { return stateOf(); },
    get transport() { return rung.transport; },
    get session() { return session.grant?.session ?? null; },
    get url() { return core.url; },
    get waiting() { return session.queue.length; },
    get transports() { return rungs.map(({ strikes, rest, ...known }) => known); },

    send: (data: unknown, { as }: { as?: Kind } = {}) => put(data, as),

    close(code: number = Code.Closed, reason = '') {
      if (code != Code.Closed && !(code >= 3000 && code < 4000)) throw new RangeError(`bad code ${code}`);
      if (sizeOf(reason) > 123) throw new RangeError('too large');
      session.close(code, reason);
      flush();
    },

    ping() {
      session.ping();
      flush();
    },
  })) as any;

  const core: Core = {
    options, format, socket, after, stop, emit, put, hand, pass, plan, identify, linkTo, dial, unplug, awake, on, now,
    gone: gone.signal,
    url: typeof address == 'function' ? '' : absolute(address),
    openers: { websocket: WebSocket && webSocket(WebSocket) },
    usable: [],
    asked: 0,
    get session() { return session; },
    get rung() { return rung; },
    patience: () => connectTimeout * Math.min(4, 1 + rounds),

    failed(one, reason) {
      one.state = 'failed';
      one.reason = reason;
    },

    // of the session

    opened(unfit) {
      granted('open');
      for (const message of unfit) {
        const error = new RangeError('too large');
        if (message.exchange) on.unfit(message, error);
        else emit('error', { error, message });
      }
    },
    resumed: (moved) => granted(moved ? 'move' : 'reopen'),
    arrived: on.arrived,
    taken: (messages) => emit('acknowledged', { messages }),

    /** A link is lost, or never came to be. */
    down(reason, lasted, code) {
      const { transport } = rung;
      turn += 1;
      if (lasted > STABLE) failures = 0;
      if (!local && !lasted) core.failed(rung, reason);
      on.down(reason, local ? 0 : lasted);
      if (!local) {
        emit('transportfailure', { transport, reason });
        if (lasted && code == Code.Timeout) emit('clienttimeout', { transport });
      }
      announce();
      if (session.ended) return;
      if (!lasted && !local && refused == undefined) {
        if (round.length) return void attempt();
        rounds += 1;
      }
      later(reason);
    },

    over(ending) {
      const { by, code, reason, unknown, unsent } = ending;
      const { since, grant } = session;
      turn += 1;
      if (since && now() - since > STABLE) failures = 0;
      stop('retry');
      const again = grant && by != 'client' && (on.foreign(ending) || REOPENS.includes(code));
      const moved = again ? unsent.filter(({ exchange }) => exchange != 'reply') : []; // nobody has asked that of the next one
      on.over(new ClosedError(reason || 'the session is over'), moved);
      if (again) {
        for (const message of unsent) message.state = 'waiting';
        refused = undefined;
        begin(moved);
        announce();
        emit('lost', { session: grant.session, code, reason, unknown });
        if (!session.ended) later(reason);
      } else {
        gone.abort();
        timers.stopAll();
        armed = Infinity;
        announce();
        emit('close', ending);
      }
      drain();
    },

    // of links

    ready(link) {
      if (link == session.link) session.begin();
      flush();
    },
    unit(link, unit, number) {
      session.receive(link, unit, number);
      pass();
    },
    changed: flush,
    lost(link, reason, status, code) {
      if (link != session.link) return;
      const denied = (status == 401 || status == 403 || code == Code.Forbidden) && (code || !round.length);
      if (denied && !token) return session.over('server', Code.Forbidden, reason);
      if (denied) refused = (link as Dialled).bearer ?? '';
      session.lost(reason, denied || !(status || session.pending) ? 0 : code);
      flush();
    },
  };

  const hooks = parts.map((part) => part(core));
  const { transports = Object.keys(core.openers) as Transport[] } = options;
  check?.();
  const rungs = transports.map((transport): Watched => {
    if (!(transport in core.openers)) throw new TypeError(`no such transport: ${transport}`);
    return { transport, browser: !!core.openers[transport], state: 'untried', strikes: 0, rest: 0 };
  });
  core.usable = rungs.filter(({ browser }) => browser);
  if (!core.usable[0]) throw new TypeError('no transport');
  plan();
  rung = round[0]!;
  if (core.url) on.entered(core.url);
  begin();

  watch(core);
  // Not before whoever called has set the handlers.
  queueMicrotask(() => {
    if (signal?.aborted) socket.close();
    if (!session.ended) void attempt();
  });
  signal?.addEventListener('abort', () => socket.close(), { signal: gone.signal });
  return socket;
};
