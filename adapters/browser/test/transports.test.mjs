// What the carriers over HTTP do on paths that are slow, broken, or about to end.

import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { internals } from './internals.mjs';
import { FakeSocket, GRANT, clock, diesTwice, fakeFetch, open, page, settled, tick, turn, until } from './support.mjs';

beforeEach(clock);

const posts = ({ requests }) => requests.filter(({ method }) => method === 'POST');
const gets = ({ requests }) => requests.filter(({ method }) => method === 'GET');
const TAKEN = { 'Nosphere-Received': '0' };

async function polling(grant, options) {
  const made = await open({ transports: ['long-polling'], ...options });
  made.http.requests[0].answer(200, {}, JSON.stringify({ opened: { ...GRANT, ...grant } }));
  await until(() => made.socket.state === 'open');
  return made;
}

async function streaming(grant, options) {
  const made = await open({ transports: ['sse'], ...options });
  let stream;
  made.http.requests[0].answer(200, { 'Content-Type': 'text/event-stream' }, new ReadableStream({ start(controller) { stream = controller; } }));
  const write = (frame) => {
    const bytes = new TextEncoder().encode(`data: ${JSON.stringify(frame)}\n\n`);
    for (let at = 0; at < bytes.length; at += 65_536) stream.enqueue(bytes.subarray(at, at + 65_536));
  };
  write({ opened: { ...GRANT, ...grant } });
  await until(() => made.socket.state === 'open');
  return { ...made, write };
}

/** Answers each POST after what a path of so many bytes a second needs for it; gives what arrived. */
async function uplink({ http, socket }, rate) {
  let [at, taken] = [0, 0];
  for (let step = 0; step < 500 && (socket.waiting || at < posts(http).length); step += 1) {
    const post = posts(http)[at];
    if (!post) {
      await tick(50);
      await until(() => posts(http)[at]);
      continue;
    }
    const texts = post.body.split('\n').filter((unit) => unit.startsWith('{"text"')).length;
    for (let left = 1000 * post.body.length / rate; left > 0 && !post.aborted; left -= 100) await tick(Math.min(left, 100));
    at += 1;
    if (post.aborted) continue;
    taken = Math.max(taken, post.headers['Nosphere-Base'] + texts);
    post.answer(204, { 'Nosphere-Received': String(taken) });
    await until(() => posts(http)[at] || !socket.waiting);
  }
  return taken;
}

test('a path that is slow but moves gets everything through, each byte once', async () => {
  const made = await polling({ timeout: 1000, heartbeat: 0 });
  for (let index = 0; index < 40; index += 1) made.socket.send('x'.repeat(20_000));
  assert.equal(await uplink(made, 80_000), 40);
  assert.ok(posts(made.http).every(({ aborted }) => !aborted));
});

test('a single message that needs longer than the server is silent gets through such a path, too', async () => {
  const made = await polling({ timeout: 1000, heartbeat: 0 });
  made.socket.send('x'.repeat(800_000));
  assert.equal(await uplink(made, 80_000), 1);
});

test('on a slow path no POST is so long that a pong would be late; on a quick one they grow to what a server takes [HB-2, PST-6]', async () => {
  for (const [rate, count, least, most] of [[40_000, 50, 20_000, 100_000], [100e6, 200, 900_000, 1 << 20]]) {
    clock();
    const made = await polling({ window: { messages: 1e6, bytes: 64 << 20 } }, { queue: { bytes: 64 << 20 } });
    for (let index = 0; index < count; index += 1) made.socket.send('x'.repeat(20_000));
    assert.equal(await uplink(made, rate), count);
    const longest = Math.max(...posts(made.http).map(({ body }) => body.length));
    assert.ok(longest >= least && longest <= most, `${longest} at ${rate} bytes a second`);
  }
});

test('a POST that hangs is given up and repeated, with the same messages in front [PST-4]', async () => {
  const { socket, http } = await polling({ timeout: 1000, heartbeat: 0, window: { messages: 1e6, bytes: 1 << 20 } });
  for (let index = 0; index < 1000; index += 1) socket.send('a');
  posts(http)[0].answer(204, { 'Nosphere-Received': '1' });
  await until(() => posts(http).length > 1);
  await tick(3000);
  await tick(50);
  await until(() => posts(http).length > 2);
  const [, first, second] = posts(http);
  assert.ok(first.aborted);
  const texts = ({ body }) => body.split('\n').filter((unit) => unit.startsWith('{"text"')).length;
  assert.equal(texts(first), 512);
  assert.deepEqual([texts(first), second.headers['Nosphere-Base']], [texts(second), first.headers['Nosphere-Base']]);
});

