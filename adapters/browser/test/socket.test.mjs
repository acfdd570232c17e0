// What the socket decides, over transports that are made up: tokens, delays, fallback, sleep, limits.

import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { FakeSocket, GRANT, clock, diesTwice, open, tick, turn, until } from './support.mjs';
import { internals } from './internals.mjs';

beforeEach(clock);

test('a delay is between half and the whole of what it may be, by chance', async () => {
  for (const [chance, expected] of [[0, 125], [0.5, 187.5], [1, 250]]) {
    mock.method(Math, 'random', () => chance);
    const { saw } = await open({ transports: ['websocket'] });
    FakeSocket.last.fails();
    assert.equal(saw('reconnect')[0].delay, expected);
  }
});

test('after so many attempts as it may make the socket gives up, and hands back what it was to send', async () => {
  const { socket, saw } = await open({ transports: ['websocket'], retry: { min: 10, max: 20, attempts: 2 } });
  const message = socket.send('a');
  for (let round = 0; round < 3; round += 1) {
    FakeSocket.last.fails();
    await tick(20);
  }
  assert.equal(FakeSocket.all.length, 3);
  assert.deepEqual(saw('close').map(({ by, unsent }) => [by, unsent]), [['network', [message]]]);
  assert.equal(message.state, 'unsent');
});

test('the token is asked for at each attempt; a WebSocket offers it, HTTP has it in its header [NEG-5]', async () => {
  const tokens = ['secret-token', 'a?b>c', 'third'];
  const { http } = await open({ token: () => tokens.shift() });
  assert.deepEqual(FakeSocket.last.protocols, ['nosphere.v1.json', 'nosphere.bearer.c2VjcmV0LXRva2Vu']);
  FakeSocket.last.fails();
  await turn();
  assert.equal(http.requests[0].headers.Authorization, 'Bearer a?b>c');
  http.requests[0].fail();
  await turn();
  assert.equal(http.requests[1].headers.Authorization, 'Bearer third');
  assert.ok(http.requests.every(({ url }) => url === 'http://chat.test/the-chat'), 'and never in the URL');
});

test('a token that is refused is final, unless there is another one the next time', async () => {
  const tokens = ['old', 'new', 'new'];
  const { socket, http, saw } = await open({ transports: ['long-polling'], token: async () => tokens.shift() });
  http.requests[0].answer(403, { 'Nosphere-Error': 'forbidden' }, 'who are you?');
  await turn();
  assert.equal(socket.state, 'connecting');
  await tick(250);
  assert.equal(http.requests[1].headers.Authorization, 'Bearer new');
  http.requests[1].answer(403, { 'Nosphere-Error': 'forbidden' }, 'who are you?');
  await turn();
  await tick(500);
  assert.equal(http.requests.length, 2, 'the same token is not tried again');
  assert.deepEqual(saw('close').map(({ by, code }) => [by, code]), [['server', 4403]]);
});

test('without a token to ask for, a refusal is final at once', async () => {
  const { http, saw } = await open({ transports: ['long-polling'] });
  http.requests[0].answer(403, { 'Nosphere-Error': 'forbidden' }, 'not you');
  await turn();
  await tick(3_600_000);
  assert.deepEqual(saw('close').map(({ by, code, reason }) => [by, code, reason]), [['server', 4403, 'not you']]);
  assert.equal(http.requests.length, 1);
});

test('a token that fails, or never comes, holds up nothing for ever', async () => {
  let asked = 0;
  const { socket } = await open({ transports: ['websocket'], token: () => {
    asked += 1;
    if (asked === 1) throw new Error('no network');
    return asked === 2 ? new Promise(() => {}) : 'third';
  } });
  assert.equal(socket.state, 'connecting');
  await tick(250);
  assert.equal(asked, 2);
  await tick(30_000);
  await tick(30_000);
  assert.ok(asked >= 3);
  FakeSocket.last.grants();
  assert.equal(socket.state, 'open');
});

