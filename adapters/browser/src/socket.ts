// A socket: sessions, one after the other, over links of whatever transport works. It has the clock and the timers.

import { Code, REOPENS } from './codes.js';
import { ClosedError } from './errors.js';
import { sizeOf } from './frames.js';
import { json } from './json.js';
import { createLadder } from './ladder.js';
import { outgoing } from './message.js';
import { absolute, watch } from './page.js';
import { createReaders } from './readers.js';
import { createRequests } from './requests.js';
import { createSession } from './session.js';
import { keep, nameOf, reclaim, release } from './storage.js';
import { createTabs } from './tabs.js';
import { createTimers } from './timers.js';
import { TRANSPORTS } from './transports.js';
import type { Address, Options, Socket, State } from './api.js';
import type { Frame, Kind } from './frames.js';
import type { Watched } from './ladder.js';
import type { Outgoing } from './message.js';
import type { Host, Kept, Session } from './session.js';
import type { Carried, Carrier } from './transports.js';

const STABLE = 5000; // a link that lived this long is no reason to hold back the next one
const LATE = 5000; // a timer that is so late slept with its machine
const SLOWEST = 300_000; // between attempts to climb

/** A link, the transport that it is of, and the token that it showed. */
interface Dialled extends Carried {
  rung: Watched;
  bearer: string | undefined;
}

/**
 * Opens a session, and keeps it over any sequence of connections. In and Out are the messages of either side.
 *
 * Throws a `TypeError` for an address or options that cannot be.
 */