test('a fetch that throws at once is a request that failed: no rejection is left to nobody, and the next one is made', async () => {
  let broken = true;
  const http = { requests: [] };
  const throwing = await open({ transports: ['long-polling'], fetch: (url, init) => {
    if (init.method === 'POST' && broken) throw new Error('blocked by an extension');
    return new Promise((resolve) => http.requests.push({ ...init, answer: (status, head, text = null) => resolve(new Response(text, { status, headers: head })) }));
  } });
  http.requests[0].answer(200, {}, JSON.stringify({ opened: GRANT }));
  await until(() => throwing.socket.state === 'open');
  throwing.socket.send('a');
  await turn();
  broken = false;
  await tick(200);
  await until(() => posts(http).length > 0);
  assert.match(posts(http)[0].body, /"text":"a"/);
});

test('a message of any length that our own window allows comes by an event stream', async () => {
  const { saw, write } = await streaming({}, { window: { bytes: 8 << 20 } });
  write({ text: 'x'.repeat(5 << 20) });
  await until(() => saw('message').length || saw('reconnect').length);
  assert.deepEqual(saw('message').map(({ data }) => data.length), [5 << 20]);
});

test('an event stream that never ends its line is given up beyond that', async () => {
  const { saw, write } = await streaming({}, { window: { bytes: 100_000 } });
  write({ text: 'x'.repeat(300_000) });
  await until(() => saw('reconnect').length);
  assert.equal(saw('message').length, 0);
  assert.match(saw('reconnect')[0].reason, /too long/);
});

test('polls that are answered with nothing, at once and by whatever, are not repeated without a pause', async () => {
  const { http } = await polling();
  const count = () => gets(http).length;
  const began = Date.now();
  for (let round = 0; round < 300; round += 1) {
    gets(http).at(-1).answer(200, TAKEN, '');
    await settled();
    await tick(10);
  }
  assert.ok(Date.now() - began === 3000 && count() > 2 && count() < 8, `${count()} polls in three seconds`);
});

test('an empty answer whose time was over is followed by the next poll at once', async () => {
  const { http } = await polling();
  await tick(20_000);
  gets(http)[1].answer(200, TAKEN, '');
  await until(() => gets(http).length > 2);
  assert.equal(gets(http).length, 3);
});

test('a page that goes with more to say than a browser lets it says what it can, and ends its session all the same', async (t) => {
  const leave = page(t);
  for (const [length, fits] of [[20_000, 2], [100_000, 0]]) {
    const { socket, http, saw } = await polling();
    const messages = Array.from({ length: 5 }, () => socket.send('x'.repeat(length)));
    await until(() => posts(http).length > 0);
    leave('pagehide');
    const units = posts(http).at(-1).body.split('\n').map((unit) => JSON.parse(unit));
    assert.deepEqual(units.map((unit) => Object.keys(unit)[0]), [...Array(fits).fill('text'), 'close']);
    assert.ok(posts(http).at(-1).body.length < 64_000);
    const [{ unknown, unsent }] = saw('close');
    assert.deepEqual([...unknown, ...unsent], messages);
  }
});

test('a page that goes while the server\'s window is full ends its session on a WebSocket, too', async (t) => {
  const leave = page(t);
  const { socket, saw } = await open();
  FakeSocket.last.grants({ window: { messages: 1, bytes: 1000 } });
  socket.send('a');
  socket.send('b');
  leave('pagehide');
  assert.deepEqual(FakeSocket.last.sent.slice(-2).map((frame) => Object.keys(frame)[0]), ['text', 'close']);
  assert.deepEqual(saw('close').map(({ unknown, unsent }) => [unknown.length, unsent.length]), [[1, 1]]);
});

test('when a better transport has rested, it is climbed to by itself, and not before', async () => {
  mock.method(Math, 'random', () => 1);
  const { socket, http } = await open({ transports: ['websocket', 'sse'] });
  FakeSocket.last.grants({ heartbeat: 0 });
  await diesTwice();
  FakeSocket.last.fails();
  await tick(500);
  http.requests[0].answer(200, { 'Content-Type': 'text/event-stream' }, new ReadableStream({ start(controller) {
    controller.enqueue(new TextEncoder().encode('data: {"resumed":{"received":0}}\n\n'));
  } }));
  await until(() => socket.state === 'open');
  assert.equal(socket.transport, 'sse');
  const before = FakeSocket.all.length;
  for (let time = 0; time < 598; time += 1) await tick(1000);
  assert.equal(FakeSocket.all.length, before, 'it rests');
  for (let time = 0; time < 4; time += 1) await tick(1000);
  assert.equal(FakeSocket.all.length, before + 1);
  FakeSocket.last.fails();
  await turn();
  await tick(10_000);
  assert.equal(FakeSocket.all.length, before + 2, 'and again, later');
});

test('climbing by itself leaves alone what rests, and tries what does not', async () => {
  mock.method(Math, 'random', () => 1);
  const { socket, http } = await open();
  FakeSocket.last.grants({ heartbeat: 0 });
  for (let death = 0; death < 3; death += 1) {
    await tick(10_000);
    FakeSocket.last.fails();
    await tick(500);
    if (death < 2) FakeSocket.last.resumes();
  }
  assert.equal(socket.transport, 'sse');
  http.requests[0].fail();
  await turn();
  assert.equal(socket.transport, 'long-polling');
  http.requests[1].answer(200, {}, '{"resumed":{"received":0}}');
  await until(() => socket.state === 'open');
  const before = FakeSocket.all.length;
  await tick(5000);
  assert.equal(FakeSocket.all.length, before);
  assert.equal(http.requests.at(-1).headers['Nosphere-Transport'], 'sse');
  void socket.climb();
});

