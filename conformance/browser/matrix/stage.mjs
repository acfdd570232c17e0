// Starts echoes, proxies and both browsers, and opens pages that hold a trial.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import puppeteer from 'puppeteer-core';
import { Proxy } from '../proxy.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const BINARY = process.env.NOSPHERE_ECHO ?? here('../../../target/debug/examples/echo');
export const PACKAGE = here('../../../adapters/browser/');
export const PATIENCE = Number(process.env.PATIENCE ?? 150_000); // of a machine that is busy, where a stall on polls takes 25 s by itself

// A page that nobody looks at gets few and late timers; here, dozens of them share a screen that nobody looks at.
const UNTHROTTLED = {
  'dom.min_background_timeout_value': 4,
  'dom.min_background_timeout_value_without_budget_throttling': 4,
  'dom.timeout.enable_budget_timer_throttling': false,
};
export const BROWSERS = {
  chromium: {
    browser: 'chrome', executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage',
    ],
  },
  firefox: {
    browser: 'firefox', executablePath: process.env.FIREFOX ?? '/usr/bin/firefox-esr', extraPrefsFirefox: UNTHROTTLED,
  },
};

/** Starts the browser of that name. Whoever starts it closes it. */
export function launch(name, options = {}) {
  return puppeteer.launch({ headless: true, timeout: PATIENCE, ...BROWSERS[name], ...options });
}

const turns = new WeakMap();

/** Opens or closes a page when nothing else does: Firefox may ask a tab that closes where a new one is to go. */
export function inTurn(browser, work) {
  const turn = (turns.get(browser) ?? Promise.resolve()).then(work);
  turns.set(browser, turn.catch(() => {}));
  return turn;
}

/** An echo on a port of its own. `limits` are those of SPEC §14 that it can be told, in milliseconds. */
export async function startEcho(limits = {}, addr = '127.0.0.1:0') {
  const env = Object.fromEntries(Object.entries(limits).map(([name, value]) => [`ECHO_${name.toUpperCase()}`, String(value)]));
  const child = spawn(BINARY, ['--addr', addr], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  const exited = once(child, 'exit');
  let said = '';
  child.stderr.on('data', (data) => (said = (said + data).slice(-20_000)));
  const [line] = await Promise.race([
    once(createInterface(child.stdout), 'line'),
    exited.then((how) => assert.fail(`${BINARY} ended before it listened: ${how} ${said}`)),
  ]);
  return {
    url: JSON.parse(line).url,
    said: () => said,
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      return exited;
    },
  };
}

const TYPES = { '.html': 'text/html;charset=utf-8', '.js': 'text/javascript', '.mjs': 'text/javascript', '.css': 'text/css' };

/** Files of the pages by URL path, the longest beginning first. */
export class Files {
  #roots;

  constructor(roots) {
    this.#roots = Object.entries(roots).sort(([a], [b]) => b.length - a.length);
  }

  get(path) {
    const [prefix, folder] = this.#roots.find(([beginning]) => path.startsWith(beginning)) ?? [];
    if (!folder || path.includes('..')) return undefined;
    const name = path.slice(prefix.length) || 'index.html';
    try {
      return { type: TYPES[extname(name)] ?? 'application/octet-stream', body: readFileSync(`${folder}/${name}`) };
    } catch (error) {
      if (error.code === 'ENOENT' || error.code === 'EISDIR') return undefined;
      throw error;
    }
  }
}

const PAGES = new Files({
  '/': here('./page'), '/dist/': `${PACKAGE}dist`, '/msgpack/': `${PACKAGE}node_modules/@msgpack/msgpack/dist.esm`,
});

/** A proxy that also serves the pages: they are of one origin with the echo. */
export async function startProxy(echo, pages = PAGES) {
  const proxy = await Proxy.start(echo.url);
  proxy.pages = pages;
  return proxy;
}

// Short enough that a fault costs a second at most, and long enough for two cores that do a dozen things at once.
export const SHORT = {
  connectTimeout: 1_500, requestTimeout: 1_500, closeTimeout: 5_000, climbAfter: 300, retry: { min: 20, max: 250 },
  queue: { messages: 2_000, bytes: 1 << 20 },
};

/** A page with a trial in it. */
export class Visit {
  errors = [];

  static async open(t, browser, proxy, { format, begin = true, ...options } = {}) {
    const visit = new Visit();
    // Firefox would ask the tab in front whether it is hidden by now, which may be between two documents and not answer.
    visit.page = await inTurn(browser, () => browser.newPage({ background: true }));
    visit.page.setDefaultTimeout(PATIENCE);
    // A test that has a browser of its own may have closed that first.
    t.after(() => inTurn(browser, () => browser.connected && visit.page.close()));
    visit.page.on('pageerror', (error) => visit.errors.push(String(error)));
    visit.page.on('console', (message) => message.type() === 'error' && visit.errors.push(message.text()));
    await visit.load(proxy);
    if (begin) await visit.begin(options, format);
    return visit;
  }

  async load(proxy) {
    await this.page.goto(proxy.url);
    await this.page.waitForFunction(() => document.title === 'ready', { polling: 20, timeout: PATIENCE });
  }

  begin(options, format) {
    return this.page.evaluate((given, name) => window.begin(given, name), { ...SHORT, ...options }, format);
  }

  /** Runs in the page, where `trial` is. Fails, with what the trial saw, when it takes too long. */
  do(what, work, ...args) {
    return within(this.page.evaluate(work, ...args), `it to be so that ${what}`, () => this.story());
  }

  report() {
    return this.page.evaluate(() => window.trial.report());
  }

  async story() {
    try {
      return JSON.stringify(await this.report(), null, 1);
    } catch (error) {
      return `and the page does not answer: ${error}`;
    }
  }
}

/** Fails, instead of waiting for ever. `story` may say more about it. */
export async function within(promise, what, story = () => '', patience = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(async () => reject(new Error(`waited in vain for ${what} ${await story()}`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Waits for something that nobody announces. */
export async function until(condition, what, story) {
  let over = false;
  const watched = async () => { while (!over && !condition()) await new Promise((resolve) => setTimeout(resolve, 5)); };
  return within(watched(), what, story).finally(() => (over = true));
}

/** What must be so in the end, whatever happened on the way: `total` messages, each once, in order, as they were sent. */
export function assertComplete(report, total) {
  const { sent, received, doubled, lost, ordered, wrong, counts } = report;
  assert.deepEqual(
    { sent, received, doubled, lost, ordered, wrong, lostSessions: counts.lost, errors: counts.error },
    { sent: total, received: total, doubled: 0, lost: 0, ordered: true, wrong: [], lostSessions: 0, errors: 0 },
    JSON.stringify(report),
  );
}