export function connect<In = any, Out = any>(address: Address, options: Options = {}): Socket<In, Out> {
  const {
    transports = ['websocket', 'sse', 'long-polling'], format = json, token, credentials, connectTimeout = 5000, climbAfter = 5000,
    retry: { min = 250, max = 30_000, attempts = Infinity } = {}, closeTimeout = 5000, requestTimeout = 10_000, remember = true,
    tabs = true, signal, WebSocket = globalThis.WebSocket, fetch = globalThis.fetch,
  } = options as Options & { fetch?: any };
  const limits = {
    window: { messages: 256, bytes: 1 << 20, ...options.window }, queue: { messages: 4096, bytes: 4 << 20, ...options.queue }, closeTimeout,
  };
  const now = () => Date.now();
  let url = typeof address == 'function' ? '' : absolute(address);

  const ladder = createLadder(transports, (transport) => !!(transport == 'websocket' ? WebSocket : fetch), remember ? url : undefined);
  let round = ladder.plan(); // what is to be tried then
  let rung = round[0]!; // in use, or tried
  let failures = 0;
  let rounds = 0; // in which nothing worked
  let turn = 0; // of asking for address and token: a late answer is for nobody
  let bearer: string | undefined; // the token of the last link
  let refused: string | undefined; // the token that the server did not take
  let local = false; // the link is given up from here, and not to blame
  let climbing: { left: Watched[]; result: Promise<boolean>; resolve(won: boolean): void } | undefined;
  let armed = Infinity; // when the session's timer fires
  let rested = () => {};
  let announced = '';
  let listener: ((event: any) => void) | undefined; // `onmessage`
  const backlog: Frame[] = []; // what a session that is over left to who iterates
  const timers = createTimers(); // by their work, or the request that waits
  const { after, stop } = timers;
  const questions = createRequests(timers);
  const gone = new AbortController(); // ends all listeners
  const others = createTabs((data) => emit('localmessage', { data }));
  const seen: Record<string, (event: Event) => void> = {}; // what calls the `on…` properties

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
      if (kept) return; // the session may be another page's
      if (late && session.since && !session.asked) session.doubt();
      else session.expire();
      flush();
    });
  };

  // --- the session -----------------------------------------------------------------------------------------------------

  const granted = (type: string) => {
    rung = linkOf()!.rung;
    ladder.works(rung);
    refused = undefined;
    rounds = 0;
    reclaimed = false;
    settle(true);
    announce();
    emit(type, { session: session.grant!.session, transport: rung.transport });
    climbLater(climbAfter);
  };

  const host: Host = {
    now,
    patience: () => connectTimeout * Math.min(4, 1 + rounds),
    opened(unfit) {
      granted('open');
      for (const message of unfit) {
        const error = new RangeError('too large');
        if (message.exchange) questions.settle(message.id!, error);
        else emit('error', { error, message });
      }
    },
    resumed: (moved) => granted(moved ? 'move' : 'reopen'),
    arrived: ({ exchange, id, error, value }) => exchange == 'reply' && questions.settle(id!, error && new Error(error), value),
    taken: (messages) => emit('acknowledged', { messages }),

    /** A link is lost, or never came to be. */
    down(_, reason, lasted, code) {
      const { transport } = rung;
      turn += 1;
      settle(false);
      stop('climb');
      if (lasted > STABLE) failures = 0;
      if (!local) {
        ladder.failed(rung, reason, lasted);
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

    over({ by, code, reason, unknown, unsent }) {
      const { since, grant } = session;
      turn += 1;
      if (since && now() - since > STABLE) failures = 0;
      settle(false);
      stop('retry');
      stop('climb');
      for (let frame; (frame = session.take()); ) backlog.push(frame);
      const foreign = code == Code.Fenced || (reclaimed && code == Code.Forbidden); // another page's by now, or another user's
      const again = grant && by != 'client' && (foreign || REOPENS.includes(code));
      const moved = again && !foreign ? unsent.filter(({ exchange }) => exchange != 'reply') : []; // nobody has asked that of the next one
      questions.end(new ClosedError(reason || 'the session is over'), moved);
      if (again) {
        for (const message of unsent) message.state = foreign ? 'unknown' : 'waiting';
        refused = undefined;
        begin(moved);
        announce();
        emit('lost', { session: grant.session, code, reason, unknown: foreign ? [...unknown, ...unsent] : unknown });
        if (!session.ended) later(reason);
      } else {
        gone.abort();
        timers.stopAll();
        release(name);
        armed = Infinity;
        others.part();
        announce();
        emit('close', { by, code, reason, unknown, unsent });
      }
      drain();
    },
  };

  const resume = options.resume && url;
  const name = resume ? nameOf(url) : '';
  let kept: Kept | undefined; // for the next page, while this one is not shown
  let found = resume ? reclaim(name, format) : undefined; // what another page has left
  let reclaimed: boolean;
  let requests = 0;
  let session!: Session;

  const begin = (queue: Outgoing[] = []) => {
    requests = Math.max(requests, found?.requests ?? 0);
    reclaimed = !!found;
    session = createSession(host, format, limits, found ?? { queue });
    found = undefined;
  };
  begin();

  // --- links -----------------------------------------------------------------------------------------------------------

  const carrier: Carrier<any> = {
    get session() { return session; },
    format,
    WebSocket: WebSocket as typeof globalThis.WebSocket,
    // Where there is no fetch, that is a request that failed.
    fetch: async (where, init) => fetch(where, { cache: 'no-store', credentials, ...init }),
    ready(link) {
      if (link == session.link) session.begin();
      else link.write({ kind: 'ping', value: 0 });
      flush();
    },
    unit(link, unit, number) {
      const candidate = link == session.candidate;
      session.receive(link, unit, number);
      if (candidate) {
        if (link == session.link) {
          rung = link.rung;
          stop('probe'); // the session has its own deadline for what comes now
        } else void step('no pong');
      }
      pass();
    },
    changed: flush,
    lost(link, reason, status, code) {
      if (link == session.candidate) return void step(reason);
      if (link != session.link) return;
      const denied = (status == 401 || status == 403 || code == Code.Forbidden) && (code || !round.length);
      if (denied && !token) return session.over('server', Code.Forbidden, reason);
      if (denied) refused = link.bearer ?? '';
      if (denied || !(status || session.pending)) session.lost(link, reason);
      else session.refused(link, reason, code);
      flush();
    },
    rest() {
      if (!session.closing && !session.peek()) return;
      return new Promise((resolve) => {
        rested = resolve;
        // The server does not wait for ever for the next poll, and a reply comes by none but that.
        after('rest', session.closing || questions.waiting ? 300 : STABLE, resolve as () => void);
      });
    },
  };

  const identify = async () => {
    const said = await token?.();
    if (!/^[!-~]*$/.test(said ?? '')) throw new TypeError('the token is not visible ASCII'); // others would quote it
    return said;
  };

  const linkTo = (to: Watched): Dialled => Object.assign(TRANSPORTS[to.transport](carrier, url, bearer), { rung: to, bearer });

  /** Tries the next transport of the round. */
  async function attempt(): Promise<void> {
    if (kept) return after('retry', max, attempt); // the session may be another page's; show() comes before
    const mine = ++turn;
    stop('retry');
    rung = round.shift()!;
    rung.state = 'trying';
    session.wait();
    flush();
    try {
      const where = typeof address == 'function' ? absolute(await address()) : url;
      const said = await identify();
      if (mine != turn) return;
      if (kept) {
        round.unshift(rung);
        return attempt();
      }
      bearer = said;
      url = where;
      if (tabs) others.enter(url);
      if (refused == (bearer ?? '')) return session.over('server', Code.Forbidden, 'token refused');
      refused = undefined;
      session.dial(linkTo(rung));
    } catch (error) {
      if (mine == turn) session.lost(undefined, `${error}`);
    }
  }

  /** Begins the next round, in a while. */
  function later(reason: string) {
    if (failures >= attempts) return session.over('network', Code.Timeout, reason);
    const delay = Math.min(max, min * 2 ** failures++) * (0.5 + Math.random() / 2);
    round = ladder.plan();
    after('retry', delay, attempt);
    emit('reconnect', { reason, delay, attempt: failures });
  }

  // --- climbing, §9.1 --------------------------------------------------------------------------------------------------

  function climbLater(delay: number) {
    const rested = Math.min(...ladder.better(rung).map(({ rest }) => rest)); // Infinity: there is none
    if (!delay || rested == Infinity) return;
    const time = Math.max(now() + delay, rested);
    after('climb', time - now(), async () => {
      if (!(await climb(time)) && linkOf()) climbLater(Math.min(delay * 2, SLOWEST));
    });
  }

  /** Tries what has rested until `time`. */
  function climb(time = Infinity): Promise<boolean> {
    const left = ladder.better(rung).filter(({ rest }) => rest <= time);
    const open = stateOf() == 'open';
    if (climbing || !open || !left[0]) return climbing?.result ?? Promise.resolve(open);
    let resolve!: (won: boolean) => void;
    const result = new Promise<boolean>((settled) => (resolve = settled));
    climbing = { left, result, resolve };
    void step();
    return result;
  }

  /** Tries the next better transport beside the link in use, which serves until that one works. `reason`: why the last did not. */
  async function step(reason?: string) {
    const mine = ++turn;
    if (reason != undefined) ladder.failed(climbing!.left.shift()!, reason, 0);
    const next = climbing?.left[0];
    session.try();
    if (!next) return settle(false);
    after('probe', host.patience(), () => step('no sign in time'));
    try {
      const said = await identify();
      if (mine != turn) return;
      bearer = said;
      round = ladder.plan();
      const link = linkTo(next);
      if (!link.http) return session.try(link);
      // What begins with a request cannot be proved before: if it does not work, the way back is a resume, too.
      stop('probe');
      rung = next;
      session.dial(link);
    } catch (error) {
      if (mine == turn) void step(`${error}`);
    }
  }

  function settle(won: boolean) {
    stop('probe');
    session.try();
    climbing?.resolve(won);
    climbing = undefined;
  }

  // --- what arrives ----------------------------------------------------------------------------------------------------

  const ahead = () => backlog[0] ?? session.peek();

  /** Hands over what came; to who iterates, as fast as they take it. */
  function drain() {
    for (let frame; (frame = ahead()) && (frame.exchange || frame.error || !readers.busy(!!listener)); ) {
      const asker = backlog.shift() ? undefined : session;
      asker?.take();
      const { kind, value, exchange, error } = frame;
      if (error) emit('error', { error: new Error(error) });
      else if (exchange == 'request') void answer(frame, asker);
      else if (!exchange) {
        readers.give(frame); // first: who listens may end that iterator, or ask it for the next one
        emit('message', { data: value, kind });
      }
    }
    if (ahead()) return;
    rested();
    if (session.ended) readers.end();
  }

  const pass = () => {
    drain();
    flush();
  };

  const readers = createReaders(pass);

  /** What onrequest says goes back to who asked, as long as there is the session in which it did. */
  async function answer({ kind, value, id }: Frame, asker?: Session) {
    try {
      const reply = await socket.onrequest?.(value, kind as Kind);
      if (reply !== undefined && session == asker) put(reply, undefined, 'reply', id);
    } catch (error) {
      emit('error', { error });
    }
  }

  function put(data: unknown, kind?: Kind, exchange?: Frame['exchange'], id?: number) {
    if (session.closing || session.ended) throw new ClosedError('closed');
    const message = outgoing(format, data, kind, exchange, id);
    session.send(message);
    flush();
    return message;
  }

  // --- the platform ----------------------------------------------------------------------------------------------------

  const unplug = (reason: string) => {
    local = true;
    if (session.link) session.lost(session.link, reason);
    local = false;
  };

  const awake = () => {
    if (kept) return; // the page is shown in a moment, and sees whose the session is now
    session.doubt();
    failures = 0;
    if (stop('retry')) void attempt();
    else flush();
  };

  /** Ends the session as far as that can be done at once. */
  const leave = () => {
    session.close(Code.Closed, '');
    if (session.ended) return;
    if (!session.since || session.pending || !linkOf()!.leave()) { // a POST may end it whatever carried the attachment [PST-3]
      const last = TRANSPORTS['long-polling'](carrier, url, bearer);
      session.dial(last);
      last.leave();
    }
    const { code, reason } = session.closing!;
    session.over('client', code, reason);
  };

  watch({
    awake,
    offline: () => unplug('offline'),
    hide(persisted) {
      if (session.closing || !(resume || persisted)) return leave();
      unplug('pagehide');
      kept = resume ? session.keep() : undefined;
      if (kept) keep(name, format, kept, requests);
    },
    show() {
      const mine = kept;
      kept = undefined;
      if (mine) {
        found = reclaim(name, format);
        if (found?.grant.session == mine.grant.session && found.attachment == mine.attachment) found = undefined;
        else session.over('network', Code.Fenced, 'another page has the session');
      }
      awake();
    },
  }, gone.signal);

  // --- what the application sees ---------------------------------------------------------------------------------------

  const socket: Socket<In, Out> = Object.defineProperties(new EventTarget(), Object.getOwnPropertyDescriptors({
    get state() { return stateOf(); },
    get transport() { return rung.transport; },
    get session() { return session.grant?.session ?? null; },
    get url() { return url; },
    get waiting() { return session.queue.length; },
    get transports() { return ladder.known; },

    send: (data: Out, { as }: { as?: Kind } = {}) => put(data, as),

    async request(data: Out, { as, timeout = requestTimeout, signal: cancel }: { as?: Kind; timeout?: number; signal?: AbortSignal } = {}) {
      cancel?.throwIfAborted();
      const id = ++requests;
      put(data, as, 'request', id);
      return questions.wait(id, timeout, cancel);
    },

    close(code: number = Code.Closed, reason = '') {
      if (code != Code.Closed && !(code >= 3000 && code < 4000)) throw new RangeError(`bad code ${code}`);
      if (sizeOf(reason) > 123) throw new RangeError('too large');
      session.close(code, reason);
      flush();
    },

    local: others.say,

    climb: () => climb(),

    ping() {
      session.ping();
      flush();
    },

    get onmessage() { return listener; },
    set onmessage(next) {
      listener = next;
      queueMicrotask(pass);
    },

    [Symbol.asyncIterator]: readers.iterate,
  })) as any;

  if (tabs && url) others.enter(url);
  // Not before whoever called has set the handlers.
  queueMicrotask(() => {
    if (signal?.aborted) socket.close();
    if (!session.ended) void attempt();
  });
  signal?.addEventListener('abort', () => socket.close(), { signal: gone.signal });
  return socket;
}
