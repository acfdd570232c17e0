// What every client does on every transport, with and without length tracking. A scenario asserts what should be; where the
// client itself can not do it, it asserts what the client is known to do, and returns the key of a note.

import assert from 'node:assert/strict';
import { FRAMEWORKS, isModern } from './clients.mjs';
import { PageClient, PlainPeer, ProcessClient, startServer } from './harness.mjs';
import { Proxy } from './proxy.mjs';

export const PAYLOADS = [
  'hello', 'a|b', '|', '5|hello', 'ñ 漢字 😀', '😀|😀', '"double" \'single\' \\ \\n <b>&amp;</b>', 'two\nlines', 'a\n\nb\n|c',
  '{"author":"joe","message":"hi|there 😀 \\"quoted\\" \\n"}', '[1,"|",null]', '{broken', '"only a string"', '%7C & + =', 'long'.repeat(10_000),
];

/** One client on one transport, and what is around it. */
export class Cell {
  constructor(t, row, tracking, browser) {
    Object.assign(this, { t, row, tracking, browser, clients: [] });
  }

  async start(example = 'echo') {
    this.server = await startServer(this.t, example);
    this.proxy = await Proxy.start(this.t, this.server.url);
    return this;
  }

  async client({ version, where } = this.row) {
    const client = where === 'Node' ? await ProcessClient.start(this.t, version) : await PageClient.start(this.t, this.browser, version, this.proxy);
    this.clients.push(client);
    return client;
  }

  /** A client that is open on `path`, through the proxy. */
  async open(path, options = {}) {
    const client = await this.client();
    await client.open(this.request(path, options));
    await attached(this.proxy, { ...this.row, transport: client.of('open')[0].transport });
    return client;
  }

  request(path, options) {
    return { url: this.proxy.url + path, transport: this.row.transport, ...(this.tracking && { trackMessageLength: true }), ...options };
  }

  plain(path) {
    return PlainPeer.start(this.t, this.server.url + path);
  }

  get modern() {
    return isModern(this.row.version);
  }

  /** What a failed test should show. */
  report() {
    const lines = this.clients.flatMap((client) => [
      `--- ${client.name}`, ...client.events.map((event) => JSON.stringify(event).slice(0, 300)), ...client.log.slice(-20),
    ]);
    return [
      ...lines, '--- requests', ...(this.proxy?.requests ?? []).filter(({ path }) => !path.startsWith('/client/')).slice(-30).map(String),
      '--- server', ...(this.server?.log ?? []).slice(-10),
    ].join('\n');
  }
}

/** A client that polls is a member of the room from its second poll on, but version 5 is open at the first. */
export async function attached(proxy, { transport }, mine = () => true) {
  if (transport !== 'long-polling') return;
  await proxy.until(() => proxy.requests.some((request) => mine(request) && request.links), 'the second poll');
}

export const lines = (prefix, count) => Array.from({ length: count }, (_, index) => `${prefix}-${index + 1}`);

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
  const peer = await cell.plain('/broadcast');
  const heard = [];
  const say = async (...texts) => {
    peer.say(...texts);
    heard.push(...texts);
    await peer.hears(texts.at(-1));
  };
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
  await say('end');
  const came = peer.messages.filter((text) => text.startsWith('pushed'));
  // Over HTTP each push is a connection of its own, and overtakes others.
  assert.deepEqual(transport === 'websocket' ? came : came.sort(), transport === 'websocket' ? pushed : [...pushed].sort());
  await client.hears('end');
  if (client.glues) assert.equal(client.text.length, [...heard, ...pushed].join('').length);
  else assert.deepEqual([...client.messages].sort(), [...heard, ...pushed].sort());
}

/**
 * How links are lost. Of a stream that breaks in the middle, versions 2 to 4 hear more than once, and open several; in Node, with
 * the XMLHttpRequest that they bring, they lose their way.
 */
function losses({ row: { transport, where }, modern }) {
  const several = !modern && transport === 'streaming';
  return { several, how: several && where === 'Node' ? ['complete', 'complete'] : ['ended', 'reset'] };
}