test('the address may be a function, and is asked for each attempt', async () => {
  const hosts = ['http://one.test/a', new URL('https://two.test/b')];
  const { socket } = await open({ transports: ['websocket'] }, async () => hosts.shift());
  assert.equal(FakeSocket.last.url, 'ws://one.test/a');
  FakeSocket.last.fails();
  await tick(250);
  assert.equal(FakeSocket.last.url, 'wss://two.test/b');
  assert.equal(socket.url, 'https://two.test/b');
});

test('a full queue refuses the next message, loses none, and takes more when some were acknowledged', async () => {
  const { socket, saw } = await open({ queue: { messages: 2 } });
  const kept = [socket.send('a'), socket.send('b')];
  assert.throws(() => socket.send('c'), internals.QueueFullError);
  await assert.rejects(socket.request('d'), { name: 'QueueFullError' });
  FakeSocket.last.grants();
  assert.deepEqual(FakeSocket.last.sent.slice(2), [{ text: 'a' }, { text: 'b' }]);
  assert.throws(() => socket.send('c'), { name: 'QueueFullError' });
  FakeSocket.last.brings({ ack: 1 });
  assert.deepEqual([kept.map(({ state }) => state), socket.waiting], [['taken', 'sent'], 1]);
  socket.send('c');
  assert.deepEqual(saw('acknowledged').flatMap(({ messages }) => messages), [kept[0]]);
});

test('what cannot be a message is refused at once, and nothing of it is queued', async () => {
  const { socket } = await open();
  FakeSocket.last.grants({ window: { messages: 9, bytes: 30 } });
  assert.throws(() => socket.send('more than thirty bytes of text'), RangeError);
  assert.throws(() => socket.send(undefined), TypeError);
  assert.throws(() => socket.send({ a: 1n }), TypeError);
  assert.throws(() => socket.send('text', { as: 'binary' }), TypeError);
  assert.throws(() => socket.send(JSON.parse('['.repeat(65) + ']'.repeat(65))), RangeError);
  assert.equal(socket.waiting, 0);
});

test('a signal that is aborted closes, before or after the socket was made', async () => {
  const controller = new AbortController();
  const { saw } = await open({ signal: controller.signal });
  FakeSocket.last.grants();
  controller.abort();
  assert.deepEqual(Object.keys(FakeSocket.last.sent.at(-1)), ['close']);
  FakeSocket.last.brings({ close: { code: 1000, reason: '', received: 0 } });
  assert.equal(saw('close')[0].by, 'client');
  assert.equal((await open({ signal: AbortSignal.abort() })).socket.state, 'closed');
});

test('a request can be given up; its reply is nobody\'s then', async () => {
  const { socket, saw } = await open();
  FakeSocket.last.grants();
  const controller = new AbortController();
  const reply = socket.request('what?', { signal: controller.signal });
  controller.abort(new Error('never mind'));
  await assert.rejects(reply, /never mind/);
  FakeSocket.last.brings({ reply: 1, text: 'late' });
  assert.equal(saw('message').length, 0);
  await assert.rejects(socket.request('b', { signal: controller.signal }), /never mind/);
});

test('a WebSocket that opens and passes nothing is given up for the next transport', async () => {
  const { socket, http, saw } = await open();
  FakeSocket.last.opens();
  await tick(5000);
  assert.deepEqual([socket.transport, http.requests.length], ['sse', 1]);
  assert.match(saw('transportfailure')[0].reason, /in time/);
  assert.equal(socket.transports[0].state, 'failed');
});

test('an event stream of which nothing comes is given up for polls, whether its head came or not', async () => {
  for (const head of [true, false]) {
    clock();
    const { socket, http } = await open({ transports: ['sse', 'long-polling'] });
    if (head) http.requests[0].answer(200, { 'Content-Type': 'text/event-stream' }, new ReadableStream({}));
    await turn();
    await tick(5000);
    assert.equal(socket.transport, 'long-polling');
    assert.equal(http.requests[1].headers['Nosphere-Transport'], 'long-polling');
  }
});

