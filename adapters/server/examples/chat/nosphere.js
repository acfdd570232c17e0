// A client of nosphere.v1 (SPEC.md) for browsers and Node: one session over any sequence of WebSocket connections, event
// streams and polls; every message of either side arrives exactly once and in order for as long as the session lives.
//
//   const client = new Client('/the-chat');
//   client.addEventListener('message', ({ detail: { kind, value } }) => console.log(kind, value));
//   client.open();
//   client.json({ author: 'joe', message: 'hi' });
//   const { value } = await client.request('json', { what: 'is your name?' });
//   client.onrequest = ({ kind, value }) => ({ name: 'joe' }); // or a promise of it
//
// Events, with their `detail`:
//   connected      { session, transport }      once for each session
//   message        { kind, value }             kind: text, json, binary
//   error          { kind, error }             a message that could not be read, in its place; or a request that onrequest
//                                              failed to answer
//   acknowledged   { messages }                the server took these
//   failed         { transport, reason }       a link could not be opened, or broke
//   suspended      { reason }                  no link; nothing is lost, and what is sent waits
//   resumed        { transport }
//   moved          { transport }               a better transport took over without a gap
//   disconnected   { session, by, code, reason, unknown, unsent, reopens }   the session is over. What the server did not
//                                              acknowledge comes back: `unknown` may have arrived, `unsent` has not
//   refused        { code, reason, unsent }    no session came about, and none will
//   state          { state, transport }        any change of either

import { CODES, Fault, Message, Session, WINDOW } from './nosphere/session.js';
import { EventStreamLink, PollLink, WebSocketLink } from './nosphere/transports.js';

const LINKS = { websocket: WebSocketLink, sse: EventStreamLink, 'long-polling': PollLink };
const DEFAULTS = {
  transports: Object.keys(LINKS), // the order in which they are tried
  transport: undefined, // forces one
  climbAfter: 5_000, // how long to stay on another transport before WebSocket is tried; 0: only by climb()
  openTimeout: 10_000,
  closeTimeout: 5_000,
  replyTimeout: 10_000,
  pollTime: 25_000, // the longest that a server may have [POL-4]
  window: WINDOW,
  random: Math.random,
};
const STABLE = 5_000; // a link that lived this long is no reason to hold back the next one
const SLOWEST = { retry: 30_000, climb: 300_000 };
const GONE = ['unknown-session', 'unproved', 'expired'].map((name) => CODES[name]);
const REOPENS = [...GONE, CODES['going-away'], CODES.overflow, CODES.unexpected];

export class Client extends EventTarget {
  /** idle, connecting, open, suspended, closing, closed */
  state = 'idle';

  /** Answers the server's requests: gets { kind, value }, and what it returns is the reply, or nothing where that is undefined. */
  onrequest = () => {};

  #options;
  #host; // what links see of us
  #link = null;
  #candidate = null; // a WebSocket that may become the link
  #climb = null; // { result, resolve } while one is tried
  #cursor = 0; // into transports
  #failures = 0;
  #since = 0; // when the link was established, 0: it is not
  #heard = 0;
  #timers = new Map();
  #announced = '';

  constructor(url, options = {}) {
    super();
    this.#options = { ...DEFAULTS, WebSocket: globalThis.WebSocket, fetch: globalThis.fetch, ...options };
    const { transport, WebSocket, fetch } = this.#options;
    if (transport) this.#options.transports = [transport];
    for (const name of this.#options.transports) if (!LINKS[name]) throw new TypeError(`no such transport: ${name}`);
    this.#host = {
      url: new URL(url, globalThis.location?.href).href,
      session: this.#fresh(),
      WebSocket,
      fetch: (...request) => fetch(...request),
      started: (link) => this.#started(link),
      unit: (link, unit, number) => this.#unit(link, unit, number),
      heard: (link) => this.#alive(link),
      counted: (link, count) => this.#guard(link, () => this.#session.counted(count, link.transport === PollLink.transport)),
      posted: (link, batch) => batch.close && link === this.#link && this.#over('client'),
      lost: (link, failure) => this.#lost(link, failure),
    };
  }

  /** The transport in use, or the one that is tried. */
  get transport() {
    return this.#link?.transport ?? this.#options.transports[this.#cursor];
  }

  /** The id of the session, null while there is none. Not a secret. */
  get session() {
    return this.#session.grant?.session ?? null;
  }

  /** How many messages the server has not acknowledged. */
  get waiting() {
    return this.#session.waiting;
  }