/** The network takes the link away, more than once: what was broadcast meanwhile arrives, once and in order. */
async function cut(cell) {
  const { row: { where }, proxy } = cell;
  const { several, how } = losses(cell);
  const client = await cell.open('/broadcast');
  const peer = await cell.plain('/broadcast');
  const heard = [];
  const say = async (...texts) => {
    peer.say(...texts);
    heard.push(...texts);
    await peer.hears(texts.at(-1));
  };
  await say(...lines('before', 5));
  await client.hears('before-5');
  for (const round of [1, 2]) {
    await proxy.linked();
    await proxy.cut(how[round - 1]);
    // The delimiter is what a client that waits for a handshake takes for one.
    await say(`round ${round}|away`, ...lines(`away in round ${round}`, 20));
    proxy.restore();
    await client.hears(`away in round ${round}-20`);
    await proxy.linked();
    await say(`marker ${round}`);
    await client.hears(`marker ${round}`);
    client.assertHeard(heard);
    await client.until(() => client.count('reopen') >= round, `reopen ${round}`);
  }
  await client.push('still the same');
  heard.push('still the same');
  await peer.hears('still the same');
  await say('end');
  await client.hears('end');
  client.assertHeard(heard);
  if (several) {
    for (const { content } of proxy.requests.filter((request) => request.connects && request.content)) {
      assert.match(content, /^\s/, 'a stream begins with white space, whatever its client remembers of another');
    }
  }
  assert.equal(peer.messages.filter((text) => text === 'still the same').length, 1);
  assert.equal(client.count('open'), 1);
  assert.equal(client.count('transportFailure'), 0);
  if (!several || where === 'Chromium') return undefined;
  const reconnects = client.count('reconnect');
  assert.equal(reconnects, 2);
  await proxy.cut('ended');
  await client.until(() => client.count('reconnect') > reconnects + 1, 'several attempts at once');
  return 'complete';
}

/** Another server process, after a crash and after an orderly end, knows nothing of the client, which goes on and hears what is sent. */
async function restart(cell) {
  const { proxy } = cell;
  const { several, how } = losses(cell);
  const client = await cell.open('/broadcast');
  const heard = [];
  const push = async (text) => {
    await client.push(text);
    await client.hears(text);
    heard.push(text);
  };
  await push('before');
  const id = cell.modern ? undefined : await client.command('id');
  for (const [round, signal] of ['SIGKILL', 'SIGTERM'].entries()) {
    await proxy.linked();
    const cutting = signal === 'SIGKILL' ? proxy.cut(how[round]) : proxy.pause();
    await cell.server.stop(signal);
    await cutting;
    cell.server = await startServer(cell.t, 'echo');
    proxy.target(cell.server.url);
    proxy.restore();
    await client.until(() => client.count('reopen') > round, `the reopening after ${signal}`);
    await proxy.linked();
    const peer = await cell.plain('/broadcast');
    const text = `here|I am after ${signal}`;
    peer.say(text);
    await client.hears(text);
    heard.push(text);
    await push(`and I after ${signal}`);
    await peer.hears(heard.at(-1));
    assert.deepEqual(peer.messages, heard.slice(-2));
    client.assertHeard(heard);
  }
  if (!cell.modern) assert.equal(await client.command('id'), id, 'the id is adopted');
  assert.equal(client.count('open'), 1);
  assert.equal(client.count('transportFailure'), 0);
  return several && cell.row.where === 'Node' ? 'complete' : undefined;
}

/** No WebSocket comes about: the client does what it does then, and arrives on another transport. */
async function fallback(cell) {
  const { row: { transport, version }, proxy } = cell;
  if (transport !== 'websocket') return 'first';
  const stays = { '2.3.8': { attempts: 1, failures: 2 }, '3.0.6': { attempts: 2, failures: 0 } }[version];
  const upgrades = (status) => proxy.requests.filter((request) => request.transport === 'websocket' && request.status === status);
  const upgradesTo = (verdict) => (request) => (request.transport === 'websocket' ? verdict : 'pass');
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
  const client = await cell.client();
  proxy.judge = upgradesTo(stays ? 'end' : 'refuse');
  await client.open(cell.request('/broadcast', { fallbackTransport: 'long-polling' }));
  await attached(proxy, { transport: 'long-polling' });
  const peer = await cell.plain('/broadcast');
  await client.push('pushed');
  await peer.hears('pushed');
  await client.hears('pushed');
  peer.say('said');
  await client.hears('said');
  client.assertHeard(['pushed', 'said']);
  assert.deepEqual(client.of('open').map((event) => event.transport), ['long-polling']);
  assert.equal(client.count('transportFailure'), 1);
  if (!cell.modern) assert.deepEqual([upgrades('101').length, upgrades('501').length], stays ? [1, stays.attempts] : [0, 2]);
  return stays ? 'stays' : undefined;
}

