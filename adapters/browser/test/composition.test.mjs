// The package as a bundler leaves it of a page that names only some parts, against the real server.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { once, page, patient, startEcho, storage, wayTo } from './support.mjs';

const { WebSocket } = globalThis; // Node 20 has it behind --experimental-websocket
const PARTS = {
  http: 'Nosphere-Attachment', requests: 'no reply in time', iteration: 'asyncIterator', climbing: 'no pong', leaving: undefined,
  reloading: 'another page has the session', tabs: 'BroadcastChannel',
};
const OPTIONS = {
  http: { credentials: 'include', fetch: globalThis.fetch }, requests: { requestTimeout: 9000 }, climbing: { climbAfter: 0, remember: false },
  reloading: { resume: true }, tabs: { tabs: false },
};

/** What a bundler makes of a page with these parts. */
async function bundled(...parts) {
  const { outputFiles } = await build({
    stdin: {
      contents: `import { ${['connector', ...parts].join(', ')} } from './dist/index.js'; export const connect = connector(${parts.join(', ')});`,
      resolveDir: fileURLToPath(new URL('../', import.meta.url)),
    },
    bundle: true, minify: true, format: 'esm', target: 'es2022', write: false,
  });
  return outputFiles[0].text;
}

let pages = 0;

/** `connect`, as one more page with these parts has it. */
async function pageOf(...parts) {
  const text = await bundled(...parts);
  return (await import(`data:text/javascript;base64,${Buffer.from(text).toString('base64')}#${pages += 1}`)).connect;
}

async function closed(socket) {
  socket.close();
  const { by, unknown, unsent } = await once(socket, 'close');
  assert.deepEqual([by, unknown, unsent], ['client', [], []]);
}

test('there is a WebSocket to test with', () => assert.ok(WebSocket, 'Node has one from 22 on, and 20 with --experimental-websocket'));

test('what is not named is not in the program', async () => {
  for (const parts of [[], ...Object.keys(PARTS).map((part) => [part]), Object.keys(PARTS)]) {
    const text = await bundled(...parts);
    const marks = Object.entries(PARTS).filter(([, mark]) => mark && text.includes(mark)).map(([part]) => part);
    assert.deepEqual(marks, parts.filter((part) => PARTS[part]), `${parts}`);
  }
});

test('the core alone: messages go there and back over connections that are cut, once and in order, in one session', async (t) => {
  const connect = await pageOf();
  const way = await wayTo(t, await startEcho(t));
  const tokens = [];
  const socket = connect(way.url, patient(t, {
    retry: { min: 10 }, queue: { messages: 9999 },
    token: async () => {
      tokens.push(`token-${tokens.length}`);
      return tokens.at(-1);
    },
  }));
  const lost = [];
  socket.onlost = (event) => lost.push(event);
  let reopened = 0;
  socket.onreopen = () => { reopened += 1; };
  const got = [];
  const all = new Promise((resolve) => {
    socket.onmessage = ({ data: { number } }) => {
      if (got.push(number) === 3000) resolve();
      if (number % 500 === 250) way.cut();
    };
  });
  const { session } = await once(socket, 'open');
  for (let number = 0; number < 3000; number += 1) socket.send({ number });
  await all;
  assert.deepEqual(got, Array.from({ length: 3000 }, (_, number) => number));
  assert.deepEqual([socket.session, lost], [session, []]);
  assert.ok(reopened >= 3, `${reopened} connections after the first`);
  assert.equal(way.heads.length, tokens.length);
  way.heads.forEach((head, index) => assert.ok(head.includes(`nosphere.bearer.${btoa(tokens[index]).replaceAll('=', '')}`), head));
  await closed(socket);
});

