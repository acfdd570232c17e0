// Starts servers, clients in processes and pages, and the peers that they share a room with.

import assert from 'node:assert/strict';
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import WebSocket from 'ws';
import { JSON_FORMAT, Polling, isMessage } from '../interop/node/harness.mjs';
import { isModern } from './clients.mjs';
import { PATIENCE, Watch, within } from './watch.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const BINARIES = {
  echo: process.env.NOSPHERE_ECHO ?? here('../../target/release/examples/echo'),
  chat: process.env.NOSPHERE_CHAT ?? here('../../target/release/examples/chat'),
};
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
];

/** An example on a port of its own, until the test ends. */
export async function startServer(t, example) {
  const child = spawn(BINARIES[example], ['--addr', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'exit');
  const server = {
    log: [],
    async stop(signal = 'SIGKILL') {
      child.kill(signal);
      return within(exited, `the ${example} example to end`);
    },
  };
  createInterface(child.stderr).on('line', (line) => server.log.push(line));
  t.after(() => server.stop());
  const [line] = await within(once(createInterface(child.stdout), 'line'), `the ${example} example to listen`);
  server.url = JSON.parse(line).url;
  return server;
}

/** What the parent of a client, or the opener of its page, does with it. */
class Client extends Watch {
  events = [];
  request = {};

  hear(event) {
    this.events.push(event);
    this.changed();
  }

  /** Subscribes, and waits until the client is open and can push. */
  async open(request) {
    this.request = request;
    await this.command('subscribe', request);
    await this.until(() => this.count('open') && this.count('subscribed'), 'the client to open');
  }

  push(text) {
    return this.command('push', text);
  }

  /** Waits until `text` has arrived: as a message, or among others where the carrier keeps no boundaries. */
  hears(text) {
    return this.until(() => (this.glues ? this.text : this.messages).includes(text), `“${text.slice(0, 60)}” at ${this.name}`);
  }

  /** Without length tracking, a stream has no message boundaries: two that are written close together may arrive as one. */
  get glues() {
    return this.request.transport === 'streaming' && !this.request.trackMessageLength;
  }

  get text() {
    return this.messages.join('');
  }

  /** That exactly these messages have arrived, each once and in this order. */
  assertHeard(expected) {
    if (this.glues) assert.equal(this.text, expected.join(''));
    else assert.deepEqual(this.messages, expected);
  }

  assertSound() {
    assert.deepEqual(this.of('fault'), [], 'faults of the client');
  }

  of(event) {
    return this.events.filter((one) => one.event === event);
  }

  count(event) {
    return this.of(event).length;
  }

  get messages() {
    return this.of('message').map(({ data, bytes }) => data ?? bytes);
  }
}

/** A client in a process of its own. */
export class ProcessClient extends Client {
  #commands = 0;
  #replies = new Map();

  static async start(t, version) {
    const client = new ProcessClient();
    client.name = `${version} in Node`;
    // 2.3.8 leaves files where it is started while it closes.
    const child = fork(here('driver.mjs'), [version], { cwd: tmpdir(), stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    client.child = child;
    client.exited = once(child, 'exit');
    client.log = [];
    for (const output of [child.stdout, child.stderr]) createInterface(output).on('line', (line) => client.log.push(line));
    child.on('message', ({ id, result, error, ...event }) => {
      if (event.event) return client.hear(event);
      const { resolve, reject } = client.#replies.get(id);
      client.#replies.delete(id);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    });
    t.after(() => client.exit());
    await client.until(() => client.count('ready'), `the process of ${version}`, 3 * PATIENCE);
    return client;
  }

  command(command, ...parameters) {
    const id = this.#commands += 1;
    const reply = new Promise((resolve, reject) => this.#replies.set(id, { resolve, reject }));
    this.child.send({ id, command, parameters });
    return within(reply, `the answer to ${command}`);
  }

  /** Ends the process, whatever timers the client has. */
  async exit() {
    if (this.child.connected) this.child.send({ command: 'exit' });
    await within(this.exited, 'the process to end').catch(() => this.child.kill('SIGKILL'));
  }
}

/** A client in a page of a browser context of its own, or in a further tab of one. */
export class PageClient extends Client {
  static async start(t, browser, version, proxy, context) {
    const client = new PageClient();
    client.name = `${version} in Chromium`;
    client.log = [];
    client.page = await tab(browser, context);
    client.context = client.page.context();
    hosts.set(client.page, client);
    t.after(() => client.release());
    await client.page.goto(proxy.url + servePages(proxy, version));
    await client.until(() => client.count('ready'), `the page of ${version}`, 3 * PATIENCE);
    return client;
  }

  /** As a user closes it: the page is told. */
  closeTab() {
    return Promise.all([this.page.waitForEvent('close'), this.page.close({ runBeforeUnload: true })]);
  }

  /** A page that is still there is left for the next one: its connections end with what it shows. */
  async release() {
    if (this.page.isClosed()) return this.context.close();
    hosts.delete(this.page);
    await this.page.goto('about:blank');
    idle.push(this.page);
  }

  command(command, ...parameters) {
    return this.page.evaluate(([name, given]) => window.subject[name](...given), [command, parameters]);
  }
}

const hosts = new Map(); // page → the client that is in it
const idle = [];

async function tab(browser, context) {
  if (!context && idle.length) return idle.pop();
  const page = await (context ?? await browser.newContext()).newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on('pageerror', (error) => hosts.get(page)?.hear({ event: 'fault', reason: String(error.stack ?? error) }));
  page.on('console', (line) => hosts.get(page)?.log.push(line.text()));
  await page.exposeFunction('emit', (event) => hosts.get(page)?.hear(event));
  return page;
}

export const startBrowser = () => chromium.launch({ executablePath: CHROMIUM, args: FLAGS });

/** The page of a version, and the package's own browser build, at the proxy. */
function servePages(proxy, version) {
  const [build, line, global] = isModern(version)
    ? ['dist/atmosphere.global.js', 'modern', 'Atmosphere'] : ['lib/atmosphere.js', 'classic', 'atmosphere'];
  const folder = `/client/${version}/`;
  const script = (path) => ({ type: 'text/javascript; charset=utf-8', body: readFileSync(here(path)) });
  proxy.pages.set(`${folder}atmosphere.js`, script(`node_modules/atmosphere-${version}/${build}`));
  proxy.pages.set(`${folder}subject.mjs`, script('subject.mjs'));
  proxy.pages.set(folder, {
    type: 'text/html; charset=utf-8',
    body: `<!doctype html>
<title>atmosphere.js ${version}</title>
<link rel="icon" href="data:,">
<script src="atmosphere.js"></script>
<script type="module">
  import { ${line} } from './subject.mjs';
  window.subject = ${line}(window.${global}, (event) => window.emit(event));
  window.emit({ event: 'ready' });
</script>
`,
  });
  return folder;
}

/** A WebSocket that knows of no protocol at all. It hears what is sent from the moment that start() has resolved. */
export class PlainPeer extends Watch {
  messages = [];

  static async start(t, url) {
    const peer = new PlainPeer();
    peer.socket = new WebSocket(url.replace('http', 'ws'));
    peer.socket.on('error', () => {}).on('message', (data, binary) => {
      peer.messages.push(binary ? data : data.toString());
      peer.changed();
    });
    t.after(() => peer.socket.terminate());
    await within(once(peer.socket, 'open'), 'the plain WebSocket');
    return peer;
  }

  say(...texts) {
    for (const text of texts) this.socket.send(text);
  }

  hears(text) {
    return this.until(() => this.messages.includes(text), `“${text.slice(0, 60)}” at the plain WebSocket`);
  }
}

/** A client of nosphere.v1, over polls. */
export class NativePeer extends Watch {
  messages = [];
  #ended = false;

  static async start(t, url) {
    const peer = new NativePeer();
    peer.polling = await within(Polling.open(url, JSON_FORMAT), 'the native client');
    t.after(() => { peer.#ended = true; });
    peer.#listen();
    return peer;
  }

  async #listen() {
    while (!this.#ended) {
      try {
        for (const frame of (await this.polling.poll()).filter(isMessage)) this.messages.push(frame.text ?? frame.json ?? frame.binary);
      } catch (error) {
        if (!this.#ended) this.messages.push(error); // where a message is expected, this is none
        return;
      }
      this.changed();
    }
  }

  say(text) {
    return this.polling.send({ text });
  }

  hears(text) {
    return this.until(() => this.messages.includes(text), `“${text.slice(0, 60)}” at the native client`);
  }
}