  open() {
    if (!['idle', 'closed'].includes(this.state)) return;
    globalThis.addEventListener?.('online', this.#online);
    globalThis.addEventListener?.('offline', this.#offline);
    this.#failures = 0;
    this.#cursor = 0;
    this.#become('connecting');
    this.#connect();
  }

  /** Each returns the message, whose `state` tells what became of it. They throw if it is refused: nothing was queued. */
  text(text) { return this.#send('text', text); }
  json(value) { return this.#send('json', value); }
  binary(bytes) { return this.#send('binary', bytes); }

  /** Asks the server. Resolves to its reply, { kind, value }, or rejects: after `timeout`, or when the session ends first. */
  request(kind, data, { timeout = this.#options.replyTimeout } = {}) {
    this.#mayStillSend();
    const session = this.#session;
    const { id, reply } = session.request(kind, data);
    const timer = setTimeout(() => session.forget(id, new Error('no reply in time')), timeout);
    this.#flush();
    return reply.finally(() => clearTimeout(timer));
  }

  /** Asks the server for a sign of life, and for what it has taken. */
  ping() {
    this.#session.ping();
    this.#flush();
  }

  /** Ends the session once everything sent has arrived; with `now` at once, for a page that goes away. */
  close({ code = CODES.closed, reason = '', now = false } = {}) {
    if (['idle', 'closed'].includes(this.state)) return;
    this.#session.close(code, reason);
    if (now || !this.session) {
      if (this.#since) this.#link.leave();
      return this.#over('client', { code, reason });
    }
    if (this.state === 'closing') return;
    this.#become('closing');
    this.#after('close', this.#options.closeTimeout, () => this.#over('client', { code, reason }));
    this.#flush();
  }

  /** Moves to WebSocket within the session. Resolves to whether that is in use then. */
  climb() {
    if (this.#climb) return this.#climb.result;
    if (this.state !== 'open' || this.transport === 'websocket') return Promise.resolve(this.state === 'open');
    return this.#probe();
  }

  get #session() {
    return this.#host.session;
  }

  #fresh() {
    return new Session(this.#options.window, (messages) => this.#emit('acknowledged', { messages }));
  }

  #mayStillSend() {
    if (['closing', 'closed'].includes(this.state)) throw new Error(`the client is ${this.state}`);
  }

  #send(kind, data, exchange) {
    this.#mayStillSend();
    const message = new Message(kind, data, exchange);
    this.#session.send(message);
    this.#flush();
    return message;
  }

  #flush() {
    if (this.#since) this.#link.flush();
  }

  // --- links ---------------------------------------------------------------------------------------------------------

  #connect() {
    this.#stop('retry');
    try {
      this.#link = new LINKS[this.transport](this.#host);
    } catch (error) { // there is no such thing as a WebSocket here
      return this.#lost(this.#link, { reason: String(error) });
    }
    this.#await(this.#link);
    this.#announce();
  }

  /** Bounds the time in which `link` has to be established. */
  #await(link) {
    this.#after('open', this.#options.openTimeout, () => this.#lost(link, { reason: 'no answer in time' }));
  }

  /** The carrier is there: it begins an attachment, or shows that it could. */
  #started(link) {
    if (link === this.#candidate) link.write({ ping: this.#session.received });
    else if (link === this.#link) link.begin(this.#session.offer());
  }

  #established(event) {
    this.#stop('open');
    this.#since = this.#heard = Date.now();
    this.#watch();
    if (this.state !== 'closing') this.#become('open');
    this.#settle(true);
    this.#announce();
    const { session, transport } = this;
    this.#emit(event, { session, transport });
    this.#climbLater(this.#options.climbAfter);
  }

  #lost(link, failure) {
    if (link && link === this.#candidate) return this.#settle(false);
    if (link !== this.#link) return; // [ATT-4]
    const { code, reason, status } = failure;
    const { transport } = this;
    const stood = this.#since > 0;
    const stable = stood && Date.now() - this.#since > STABLE;
    const refused = !stood && code === CODES.unexpected; // [SES-5]: the two sides cannot agree any more
    this.#drop();
    this.#emit('failed', { transport, reason });
    if (status === 403 || code === CODES.forbidden) return this.#over('server', failure);
    if (this.session && (status === 410 || GONE.includes(code) || refused)) return this.#over('network', failure);
    if (this.state === 'open') {
      this.#become('suspended');
      this.#emit('suspended', { reason });
    }
    if (stable) this.#failures = 0;
    if (!stood && ++this.#cursor < this.#options.transports.length) return this.#connect(); // it cannot be opened
    if (!stood) this.#cursor = 0;
    this.#retryLater();
  }

  #drop() {
    this.#link?.end();
    this.#link = null;
    this.#since = 0;
    for (const name of ['open', 'alive', 'climb']) this.#stop(name);
    this.#settle(false);
  }

  #retryLater() {
    const most = Math.min(SLOWEST.retry, 250 * 2 ** this.#failures);
    this.#failures += 1;
    this.#after('retry', most * (0.5 + this.#options.random() / 2), () => this.#connect());
    this.#announce();
  }

  // --- what arrives --------------------------------------------------------------------------------------------------

  #unit(link, unit, number) {
    if (link === this.#candidate) return this.#proved(unit);
    this.#guard(link, () => {
      const frame = this.#session.receive(unit, number);
      switch (frame.kind) {
        case 'text': case 'json': case 'binary': this.#emit(frame.error ? 'error' : 'message', frame); break;
        case 'request': this.#answer(frame); break;
        case 'reply': if (frame.error) this.#emit('error', frame); break;
        case 'opened': this.#established('connected'); break;
        case 'resumed': this.#established(this.state === 'open' ? 'moved' : 'resumed'); break;
        case 'reset': return this.#over('network', { code: CODES['unknown-session'], reason: String(frame.value) });
        case 'close': return this.#closed(frame.value);
      }
      this.#flush();
    });
  }

  /** What onrequest says goes back to who asked, as long as there is the session in which it did. */
  async #answer({ id, value, error }) {
    const session = this.#session;
    try {
      if (error) throw new Error(error);
      const answer = await this.onrequest(value);
      const binary = answer instanceof Uint8Array || answer instanceof ArrayBuffer;
      const kind = typeof answer === 'string' ? 'text' : binary ? 'binary' : 'json';
      if (answer !== undefined && session === this.#session) this.#send(kind, answer, { reply: id });
    } catch (failure) {
      this.#emit('error', { kind: 'request', error: String(failure.message ?? failure) });
    }
  }

  #closed({ code, reason }) {
    if (this.state === 'closing') return this.#over('client', { code, reason });
    this.#session.close(code, '');
    if (this.#since) this.#link.leave(); // the answer [CLS-2]
    this.#over('server', { code, reason });
  }

  /** Does the work of a link that is still the current one [ATT-4]; if the server is at fault, the link ends [FRM-2]. */
  #guard(link, work) {
    if (link !== this.#link) return;
    try {
      work();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      link.end(error.code, error.message);
      this.#lost(link, { reason: error.message });
    }
  }

  /** The session is over. Where that was not meant, the next one begins by itself. */
  #over(by, { code = CODES.closed, reason = '' } = {}) {
    const { session, state } = this;
    const reopens = state !== 'closing' && by !== 'client' && REOPENS.includes(code);
    this.#drop();
    for (const name of this.#timers.keys()) this.#stop(name);
    const { unknown, unsent } = this.#session.end();
    this.#host.session = this.#fresh();
    this.#become(reopens ? 'connecting' : 'closed');
    if (reopens) this.#retryLater();
    else {
      globalThis.removeEventListener?.('online', this.#online);
      globalThis.removeEventListener?.('offline', this.#offline);
    }
    if (session) this.#emit('disconnected', { session, by, code, reason, unknown, unsent, reopens });
    else this.#emit('refused', { code, reason, unsent });
  }

  // --- moving to WebSocket, §9.1 -------------------------------------------------------------------------------------

  #climbLater(delay) {
    const { transports } = this.#options;
    if (!delay || this.transport === 'websocket' || !transports.includes('websocket')) return;
    this.#after('climb', delay, async () => {
      if (!(await this.climb()) && this.#since) this.#climbLater(Math.min(delay * 2, SLOWEST.climb));
    });
  }

  /** Opens a WebSocket beside the link in use, which stays so until a pong has shown that the new one works. */
  #probe() {
    this.#climb = {};
    const { result } = Object.assign(this.#climb, { result: new Promise((resolve) => (this.#climb.resolve = resolve)) });
    this.#after('probe', this.#options.openTimeout, () => this.#settle(false));
    try {
      this.#candidate = new WebSocketLink(this.#host);
    } catch {
      this.#settle(false);
    }
    return result;
  }

  #proved(unit) {
    if (!/^\s*\{\s*"pong"/.test(unit)) return this.#settle(false);
    this.#stop('probe');
    this.#link.end();
    this.#link = this.#candidate;
    this.#candidate = null;
    this.#cursor = this.#options.transports.indexOf('websocket');
    this.#since = 0;
    this.#await(this.#link);
    this.#link.begin(this.#session.offer());
  }

  #settle(success) {
    this.#stop('probe');
    this.#candidate?.end();
    this.#candidate = null;
    this.#climb?.resolve(success);
    this.#climb = null;
  }

  // --- signs of life -------------------------------------------------------------------------------------------------

  #alive(link) {
    if (link === this.#link) this.#heard = Date.now();
  }

  /** Ends a link over which nothing came for too long [HB-4]. */
  #watch() {
    const { heartbeat, timeout } = this.#session.grant;
    const rhythm = this.transport === 'long-polling' ? this.#options.pollTime : heartbeat;
    if (!rhythm) return;
    this.#after('alive', this.#heard + rhythm + timeout - Date.now(), () => {
      if (Date.now() < this.#heard + rhythm + timeout) return this.#watch();
      this.#link.end(CODES.timeout, 'nothing heard');
      this.#lost(this.#link, { reason: 'nothing heard from the server' });
    });
  }

  #online = () => {
    this.#failures = 0;
    if (this.#timers.has('retry')) this.#connect();
  };

  #offline = () => {
    if (this.#link) this.#lost(this.#link, { reason: 'the network is gone' });
  };

  // --- small things --------------------------------------------------------------------------------------------------

  #after(name, delay, work) {
    this.#stop(name);
    this.#timers.set(name, setTimeout(() => {
      this.#timers.delete(name);
      work();
    }, delay));
  }

  #stop(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  #become(state) {
    this.state = state;
    this.#announce();
  }

  #announce() {
    const { state, transport } = this;
    if (this.#announced === `${state} ${transport}`) return;
    this.#announced = `${state} ${transport}`;
    this.#emit('state', { state, transport });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