test('a WebSocket that dies again and again is left alone for a while, and not flapped to', async () => {
  mock.method(Math, 'random', () => 1);
  const { socket, http } = await open({ climbAfter: 1000 });
  FakeSocket.last.grants({ heartbeat: 0 });
  await diesTwice();
  assert.equal(http.requests.length, 0);
  FakeSocket.last.fails();
  await tick(500);
  assert.equal(socket.transport, 'sse');
  assert.equal(http.requests[0].headers['Nosphere-Attachment'], 4, 'the session goes on there');
  const before = FakeSocket.all.length;
  const body = new TransformStream();
  const writer = body.writable.getWriter();
  http.requests[0].answer(200, { 'Content-Type': 'text/event-stream' }, body.readable);
  await writer.write(new TextEncoder().encode('data: {"resumed":{"received":0}}\n\n'));
  await until(() => socket.state === 'open');
  assert.equal(socket.state, 'open');
  await tick(20_000);
  assert.equal(FakeSocket.all.length, before, 'no climbing to it for now');
});

test('polls go on under their own attachment while the next link asks for the session: they do not fence it', async () => {
  const { socket, http } = await open({ transports: ['websocket', 'long-polling'], climbAfter: 0 });
  FakeSocket.last.fails();
  await turn();
  const { requests } = http;
  const polls = () => requests.filter(({ method }) => method === 'GET');
  polls()[0].answer(200, {}, JSON.stringify({ opened: GRANT }));
  await until(() => polls().length === 2);
  const climbed = socket.climb();
  await turn();
  FakeSocket.last.opens();
  FakeSocket.last.brings({ pong: 0 });
  assert.equal(FakeSocket.last.sent.at(-1).resume.attachment, 2);
  polls()[1].answer(200, { 'Nosphere-Received': '0' }, JSON.stringify({ ping: 0 }));
  await until(() => polls().length === 3);
  assert.deepEqual(polls().map(({ headers }) => headers['Nosphere-Attachment']), [1, 1, 1]);
  FakeSocket.last.brings({ resumed: { received: 0 } });
  assert.equal(await climbed, true);
});

test('a link that lasted is no strike', async () => {
  mock.method(Math, 'random', () => 1);
  const { http } = await open({ climbAfter: 0 });
  FakeSocket.last.grants({ heartbeat: 0 });
  for (let death = 0; death < 5; death += 1) {
    await tick(121_000);
    FakeSocket.last.fails();
    await tick(250);
    FakeSocket.last.resumes();
  }
  assert.equal(http.requests.length, 0);
});

test('a timer that fires much too late asks first, and only then gives the link up', async () => {
  const { socket, saw } = await open();
  FakeSocket.last.grants();
  const link = FakeSocket.last;
  const sleep = () => { // the machine slept: the clock went on, timers did not
    const woke = Date.now() + 600_000;
    mock.method(Date, 'now', () => woke);
    mock.timers.tick(45_000);
  };
  sleep();
  assert.deepEqual(link.sent.at(-1), { ping: 0 });
  assert.equal(socket.state, 'open');
  link.brings({ pong: 0 });
  assert.equal(saw('clienttimeout').length, 0);
});

test('a link that does not answer that question is given up', async () => {
  const { socket, saw } = await open();
  FakeSocket.last.grants();
  const start = Date.now();
  let slept = 600_000;
  mock.method(Date, 'now', () => start + slept);
  mock.timers.tick(45_000);
  assert.equal(socket.state, 'open');
  slept += 70_000; // timers of a tab in the background are late as well
  await tick(5_000);
  assert.equal(saw('clienttimeout').length, 1);
  assert.equal(socket.state, 'suspended');
});

