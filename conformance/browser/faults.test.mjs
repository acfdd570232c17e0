// What breaks at the worst moment: behind the server's write and before the client's read, while all sides talk on.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Visitor, assertAllHeardAll, lines, startBrowser, startChat, startProxy } from './harness.mjs';

const DOWN = { websocket: 'message', sse: 'event', 'long-polling': 'answer' };
const POSTING = ['sse', 'long-polling'];

let browser;
before(async () => { browser = await startBrowser(); });
after(() => browser?.close());

/** Ada behind a proxy, Bela beside it; both have talked already. */
async function scene(t, options, blocked = []) {
  const server = await startChat(t);
  const proxy = await startProxy(t, server);
  if (blocked.length) proxy.judge = ({ request }) => (blocked.includes(request.sort) ? 'kill' : 'pass');
  const ada = await Visitor.enter(t, browser, proxy.url, 'Ada', options);
  const bela = await Visitor.enter(t, browser, server.url, 'Bela');
  await Promise.all([ada.say(...lines('a', 1, 20)), bela.say(...lines('b', 1, 20))]);
  await ada.sees('b-20');
  await bela.sees('a-20');
  return { server, proxy, ada, bela };
}

const talk = ({ ada, bela }, from, to) => Promise.all([ada.say(...lines('a', from, to)), bela.say(...lines('b', from, to))]);
const brings = (kind, text) => (item) => item.direction === 'down' && item.kind === kind && item.text.includes(text);
const carries = (sort, text) => (item) => item.direction === 'up' && item.request.sort === sort && item.text.includes(text);
const unit = (line) => `"${line}"`; // as it stands in a message: a-2 is no a-20

for (const [transport, kind] of Object.entries(DOWN)) {
  test(`${transport}: the link is killed after the server wrote and before the client read; what was on it comes again`, async (t) => {
    const { proxy, ada, bela } = await scene(t, { transport });
    const fault = proxy.fault(brings(kind, unit('b-30')), 'kill');
    await talk({ ada, bela }, 21, 40);
    assert.match((await fault).text, /b-30/);
    await talk({ ada, bela }, 41, 60);
    await assertAllHeardAll(ada, bela);
    assert.equal(await ada.count('open'), 1);
  });
}

test('websocket: the link is killed with messages of the client on it that the server never read; they are sent again', async (t) => {
  const { proxy, ada, bela } = await scene(t, { transport: 'websocket' });
  const fault = proxy.fault(carries('websocket', unit('a-30')), 'kill');
  await talk({ ada, bela }, 21, 40);
  await fault;
  await talk({ ada, bela }, 41, 60);
  await assertAllHeardAll(ada, bela);
  assert.equal(await ada.count('reopen'), 1);
});

test('websocket: the link is killed with messages that the server read and the client does not know of; they are not taken twice', async (t) => {
  const { proxy, ada, bela } = await scene(t, { transport: 'websocket' });
  let passed;
  const fault = proxy.fault(carries('websocket', unit('a-40')), (item) => {
    passed = bela.sees('a-40').then(() => item.connection.kill());
    return 'pass';
  });
  await ada.say(...lines('a', 21, 40));
  await fault;
  await passed; // Bela has it, so the server has; no acknowledgement has come
  await ada.say(...lines('a', 41, 60));
  await assertAllHeardAll(ada, bela);
  assert.equal(await ada.count('reopen'), 1);
});

for (const transport of POSTING) {
  test(`${transport}: the answer of a POST is lost after the server processed it; it is repeated and not applied twice`, async (t) => {
    const { proxy, ada, bela } = await scene(t, { transport });
    const posts = [];
    proxy.judge = ({ kind, request, text }) => {
      if (kind === 'request' && request.sort === 'post' && text.includes(unit('a-25'))) posts.push(text);
      return 'pass';
    };
    const sent = proxy.fault(carries('post', unit('a-25')), (item) => {
      posts.push(item.text);
      lost = proxy.fault((answer) => answer.kind === 'answer' && answer.connection === item.connection, 'kill');
      return 'pass';
    });
    let lost;
    await talk({ ada, bela }, 21, 40);
    await sent;
    assert.equal((await lost).status, '204', 'the server processed it');
    await bela.sees('a-25');
    await talk({ ada, bela }, 41, 60);
    await assertAllHeardAll(ada, bela);
    assert.ok(posts.length >= 2, 'the POST was repeated');
    assert.equal(await ada.count('open'), 1);
  });
}

test('long-polling: an answer without messages is lost; the next poll asks for the same', async (t) => {
  const { proxy, ada, bela } = await scene(t, { transport: 'long-polling' });
  await ada.settles();
  const fault = proxy.fault(brings('answer', 'pong'), 'kill');
  await ada.page.evaluate(() => window.chat.client.ping());
  await fault;
  await talk({ ada, bela }, 21, 40);
  await assertAllHeardAll(ada, bela);
});

test('a poll that the client believes lost is answered late: the late answer is not taken for a second one', async (t) => {
  const { proxy, ada, bela } = await scene(t, { transport: 'long-polling' });
  const late = proxy.fault(brings('answer', unit('b-25')), async () => {
    await ada.context.setOffline(true);
    await ada.reaches('suspended');
    await ada.context.setOffline(false);
    await ada.reaches('open');
    return 'pass';
  });
  await talk({ ada, bela }, 21, 40);
  await late;
  await talk({ ada, bela }, 41, 60);
  await assertAllHeardAll(ada, bela);
  assert.equal(await ada.count('reopen'), 1);
});

// --- while the client climbs -------------------------------------------------------------------------------------------

