// What outlives a page: which transport worked, and a session that is reloaded.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { FakeSocket, GRANT, anotherPage, clock, open, page, platform, storage, tick, turn, until } from './support.mjs';

const KEY = 'nosphere http://chat.test/the-chat';
const DAY = 86_400_000;

beforeEach(async () => {
  clock();
  await anotherPage();
});

test('what worked is remembered for its address, and the next socket begins there', async (t) => {
  const store = storage(t, 'localStorage');
  const first = await open({ remember: true });
  FakeSocket.last.fails();
  await turn();
  first.http.requests[0].fail();
  await turn();
  first.http.requests[1].answer(200, {}, JSON.stringify({ opened: GRANT }));
  await until(() => first.socket.state === 'open');
  assert.equal(JSON.parse(store[KEY])[0], 'long-polling');
  const sockets = FakeSocket.all.length;
  assert.equal((await open({ remember: true })).http.requests[0].headers['Nosphere-Transport'], 'long-polling');
  assert.equal(FakeSocket.all.length, sockets);
  await open({ remember: true }, 'http://chat.test/other');
  assert.equal(FakeSocket.all.length, sockets + 1, 'another address, another memory');
  await open({ remember: false });
  assert.equal(FakeSocket.all.length, sockets + 2);
});

test('nothing is remembered of addresses that a function gives: they may hold what is secret, and be another one each time', async (t) => {
  const store = storage(t, 'localStorage');
  const { socket } = await open({ remember: true }, () => 'http://chat.test/the-chat?ticket=secret');
  FakeSocket.last.grants();
  assert.deepEqual([socket.state, store], ['open', {}]);
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

  await anotherPage();
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
  await anotherPage();
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
  await until(() => socket.state === 'open');
  socket.send('last words');
  stream.error(new TypeError('network'));
  await until(() => socket.state === 'suspended');
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

const OTHER = { session: '34f98d6b-c271-4169-8f9c-217343b62aa7', token: '10112233445566778899aabbccddeeff' };
const texts = (link) => link.sent.filter((frame) => 'text' in frame).map(({ text }) => text);

test('a page that comes back goes on with its session, if no other page has had it meanwhile', async (t) => {
  const store = storage(t, 'sessionStorage');
  const happens = page(t);
  const { socket, saw } = await open({ resume: true });
  FakeSocket.last.grants();
  socket.send('m1');
  happens('pagehide', true);
  assert.ok(store[KEY]);
  happens('pageshow', true);
  assert.equal(store[KEY], undefined, 'a copy of this tab cannot take it, too');
  await tick(0);
  FakeSocket.last.resumes();
  assert.deepEqual([texts(FakeSocket.last), saw('lost'), socket.state], [['m1'], [], 'open']);
});

test('a session that another page of the tab took is not the first one\'s when that comes back: nothing of it is sent again', async (t) => {
  const store = storage(t, 'sessionStorage');
  const firstHappens = page(t);
  const first = await open({ resume: true });
  FakeSocket.last.grants();
  const reply = first.socket.request('asked').catch(({ name }) => name);
  FakeSocket.last.fails();
  const message = first.socket.send('m1');
  firstHappens('pagehide', true);

  await anotherPage();
  const secondHappens = page(t);
  const second = await open({ resume: true, retry: { min: 1e6, max: 1e6 } }); // as good as frozen
  FakeSocket.last.resumes();
  FakeSocket.last.brings({ text: 'for the second page' });
  FakeSocket.last.fails();
  second.socket.send('m2');
  secondHappens('pagehide', true);

  firstHappens('pageshow', true);
  assert.deepEqual(first.saw('lost').map(({ session, code, unknown }) => [session, code, unknown.map(({ data }) => data)]),
    [[GRANT.session, 4409, ['asked', 'm1']]]);
  assert.equal(message.state, 'unknown', 'the other page may have sent it');
  assert.equal(await reply, 'ClosedError');
  await tick(250);
  FakeSocket.last.opens();
  assert.deepEqual(FakeSocket.last.sent, [{ resume: { session: GRANT.session, token: GRANT.token, attachment: 3, received: 1 } }], 'what the second left');
  FakeSocket.last.brings({ resumed: { received: 2 } });
  assert.deepEqual([texts(FakeSocket.last), first.socket.state, store[KEY]], [['m2'], 'open', undefined]);
  assert.ok(first.socket.request('a').catch(() => {}) && FakeSocket.last.sent.at(-1).request > 1);

  // And so for the second one.
  firstHappens('pagehide', true);
  secondHappens('pageshow', true);
  assert.deepEqual([second.saw('lost').length, second.socket.session], [1, GRANT.session]);
});

test('a page that comes back when another one has used up its session begins a new one, and sends nothing twice', async (t) => {
  storage(t, 'sessionStorage');
  const happens = page(t);
  const { socket, saw } = await open({ resume: true });
  FakeSocket.last.grants();
  FakeSocket.last.fails();
  socket.send('m1');
  happens('pagehide', true);
  await anotherPage();
  await open({ resume: true });
  FakeSocket.last.resumes();
  happens('pageshow', true);
  assert.deepEqual([saw('lost').length, saw('close').length, socket.waiting], [1, 0, 0]);
  await tick(250);
  FakeSocket.last.grants(OTHER);
  assert.deepEqual([texts(FakeSocket.last), socket.session], [[], OTHER.session]);
});

test('a page that wakes up before it is shown asks for no session that may be another page\'s', async (t) => {
  storage(t, 'sessionStorage');
  const happens = page(t);
  const document = new EventTarget();
  platform(t, 'document', document);
  const { socket, saw } = await open({ resume: true, transports: ['websocket'] });
  FakeSocket.last.grants();
  happens('pagehide', true);
  await anotherPage();
  await open({ resume: true, transports: ['websocket'], retry: { min: 1e6, max: 1e6 } });
  FakeSocket.last.resumes();
  const before = FakeSocket.all.length;
  document.dispatchEvent(new Event('resume'));
  await turn();
  assert.equal(FakeSocket.all.length, before);
  happens('pageshow', true);
  await turn();
  assert.equal(FakeSocket.all.length, before + 1);
  FakeSocket.last.grants(OTHER);
  assert.deepEqual([saw('lost').length, socket.state], [1, 'open']);
});

test('a page that is hidden opens no connection when a token or the next attempt comes, and does so when it is shown', async (t) => {
  for (const late of ['token', 'attempt']) {
    clock();
    await anotherPage();
    const store = storage(t, 'sessionStorage');
    const happens = page(t);
    let give;
    let slow = false;
    const token = () => (slow ? new Promise((resolve) => { give = resolve; }) : 'me');
    const { socket } = await open({ resume: true, ...(late === 'token' && { token }) });
    FakeSocket.last.grants();
    slow = true;
    FakeSocket.last.fails();
    if (late === 'token') await tick(250);
    const before = FakeSocket.all.length;
    happens('pagehide', true);
    assert.ok(store[KEY], 'the next page may have the session');
    give?.('me');
    await turn();
    await tick(60_000);
    assert.equal(FakeSocket.all.length, before, late);
    slow = false;
    happens('pageshow', true);
    await turn();
    assert.equal(FakeSocket.all.length, before + 1, late);
    FakeSocket.last.resumes();
    assert.equal(socket.state, 'open');
  }
});

test('a page whose session expires before it is shown goes on all the same, with what another page left', async (t) => {
  storage(t, 'sessionStorage');
  const firstHappens = page(t);
  const options = { resume: true, transports: ['websocket'], retry: { min: 1e6, max: 1e6 } }; // as good as frozen
  const { socket, saw } = await open(options);
  FakeSocket.last.grants();
  firstHappens('pagehide', true);
  await anotherPage();
  const secondHappens = page(t);
  const second = await open(options);
  FakeSocket.last.resumes();
  FakeSocket.last.fails();
  second.socket.send('m1');
  secondHappens('pagehide', true);
  await tick(GRANT.resume + 1000);
  firstHappens('pageshow', true);
  await turn();
  assert.deepEqual([saw('close'), saw('lost').map(({ code }) => code), socket.session], [[], [4409], GRANT.session]);
  FakeSocket.last.resumes();
  assert.deepEqual([texts(FakeSocket.last), socket.state], [['m1'], 'open']);
});

test('two sockets of one address keep a session each, for the same two of the next page', async (t) => {
  const store = storage(t, 'sessionStorage');
  const happens = page(t);
  const closed = await open({ resume: true });
  closed.socket.close();
  for (const [text, grant] of [['of a', {}], ['of b', OTHER]]) {
    const { socket } = await open({ resume: true });
    FakeSocket.last.grants(grant);
    FakeSocket.last.fails();
    socket.send(text);
  }
  happens('pagehide');
  await anotherPage();
  for (const [text, { session }] of [['of a', GRANT], ['of b', OTHER]]) {
    const { socket } = await open({ resume: true });
    FakeSocket.last.resumes();
    assert.deepEqual([socket.session, texts(FakeSocket.last)], [session, [text]]);
  }
  assert.deepEqual(Object.keys(store), []);
});

test('a page that goes while its socket closes says what waits and ends the session, with `resume`, too', async (t) => {
  const store = storage(t, 'sessionStorage');
  const happens = page(t);
  for (const persisted of [false, true]) {
    const { socket, http, saw } = await open({ resume: true, transports: ['websocket', 'long-polling'] });
    FakeSocket.last.grants();
    FakeSocket.last.fails();
    socket.send('last words');
    socket.close(3001, 'done');
    happens('pagehide', persisted);
    assert.equal(http.requests.at(-1).body, '{"text":"last words"}\n{"close":{"code":3001,"reason":"done","received":0}}');
    assert.deepEqual([saw('close').map(({ by, code, reason }) => [by, code, reason]), store[KEY]], [[['client', 3001, 'done']], undefined]);
  }
});

test('a session that was kept and is refused is lost, with all that waited: who is there now may be another', async (t) => {
  for (const token of [undefined, () => 'me']) {
    for (const transport of ['websocket', 'long-polling']) {
      storage(t, 'sessionStorage');
      const happens = page(t);
      await anotherPage();
      const first = await open({ resume: true, token });
      FakeSocket.last.grants();
      FakeSocket.last.fails();
      first.socket.send('of whoever was here before');
      happens('pagehide');
      await anotherPage();
      clock();
      const { socket, http, saw } = await open({ resume: true, token, transports: [transport] });
      const refuse = async () => {
        if (transport === 'websocket') {
          FakeSocket.last.opens();
          FakeSocket.last.fails(4403);
        } else http.requests.at(-1).answer(403, { 'Nosphere-Error': 'forbidden' }, 'not yours');
        await turn();
        await tick(250);
      };
      await refuse();
      assert.deepEqual(saw('lost').map(({ code, unknown }) => [code, unknown.map(({ data }) => data)]), [[4403, ['of whoever was here before']]]);
      assert.deepEqual([saw('close'), socket.waiting, socket.session], [[], 0, null]);
      await tick(500);
      if (transport === 'websocket') {
        FakeSocket.last.grants(OTHER);
        assert.equal(socket.session, OTHER.session);
      } else assert.equal(http.requests.at(-1).headers['Nosphere-Session'], undefined);
      if (transport === 'long-polling') { // a refusal of a new one is final as ever
        http.requests.at(-1).answer(403, { 'Nosphere-Error': 'forbidden' }, 'not you');
        await turn();
        await tick(1000);
        assert.deepEqual(saw('close').map(({ code }) => code), [4403]);
      }
    }
  }
});

test('an address that is a function has no session kept, which nobody could find: it ends with the page', async (t) => {
  const store = storage(t, 'sessionStorage');
  const happens = page(t);
  const { socket } = await open({ resume: true }, () => 'http://chat.test/the-chat');
  FakeSocket.last.grants();
  happens('pagehide');
  assert.deepEqual([socket.state, Object.keys(store), Object.keys(FakeSocket.last.sent.at(-1))], ['closed', [], ['close']]);
});