test('who iterates sets the pace: what was not taken is not acknowledged, and the reply to a question passes it', async () => {
  const { socket } = await open({ window: { messages: 4 } });
  const link = FakeSocket.last;
  link.grants();
  const got = [];
  const iterator = socket[Symbol.asyncIterator]();
  const first = iterator.next();
  for (const text of ['a', 'b', 'c']) link.brings({ text });
  got.push((await first).value);
  assert.ok(!link.sent.some((frame) => 'ack' in frame && frame.ack > 1), 'b and c wait');
  const reply = socket.request('what?');
  link.brings({ reply: 1, text: 'that' });
  assert.equal(await reply, 'that');
  got.push((await iterator.next()).value);
  assert.deepEqual(link.sent.at(-1), { ack: 2 });
  link.brings({ close: { code: 3000, reason: '', received: 1 } });
  assert.equal(socket.state, 'closed');
  assert.deepEqual(link.sent.at(-1), { close: { code: 3000, reason: '', received: 4 } }, 'what is left will be taken [CLS-2]');
  got.push((await iterator.next()).value);
  assert.deepEqual(got, ['a', 'b', 'c']);
  assert.equal((await iterator.next()).done, true);
});

test('options that cannot be are refused when the socket is made', () => {
  assert.throws(() => internals.connect('not an address'), TypeError);
  assert.throws(() => internals.connect('http://a.test/', { transports: ['pigeon'] }), TypeError);
  assert.throws(() => internals.connect('http://a.test/', { transports: ['websocket'], WebSocket: null }), TypeError);
  assert.throws(() => internals.connect('http://a.test/', { transports: [] }), TypeError);
});

test('a session that the server ends is told with the session that it was, and requests that were under way fail', async () => {
  const { socket, saw } = await open();
  FakeSocket.last.grants();
  const reply = socket.request('what?');
  FakeSocket.last.brings({ close: { code: 1001, reason: 'restart', received: 0 } });
  await assert.rejects(reply, { name: 'ClosedError' });
  assert.deepEqual(saw('lost').map(({ session, code }) => [session, code]), [[GRANT.session, 1001]]);
  assert.equal(socket.state, 'connecting');
});

test('what the next session may carry less of is moved there all the same, and the socket goes on', async () => {
  const { socket, saw } = await open({ transports: ['websocket'], queue: { bytes: 64 << 20 } });
  FakeSocket.last.grants({ window: { messages: 256, bytes: 17 << 20 } });
  FakeSocket.last.fails();
  const [large, small] = [socket.send('x'.repeat(2 << 20)), socket.send('small')];
  await tick(250);
  FakeSocket.last.opens();
  FakeSocket.last.brings({ reset: 'unknown session' });
  assert.deepEqual([saw('lost').length, socket.waiting, large.state, small.state], [1, 2, 'waiting', 'waiting']);
  await tick(500);
  FakeSocket.last.grants({ window: { messages: 256, bytes: 17 << 20 } });
  assert.deepEqual(FakeSocket.last.sent.slice(2).map(({ text }) => text.length), [2 << 20, 5]);
});

test('a WebSocket that fails by an error event, which a library throws where nobody hears it, is tried again', async () => {
  class Throwing extends FakeSocket {
    refused() {
      if (!this.onerror) throw new Error('Unhandled error event');
      this.onerror({ message: 'ECONNREFUSED' });
      this.fails();
    }
  }
  const { saw } = await open({ transports: ['websocket'], WebSocket: Throwing });
  FakeSocket.last.refused();
  assert.equal(saw('reconnect').length, 1);
});

test('an attempt that throws waits for its delay like any other, and is reported once', async () => {
  const refuses = () => { throw new Error('refused by the page\'s policy'); };
  for (const options of [{ WebSocket: class { constructor() { refuses(); } } }, { token: refuses }]) {
    clock();
    mock.method(Math, 'random', () => 1);
    const { saw } = await open({ transports: ['websocket'], connectTimeout: 200, retry: { min: 3000, max: 3000 }, ...options });
    for (let time = 0; time < 2900; time += 100) await tick(100);
    assert.deepEqual([saw('transportfailure').length, saw('reconnect').length], [1, 1]);
    await tick(200);
    assert.equal(saw('transportfailure').length, 2);
  }
});

