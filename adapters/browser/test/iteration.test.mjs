// Who iterates gets every message once, however often a loop is left and another one begun.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { FakeSocket, clock, open, tick, turn } from './support.mjs';

beforeEach(clock);

const SECOND = '34f98d6b-c271-4169-8f9c-217343b62aa7'; // another session
const loses = () => FakeSocket.last.brings({ close: { code: 1001, reason: 'restart', received: 0 } });
const bring = (...texts) => texts.forEach((text) => FakeSocket.last.brings({ text }));
/** The last count that the server was told. */
const told = () => FakeSocket.last.sent.flatMap((frame) => frame.ack ?? frame.pong ?? frame.close?.received ?? []).at(-1);
const soon = (promise) => Promise.race([promise, turn().then(turn).then(() => assert.fail('nothing came'))]);

async function opened(options) {
  const made = await open({ transports: ['websocket'], ...options });
  FakeSocket.last.grants();
  return made;
}

test('what comes while no loop runs waits for the next one, unacknowledged', async () => {
  const { socket } = await opened({ window: { messages: 4 } });
  const got = [];
  const loop = async (count) => {
    for await (const data of socket) {
      got.push(data);
      if (got.length === count) break;
    }
  };
  const first = loop(1);
  bring('m1', 'm2', 'm3');
  await soon(first);
  bring('m4');
  FakeSocket.last.brings({ ping: 0 });
  assert.equal(told(), 1);
  await soon(loop(3));
  assert.deepEqual(got, ['m1', 'm2', 'm3']);
  assert.equal(told(), 3);
  const rest = loop(5);
  bring('m5');
  await soon(rest);
  assert.deepEqual(got, ['m1', 'm2', 'm3', 'm4', 'm5']);
});

test('what comes before the first loop waits, too, where the iterator was made before', async () => {
  const { socket } = await open({ transports: ['websocket'] });
  const messages = socket[Symbol.asyncIterator]();
  FakeSocket.last.grants();
  bring('m1', 'm2');
  await turn();
  const got = [];
  await soon((async () => { for await (const data of messages) if (got.push(data) === 2) break; })());
  assert.deepEqual(got, ['m1', 'm2']);
});

test('without a loop ever, nothing waits for one', async () => {
  await opened({ window: { messages: 4 } });
  bring('m1', 'm2', 'm3');
  assert.equal(told(), 2);
});

test('when a loop is left, what waits goes to `onmessage`, if there is one or as soon as there is', async () => {
  for (const when of ['before', 'after']) {
    const { socket } = await opened();
    const heard = [];
    const hear = () => { socket.onmessage = ({ data }) => heard.push(data); };
    if (when === 'before') hear();
    const got = (async () => { for await (const data of socket) return data; })();
    bring('m1', 'm2', 'm3');
    assert.equal(await soon(got), 'm1');
    if (when === 'after') hear();
    await turn();
    assert.deepEqual(heard, when === 'before' ? ['m1', 'm2', 'm3'] : ['m2', 'm3']);
    bring('m4');
    assert.equal(heard.at(-1), 'm4');
  }
});

test('an iterator that is ended while it waits ends at once, takes nothing more, and leaves other iterators what they wait for', async () => {
  const { socket } = await opened();
  const [first, second] = [socket[Symbol.asyncIterator](), socket[Symbol.asyncIterator]()];
  const waiting = [first.next(), second.next(), first.next()];
  assert.deepEqual(await soon(first.return()), { value: undefined, done: true });
  assert.deepEqual([await soon(waiting[0]), await soon(waiting[2])], Array(2).fill({ value: undefined, done: true }));
  bring('m1', 'm2');
  assert.deepEqual(await soon(waiting[1]), { value: 'm1', done: false });
  assert.deepEqual(await soon(first.next()), { value: undefined, done: true });
  await soon(first.return());
  assert.deepEqual(await soon(second.next()), { value: 'm2', done: false });
});

test('a loop over a socket that was closed between two loops gets what was left, and ends', async () => {
  const { socket } = await opened();
  const first = (async () => { for await (const data of socket) return data; })();
  bring('m1', 'm2', 'm3');
  await soon(first);
  FakeSocket.last.brings({ close: { code: 1000, reason: '', received: 0 } });
  assert.equal(socket.state, 'closed');
  assert.equal(told(), 3, 'what is left will be taken [CLS-2]');
  const got = [];
  await soon((async () => { for await (const data of socket) got.push(data); })());
  assert.deepEqual(got, ['m2', 'm3']);
  await soon((async () => { for await (const data of socket) assert.fail(data); })());
});

