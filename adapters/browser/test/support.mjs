// Transports that are made up, a clock that tests turn, storage, and the real server.

import { spawn } from 'node:child_process';
import { connect as connectTo, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { mock } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { internals, load } from './internals.mjs';

export const GRANT = {
  session: '24f98d6b-c271-4169-8f9c-217343b62aa7', token: '00112233445566778899aabbccddeeff', heartbeat: 25_000, timeout: 20_000,
  proof: 10_000, resume: 120_000, window: { messages: 256, bytes: 1 << 20 },
};

export class FakeSocket {
  static all = [];
  /** What `opened` says, unless a test says otherwise. */
  static grant = GRANT;
  static get last() { return this.all.at(-1); }

  readyState = 0;
  protocol = 'nosphere.v1.json';
  sent = [];

  constructor(url, protocols) {
    Object.assign(this, { url, protocols });
    new.target.all.push(this);
  }

  send(unit) { this.sent.push(JSON.parse(unit)); }
  close(code) {
    this.closed ??= code;
    this.readyState = 3;
  }

  opens() {
    this.readyState = 1;
    this.onopen();
  }

  brings(frame) { this.onmessage({ data: JSON.stringify(frame) }); }
  fails(code = 1006) {
    this.readyState = 3;
    this.onclose({ code, reason: '' });
  }

  grants(grant) {
    this.opens();
    this.brings({ opened: { ...this.constructor.grant, ...grant } });
  }

  resumes(received = 0) {
    this.opens();
    this.brings({ resumed: { received } });
  }
}

/** The WebSocket in use dies after a minute, and so does the one after it: one more is the third in a row. */
export async function diesTwice() {
  for (let death = 1; death < 3; death += 1) {
    await tick(60_000);
    FakeSocket.last.fails();
    await tick(250);
    FakeSocket.last.resumes();
  }
}

/** Every request stays open until a test answers it. */
export function fakeFetch() {
  const requests = [];
  const fetch = (url, { method, headers, signal, body }) => new Promise((resolve, reject) => {
    const request = {
      url, method, headers, body, aborted: false,
      answer: (status, head, text = null) => resolve(new Response(text, { status, headers: head })), fail: () => reject(new TypeError('network')),
    };
    signal?.addEventListener('abort', () => {
      request.aborted = true;
      reject(new DOMException('aborted', 'AbortError'));
    });
    requests.push(request);
  });
  return { fetch, requests };
}

export const turn = async () => { for (let index = 0; index < 30; index += 1) await Promise.resolve(); };

/** Time passes; what waits for a promise goes on. */
export const tick = async (time) => {
  mock.timers.tick(time);
  await turn();
};

/** Turns of the event loop until that is so. They take no time, and nothing but a fault needs many: what is asserted next tells it. */
export const until = async (done) => { for (let turns = 0; !done() && turns < 1000; turns += 1) await new Promise(setImmediate); };

/** As many turns as whatever is under way needs to come to rest. */
export const settled = async () => { for (let turns = 0; turns < 5; turns += 1) await new Promise(setImmediate); };

export function clock() {
  mock.timers.reset();
  mock.restoreAll();
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 });
  FakeSocket.all = [];
}

let { connect } = internals;

/** What is opened from here on is in another page. */
export const anotherPage = async () => { ({ connect } = await load()); };

/** A socket over transports that are made up, and what it said. */
export async function open(options = {}, address = 'http://chat.test/the-chat') {
  const http = fakeFetch();
  const socket = connect(address, { WebSocket: FakeSocket, fetch: http.fetch, remember: false, tabs: false, ...options });
  const events = [];
  for (const type of ['open', 'message', 'error', 'reconnect', 'reopen', 'move', 'transportfailure', 'lost', 'close', 'acknowledged', 'clienttimeout']) {
    socket.addEventListener(type, (event) => events.push(event));
  }
  await turn();
  return { socket, http, events, saw: (type) => events.filter((event) => event.type === type) };
}