test('a kind that is none is refused, and never becomes a frame of another sort', async () => {
  const { socket } = await open();
  FakeSocket.last.grants();
  for (const as of ['Text', 'close', 'request', '']) assert.throws(() => socket.send('a', { as }), TypeError, as);
  await assert.rejects(socket.request('a', { as: 'ack' }), TypeError);
  assert.equal(socket.waiting, 0);
  assert.deepEqual(FakeSocket.last.sent.filter((frame) => !('open' in frame || 'ack' in frame)), []);
});

test('a request that may wait for ever does not fail at once', async () => {
  const { socket } = await open();
  FakeSocket.last.grants();
  const reply = socket.request('what?', { timeout: Infinity });
  await tick(1000);
  FakeSocket.last.brings({ reply: 1, text: 'that' });
  assert.equal(await reply, 'that');
});

test('a server that waits for months has its POSTs waited for', async () => {
  const { socket, http } = await open({ transports: ['long-polling'] });
  http.requests[0].answer(200, {}, JSON.stringify({ opened: { ...GRANT, timeout: 2 ** 40 } }));
  await until(() => socket.state === 'open');
  const timers = mock.method(globalThis, 'setTimeout').mock;
  socket.send('a');
  await turn();
  assert.equal(http.requests.filter(({ method }) => method === 'POST').length, 1);
  assert.ok(timers.calls.length && timers.calls.every(({ arguments: [, delay] }) => delay < 2 ** 31), 'a timer beyond fires at once');
});

test('a request that is given up for no reason fails with that', async () => {
  for (const reason of [null, 0, '']) {
    const { socket } = await open();
    const controller = new AbortController();
    const reply = socket.request('what?', { signal: controller.signal });
    controller.abort(reason);
    assert.deepEqual(await reply.then(() => 'resolved', (error) => [error]), [reason]);
  }
});

test('a lone surrogate becomes U+FFFD wherever it stands, and what only looks like one stays', async () => {
  for (const format of [internals.json, internals.messagepack]) {
    const read = (data, as) => format.decode(internals.outgoing(format, data, as).unit).value;
    assert.deepEqual(read({ a: '\ud800', '\udfff': ['x\ud83d\ud83d\ude00'] }), { a: '\ufffd', '\ufffd': ['x\ufffd😀'] });
    assert.equal(read('\udc00', 'json'), '\ufffd');
    assert.equal(read('\udc00'), '\ufffd');
    const same = ['\\ud800', '\\\\udfff', '"\\', '\\u00e9é', '😀'];
    assert.deepEqual(read(same), same);
  }
});

test('an address is of HTTP or WebSocket, and either serves every transport', async () => {
  for (const address of ['ftp://chat.test/', 'mailto:a@b', 'file:///chat', 'blob:http://chat.test/a']) {
    assert.throws(() => internals.connect(address), TypeError, address);
  }
  for (const [address, socketUrl, url] of [
    ['ws://chat.test/a', 'ws://chat.test/a', 'http://chat.test/a'], ['wss://chat.test/ws', 'wss://chat.test/ws', 'https://chat.test/ws'],
  ]) {
    for (const where of [address, () => address]) {
      const { socket, http } = await open({}, where);
      assert.equal(FakeSocket.last.url, socketUrl);
      FakeSocket.last.fails();
      await turn();
      assert.deepEqual([http.requests[0].url, socket.url], [url, url]);
    }
  }
});

test('a token that no header can have is refused, without being told to anyone', async () => {
  for (const secret of ['sec\nret', 'sécret']) {
    const { socket, events } = await open({ transports: ['websocket', 'long-polling'], token: () => secret });
    await turn();
    assert.equal(FakeSocket.all.length, 0);
    assert.match(events.find(({ type }) => type === 'transportfailure').reason, /token/);
    const said = JSON.stringify([events.map(({ reason }) => reason), socket.transports]);
    assert.ok(!said.includes(secret.slice(-3)), said);
  }
});
