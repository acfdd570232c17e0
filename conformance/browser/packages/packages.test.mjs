// What `npm pack` yields, as others use it: in a fresh Vite project, checked by TypeScript and built for production, and as a
// single file in a page without any tool.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { BROWSERS, Files, PACKAGE, PATIENCE, launch, startEcho, startProxy } from '../matrix/stage.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const SAID = 'json joe: hi, json ann: ho';
const CORE = 6 * 1024; // what a page with the core may have
// What the MessagePack library says of itself, and nobody else.
const LIBRARY = 'Too deep objects in depth';

let folder;
let project;
let packed;
let echo;
const browsers = {};

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'nosphere-package-'));
  project = join(folder, 'page');
  [packed] = JSON.parse(npm(PACKAGE, 'pack', '--json', '--pack-destination', folder));
  cpSync(here('vite'), project, { recursive: true, filter: (path) => !/\/(node_modules|dist)$/.test(path) });
  npm(project, 'ci', '--prefer-offline');
  npm(project, 'install', '--no-save', '--prefer-offline', join(folder, packed.filename));
  echo = await startEcho();
  for (const name of Object.keys(BROWSERS)) browsers[name] = await launch(name);
});
after(async () => {
  for (const browser of Object.values(browsers)) await browser.close();
  if (folder) rmSync(folder, { recursive: true });
  assert.deepEqual(await echo?.stop(), [0, null], echo?.said());
});

test('the package holds what was built and what is to be read, and nothing else', () => {
  const paths = packed.files.map(({ path }) => path);
  const strangers = paths.filter((path) => !/^(package\.json|README\.md|LICENSE(-\w+)?|dist\/[\w.-]+\.(js|d\.ts))$/.test(path));
  assert.deepEqual(strangers, []);
  assert.deepEqual(packed.bundled, [], 'no package of someone else is in it');
  const { main, types, unpkg, jsdelivr, exports } = JSON.parse(readFileSync(`${PACKAGE}package.json`, 'utf8'));
  const named = [main, types, unpkg, jsdelivr, ...Object.values(exports).flatMap((entry) => Object.values(typeof entry === 'string' ? [entry] : entry))];
  for (const name of named) assert.ok(paths.includes(name.replace('./', '')), `${name} is in the package`);
  for (const name of ['dist/index.js', 'dist/messagepack.js', 'dist/nosphere.min.js', 'README.md']) assert.ok(paths.includes(name), name);
});

test('a strict TypeScript project takes its types, and refuses messages, transports and events that are not', () => {
  npm(project, 'run', 'check');
});

for (const format of ['json', 'messagepack']) {
  test(`Vite, ${format}: a page built for production exchanges messages with the echo; MessagePack is ${format === 'json' ? 'not ' : ''}in it`, async (t) => {
    npm(project, 'run', 'build', '--', '--outDir', `built-${format}`);
    const { page, proxy, protocols } = await open(t, browsers.chromium, new Files({ '/': join(project, `built-${format}`) }));
    const scripts = [];
    page.on('response', (response) => response.request().resourceType() === 'script' && scripts.push(response.text()));
    await page.goto(`${proxy.url}/${format}.html`);
    assert.equal(await titleOf(page), `${SAID}, reply joe: still there?, closed 1000`);
    assert.deepEqual(protocols, [`nosphere.v1.${format}`]);
    const loaded = (await Promise.all(scripts)).join('\n');
    assert.ok(loaded.includes('nosphere.v1.'), 'the client is in what was loaded');
    assert.equal(loaded.includes(LIBRARY), format === 'messagepack');
  });
}

test(`Vite, the core: a page built for production exchanges messages with the echo, and all its code is no more than ${CORE} bytes`, async (t) => {
  npm(project, 'run', 'build:core', '--', '--outDir', 'built-core');
  const { page, proxy, protocols } = await open(t, browsers.chromium, new Files({ '/': join(project, 'built-core') }));
  const scripts = [];
  page.on('response', (response) => response.request().resourceType() === 'script' && scripts.push(response.text()));
  await page.goto(`${proxy.url}/core.html`);
  assert.equal(await titleOf(page), `${SAID}, closed 1000`);
  assert.deepEqual(protocols, ['nosphere.v1.json']);
  const loaded = (await Promise.all(scripts)).join('\n');
  assert.ok(loaded.includes('nosphere.v1.'), 'the client is in what was loaded');
  const size = gzipSync(loaded, { level: 9 }).length;
  t.diagnostic(`${size} bytes, gzipped`);
  assert.ok(size <= CORE, `${size} bytes, gzipped`);
  assert.ok(!loaded.includes('Nosphere-Attachment'), 'no other transport is in it');
});

for (const name of Object.keys(BROWSERS)) {
  test(`${name}: a page without any tool exchanges messages by way of a script tag`, async (t) => {
    const script = readFileSync(join(project, 'node_modules/nosphere/dist/nosphere.min.js'));
    const files = new Files({ '/': here('script') });
    const pages = { get: (path) => (path === '/nosphere.min.js' ? { type: 'text/javascript', body: script } : files.get(path)) };
    const { page, proxy, protocols } = await open(t, browsers[name], pages);
    await page.goto(`${proxy.url}/`);
    assert.equal(await titleOf(page), `${SAID}, closed 1000`);
    assert.deepEqual(protocols, ['nosphere.v1.json']);
  });
}

/** A page whose files and whose echo are of one origin, and the subprotocols of its WebSockets. */
async function open(t, browser, pages) {
  const proxy = await startProxy(echo, pages);
  t.after(() => proxy.stop());
  const protocols = [];
  proxy.judge = ({ kind, request, headers }) => {
    if (kind === 'request' && request.sort === 'websocket') protocols.push(headers['sec-websocket-protocol']);
    return 'pass';
  };
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  t.after(() => page.close());
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  t.after(() => assert.deepEqual(errors, []));
  return { page, proxy, protocols };
}

/** The title, once the page has come to its end. */
async function titleOf(page) {
  await page.waitForFunction(() => document.title.includes('closed'), { polling: 20, timeout: PATIENCE }).catch(() => {});
  return page.title();
}

function npm(cwd, ...args) {
  const quiet = ['install', 'ci'].includes(args[0]) ? ['--no-audit', '--no-fund'] : [];
  try {
    return execFileSync('npm', [...args, ...quiet], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    throw new Error(`npm ${args.join(' ')}:\n${error.stdout}\n${error.stderr}`);
  }
}