/** The platform's storage, for as long as a test runs. */
export function storage(t, name, store = {}) {
  const area = {
    getItem: (key) => store[key] ?? null,
    setItem: (key, value) => { store[key] = value; },
    removeItem: (key) => { delete store[key]; },
  };
  platform(t, name, area);
  return store;
}

export function platform(t, name, value) {
  const before = Object.getOwnPropertyDescriptor(globalThis, name);
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  t.after(() => (before ? Object.defineProperty(globalThis, name, before) : delete globalThis[name]));
}

/** Lets things happen to what is opened from here on: the page is left, or shown again. */
export function page(t) {
  const target = new EventTarget();
  platform(t, 'addEventListener', target.addEventListener.bind(target));
  return (type, persisted = false) => target.dispatchEvent(Object.assign(new Event(type), { persisted }));
}

const ECHO = process.env.NOSPHERE_ECHO ?? fileURLToPath(new URL('../../../target/debug/examples/echo', import.meta.url));

/**
 * Of a socket to the real server whose test is not of deadlines: a machine that is busy, or stands still for some seconds, is not to
 * blame. What keeps the socket open when its test has failed ends with that.
 */
export function patient(t, options) {
  const over = new AbortController();
  t.after(() => over.abort());
  // A farewell is repeated for as long as `closeTimeout` where the server ended before it answered: the program waits for that.
  return { connectTimeout: 60_000, closeTimeout: 10_000, signal: over.signal, ...options };
}

/** The echo example on a port of its own. */
export async function startEcho(t, env = {}) {
  const child = spawn(ECHO, ['--addr', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } });
  const line = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${ECHO} ended with ${code}`)));
    createInterface(child.stdout).once('line', resolve);
  });
  t.after(() => child.kill('SIGKILL'));
  return `${JSON.parse(line).url}/echo`;
}

/** A way to the server on which all connections can be cut; `heads`: how each of them began. */
export async function wayTo(t, url) {
  const { hostname, port, pathname } = new URL(url);
  const all = new Set();
  const heads = [];
  const proxy = createServer((client) => {
    const server = connectTo(port, hostname);
    for (const [one, other] of [[client, server], [server, client]]) {
      all.add(one);
      one.on('error', () => {}).on('close', () => {
        all.delete(one);
        other.destroy();
      }).pipe(other);
    }
    client.once('data', (chunk) => heads.push(chunk.toString('latin1')));
  });
  const cut = () => { for (const one of all) one.resetAndDestroy(); };
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    proxy.close();
    cut();
  });
  return { url: `http://127.0.0.1:${proxy.address().port}${pathname}`, heads, cut };
}

/** A way to the server on which each connection takes so many bytes a second, and as many as there are back; `bytes` counts the former. */
export async function slowUplink(t, url, rate) {
  const { hostname, port, pathname } = new URL(url);
  const all = new Set();
  const way = { bytes: 0 };
  const proxy = createServer((client) => {
    const server = connectTo(port, hostname);
    for (const [one, other] of [[client, server], [server, client]]) {
      all.add(one);
      one.on('error', () => {}).on('close', () => other.destroy());
    }
    server.pipe(client);
    client.on('data', async (chunk) => {
      client.pause();
      for (let at = 0, size = Math.ceil(rate / 20); at < chunk.length; at += size) { // steadily: the server hears something all the time
        const some = chunk.subarray(at, at + size);
        server.write(some);
        way.bytes += some.length;
        await sleep(1000 * some.length / rate);
      }
      client.resume();
    });
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    proxy.close();
    for (const one of all) one.destroy();
  });
  return Object.assign(way, { url: `http://127.0.0.1:${proxy.address().port}${pathname}` });
}

export const once = (socket, type) => new Promise((resolve) => socket.addEventListener(type, resolve, { once: true }));
