// The client over transports that are made up here, with a clock that the tests turn: when it falls back, gives up on a
// silent link, waits longer, ignores what is old, and opens anew.

import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';
import { internals } from '../../adapters/browser/test/internals.mjs';
import { FakeSocket as MadeUpSocket, GRANT as USUAL } from '../../adapters/browser/test/support.mjs';

const CODES = { forbidden: 4403, 'going-away': 1001, malformed: 4400, timeout: 4408, fenced: 4409, 'unknown-session': 4410, unexpected: 4422 };
const { connect } = internals;

const GRANT = { ...USUAL, heartbeat: 1000, timeout: 500 };

class FakeSocket extends MadeUpSocket {
  static grant = GRANT;
}

/** Every request stays open until a test answers it. */
class FakeFetch {
  requests = [];
  fetch = (url, { method, headers, signal, body }) => new Promise((resolve, reject) => {
    const request = { url, method, headers, body, answer: (status, head, text = null) => resolve(new Response(text, { status, headers: head })), fail: () => reject(new TypeError('network')) };
    signal?.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')));
    this.requests.push(request);
  });
}

const turn = async () => { for (let index = 0; index < 20; index += 1) await Promise.resolve(); };

/** Time passes; what waits for a promise goes on. */
const tick = async (time) => {
  mock.timers.tick(time);
  await turn();
};

beforeEach(() => {
  mock.timers.reset();
  mock.restoreAll();
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 });
  mock.method(Math, 'random', () => 1);
  FakeSocket.all = [];
});

async function client(options = {}) {
  const http = new FakeFetch();
  const made = connect('http://chat.test/the-chat', { WebSocket: FakeSocket, fetch: http.fetch, remember: false, tabs: false, ...options });
  made.events = [];
  const names = ['session', 'transport', 'data', 'kind', 'error', 'reason', 'code', 'by', 'unknown', 'unsent', 'delay', 'attempt', 'messages', 'state'];
  for (const type of ['open', 'message', 'error', 'reconnect', 'reopen', 'move', 'transportfailure', 'lost', 'close', 'acknowledged', 'clienttimeout', 'statechange']) {
    made.addEventListener(type, (event) => made.events.push({ type, ...Object.fromEntries(names.filter((name) => name in event).map((name) => [name, event[name]])) }));
  }
  made.saw = (type) => made.events.filter((event) => event.type === type);
  made.http = http;
  await turn();
  return made;
}

test('WebSocket is asked for first, with the subprotocol, and acknowledges opened at once [SES-6]', async () => {
  const made = await client();
  const socket = FakeSocket.last;
  assert.equal(socket.url, 'ws://chat.test/the-chat');
  assert.deepEqual(socket.protocols, ['nosphere.v1.json']);
  made.send('early');
  socket.grants();
  assert.deepEqual(socket.sent, [{ open: { attachment: 1, window: { messages: 256, bytes: 1048576 } } }, { ack: 0 }, { text: 'early' }]);
  assert.equal(made.state, 'open');
  assert.equal(made.saw('open').length, 1);
});

test('a request gives its reply, or fails after its time or with the session [REQ-2]', async () => {
  const made = await client({ transports: ['websocket'] });
  FakeSocket.last.grants();
  const socket = FakeSocket.last;
  const reply = made.request('what?');
  const late = made.request('and?', { timeout: 300 });
  const lost = made.request({ more: 1 });
  assert.deepEqual(socket.sent.slice(-3), [{ request: 1, text: 'what?' }, { request: 2, text: 'and?' }, { request: 3, json: { more: 1 } }]);
  const failed = Promise.all([assert.rejects(late, /in time/), assert.rejects(lost, /over/)]);
  socket.brings({ reply: 1, json: ['that'] });
  assert.deepEqual(await reply, ['that']);
  await tick(300);
  socket.brings({ reply: 2, text: 'too late' });
  made.close();
  socket.brings({ close: { code: 1000, reason: '', received: 3 } });
  await failed;
  assert.deepEqual(made.saw('message'), [], 'a reply is no message of its own');
  await assert.rejects(made.request('a'), { name: 'ClosedError' });
});