test('what is sent in the moment in which a connection begins waits until it may be sent, and the attachment has its own number [ATT-1]', async (t) => {
  const nobodys = [];
  const hear = (error) => nobodys.push(error.message);
  process.on('unhandledRejection', hear);
  t.after(() => process.off('unhandledRejection', hear));
  for (const transport of ['sse', 'long-polling']) {
    for (let moment = 0; moment < 10; moment += 1) {
      const http = fakeFetch();
      const socket = internals.connect('http://chat.test/', { transports: [transport], fetch: http.fetch, remember: false, tabs: false });
      for (let step = 0; step < moment; step += 1) await undefined;
      socket.send('first');
      await turn();
      await new Promise(setImmediate);
      assert.deepEqual(http.requests.map(({ method, headers }) => [method, headers['Nosphere-Attachment']]), [['GET', 1]]);
      socket.close();
    }
  }
  for (let moment = 0; moment < 10; moment += 1) {
    const { socket, http } = await polling();
    for (let poll = 0; poll < 2; poll += 1) {
      gets(http).at(-1).fail();
      await turn();
    }
    const before = http.requests.length;
    mock.timers.tick(250);
    for (let step = 0; step < moment; step += 1) await undefined;
    socket.send('later');
    await turn();
    assert.deepEqual(http.requests.slice(before).map(({ method, headers }) => [method, headers['Nosphere-Attachment']]), [['GET', 2]]);
    socket.close();
  }
  assert.deepEqual(nobodys, []);
});

test('a close of the server is answered with what was taken, over an event stream and by polls [CLS-2]', async () => {
  const closes = ({ http }) => posts(http).map(({ body }) => body).filter((body) => body.includes('close'));
  const end = { close: { code: 1000, reason: '', received: 0 } };
  const answer = '{"close":{"code":1000,"reason":"","received":1}}';
  const stream = await streaming();
  posts(stream.http).forEach((post) => post.answer(204, TAKEN));
  await turn();
  stream.write({ text: 'a' });
  stream.write(end);
  await until(() => stream.socket.state === 'closed');
  await turn();
  assert.deepEqual(closes(stream), [answer]);

  const polls = await polling();
  gets(polls.http).at(-1).answer(200, TAKEN, `{"text":"a"}\n${JSON.stringify(end)}`);
  await until(() => polls.socket.state === 'closed');
  await turn();
  assert.deepEqual(closes(polls), [answer]);
});

test('an answer to a POST is a sign of life while no poll is made since a loop is busy', async (t) => {
  const happens = page(t);
  const { socket, http, saw } = await polling();
  const messages = socket[Symbol.asyncIterator]();
  const first = messages.next();
  gets(http).at(-1).answer(200, TAKEN, '{"text":"a"}\n{"text":"b"}');
  await first;
  await tick(50);
  happens('online');
  const before = gets(http).length;
  assert.match(posts(http).at(-1).body, /ping/);
  posts(http).at(-1).answer(204, TAKEN);
  await settled();
  await tick(5000);
  await tick(500);
  assert.deepEqual([gets(http).length, saw('transportfailure'), socket.state], [before + 1, [], 'open']);
});

test('a question that is asked while polls rest, since a loop is busy, is not left until they have rested: its reply comes by none but the next', async () => {
  const { socket, http } = await polling();
  const messages = socket[Symbol.asyncIterator]();
  const first = messages.next();
  gets(http).at(-1).answer(200, TAKEN, '{"text":"a"}\n{"text":"b"}');
  await first;
  const before = gets(http).length;
  const reply = socket.request('what?');
  await tick(1000);
  assert.equal(gets(http).length, before, 'the server has not heard it');
  posts(http).at(-1).answer(204, { 'Nosphere-Received': '1' });
  await until(() => !socket.waiting);
  await tick(300);
  assert.equal(gets(http).length, before + 1);
  gets(http).at(-1).answer(200, { 'Nosphere-Received': '1' }, '{"text":"b"}\n{"reply":1,"text":"that"}');
  assert.equal(await reply, 'that');
});

test('a line of an event stream that comes in many pieces is looked at once, and not again with each piece', async (t) => {
  const { split } = String.prototype;
  let looked = 0;
  t.mock.method(String.prototype, 'split', function look(...how) {
    looked += this.length;
    return split.apply(this, how);
  });
  const parse = internals.events(1 << 20);
  const line = `data: ${'x'.repeat(100_000)}\n\n`;
  const got = [];
  for (let at = 0; at < line.length; at += 100) got.push(...parse(line.slice(at, at + 100)));
  assert.deepEqual(got.map(({ data }) => data.length), [100_000]);
  assert.ok(looked < 2 * line.length, `${looked} characters of ${line.length}`);
});