test('questions, replies and what cannot be read wait behind no loop that was left', async () => {
  const { socket, saw } = await opened();
  const first = (async () => { for await (const data of socket) return data; })();
  bring('m1');
  await soon(first);
  socket.onrequest = (data) => `answer to ${data}`;
  FakeSocket.last.brings({ request: 1, text: 'a' });
  const reply = socket.request('b');
  FakeSocket.last.brings({ reply: 1, text: 'c' });
  assert.equal(await soon(reply), 'c');
  FakeSocket.last.brings({ binary: 'no base64' });
  await turn();
  assert.equal(saw('error').length, 1);
  assert.deepEqual(FakeSocket.last.sent.at(-1), { reply: 1, text: 'answer to a' });
  await tick(0);
});

test('who listens may take the next message, or end the loop, without changing what the loop gets', async () => {
  const { socket } = await opened();
  const messages = socket[Symbol.asyncIterator]();
  bring('m1', 'm2', 'm3');
  let second;
  socket.addEventListener('message', () => { second = messages.next(); }, { once: true });
  const first = messages.next();
  assert.deepEqual([(await soon(first)).value, (await soon(second)).value], ['m1', 'm2']);
  socket.addEventListener('message', () => void messages.return());
  assert.deepEqual(await soon(messages.next()), { value: 'm3', done: false });
});

test('what sessions that were lost left to a loop that takes nothing has a limit: before it takes some, no more than two are begun', async () => {
  const { socket, saw } = await opened({ window: { messages: 4 }, retry: { min: 10, max: 1000 } });
  const messages = socket[Symbol.asyncIterator]();
  const expected = [];
  const lives = async () => {
    for (const text of ['m1', 'm2', 'm3']) expected.push(`${text} of ${FakeSocket.all.length}`);
    bring(...expected.slice(-3));
    loses();
    for (let time = 0; time < 5000; time += 100) await tick(100);
  };
  await lives();
  assert.equal(FakeSocket.all.length, 2, 'a second one may begin');
  FakeSocket.last.grants();
  await lives();
  assert.deepEqual([FakeSocket.all.length, socket.state, saw('lost').length], [2, 'connecting', 2], 'but not a third');
  const waits = socket.send('waits');
  const got = [];
  for (let count = 0; count < 3; count += 1) {
    assert.equal(FakeSocket.all.length, 2);
    got.push((await soon(messages.next())).value);
    await turn();
  }
  assert.equal(FakeSocket.all.length, 3, 'as soon as what the first one left was taken');
  FakeSocket.last.grants();
  assert.equal(waits.state, 'sent');
  for (let count = 0; count < 3; count += 1) got.push((await soon(messages.next())).value);
  assert.deepEqual(got, expected);
});

test('a session that left nothing does not hold the next one back', async () => {
  const { socket } = await opened({ retry: { min: 10, max: 10 } });
  socket[Symbol.asyncIterator]();
  bring('left');
  loses();
  await tick(20);
  FakeSocket.last.grants({ session: SECOND });
  loses();
  await tick(20);
  assert.equal(FakeSocket.all.length, 3);
});

test('who takes what a lost session left does not hurry a server that keeps failing', async () => {
  const { socket } = await opened({ retry: { min: 1000, max: 1000 } });
  const messages = socket[Symbol.asyncIterator]();
  bring('m1');
  loses();
  await tick(1000);
  FakeSocket.last.grants({ session: SECOND });
  bring('m2');
  loses();
  await soon(messages.next());
  await turn();
  assert.equal(FakeSocket.all.length, 2, 'no session waited for that, but for its delay');
  await tick(1000);
  assert.equal(FakeSocket.all.length, 3);
});

test('who asks for the next message while it is given the last one of a lost session gets it, past a question that came between', async () => {
  const { socket } = await opened({ retry: { min: 10, max: 10 } });
  const messages = socket[Symbol.asyncIterator]();
  const got = [];
  let asked = 0;
  const want = () => {
    const place = asked;
    asked += 1;
    messages.next().then(({ value }) => { got[place] = value; });
  };
  socket.addEventListener('message', ({ data }) => data === 'old' && want());
  bring('old');
  loses();
  await tick(20);
  FakeSocket.last.grants({ session: SECOND });
  FakeSocket.last.brings({ request: 1, text: 'q' });
  bring('m1', 'm2');
  want();
  await turn();
  want();
  await turn();
  assert.deepEqual(got, ['old', 'm1', 'm2']);
});