/** The moment at which the client's resume on the new WebSocket has reached the server. */
function resumed(proxy) {
  return new Promise((resolve) => {
    proxy.fault(brings('message', '"resumed"'), () => {
      resolve();
      return 'pass';
    });
  });
}

/** Lets WebSockets through from here on. */
const unblock = (proxy) => { proxy.judge = () => 'pass'; };

const CLIMBING = { query: { climb: 0 } };
const FROM = [
  { transport: 'sse', kind: 'event', sort: 'stream', blocked: ['websocket'] },
  { transport: 'long-polling', kind: 'answer', sort: 'poll', blocked: ['websocket', 'stream'] },
];

for (const { transport, kind, sort, blocked } of FROM) {
  const where = `climbing from ${transport} to websocket`;

  test(`${where}: everyone talks on, and nothing is lost or doubled`, async (t) => {
    const { proxy, ada, bela } = await scene(t, CLIMBING, blocked);
    assert.equal(await ada.transport, transport);
    unblock(proxy);
    const talked = talk({ ada, bela }, 21, 60);
    assert.equal(await ada.climb(), true);
    await talked;
    await assertAllHeardAll(ada, bela);
    assert.equal(await ada.transport, 'websocket');
    assert.equal(await ada.count('suspended'), 0);
  });

  test(`${where}: the old link is killed after the server wrote and before the client read`, async (t) => {
    const { proxy, ada, bela } = await scene(t, CLIMBING, blocked);
    unblock(proxy);
    const granted = resumed(proxy);
    const fault = proxy.fault(brings(kind, unit('b-25')), () => granted.then(() => 'kill'));
    await bela.say(...lines('b', 21, 30));
    await fault; // the server has written b-25 to the old link, which holds it back
    const climbed = ada.climb();
    await ada.say(...lines('a', 21, 30));
    assert.equal(await climbed, true);
    await talk({ ada, bela }, 31, 60);
    await assertAllHeardAll(ada, bela);
    assert.equal(await ada.count('suspended'), 0);
  });

  test(`${where}: what the old link delivers after the resume is not taken a second time`, async (t) => {
    const { proxy, ada, bela } = await scene(t, CLIMBING, blocked);
    unblock(proxy);
    const granted = resumed(proxy);
    const fault = proxy.fault(brings(kind, unit('b-25')), () => granted.then(() => 'pass'));
    await bela.say(...lines('b', 21, 30));
    await fault;
    assert.equal(await ada.climb(), true);
    await talk({ ada, bela }, 31, 60);
    await assertAllHeardAll(ada, bela);
  });

  test(`${where}: the answer of a POST is lost after the server processed it`, async (t) => {
    const { proxy, ada, bela } = await scene(t, CLIMBING, blocked);
    unblock(proxy);
    const granted = resumed(proxy);
    let lost;
    const sent = proxy.fault(carries('post', unit('a-25')), (item) => {
      lost = proxy.fault((answer) => answer.kind === 'answer' && answer.connection === item.connection, () => granted.then(() => 'kill'));
      return 'pass';
    });
    await ada.say(...lines('a', 21, 30));
    await sent;
    assert.equal((await lost).status, '204', 'the server processed it');
    const climbed = ada.climb();
    await bela.say(...lines('b', 21, 30));
    assert.equal(await climbed, true);
    await talk({ ada, bela }, 31, 60);
    await assertAllHeardAll(ada, bela);
    assert.equal(await ada.count('suspended'), 0);
  });

  test(`${where}: the answer to the resume is lost, and the replay behind it`, async (t) => {
    const { proxy, ada, bela } = await scene(t, CLIMBING, blocked);
    unblock(proxy);
    const fault = proxy.fault(brings('message', '"resumed"'), 'kill');
    const climbed = ada.climb();
    await talk({ ada, bela }, 21, 40);
    assert.match((await fault).text, /resumed/);
    assert.equal(await climbed, false);
    await talk({ ada, bela }, 41, 60);
    await assertAllHeardAll(ada, bela);
    assert.equal(await ada.count('open'), 1);
  });

  test(`${where}: the resume itself is lost before the server read it`, async (t) => {
    const { proxy, ada, bela } = await scene(t, CLIMBING, blocked);
    unblock(proxy);
    const fault = proxy.fault(carries('websocket', '"resume"'), 'kill');
    const climbed = ada.climb();
    await talk({ ada, bela }, 21, 40);
    await fault;
    assert.equal(await climbed, false);
    await talk({ ada, bela }, 41, 60);
    await assertAllHeardAll(ada, bela);
    assert.equal(await ada.count('open'), 1);
  });

  test(`${where}: the new link is killed with the first message that it brings`, async (t) => {
    const { proxy, ada, bela } = await scene(t, CLIMBING, blocked);
    unblock(proxy);
    assert.equal(await ada.climb(), true);
    const fault = proxy.fault(brings('message', unit('b-21')), 'kill');
    await talk({ ada, bela }, 21, 40);
    await fault;
    await talk({ ada, bela }, 41, 60);
    await assertAllHeardAll(ada, bela);
    assert.equal(await ada.count('reopen'), 1);
  });

  test(`${where}: a candidate that never answers the ping leaves the old link as it was`, async (t) => {
    const { proxy, ada, bela } = await scene(t, { ...CLIMBING, transport: `websocket,${transport}` }, blocked);
    unblock(proxy);
    const fault = proxy.fault(brings('message', '"pong"'), 'kill');
    const climbed = ada.climb();
    await talk({ ada, bela }, 21, 40);
    await fault;
    assert.equal(await climbed, false);
    assert.equal(await ada.transport, transport);
    // It is still there to be killed; of polls, there is none for a moment between two.
    while (!proxy.kill(sort)) await new Promise(setImmediate);
    await assertAllHeardAll(ada, bela);
  });
}