/** The client closes: the others are told once, and a poll that strays in behind it brings nothing back. */
async function close(cell) {
  const { row: { transport, where }, proxy } = cell;
  const observer = await cell.plain('/the-chat');
  const other = await cell.plain('/the-chat');
  const told = (message) => observer.messages.filter((text) => JSON.parse(text).message === message).length;
  await observer.until(() => told('joined the room') === 2, 'the plain peers');
  const client = await cell.open('/the-chat');
  await observer.until(() => told('joined the room') === 3, 'the client');
  other.say('{"author":"other","message":"welcome"}');
  await client.until(() => client.text.includes('welcome'), 'what is said to the client');
  const links = proxy.requests.filter(({ connects }) => connects).length;
  await client.command('close');
  if (cell.modern) return closeOfFive(cell, client, observer, other);

  const request = await proxy.request((one) => one.transport === 'close' && one.status, 'the close request');
  assert.deepEqual([request.method, request.status, request.content], [where === 'Node' ? 'GET' : 'POST', '200', '']);
  await observer.until(() => told('has left the room'), 'the news');
  if (where === 'Node' && ['long-polling', 'streaming'].includes(transport)) {
    // It may have come before the close request.
    await proxy.until(() => proxy.requests.findLast(({ connects }) => connects).ended && proxy.requests.filter(({ connects }) => connects).length > links, 'the stray poll');
    const stray = proxy.requests.findLast(({ connects }) => connects);
    // The padding is there if it overtook the close request.
    assert.deepEqual([stray.id, stray.status, stray.content.trim()], [request.id, '200', ''], 'the answer to the stray poll');
  }
  if (where === 'Node') await client.exit();
  else await client.page.close();
  await proxy.quiet();
  await other.say('{"author":"other","message":"marker"}');
  await observer.until(() => told('marker'), 'the marker');
  assert.deepEqual([told('joined the room'), told('has left the room')], [3, 1]);
}

/** Version 5 sends no close request, and on WebSocket it comes back. */
async function closeOfFive({ row: { transport }, proxy }, client, observer, other) {
  const told = (message) => observer.messages.filter((text) => JSON.parse(text).message === message).length;
  if (transport === 'websocket') {
    await client.until(() => client.count('reopen'), 'the reopening');
    assert.deepEqual(client.events.slice(-3).map(({ event }) => event), ['close', 'reconnect', 'reopen']);
  } else await proxy.until(() => proxy.requests.filter(({ connects }) => connects).every(({ over }) => over), 'the end of the link');
  other.say('{"author":"other","message":"marker"}');
  await observer.until(() => told('marker'), 'the marker');
  assert.deepEqual([told('joined the room'), told('has left the room')], [3, 0]);
  assert.ok(!proxy.requests.some((request) => request.transport === 'close'));
  return transport === 'websocket' ? 'reconnects' : 'silent';
}

/** The tab is closed: version 4 says so by a beacon, version 5 does not. */
async function unload(cell) {
  const { row: { where }, proxy } = cell;
  if (where === 'Node') return 'none';
  const observer = await cell.plain('/the-chat');
  const other = await cell.plain('/the-chat');
  const told = (message) => observer.messages.filter((text) => JSON.parse(text).message === message).length;
  await observer.until(() => told('joined the room') === 2, 'the plain peers');
  const client = await cell.open('/the-chat');
  await observer.until(() => told('joined the room') === 3, 'the client');
  await client.page.close({ runBeforeUnload: true });
  if (cell.modern) await proxy.until(() => proxy.requests.filter(({ connects }) => connects).every(({ over }) => over), 'the end of the link');
  else {
    const request = await proxy.request((one) => one.transport === 'close' && one.status, 'the beacon');
    assert.deepEqual([request.method, request.status, request.body, request.content], ['POST', '200', '', '']);
    await observer.until(() => told('has left the room'), 'the news');
    await proxy.quiet();
  }
  other.say('{"author":"other","message":"marker"}');
  await observer.until(() => told('marker'), 'the marker');
  assert.deepEqual([told('joined the room'), told('has left the room')], [3, cell.modern ? 0 : 1]);
  return cell.modern ? 'silent' : undefined;
}

/** Name → what it does. `example` is the server that it wants. */
export const SCENARIOS = {
  open: { run: open }, echo: { run: echo }, burst: { run: burst }, cut: { run: cut }, restart: { run: restart },
  fallback: { run: fallback }, close: { run: close, example: 'chat' },
  unload: { run: unload, example: 'chat' },
};
