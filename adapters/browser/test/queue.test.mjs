// What waits to be sent: what a server takes of it, in which order, and what becomes of the rest.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { FakeSocket, clock, open, tick, turn } from './support.mjs';

beforeEach(clock);

const SMALL = { window: { messages: 10, bytes: 1000 } };
const texts = () => FakeSocket.last.sent.filter((frame) => 'text' in frame).map(({ text }) => text);
const errors = (saw) => saw('error').map(({ error, message }) => [error.name, message]);

test('a message that is longer than the server turns out to take is handed back, and holds up nothing', async () => {
  const { socket, saw, events } = await open({ transports: ['websocket'] });
  const [a, long, b] = ['a', 'x'.repeat(5000), 'b'].map((text) => socket.send(text));
  socket.onopen = () => socket.send('c'); // while it could still be in the queue
  FakeSocket.last.grants(SMALL);
  assert.deepEqual(texts(), ['a', 'b', 'c']);
  assert.deepEqual([a.state, long.state, b.state, socket.waiting], ['sent', 'unsent', 'sent', 3]);
  assert.deepEqual(errors(saw), [['RangeError', long]]);
  assert.deepEqual(events.map(({ type }) => type), ['open', 'error']);
  FakeSocket.last.brings({ ack: 3 });
  assert.equal(b.state, 'taken');
  socket.send('y'.repeat(900));
  assert.equal(texts().length, 4, 'it takes no room in the window either');
  assert.throws(() => socket.send('x'.repeat(5000)), RangeError);
});

test('a request that is longer than the server turns out to take fails at once, and that is all that is heard of it', async () => {
  const { socket, saw } = await open({ transports: ['websocket'] });
  const failed = socket.request('x'.repeat(5000)).catch(({ name }) => name);
  FakeSocket.last.grants(SMALL);
  assert.equal(await Promise.race([failed, turn()]), 'RangeError');
  assert.deepEqual([saw('error'), socket.waiting, texts()], [[], 0, []]);
});

test('what a new session takes no more is handed back when it begins', async () => {
  const { socket, saw } = await open({ transports: ['websocket'] });
  FakeSocket.last.grants();
  FakeSocket.last.fails();
  const [long, small] = [socket.send('x'.repeat(5000)), socket.send('small')];
  await tick(250);
  FakeSocket.last.opens();
  FakeSocket.last.brings({ reset: 'unknown session' });
  assert.deepEqual([long.state, saw('error')], ['waiting', []], 'which nobody knows before');
  await tick(500);
  FakeSocket.last.grants(SMALL);
  assert.deepEqual([texts(), small.state, errors(saw)], [['small'], 'sent', [['RangeError', long]]]);
});

test('a message beyond the default of a window is accepted before the window is known, and sent where it fits', async () => {
  const { socket } = await open({ transports: ['websocket'] });
  socket.send('x'.repeat(2 << 20));
  FakeSocket.last.grants({ window: { messages: 10, bytes: 4 << 20 } });
  assert.deepEqual(texts().map(({ length }) => length), [2 << 20]);
});

test('a message that the queue could never hold is refused as too long, and not as one to be sent again later', async () => {
  const { socket } = await open({ queue: { bytes: 1000 } });
  assert.throws(() => socket.send('x'.repeat(1000)), RangeError);
  socket.send('x'.repeat(900));
  assert.throws(() => socket.send('x'.repeat(900)), { name: 'QueueFullError' });
});

test('the room of the queue is what waits: acknowledged messages, and those of an older session, take none', async () => {
  const { socket } = await open({ transports: ['websocket'], queue: { bytes: 100 } });
  FakeSocket.last.grants();
  for (let round = 1; round < 5; round += 1) {
    socket.send('x'.repeat(80));
    assert.throws(() => socket.send('x'.repeat(80)), { name: 'QueueFullError' });
    FakeSocket.last.brings({ ack: round });
  }
  FakeSocket.last.fails();
  socket.send('y'.repeat(60));
  await tick(250);
  FakeSocket.last.opens();
  FakeSocket.last.brings({ reset: 'unknown session' });
  assert.throws(() => socket.send('x'.repeat(60)), { name: 'QueueFullError' });
  socket.send('z');
  await tick(500);
  FakeSocket.last.grants();
  FakeSocket.last.brings({ ack: 2 });
  socket.send('x'.repeat(80));
  assert.equal(texts().length, 3);
});

test('sending takes no longer for what waits before: nothing of that is looked at', async () => {
  const { socket } = await open({ transports: ['websocket'], queue: { messages: 1e6, bytes: 1e9 } });
  let looks = 0;
  const watch = (message) => {
    for (const name of ['bytes', 'end']) {
      let value = message[name];
      Object.defineProperty(message, name, { get() { looks += 1; return value; }, set(next) { value = next; } });
    }
  };
  const fill = (count) => { for (let index = 0; index < count; index += 1) watch(socket.send('a')); };
  fill(1000);
  FakeSocket.last.grants(); // which takes 256 of them
  looks = 0;
  fill(100);
  assert.ok(looks < 1000, `${looks} looks for 100 messages`);
});