test('what onrequest returns is the reply, of the kind that it is; without an answer there is none [REQ-1]', async () => {
  const made = await client({ transports: ['websocket'] });
  FakeSocket.last.grants();
  const socket = FakeSocket.last;
  socket.brings({ request: 4, text: 'nobody listens' });
  await turn();
  made.onrequest = async (value, kind) => {
    if (value === 'fail') throw new Error('cannot');
    return { text: { of: kind }, json: value, binary: value }[kind];
  };
  const asked = [{ request: 5, text: 'what?' }, { request: 6, json: 'a text' }, { request: 7, binary: 'AQID' }, { request: 8, text: 'fail' }];
  asked.slice(0, 3).forEach((frame) => socket.brings(frame));
  await turn();
  assert.deepEqual(socket.sent.slice(-3), [{ reply: 5, json: { of: 'text' } }, { reply: 6, text: 'a text' }, { reply: 7, binary: 'AQID' }]);
  socket.brings(asked[3]);
  await turn();
  assert.deepEqual(made.saw('error').map(({ error }) => error.message), ['cannot']);
  // Of the next session, nobody asked this.
  const answer = {};
  made.onrequest = () => new Promise((resolve) => (answer.give = resolve));
  socket.brings({ request: 9, text: 'slowly' });
  socket.brings({ reset: 'unknown' });
  await turn();
  answer.give('late');
  await turn();
  assert.ok(!JSON.stringify(FakeSocket.all.map(({ sent }) => sent)).includes('late'));
});

test('a server without the subprotocol is not talked to', async () => {
  const made = await client({ transports: ['websocket'] });
  FakeSocket.last.protocol = '';
  FakeSocket.last.opens();
  assert.deepEqual(FakeSocket.last.sent, []);
  assert.equal(made.saw('transportfailure').length, 1);
});

test('what cannot be opened is replaced at once by the next, and after the last the client waits and begins anew', async () => {
  const made = await client();
  FakeSocket.last.fails();
  await turn();
  const [stream] = made.http.requests;
  assert.equal(stream.headers['Nosphere-Transport'], 'sse');
  assert.equal(stream.headers['Nosphere-Window'], '256/1048576');
  stream.answer(200, { 'Content-Type': 'text/html' }, '<p>a captive portal</p>');
  await turn();
  const [, poll] = made.http.requests;
  assert.equal(poll.headers['Nosphere-Transport'], 'long-polling');
  poll.fail();
  await turn();
  assert.deepEqual(made.saw('transportfailure').map(({ transport }) => transport), ['websocket', 'sse', 'long-polling']);
  assert.equal(FakeSocket.all.length, 1);
  await tick(249);
  assert.equal(FakeSocket.all.length, 1, 'not at once');
  await tick(1);
  assert.equal(FakeSocket.all.length, 2);
});

test('a transport that hangs is given up after the open timeout', async () => {
  const made = await client();
  await tick(4_999);
  assert.equal(made.transport, 'websocket');
  await tick(1);
  assert.equal(made.transport, 'sse');
  assert.equal(FakeSocket.last.closed, CODES.timeout);
});