test('the core alone: what is sent without a connection waits, and is handed back when the socket gives up', async (t) => {
  const connect = await pageOf();
  const way = await wayTo(t, await startEcho(t));
  const socket = connect(way.url, patient(t));
  await once(socket, 'open');
  let url = 'http://127.0.0.1:1/echo'; // a port that WebSockets may not have: nothing ever comes of it, in Node not even an error
  const nowhere = connect(() => url, { connectTimeout: 50, retry: { min: 10, max: 10, attempts: 2 } });
  const message = nowhere.send('a');
  const { by, unsent } = await once(nowhere, 'close');
  assert.deepEqual([by, unsent, message.state], ['network', [message], 'unsent']);
  url = way.url;
  const later = connect(() => url, patient(t));
  later.send('b');
  assert.equal((await once(later, 'message')).data, 'b');
  await closed(later);
  await closed(socket);
});

test('the core alone: a page that is hidden gives the connection up, and goes on with the session when it is shown', async (t) => {
  const happens = page(t);
  const connect = await pageOf();
  const socket = connect(await startEcho(t), patient(t));
  const { session } = await once(socket, 'open');
  happens('pagehide', true);
  assert.equal(socket.state, 'suspended');
  socket.send('meanwhile');
  happens('pageshow', true);
  assert.equal((await once(socket, 'message')).data, 'meanwhile');
  assert.equal(socket.session, session);
  happens('offline');
  assert.equal(socket.state, 'suspended');
  happens('online');
  await once(socket, 'reopen');
  await closed(socket);
});

for (const transport of ['sse', 'long-polling']) {
  test(`http alone beside the core: ${transport}`, async (t) => {
    const connect = await pageOf('http');
    const socket = connect(await startEcho(t), patient(t, { transports: [transport] }));
    for (let number = 0; number < 300; number += 1) socket.send({ number });
    const got = [];
    await new Promise((resolve) => { socket.onmessage = ({ data: { number } }) => got.push(number) === 300 && resolve(); });
    assert.deepEqual([got, socket.transport], [Array.from({ length: 300 }, (_, number) => number), transport]);
    await closed(socket);
  });
}

test('http alone beside the core: where WebSocket fails, the next transport is used', async (t) => {
  const connect = await pageOf('http');
  const socket = connect(await startEcho(t), patient(t, { WebSocket: class { constructor() { throw new Error('forbidden'); } } }));
  assert.equal((await once(socket, 'open')).transport, 'sse');
  await closed(socket);
});

test('requests alone beside the core: they get their replies, and give up in time', async (t) => {
  const connect = await pageOf('requests');
  const way = await wayTo(t, await startEcho(t));
  const socket = connect(way.url, patient(t, { requestTimeout: 60_000 }));
  assert.deepEqual(await socket.request({ a: 1 }), { a: 1 });
  way.cut();
  await once(socket, 'reconnect');
  await assert.rejects(socket.request('b', { timeout: 1 }), { name: 'TimeoutError' });
  await once(socket, 'reopen');
  await closed(socket);
  await assert.rejects(socket.request('c'), { name: 'ClosedError' });
});

test('iteration alone beside the core: every message, once and in order, over connections that are cut', async (t) => {
  const connect = await pageOf('iteration');
  const way = await wayTo(t, await startEcho(t));
  const socket = connect(way.url, patient(t, { retry: { min: 10 } }));
  for (let number = 0; number < 1000; number += 1) socket.send({ number });
  let expected = 0;
  for await (const { number } of socket) {
    assert.equal(number, expected);
    if (number % 400 === 300) way.cut();
    if ((expected += 1) === 1000) break;
  }
  await closed(socket);
});

test('climbing with http beside the core: from polls to a WebSocket, in one session', async (t) => {
  let refuses = true;
  class Refused extends WebSocket {
    constructor(...all) {
      if (refuses) throw new Error('forbidden');
      super(...all);
    }
  }
  const connect = await pageOf('http', 'climbing');
  const socket = connect(await startEcho(t), patient(t, { transports: ['websocket', 'long-polling'], WebSocket: Refused, climbAfter: 0, remember: false }));
  const { session, transport } = await once(socket, 'open');
  assert.equal(transport, 'long-polling');
  assert.equal(await socket.climb(), false);
  refuses = false;
  socket.send('before');
  assert.equal(await socket.climb(), true);
  socket.send('after');
  const got = [];
  await new Promise((resolve) => { socket.onmessage = ({ data }) => got.push(data) && data === 'after' && resolve(); });
  assert.deepEqual([socket.transport, socket.session], ['websocket', session]);
  await closed(socket);
});

