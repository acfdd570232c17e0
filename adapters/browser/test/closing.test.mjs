// What is over is over: who closed, and what may still happen then.

import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { internals } from './internals.mjs';
import { FakeSocket, GRANT, clock, open, settled, tick, turn, until } from './support.mjs';

beforeEach(clock);

const OTHER = { session: '34f98d6b-c271-4169-8f9c-217343b62aa7' };
const closes = (saw) => saw('close').map(({ by, unsent }) => [by, unsent.map(({ data }) => data)]);

test('who closes while there is no connection stays closed, whatever the server says of the session then', async () => {
  const answers = [{ reset: 'unknown session' }, { close: { code: 1001, reason: 'restart', received: 0 } }];
  for (const answer of answers) {
    for (const ask of ['close', 'abort']) {
      clock();
      const controller = new AbortController();
      const { socket, saw } = await open({ transports: ['websocket'], signal: controller.signal });
      FakeSocket.last.grants();
      FakeSocket.last.fails();
      socket.send('queued');
      if (ask === 'abort') controller.abort();
      else socket.close();
      assert.equal(socket.state, 'closing');
      await tick(250);
      FakeSocket.last.opens();
      FakeSocket.last.brings(answer);
      assert.deepEqual([socket.state, closes(saw), saw('lost')], ['closed', [['client', ['queued']]], []]);
      await tick(60_000);
      assert.equal(FakeSocket.all.length, 2);
    }
  }
});

test('who closes while there is no connection stays closed when a request is refused, too', async () => {
  const { socket, http, saw } = await open({ transports: ['long-polling'] });
  http.requests[0].answer(200, {}, JSON.stringify({ opened: GRANT }));
  await until(() => socket.state === 'open');
  for (let poll = 1; poll < 3; poll += 1) { // which is repeated once
    http.requests[poll].fail();
    await turn();
  }
  socket.close();
  assert.equal(socket.state, 'closing');
  await tick(250);
  http.requests.at(-1).answer(410, { 'Nosphere-Error': 'unknown-session' });
  await until(() => socket.state !== 'closing');
  assert.deepEqual([socket.state, closes(saw), saw('lost')], ['closed', [['client', []]], []]);
});

test('a session that the server ends is followed by a new one, as long as nobody closed', async () => {
  for (const answer of [{ reset: 'unknown session' }, { close: { code: 1001, reason: 'restart', received: 0 } }]) {
    clock();
    const { socket, saw } = await open({ transports: ['websocket'] });
    FakeSocket.last.grants();
    FakeSocket.last.fails();
    socket.send('queued');
    await tick(250);
    FakeSocket.last.opens();
    FakeSocket.last.brings(answer);
    assert.deepEqual([socket.state, saw('lost').length], ['connecting', 1]);
    await tick(500);
    FakeSocket.last.grants(OTHER);
    assert.deepEqual(FakeSocket.last.sent.at(-1), { text: 'queued' });
  }
});

test('the code of the server\'s close decides whether a new session follows, and that of a connection\'s end does not', async () => {
  const outcome = async (end) => {
    clock();
    const { socket, saw } = await open({ transports: ['websocket'] });
    FakeSocket.last.grants();
    end();
    const { state } = socket;
    socket.close();
    return [state, saw('lost').length, saw('close').length];
  };
  const bring = (code) => () => FakeSocket.last.brings({ close: { code, reason: '', received: 0 } });
  for (const code of [1001, 4400, 4409, 4410, 4411, 4412, 4422, 4429]) assert.deepEqual((await outcome(bring(code))).slice(0, 2), ['connecting', 1], `${code}`);
  for (const code of [1000, 1009, 1011, 3000, 3999, 4403, 4408, 4413, 4503]) assert.deepEqual(await outcome(bring(code)), ['closed', 0, 1], `${code}`);
  for (const code of [1000, 1006, 1009, 1011, 4408, 4409, 4413, 4429, 4503]) {
    assert.deepEqual((await outcome(() => FakeSocket.last.fails(code))).slice(0, 2), ['suspended', 0], `${code}`);
  }
});

test('no connection is made for a socket that was closed while its token or address was waited for', async () => {
  for (const late of ['token', 'address']) {
    clock();
    let give;
    const asked = () => new Promise((resolve) => { give = resolve; });
    const { socket, saw } = late === 'token' ? await open({ token: asked }) : await open({}, asked);
    socket.close();
    give('http://chat.test/late');
    await turn();
    await tick(60_000);
    assert.deepEqual([FakeSocket.all.length, saw('close').length, socket.state], [0, 1, 'closed'], late);
  }
});

test('no connection is made for a signal that was aborted before', async () => {
  const { saw, http } = await open({ signal: AbortSignal.abort() });
  await tick(60_000);
  assert.deepEqual([FakeSocket.all.length, http.requests.length, saw('close').length], [0, 0, 1]);
});

