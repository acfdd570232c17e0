// What outlives a page: which transport worked, and a session that is reloaded.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { FakeSocket, GRANT, clock, open, page, platform, storage, tick, turn } from './support.mjs';

const KEY = 'nosphere http://chat.test/the-chat';
const DAY = 86_400_000;

beforeEach(clock);

test('what worked is remembered for its address, and the next socket begins there', async (t) => {
  const store = storage(t, 'localStorage');
  const first = await open({ remember: true });
  FakeSocket.last.fails();
  await turn();
  first.http.requests[0].fail();
  await turn();
  first.http.requests[1].answer(200, {}, JSON.stringify({ opened: GRANT }));
  for (let wait = 0; first.socket.state !== 'open' && wait < 100; wait += 1) await new Promise(setImmediate);
  assert.equal(JSON.parse(store[KEY])[0], 'long-polling');
  const sockets = FakeSocket.all.length;
  assert.equal((await open({ remember: true })).http.requests[0].headers['Nosphere-Transport'], 'long-polling');
  assert.equal(FakeSocket.all.length, sockets);
  await open({ remember: true }, 'http://chat.test/other');
  assert.equal(FakeSocket.all.length, sockets + 1, 'another address, another memory');
  await open({ remember: false });
  assert.equal(FakeSocket.all.length, sockets + 2);
});

test('a memory that is old, or no memory of ours, is none', async (t) => {
  const store = storage(t, 'localStorage');
  for (const stored of [JSON.stringify(['sse', 1_000_000 - DAY - 1]), '{', 'null', '["pigeon",1000000]', '7']) {
    store[KEY] = stored;
    const before = FakeSocket.all.length;
    await open({ remember: true });
    assert.equal(FakeSocket.all.length, before + 1, stored);
  }
});

test('storage that throws costs nothing but the memory', async (t) => {
  const forbidden = { get getItem() { throw new Error('SecurityError'); }, get setItem() { throw new Error('QuotaExceededError'); } };
  for (const name of ['localStorage', 'sessionStorage']) platform(t, name, forbidden);
  const { socket } = await open({ remember: true, resume: true });
  FakeSocket.last.grants();
  assert.equal(socket.state, 'open');
});

test('a page that is reloaded goes on with its session: counts, what was not acknowledged in its kind, and the next attachment', async (t) => {
  const store = storage(t, 'sessionStorage');
  const leave = page(t);
  const first = await open({ resume: true });
  FakeSocket.last.grants();
  FakeSocket.last.brings({ text: 'one' });
  first.socket.send('taken');
  first.socket.send({ a: 1 });
  first.socket.send(Uint8Array.of(1, 2, 3));
  first.socket.send('"text" that looks like JSON', { as: 'json' });
  first.socket.request('what?').catch(() => {});
  FakeSocket.last.brings({ ack: 1 });
  leave('pagehide');
  assert.ok(FakeSocket.last.closed, 'the link goes with the page');
  assert.ok(!FakeSocket.last.sent.some((frame) => 'close' in frame), 'but not the session');

  const second = await open({ resume: true });
  assert.equal(store[KEY], undefined, 'a copy of this tab cannot take it, too');
  assert.deepEqual([second.socket.state, second.socket.session, second.socket.waiting], ['suspended', GRANT.session, 4]);
  FakeSocket.last.opens();
  assert.deepEqual(FakeSocket.last.sent, [{ resume: { session: GRANT.session, token: GRANT.token, attachment: 2, received: 1 } }]);
  FakeSocket.last.brings({ resumed: { received: 2 } });
  assert.deepEqual(FakeSocket.last.sent.slice(1), [{ binary: 'AQID' }, { json: '"text" that looks like JSON' }, { request: 1, text: 'what?' }]);
  assert.deepEqual(second.events.map(({ type }) => type).slice(0, 2), ['acknowledged', 'reopen']);
  second.socket.request('and?').catch(() => {});
  assert.deepEqual(FakeSocket.last.sent.at(-1), { request: 2, text: 'and?' }, 'its number is a new one');
});

test('a session that was kept too long is reported lost, with what may have arrived', async (t) => {
  storage(t, 'sessionStorage');
  const leave = page(t);
  const first = await open({ resume: true });
  FakeSocket.last.grants();
  first.socket.send('perhaps');
  leave('pagehide');
  const second = await open({ resume: true });
  FakeSocket.last.opens();
  FakeSocket.last.brings({ reset: 'unknown session' });
  assert.deepEqual(second.saw('lost').map(({ session, unknown }) => [session, unknown.map(({ data }) => data)]), [[GRANT.session, ['perhaps']]]);
});

