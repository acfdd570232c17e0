// What every client does on every transport, with and without length tracking. A scenario asserts what should be; where the
// client itself can not do it, it asserts what the client is known to do, and returns the key of a note.

import assert from 'node:assert/strict';
import { lines } from './cell.mjs';
import { FRAMEWORKS, TRANSPORTS } from './clients.mjs';
import { close, unload } from './leaving.mjs';
import { cut, restart } from './losses.mjs';

const PAYLOADS = [
  'hello', 'a|b', '|', '5|hello', 'ñ 漢字 😀', '😀|😀', '"double" \'single\' \\ \\n <b>&amp;</b>', 'two\nlines', 'a\n\nb\n|c',
  '{"author":"joe","message":"hi|there 😀 \\"quoted\\" \\n"}', '[1,"|",null]', '{broken', '"only a string"', '%7C & + =', 'long'.repeat(10_000),
];

/** What versions do that try an upgrade, are refused, and get no further. */
const STAYS = { '2.3.8': { attempts: 1, failures: 2 }, '3.0.6': { attempts: 2, failures: 0 } };

/** The client opens on the transport that it was told, with one connection, and the handshake is nothing that it shows. */
async function open(cell) {
  const { row: { version, transport }, proxy } = cell;
  const client = await cell.open('/echo');
  await client.push('hello');
  await client.hears('hello');
  client.assertHeard(['hello']);
  assert.deepEqual(client.of('open'), [{ event: 'open', transport }]);
  for (const event of ['reopen', 'error', 'transportFailure']) assert.equal(client.count(event), 0, event);
  const [first, ...others] = proxy.requests.filter(({ connects }) => connects);
  assert.equal(first.id, '0');
  assert.equal(first.query['x-atmosphere-framework'], FRAMEWORKS[version]);
  assert.equal(first.query['x-atmosphere-trackmessagesize'], cell.tracking ? 'true' : undefined);
  assert.deepEqual(others.map((request) => request.transport), others.map(() => transport));
  if (transport !== 'long-polling') assert.deepEqual(others, [], 'one link');
}

/** What is pushed comes back as it was, whatever it is. */
async function echo(cell) {
  const client = await cell.open('/echo');
  for (const [index, payload] of PAYLOADS.entries()) {
    await client.push(payload);
    await client.until(() => client.messages.length > index && client.text.length >= PAYLOADS.slice(0, index + 1).join('').length,
      () => `${JSON.stringify(payload.slice(0, 60))}; came: ${JSON.stringify(client.messages.at(-1)?.slice(0, 60))}`);
  }
  client.assertHeard(PAYLOADS);
  if (cell.row.transport !== 'websocket') return;
  const bytes = Array.from({ length: 256 }, (_, index) => index);
  await client.command('pushBinary', bytes);
  await client.until(() => client.messages.length > PAYLOADS.length, 'the bytes');
  client.assertHeard([...PAYLOADS, bytes]);
}

/** Many messages in a row, to a client that is between two polls where it polls: each arrives once, and in order. */
async function burst(cell) {
  const { row: { transport }, proxy } = cell;
  const client = await cell.open('/broadcast');
  const { peer, heard, say } = await cell.speaker();
  if (transport === 'long-polling') {
    const held = proxy.hold(({ connects }) => connects);
    await say('first'); // answers the poll that waits; the next one comes as far as the proxy
    const { release } = await held;
    await say(...lines('between', 60));
    await client.hears('first');
    client.assertHeard(['first']);
    release();
  } else await say(...lines('burst', 200));
  await say('last');
  await client.hears('last');
  client.assertHeard(heard);

  const pushed = lines('pushed', 20);
  await Promise.all(pushed.map((text) => client.push(text)));
  await peer.until(() => pushed.every((text) => peer.messages.includes(text)), 'everything that was pushed');
  peer.say('end');
  await client.hears('end');
  const came = peer.messages.filter((text) => text.startsWith('pushed'));
  assert.deepEqual([...came].sort(), [...pushed].sort());
  if (transport === 'websocket') assert.deepEqual(came, pushed); // over HTTP, pushes overtake each other
  client.assertHeard([...heard, ...came, 'end']); // as all others heard it
}

/** No WebSocket comes about: the client does what it does then, and arrives on another transport. */
async function fallback(cell) {
  const { row: { version }, proxy } = cell;
  const stays = STAYS[version];
  const upgrades = (status) => proxy.requests.filter((request) => request.transport === 'websocket' && request.status === status);
  const upgradesTo = (verdict) => (request) => (request.transport === 'websocket' ? verdict : 'pass');
  const transports = TRANSPORTS.filter((transport) => transport !== 'websocket');
  if (stays) {
    const client = await cell.client();
    proxy.judge = upgradesTo('refuse');
    await client.command('subscribe', cell.request('/broadcast', { fallbackTransport: 'long-polling' }));
    await proxy.until(() => upgrades('501').length === stays.attempts, 'the refusals');
    await client.until(() => client.count('transportFailure') === stays.failures, 'the failures');
    await proxy.quiet();
    for (const marker of [1, 2, 3]) assert.equal(await client.command('id'), 0, `${marker}`);
    assert.deepEqual([client.count('open'), client.count('transportFailure'), upgrades('501').length], [0, stays.failures, stays.attempts]);
    await client.exit();
  }
  proxy.judge = upgradesTo(stays ? 'end' : 'refuse');
  const { peer, say } = await cell.speaker();
  await say('I am in the room');
  for (const fallbackTransport of transports) {
    const client = await cell.open('/broadcast', { fallbackTransport });
    await client.push(`pushed over ${fallbackTransport}`);
    await peer.hears(`pushed over ${fallbackTransport}`);
    await client.hears(`pushed over ${fallbackTransport}`);
    peer.say(`heard over ${fallbackTransport}`);
    await client.hears(`heard over ${fallbackTransport}`);
    client.assertHeard([`pushed over ${fallbackTransport}`, `heard over ${fallbackTransport}`]);
    assert.deepEqual(client.of('open').map(({ transport }) => transport), [fallbackTransport]);
    assert.equal(client.count('transportFailure'), 1);
  }
  const failed = [upgrades('101').length, upgrades('501').length];
  // Version 5 goes on trying to connect beside the fallback.
  if (!cell.modern) assert.deepEqual(failed, stays ? [transports.length, stays.attempts] : [0, 2 * transports.length]);
  return stays ? 'stays' : undefined;
}

/** Name → what it does, with which example, and for which rows it exists: for all, unless it says. */
export const SCENARIOS = {
  open: { run: open },
  echo: { run: echo },
  burst: { run: burst },
  cut: { run: cut },
  restart: { run: restart },
  fallback: { run: fallback, exists: ({ transport }) => transport === 'websocket' },
  close: { run: close, example: 'chat' },
  unload: { run: unload, example: 'chat', exists: ({ where }) => where === 'Chromium' },
};
