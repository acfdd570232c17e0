// Climbing to a better transport, where something on the way is slow or fails.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { FakeSocket, GRANT, clock, open, storage, tick, turn, until } from './support.mjs';

beforeEach(clock);

const streams = ({ requests }) => requests.filter(({ headers }) => headers['Nosphere-Transport'] === 'sse').length;

/** A session on polls, since everything better failed. */
async function polling(options) {
  const made = await open(options);
  FakeSocket.last.fails();
  await turn();
  made.http.requests[0].fail();
  await turn();
  made.http.requests[1].answer(200, {}, JSON.stringify({ opened: GRANT }));
  await until(() => made.socket.state === 'open');
  return made;
}

test('a WebSocket that has shown that it works is waited for when the session goes there, and nothing else is tried meanwhile', async () => {
  const { socket, http } = await polling();
  const climbed = socket.climb();
  await turn();
  FakeSocket.last.opens();
  await tick(4900);
  FakeSocket.last.brings({ pong: 0 });
  await tick(200);
  assert.deepEqual([socket.transport, streams(http)], ['websocket', 1]);
  FakeSocket.last.brings({ resumed: { received: 0 } });
  assert.deepEqual([await climbed, socket.transport, FakeSocket.last.closed], [true, 'websocket', undefined]);
});

test('when the session does not get to the better transport after all, it goes back to the one that worked', async () => {
  const { socket, http } = await open();
  FakeSocket.last.fails();
  await turn();
  http.requests[0].answer(200, { 'Content-Type': 'text/event-stream' }, new ReadableStream({ start(controller) {
    controller.enqueue(new TextEncoder().encode(`data: ${JSON.stringify({ opened: GRANT })}\n\n`));
  } }));
  await until(() => socket.state === 'open');
  const climbed = socket.climb();
  await turn();
  FakeSocket.last.opens();
  FakeSocket.last.brings({ pong: 0 });
  FakeSocket.last.fails();
  await turn();
  assert.deepEqual([await climbed, http.requests.at(-1).headers['Nosphere-Transport']], [false, 'sse']);
});

test('a token that comes too late for one transport opens no second connection beside the next one', async () => {
  const late = [];
  let slow = false;
  const { socket, http } = await polling({ token: () => (slow ? new Promise((resolve) => late.push(resolve)) : 'me') });
  slow = true;
  const before = FakeSocket.all.length;
  void socket.climb();
  await tick(5000);
  assert.equal(late.length, 2);
  for (const give of late) give('me');
  await turn();
  assert.deepEqual([FakeSocket.all.length - before, streams(http)], [0, 2]);
});

test('a socket that was closed climbs no more, by itself or when it is asked to', async () => {
  for (const by of ['client', 'server']) {
    clock();
    const { socket, http } = await polling();
    await tick(5000); // `climbAfter`
    const climbing = FakeSocket.last;
    if (by === 'client') socket.close();
    const over = { 'Nosphere-Received': '0' };
    http.requests.find(({ method, headers }) => method === 'GET' && headers['Nosphere-Session']).answer(200, over, '{"close":{"code":1000,"reason":"","received":0}}');
    await until(() => socket.state === 'closed');
    await turn();
    assert.deepEqual([socket.state, climbing.closed], ['closed', 1000]);
    const before = FakeSocket.all.length;
    assert.equal(await socket.climb(), false);
    for (let time = 0; time < 600; time += 1) await tick(1000);
    assert.equal(FakeSocket.all.length, before, by);
  }
});

test('a transport that was tried only by climbing is said to have failed, and why, once', async (t) => {
  for (const [reason, fails] of [
    ['closed with 1006', () => FakeSocket.last.fails()],
    ['no sign in time', () => tick(5000)],
    ['no token', undefined],
    ['', undefined],
  ]) {
    clock();
    let token = async () => 'me';
    storage(t, 'localStorage', { 'nosphere http://chat.test/the-chat': JSON.stringify(['long-polling', Date.now()]) }); // where it begins
    const { socket, http, saw } = await open({ remember: true, transports: ['websocket', 'long-polling'], token: () => token() });
    assert.equal(socket.transports[0].state, 'untried');
    http.requests[0].answer(200, {}, JSON.stringify({ opened: GRANT }));
    await until(() => socket.state === 'open');
    if (!fails) token = async () => { throw reason; };
    const climbed = socket.climb();
    await turn();
    await fails?.();
    assert.equal(await climbed, false);
    assert.deepEqual(socket.transports[0], { transport: 'websocket', browser: true, state: 'failed', reason });
    assert.equal(socket.transports[1].state, 'works');
    assert.deepEqual(saw('transportfailure').map((event) => [event.transport, event.reason]), [['websocket', reason]]);
  }
});
