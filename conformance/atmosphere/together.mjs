// What takes several clients: rooms, tabs of one browser, and the page of the old chat beside that of ours.

import assert from 'node:assert/strict';
import { Visitor } from '../browser/harness.mjs';
import { NativePeer, PageClient, PlainPeer, ProcessClient, startServer } from './harness.mjs';
import { Proxy } from './proxy.mjs';
import { Cell, attached, lines } from './cell.mjs';

const JSON_TEXT = '{"from":"plain","values":["|",1,null,"😀"]}';

/**
 * Every client of `rows` in one room with a native client and a plain WebSocket. Each says something, and all hear all of
 * it, once and in the same order.
 */
export async function room(t, rows, tracking, browser) {
  const server = await startServer(t, 'echo');
  const proxy = await Proxy.start(t, server.url);
  const url = `${server.url}/broadcast`;
  const members = await Promise.all(rows.map(async (row) => {
    const who = `${row.version}.${row.where}.${row.transport}`;
    const client = row.where === 'Node' ? await ProcessClient.start(t, row.version) : await PageClient.start(t, browser, row.version, proxy);
    client.name = who;
    const { transport } = row;
    await client.open({ url: `${proxy.url}/broadcast?who=${who}`, transport, ...(tracking && { trackMessageLength: true }) });
    await attached(proxy, row, (request) => request.query.who === who);
    return { who, client, say: (text) => client.push(text), hears: (text) => client.hears(text) };
  }));
  const plain = await PlainPeer.start(t, url);
  const native = await NativePeer.start(t, url);
  const speakers = [...members, ...[plain, native].map((peer, index) => ({
    who: ['plain', 'native'][index], say: (text) => peer.say(text), hears: (text) => peer.hears(text),
  }))];
  plain.say('begin');
  for (const { hears } of speakers) await hears('begin');
  await Promise.all(speakers.map(async ({ who, say, hears }) => {
    for (const text of lines(`${who}|says`, 3)) {
      await say(text); // over HTTP one push may overtake another
      await hears(text);
    }
  }));
  plain.say(JSON_TEXT, 'end');
  for (const { hears } of speakers) await hears('end');
  const heard = plain.messages;
  assert.deepEqual([...heard].sort(), [...speakers.flatMap(({ who }) => lines(`${who}|says`, 3)), 'begin', JSON_TEXT, 'end'].sort());
  assert.deepEqual(native.messages, heard.map((text) => (text === JSON_TEXT ? JSON.parse(text) : text)));
  for (const { who, client } of members) {
    try {
      client.assertHeard(heard);
      client.assertSound();
    } catch (error) {
      error.message = `${who}: ${error.message}`;
      throw error;
    }
  }
}

/** A client that is told not to use parameters sends headers, but leaves out that it wants the handshake. */
export async function headers(t, version, transport) {
  const cell = await new Cell(t, { version, where: 'Node', transport }, true).start();
  const client = await cell.client();
  const request = cell.request('/echo', { attachHeadersAsQueryString: false, dropHeaders: false, headers: { 'X-atmo-protocol': 'true' } });
  await client.open(request);
  await attached(cell.proxy, cell.row);
  await client.push('one|two');
  await client.hears('one|two');
  client.assertHeard(['one|two']);
  const connects = cell.proxy.requests.filter(({ method }) => method === 'GET');
  assert.ok(connects.length && connects.every(({ query, headers: sent }) => !query['x-atmosphere-transport'] && sent['x-atmosphere-transport'] === transport));
}

/** Two tabs with `shared: true`: one connection, and what one says only to the other does not leave the browser. */
export async function tabs(t, browser) {
  const cell = await new Cell(t, { version: '4.0.1', where: 'Chromium', transport: 'websocket' }, false, browser).start();
  const { proxy } = cell;
  const context = await browser.newContext();
  t.after(() => context.close());
  const [first, second] = [await PageClient.start(t, browser, '4.0.1', proxy, context), await PageClient.start(t, browser, '4.0.1', proxy, context)];
  for (const tab of [first, second]) await tab.open(cell.request('/echo', { shared: true }));
  assert.deepEqual([first, second].map((tab) => tab.of('open')[0].transport), ['websocket', 'local']);

  await first.command('pushLocal', 'from the first');
  await second.until(() => second.count('localMessage'), 'the local message in the second tab');
  await second.command('pushLocal', 'from the second');
  await first.until(() => first.count('localMessage'), 'the local message in the first tab');
  await second.push('over the first');
  for (const tab of [first, second]) await tab.hears('over the first');
  assert.deepEqual([first, second].map((tab) => tab.of('localMessage').map(({ data }) => data)), [['from the second'], ['from the first']]);
  const connections = () => proxy.requests.filter(({ connects }) => connects);
  assert.equal(connections().length, 1);
  assert.ok(!proxy.requests.some(({ body }) => body.includes('from the')));

  await first.closeTab();
  await second.until(() => second.of('open').some(({ transport }) => transport === 'websocket'), 'the heir to connect');
  assert.deepEqual(connections().map(({ id }) => id), ['0', '0']);
  await second.push('by itself');
  await second.hears('by itself');
  assert.deepEqual(second.messages, ['over the first', 'by itself']);
}

/** What the page of the old chat asks for, in the same room as our page. */
export async function chat(t, browser, { where, refused }) {
  const cell = await new Cell(t, { version: '4.0.1', where, transport: 'websocket' }, false, browser).start('chat');
  if (refused) cell.proxy.judge = (request) => (request.transport === 'websocket' ? 'refuse' : 'pass');
  const ada = await Visitor.enter(t, browser, cell.server.url, 'Ada');
  const joe = await cell.open('/the-chat', { contentType: 'application/json', logLevel: 'debug', fallbackTransport: 'long-polling' });
  assert.deepEqual(joe.of('open').map(({ transport }) => transport), [refused ? 'long-polling' : 'websocket']);
  await ada.page.waitForFunction(() => window.chat.received.filter(({ message }) => message === 'joined the room').length === 2);
  const heard = () => joe.messages.map((text) => JSON.parse(text));
  const hears = (line) => joe.until(() => heard().find(({ author, message }) => author === line.author && message === line.message), JSON.stringify(line));

  for (const message of ['joe', 'hi|there, “Ada”']) await joe.push(JSON.stringify({ author: 'joe', message }));
  await ada.sees('hi|there, “Ada”');
  await ada.say('hello joe|');
  const line = await hears({ author: 'Ada', message: 'hello joe|' });
  assert.match(line.time, /^\d{13}$/);
  await joe.push('no json');
  await hears({ author: 'system', message: 'Only json is allowed' });
  assert.deepEqual(await ada.heard('joe').then(({ received }) => received), ['hi|there, “Ada”']);
  assert.ok(!heard().some(({ author }) => author === 'joe'), 'the server does not echo');
  joe.assertSound();
  await joe.command('close');
  await ada.sees('has left the room');
}