test('delays grow, are bounded, and begin small again only after a link that lasted', async () => {
  const made = await client({ transports: ['websocket'] });
  const delay = async () => {
    const before = FakeSocket.all.length;
    let waited = 0;
    for (; FakeSocket.all.length === before; waited += 50) await tick(50);
    return waited;
  };
  const delays = [];
  for (let round = 0; round < 9; round += 1) {
    FakeSocket.last.fails();
    delays.push(await delay());
  }
  assert.deepEqual(delays, [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
  FakeSocket.last.grants({ heartbeat: 0 });
  FakeSocket.last.fails();
  assert.equal(await delay(), 30000, 'accepted and dropped at once: no reason to hurry');
  FakeSocket.last.resumes();
  await tick(6000);
  FakeSocket.last.fails();
  assert.equal(await delay(), 250);
  assert.equal(made.saw('statechange').filter(({ state }) => state === 'suspended').length, 2);
  assert.equal(made.saw('reopen').length, 1);
});

test('a link that is silent for heartbeat + timeout is lost, and any traffic is a sign of life [HB-4]', async () => {
  const made = await client();
  const socket = FakeSocket.last;
  socket.grants();
  await tick(1400);
  socket.brings({ ping: 0 });
  assert.deepEqual(socket.sent.at(-1), { pong: 0 });
  await tick(1400);
  assert.equal(made.state, 'open');
  await tick(100);
  assert.equal(made.state, 'suspended');
  assert.equal(socket.closed, CODES.timeout);
  await tick(250);
  assert.equal(FakeSocket.all.length, 2);
  FakeSocket.last.opens();
  assert.deepEqual(FakeSocket.last.sent, [{ resume: { session: GRANT.session, token: GRANT.token, attachment: 2, received: 0 } }]);
});

test('without heartbeat silence is no fault [HB-1]', async () => {
  const made = await client();
  FakeSocket.last.grants({ heartbeat: 0 });
  await tick(3_600_000);
  assert.equal(made.state, 'open');
});

test('nothing from an older link is taken after the resume was sent [ATT-4]', async () => {
  const made = await client();
  const old = FakeSocket.last;
  old.grants();
  old.brings({ text: 'one' });
  old.fails();
  await tick(250);
  const socket = FakeSocket.last;
  socket.resumes();
  old.brings({ text: 'late' });
  old.brings({ close: { code: 1000, reason: '', received: 0 } });
  old.fails();
  socket.brings({ text: 'two' });
  assert.deepEqual(made.saw('message').map(({ data }) => data), ['one', 'two']);
  assert.equal(made.state, 'open');
});

test('a fault of the server ends the link with its code and keeps the session [FRM-2]', async () => {
  const made = await client();
  FakeSocket.last.grants();
  FakeSocket.last.brings({ ack: 5 });
  assert.equal(FakeSocket.last.closed, CODES.unexpected);
  assert.equal(made.state, 'suspended');
  await tick(250);
  FakeSocket.last.resumes();
  FakeSocket.last.onmessage({ data: 'nonsense' });
  assert.equal(FakeSocket.last.closed, CODES.malformed);
  assert.equal(made.saw('lost').length + made.saw('close').length, 0);
});

test('reset ends the session once, hands back what is unknown, and sends in the next what no link ever had, and nothing else [SES-1, SES-3]', async () => {
  const made = await client();
  FakeSocket.last.grants({ window: { messages: 1, bytes: 1000 } });
  const perhaps = made.send('perhaps');
  const unsent = made.send('not sent');
  FakeSocket.last.fails();
  await tick(250);
  FakeSocket.last.opens();
  FakeSocket.last.brings({ reset: 'unknown session' });
  const [end, ...more] = made.saw('lost');
  assert.deepEqual(more, []);
  assert.deepEqual([end.session, end.code, end.unknown], [GRANT.session, CODES['unknown-session'], [perhaps]]);
  assert.deepEqual([perhaps.state, unsent.state, made.state, made.waiting], ['unknown', 'waiting', 'connecting', 1]);
  await tick(1000);
  FakeSocket.last.grants({ session: '00000000-0000-4000-8000-000000000000' });
  assert.deepEqual(FakeSocket.last.sent.slice(1), [{ ack: 0 }, { text: 'not sent' }]);
  assert.equal(FakeSocket.last.sent[0].open.attachment, 1);
  assert.equal(made.saw('open').length, 2);
  assert.equal(made.saw('close').length, 0);
});

test('a close of the server is answered, and what was not acknowledged comes back; nothing is opened anew [CLS-2, CLS-3]', async () => {
  const made = await client();
  FakeSocket.last.grants();
  made.send('perhaps');
  FakeSocket.last.brings({ text: 'bye' });
  FakeSocket.last.brings({ close: { code: 3000, reason: 'enough', received: 0 } });
  assert.deepEqual(FakeSocket.last.sent.at(-1), { close: { code: 3000, reason: '', received: 1 } });
  const [end, ...more] = made.saw('close');
  assert.deepEqual([end.by, end.code, end.reason, end.unknown.length, more.length], ['server', 3000, 'enough', 1, 0]);
  assert.equal(made.state, 'closed');
  await tick(3_600_000);
  assert.equal(FakeSocket.all.length, 1);
  assert.throws(() => made.send('too late'), /closed/);
});

test('a server that goes away is come back to, with a new session', async () => {
  const made = await client();
  FakeSocket.last.grants();
  FakeSocket.last.brings({ close: { code: CODES['going-away'], reason: '', received: 0 } });
  assert.deepEqual(made.saw('lost').map(({ code }) => code), [CODES['going-away']]);
  await tick(250);
  FakeSocket.last.opens();
  assert.deepEqual(Object.keys(FakeSocket.last.sent[0]), ['open']);
});

test('the end of a WebSocket, with whatever code, suspends; only a close frame ends the session [§5]', async () => {
  const made = await client({ transports: ['websocket'] });
  FakeSocket.last.grants();
  for (const code of [1000, 1001, 1006, 1011, 3000, CODES.timeout, CODES.fenced]) {
    FakeSocket.last.fails(code);
    assert.equal(made.state, 'suspended', String(code));
    await tick(30_000);
    FakeSocket.last.resumes();
  }
  assert.equal(made.saw('lost').length + made.saw('close').length, 0);
});

test('who is forbidden is told so and does not try again [SES-4]', async () => {
  const made = await client();
  FakeSocket.last.opens();
  FakeSocket.last.fails(CODES.forbidden);
  assert.deepEqual(made.saw('close').map(({ code }) => code), [CODES.forbidden]);
  assert.equal(made.saw('lost').length, 0, 'there was no session');
  await tick(3_600_000);
  assert.equal(FakeSocket.all.length, 1);
});

test('close waits for its answer, over a lost link too, but no longer than the close timeout [CLS-1, CLS-2]', async () => {
  const made = await client();
  FakeSocket.last.grants();
  made.send('last words');
  made.close(3001, 'done');
  assert.deepEqual(FakeSocket.last.sent.slice(-2), [{ text: 'last words' }, { close: { code: 3001, reason: 'done', received: 0 } }]);
  assert.equal(made.state, 'closing');
  FakeSocket.last.fails();
  await tick(250);
  FakeSocket.last.resumes(1);
  assert.deepEqual(Object.keys(FakeSocket.last.sent.at(-1)), ['close']);
  FakeSocket.last.brings({ close: { code: 3001, reason: 'done', received: 1 } });
  assert.deepEqual(made.saw('close').map(({ by, code, unknown }) => [by, code, unknown.length]), [['client', 3001, 0]]);

  const other = await client();
  FakeSocket.last.grants();
  other.send('perhaps');
  other.close();
  await tick(5_000);
  assert.deepEqual(other.saw('close').map(({ by, unknown }) => [by, unknown.length]), [['client', 1]]);
});

test('one POST is in flight at most; without an answer the same is repeated in front, and the next goes on behind it [PST-4]', async () => {
  const made = await client({ transports: ['sse'] });
  await turn();
  const stream = new TransformStream();
  const writer = stream.writable.getWriter();
  const write = async (frame) => { await writer.write(new TextEncoder().encode(`data: ${JSON.stringify(frame)}\n\n`)); await turn(); };
  made.http.requests[0].answer(200, { 'Content-Type': 'text/event-stream' }, stream.readable);
  await turn();
  await write({ opened: { ...GRANT, heartbeat: 60_000 } });
  const posts = () => made.http.requests.filter(({ method }) => method === 'POST');
  const settled = async (count) => { for (let index = 0; posts().length < count && index < 200; index += 1) { mock.timers.tick(10); await new Promise(setImmediate); } };
  await settled(1);
  assert.deepEqual([posts()[0].body, posts()[0].headers['Nosphere-Base']], ['{"ack":0}', 0]);
  made.send('a');
  made.send('b');
  for (let index = 0; index < 20; index += 1) await new Promise(setImmediate);
  assert.equal(posts().length, 1, 'the first is not answered');
  posts()[0].answer(204, { 'Nosphere-Received': '0' });
  await settled(2);
  made.send('c');
  posts()[1].fail();
  await settled(3);
  assert.deepEqual(posts().slice(1).map(({ body, headers }) => [body, headers['Nosphere-Base']]), [
    ['{"text":"a"}\n{"text":"b"}', 0], ['{"ack":0}\n{"text":"a"}\n{"text":"b"}\n{"text":"c"}', 0],
  ]);
  posts()[2].answer(204, { 'Nosphere-Received': '3' });
  made.send('d');
  await settled(4);
  assert.deepEqual([posts()[3].body, posts()[3].headers['Nosphere-Base']], ['{"text":"d"}', 3]);
  assert.deepEqual(made.saw('acknowledged').flatMap(({ messages }) => messages.map(({ data }) => data)), ['a', 'b', 'c']);
  for (const { headers, url } of made.http.requests) {
    assert.doesNotMatch(url, new RegExp(GRANT.token), 'the token is in no URL [SEC-1]');
    assert.equal(headers['Nosphere-Attachment'], 1);
  }
  made.close();
});

test('a candidate for climbing is proved by a ping before it gets the session, and costs nothing when it fails [§9.1]', async () => {
  const made = await client({ transports: ['websocket', 'long-polling'] });
  FakeSocket.last.fails();
  await turn();
  made.http.requests[0].answer(200, {}, `${JSON.stringify({ opened: GRANT })}\n`);
  for (let index = 0; made.http.requests.length < 2 && index < 100; index += 1) await new Promise(setImmediate);
  assert.equal(made.transport, 'long-polling');
  await tick(5000);
  await turn();
  assert.equal(FakeSocket.all.length, 2);
  FakeSocket.last.opens();
  assert.deepEqual(FakeSocket.last.sent, [{ ping: 0 }]);
  FakeSocket.last.fails();
  await turn();
  assert.equal(made.state, 'open');
  const climbed = made.climb();
  assert.equal(made.climb(), climbed, 'one at a time');
  await turn();
  FakeSocket.last.opens();
  assert.equal(made.transport, 'long-polling', 'until it is proved');
  FakeSocket.last.brings({ pong: 0 });
  assert.deepEqual(FakeSocket.last.sent[1].resume.attachment, 2);
  FakeSocket.last.brings({ resumed: { received: 0 } });
  assert.equal(await climbed, true);
  assert.deepEqual(made.events.map(({ type }) => type).filter((type) => type !== 'statechange'), ['transportfailure', 'open', 'transportfailure', 'move']);
  made.close();
});
