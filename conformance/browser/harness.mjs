// Starts the chat example, a browser and pages, and knows how to ask a page what it saw.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { Proxy } from './proxy.mjs';

const BINARY = process.env.NOSPHERE_CHAT ?? fileURLToPath(new URL('../../target/debug/examples/chat', import.meta.url));
const ARTEFACTS = fileURLToPath(new URL('../artefacts/', import.meta.url));
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
];
const PATIENCE = Number(process.env.PATIENCE ?? 90_000); // of a machine that is busy; what does not come at all is late anyway

/** The chat on a port of its own, until the test ends. */
export async function startChat(t) {
  const child = spawn(BINARY, ['--addr', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
  const line = await Promise.race([
    new Promise((resolve, reject) => {
      child.once('error', reject);
      createInterface(child.stdout).once('line', resolve);
    }),
    exited.then((how) => assert.fail(`${BINARY} ended before it listened: ${JSON.stringify(how)}`)),
  ]);
  const server = {
    url: JSON.parse(line).url,
    /** Resolves to { code, signal } of its end. */
    stop(signal = 'SIGTERM') {
      child.kill(signal);
      return exited;
    },
  };
  t.after(() => server.stop('SIGKILL'));
  return server;
}

export async function startProxy(t, server) {
  const proxy = await Proxy.start(server.url);
  t.after(() => proxy.stop());
  return proxy;
}

export async function startBrowser() {
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
}

/** One visitor of the chat: a page in a browser context of its own, with its own cookies, connections and network. */
export class Visitor {
  said = [];

  static async enter(t, browser, url, name, { transport, query = {}, ...context } = {}) {
    const visitor = new Visitor();
    visitor.name = name;
    visitor.context = await browser.newContext(context);
    visitor.context.setDefaultTimeout(PATIENCE);
    t.after(() => visitor.context.close());
    visitor.page = await visitor.context.newPage();
    visitor.errors = [];
    visitor.page.on('pageerror', (error) => visitor.errors.push(error));
    await visitor.page.goto(`${url}/?${new URLSearchParams({ ...(transport && { transport }), ...query })}`);
    await visitor.reaches('open');
    if (name) await visitor.#type([name]);
    return visitor;
  }

  /** Says each text through the form of the page. */
  async say(...texts) {
    this.said.push(...texts);
    await this.#type(texts);
  }

  #type(texts) {
    return this.page.evaluate((lines) => {
      for (const line of lines) {
        document.getElementById('input').value = line;
        document.getElementById('composer').requestSubmit();
      }
    }, texts);
  }

  /** Waits until the client is in `state`. */
  reaches(state) {
    return this.page.waitForFunction((wanted) => window.chat?.client.state === wanted, state);
  }

  uses(transport) {
    return this.page.waitForFunction(
      (wanted) => window.chat.client.transport === wanted && window.chat.client.state === 'open', transport,
    );
  }

  /** Waits until the page shows `text` in its list of messages. */
  sees(text) {
    return this.page.waitForFunction((wanted) => document.getElementById('messages').textContent.includes(wanted), text);
  }

  /** Waits until the server has acknowledged everything. */
  settles() {
    return this.page.waitForFunction(() => window.chat.client.waiting === 0);
  }

  /** How often something happened to the client since the page was opened. */
  count(type) {
    return this.page.evaluate((wanted) => window.chat.events.filter((entry) => entry.type === wanted).length, type);
  }

  climb() {
    return this.page.evaluate(() => window.chat.client.climb());
  }

  get transport() {
    return this.page.evaluate(() => window.chat.client.transport);
  }

  /** What `author` said, the name aside, as the client got it and as the page shows it. */
  heard(author) {
    return this.page.evaluate((wanted) => ({
      received: window.chat.received.filter((line) => line.author === wanted).map((line) => line.message).filter((line) => line !== wanted),
      shown: [...document.querySelectorAll('.message:not(.own)')].filter((line) => line.dataset.author === wanted)
        .map((line) => line.querySelector('.text').textContent).filter((line) => line !== wanted),
    }), author);
  }

  screenshot(name) {
    mkdirSync(ARTEFACTS, { recursive: true });
    return this.page.screenshot({ path: `${ARTEFACTS}${name}.png` });
  }
}

/**
 * Everyone says one last word, and waits for that of all others: what came before it came, and came once. Then each has
 * heard exactly what every other said, in that order.
 */
export async function assertAllHeardAll(...visitors) {
  for (const visitor of visitors) await visitor.say(`last word of ${visitor.name}`);
  for (const visitor of visitors) {
    for (const other of visitors.filter((one) => one !== visitor)) {
      await visitor.page.waitForFunction(
        ([author, message]) => window.chat.received.some((line) => line.author === author && line.message === message),
        [other.name, other.said.at(-1)],
      ).catch(async (error) => {
        const { received } = await visitor.heard(other.name);
        assert.deepEqual(received, other.said, `${visitor.name} waited in vain for ${other.name}`);
        throw error;
      });
      const { received, shown } = await visitor.heard(other.name);
      assert.deepEqual(received, other.said, `what ${visitor.name} heard from ${other.name}`);
      assert.deepEqual(shown, other.said, `what ${visitor.name} is shown of ${other.name}`);
    }
    assert.deepEqual(visitor.errors, [], `errors in the page of ${visitor.name}`);
  }
}

/** `prefix-from` to `prefix-to`. */
export function lines(prefix, from, to) {
  return Array.from({ length: to - from + 1 }, (_, index) => `${prefix}-${from + index}`);
}
