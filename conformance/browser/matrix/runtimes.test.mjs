// The same client where there is no page: in workers, Node and Deno. Connections are cut while 1,000 messages go each way.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { FAULTS, TRANSPORTS, randomFrom } from './faults.mjs';
import { BROWSERS, PACKAGE, SHORT, Visit, assertComplete, launch, startEcho, startProxy, within } from './stage.mjs';

const TOTAL = 1_000;
const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const DENO = here('../node_modules/.bin/deno');
const PROGRAM = here('./program.mjs');
const DIST = pathToFileURL(`${PACKAGE}dist/`).href;
const faultOf = (wanted) => FAULTS.find(({ name }) => name === wanted);

let echo;
before(async () => {
  console.log(`SEED=${SEED}`);
  echo = await startEcho({ heartbeat: 700, timeout: 1_500 });
});
after(async () => {
  assert.deepEqual(await echo?.stop(), [0, null], echo?.said());
});

/** A proxy that commits a fault; `met` says that it did. */
async function faulty(t, name = 'cut') {
  const proxy = await startProxy(echo);
  t.after(() => proxy.stop());
  const fault = faultOf(name).commit(proxy, { random: randomFrom(SEED) });
  return { proxy, met: () => assert.equal(fault.count, fault.wanted, 'faults that happened') };
}

/** Runs the program to its end, and reads its report. */
async function program(t, command, args, { fault, own, ...options }) {
  const { proxy, met } = await faulty(t, fault);
  const child = spawn(command, [...args, PROGRAM, DIST, `${proxy.url}/echo`, TOTAL, JSON.stringify({ ...SHORT, ...options }), ...(own ? ['ws'] : [])], {
    stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1', DENO_NO_UPDATE_CHECK: '1' },
  });
  t.after(() => child.kill('SIGKILL'));
  const exited = once(child, 'close');
  const said = { stdout: '', stderr: '' };
  for (const name of Object.keys(said)) child[name].on('data', (data) => (said[name] += data));
  const how = await within(exited, `${command} to end`, () => JSON.stringify(said));
  assert.deepEqual(how, [0, null], JSON.stringify(said));
  const report = JSON.parse(said.stdout);
  assertComplete(report, TOTAL);
  met();
  return report;
}

describe('Node', () => {
  test('Node: without a WebSocket of its own, it uses an event stream by itself', async (t) => {
    // Without a fault: what is cut often enough makes way for the next transport.
    const report = await program(t, process.execPath, [], { fault: 'none', connectTimeout: 30_000 });
    assert.equal(report.transport, report.platform.WebSocket ? 'websocket' : 'sse');
    assert.equal(report.transports.find(({ transport }) => transport === 'websocket').browser, report.platform.WebSocket);
  });

  for (const transport of ['sse', 'long-polling']) {
    test(`Node: ${transport}`, async (t) => {
      assert.equal((await program(t, process.execPath, [], { transports: [transport] })).transport, transport);
    });
  }

  test('Node: with the WebSocket of `ws` given, it uses that', async (t) => {
    assert.equal((await program(t, process.execPath, [], { own: true, transports: ['websocket'] })).transport, 'websocket');
  });
});

describe('Deno', () => {
  for (const transport of TRANSPORTS) {
    test(`Deno: ${transport}`, async (t) => {
      const args = ['run', '--no-config', '--cached-only', '--allow-net=127.0.0.1', `--allow-read=${PACKAGE}`];
      assert.equal((await program(t, DENO, args, { transports: [transport] })).transport, transport);
    });
  }
});

for (const name of Object.keys(BROWSERS)) {
  describe(`${name}, a worker`, () => {
    let browser;
    before(async () => { browser = await launch(name); });
    after(() => browser?.close());

    for (const transport of TRANSPORTS) {
      test(`${name}, a worker: ${transport}`, async (t) => {
        const { proxy, met } = await faulty(t);
        const visit = await Visit.open(t, browser, proxy, { begin: false });
        const report = await within(visit.page.evaluate((given) => new Promise((resolve, reject) => {
          const worker = new Worker('/worker.js', { type: 'module' });
          worker.onerror = ({ message }) => reject(new Error(message || 'the worker does not start'));
          worker.onmessage = ({ data }) => (data === 'ready' ? worker.postMessage(given) : resolve(data));
        }), { url: `${proxy.url}/echo`, total: TOTAL, options: { ...SHORT, transports: [transport] } }), 'the worker');
        assertComplete(report, TOTAL);
        assert.equal(report.transport, transport);
        met();
      });
    }
  });
}