test('who closes in a handler is not connected after that', async () => {
  for (const [type, ...transports] of [
    ['statechange', 'websocket', 'long-polling'], ['transportfailure', 'websocket', 'long-polling'], ['transportfailure', 'websocket'],
    ['reconnect', 'websocket'],
  ]) {
    clock();
    const { socket, http, saw } = await open({ transports });
    socket[`on${type}`] = () => socket.close();
    FakeSocket.last.fails();
    await turn();
    await tick(60_000);
    assert.deepEqual([socket.state, saw('close').length, saw('open').length, FakeSocket.all.length, http.requests.length],
      ['closed', 1, 0, 1, 0], `${type}, ${transports}`);
  }
  const socket = internals.connect('http://chat.test/', { transports: ['websocket'], WebSocket: FakeSocket, remember: false });
  socket.onstatechange = () => socket.close();
  await turn();
  assert.deepEqual([socket.state, FakeSocket.all.length], ['closed', 1]);
});

test('a question that waited behind an iterator is not answered into the next session, where it is another one\'s [REQ-1]', async () => {
  const { socket } = await open({ transports: ['websocket'] });
  const heard = [];
  socket.onrequest = (data) => {
    heard.push(data);
    return `answer to ${data}`;
  };
  FakeSocket.last.grants();
  const iterator = socket[Symbol.asyncIterator]();
  const first = iterator.next();
  FakeSocket.last.brings({ text: 'one' });
  FakeSocket.last.brings({ text: 'two' });
  FakeSocket.last.brings({ request: 7, text: 'old' });
  await first;
  FakeSocket.last.brings({ close: { code: 1001, reason: '', received: 0 } });
  await tick(250);
  FakeSocket.last.grants(OTHER);
  assert.equal((await iterator.next()).value, 'two');
  void iterator.next();
  await turn();
  assert.deepEqual(heard, ['old']);
  assert.ok(!FakeSocket.last.sent.some((frame) => 'reply' in frame));
  FakeSocket.last.brings({ request: 7, text: 'new' });
  await turn();
  assert.deepEqual(FakeSocket.last.sent.find((frame) => 'reply' in frame), { reply: 7, text: 'answer to new' });
});

test('a reason that is too long for its frame is refused: the server would take nothing of what goes with it', async () => {
  const { socket } = await open({ transports: ['websocket'] });
  FakeSocket.last.grants();
  for (const reason of ['x'.repeat(124), 'ü'.repeat(62)]) assert.throws(() => socket.close(1000, reason), RangeError);
  assert.equal(socket.state, 'open');
  socket.close(1000, 'x'.repeat(123));
  assert.equal(FakeSocket.last.sent.at(-1).close.reason.length, 123);
});

test('a socket that is closed says nothing to other tabs, and does not throw', async () => {
  const { socket } = await open({ tabs: true });
  socket.close();
  assert.equal(socket.state, 'closed');
  socket.local('anyone?');
});

test('nothing keeps a program running when the socket is closed, whoever closed', async () => {
  for (const [by, transport, status = 204] of [
    ['server', 'websocket'], ['client', 'websocket'], ['server', 'long-polling'], ['client', 'long-polling'], ['server', 'long-polling', 410],
  ]) {
    clock();
    const timers = new Set();
    const [set, clear] = [globalThis.setTimeout, globalThis.clearTimeout];
    mock.method(globalThis, 'setTimeout', (work, ...rest) => {
      const timer = set(() => {
        timers.delete(timer);
        work();
      }, ...rest);
      timers.add(timer);
      return timer;
    });
    mock.method(globalThis, 'clearTimeout', (timer) => {
      timers.delete(timer);
      clear(timer);
    });
    const { socket, http } = await open({ transports: [transport] });
    const over = { close: { code: 1000, reason: '', received: 1 } };
    const answered = (request) => request.answer(204, { 'Nosphere-Received': '1' });
    const refused = (request) => request.answer(status, { 'Nosphere-Error': 'closed' });
    if (transport === 'websocket') FakeSocket.last.grants();
    else http.requests[0].answer(200, {}, JSON.stringify({ opened: GRANT }));
    await settled();
    const reply = socket.request('what?').catch(() => {});
    if (transport === 'long-polling') answered(http.requests.at(-1));
    await settled();
    await tick(6000);
    if (by === 'client') socket.close();
    if (transport === 'websocket') FakeSocket.last.brings(over);
    else if (by === 'server') http.requests.find(({ method }, index) => index && method === 'GET').answer(200, {}, JSON.stringify(over));
    await settled();
    if (transport === 'long-polling') (status === 204 ? answered : refused)(http.requests.at(-1));
    await reply;
    await settled();
    assert.deepEqual([socket.state, timers.size], ['closed', 0], `${by}, ${transport}, ${status}`);
  }
});