test('climbing alone beside the core: there is nothing better than a WebSocket', async (t) => {
  const connect = await pageOf('climbing');
  const socket = connect(await startEcho(t), patient(t));
  await once(socket, 'open');
  assert.equal(await socket.climb(), true);
  await closed(socket);
});

for (const parts of [['leaving'], ['leaving', 'http']]) {
  test(`${parts} beside the core: a page that is left ends its session, with what was sent`, async (t) => {
    const happens = page(t);
    const connect = await pageOf(...parts);
    const socket = connect(await startEcho(t), patient(t));
    await once(socket, 'open');
    const message = socket.send('last words');
    happens('pagehide');
    assert.deepEqual([socket.state, message.state], ['closed', 'unknown'], 'nobody hears of it any more');
  });
}

test('reloading alone beside the core: the next page goes on with the session, and sends what was not acknowledged', async (t) => {
  const happens = page(t);
  storage(t, 'sessionStorage');
  const url = await startEcho(t);
  const first = (await pageOf('reloading'))(url, patient(t, { resume: true }));
  const { session } = await once(first, 'open');
  happens('offline');
  first.send('a');
  happens('pagehide');
  assert.equal(first.state, 'suspended');
  const second = (await pageOf('reloading'))(url, patient(t, { resume: true }));
  assert.deepEqual([second.session, second.waiting], [session, 1]);
  assert.equal((await once(second, 'message')).data, 'a');
  await closed(second);
  const lost = once(first, 'lost');
  happens('pageshow', true); // the browser's back button
  assert.equal((await lost).session, session);
  first.close();
});

test('tabs alone beside the core: what one says locally, the other hears', async (t) => {
  const url = await startEcho(t);
  const [one, other] = [await pageOf('tabs'), await pageOf('tabs')].map((connect) => connect(url, patient(t)));
  const open = [once(one, 'open'), once(other, 'open')];
  const heard = once(other, 'localmessage');
  one.local({ a: 1 });
  assert.deepEqual((await heard).data, { a: 1 });
  await Promise.all(open);
  await closed(one);
  await closed(other);
});

test('a part that was not given: its members are not there, its transports and options are refused', async () => {
  const connect = await pageOf();
  const url = 'http://127.0.0.1:1/';
  const socket = connect(url);
  for (const member of ['request', 'climb', 'local', Symbol.asyncIterator]) assert.ok(!(member in socket), String(member));
  socket.close();
  assert.throws(() => connect(url, { transports: ['sse'] }), { name: 'TypeError', message: 'no such transport: sse' });
  assert.throws(() => connect(url, { WebSocket: null }), { name: 'TypeError', message: 'no transport' });
  for (const [part, options] of Object.entries(OPTIONS)) {
    for (const [name, value] of Object.entries(options)) {
      assert.throws(() => connect(url, { [name]: value }), { name: 'TypeError', message: `no part has the option ${name}` });
      const given = (await pageOf(part))(() => url, { [name]: value });
      assert.equal(given.state, 'connecting', `${part} has ${name}`);
      given.close();
    }
  }
});

test('a socket that was refused for an option opens nothing', async (t) => {
  const connect = await pageOf();
  const way = await wayTo(t, await startEcho(t));
  assert.throws(() => connect(way.url, { resume: true }), TypeError);
  const socket = connect(way.url, patient(t));
  await once(socket, 'open');
  assert.equal(way.heads.length, 1);
  await closed(socket);
});