test('what is kept and was tampered with is no session', async (t) => {
  for (const stored of ['{', '{}', '{"grant":{}}', '{"grant":{"token":"x"},"queue":["nonsense"]}']) {
    storage(t, 'sessionStorage', { [KEY]: stored });
    await open({ resume: true });
    FakeSocket.last.opens();
    assert.deepEqual(Object.keys(FakeSocket.last.sent[0]), ['open'], stored);
  }
});

test('without that option a page that is left ends its session at once; one that may come back does not', async (t) => {
  const leave = page(t);
  const gone = await open();
  FakeSocket.last.grants();
  gone.socket.send('last words');
  leave('pagehide');
  assert.deepEqual(FakeSocket.last.sent.slice(-2), [{ text: 'last words' }, { close: { code: 1000, reason: '', received: 0 } }]);
  assert.equal(gone.socket.state, 'closed');

  const back = await open();
  FakeSocket.last.grants();
  leave('pagehide', true);
  assert.equal(back.socket.state, 'suspended');
  leave('pageshow', true);
  await turn();
  FakeSocket.last.resumes();
  assert.equal(back.socket.state, 'open');
  assert.equal(back.saw('transportfailure').length, 0, 'no transport is to blame');
});

test('a page that goes when its link is gone already posts the end of its session, whatever carried the attachment', async (t) => {
  const leave = page(t);
  const goodbye = ({ requests }) => requests.filter(({ method }) => method === 'POST').map(({ headers, body }) => [
    headers['Nosphere-Attachment'], headers['Nosphere-Session'], headers['Nosphere-Base'], headers.Authorization, body,
  ]).at(-1);
  const expected = (attachment) => [
    attachment, GRANT.session, 0, 'Bearer me', '{"text":"last words"}\n{"close":{"code":1000,"reason":"","received":0}}',
  ];

  for (const [label, before, attachment] of [
    ['the WebSocket is closed, and its event did not come yet', () => { FakeSocket.last.readyState = 3; }, 1],
    ['the WebSocket is lost', () => FakeSocket.last.fails(), 1],
    ['the next one is on its way', async () => { FakeSocket.last.fails(); await tick(250); }, 1],
    ['the next one has asked for the session', async () => { FakeSocket.last.fails(); await tick(250); FakeSocket.last.opens(); }, 2],
  ]) {
    const { socket, http, saw } = await open({ transports: ['websocket'], token: () => 'me' });
    FakeSocket.last.grants();
    socket.send('last words');
    await before();
    leave('pagehide');
    assert.deepEqual(goodbye(http), expected(attachment), label);
    assert.deepEqual([socket.state, saw('close').length], ['closed', 1], label);
    assert.ok(FakeSocket.last.closed, label);
  }

  const { socket, http } = await open({ transports: ['sse'], token: () => 'me' });
  let stream;
  http.requests[0].answer(200, { 'Content-Type': 'text/event-stream' }, new ReadableStream({ start(controller) {
    stream = controller;
    stream.enqueue(new TextEncoder().encode(`data: ${JSON.stringify({ opened: GRANT })}\n\n`));
  } }));
  const until = async (state) => { for (let wait = 0; socket.state !== state && wait < 100; wait += 1) await new Promise(setImmediate); };
  await until('open');
  socket.send('last words');
  stream.error(new TypeError('network'));
  await until('suspended');
  leave('pagehide');
  assert.deepEqual(goodbye(http), expected(1), 'the event stream is lost');
});

test('a page that goes without a session has none to end', async (t) => {
  const leave = page(t);
  const { socket, http } = await open();
  FakeSocket.last.opens();
  leave('pagehide');
  assert.deepEqual([socket.state, http.requests.length], ['closed', 0]);
});

test('offline is noticed at once, and online is not waited for', async (t) => {
  const happens = page(t);
  const { socket, saw } = await open();
  FakeSocket.last.grants();
  happens('offline');
  assert.equal(socket.state, 'suspended');
  await tick(250);
  FakeSocket.last.fails();
  await turn();
  const before = FakeSocket.all.length;
  const { http } = await open();
  void http;
  happens('online');
  await turn();
  assert.ok(FakeSocket.all.length > before);
  assert.equal(saw('lost').length, 0);
});
