// The client's session without any network, where no vector reaches: bytes of windows, what is owed to whom, what a page that
// leaves says last, event streams in pieces, and links that die at random.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { internals } from '../../adapters/browser/test/internals.mjs';

const { createPosts, createSession, events, json, outgoing } = internals;
const CODES = { fenced: 4409, malformed: 4400, 'too-large': 1009, unexpected: 4422, window: 4413 };
const GRANT = {
  session: '24f98d6b-c271-4169-8f9c-217343b62aa7', token: '00112233445566778899aabbccddeeff', heartbeat: 25000, timeout: 20000,
  proof: 10000, resume: 120000, window: { messages: 256, bytes: 1 << 20 },
};
const frame = (kind, value) => JSON.stringify({ [kind]: value });

class Link {
  said = [];
  constructor(posts, polls) { Object.assign(this, { posts, polls }); }
  write({ kind, value }) { this.said.push({ [kind]: value }); }
  end(code) { this.ended ??= code ?? 1000; }
}

/** A session, and what it told. */
class Client {
  taken = [];
  over = null;
  lost = [];

  constructor({ own = { messages: 256, bytes: 1 << 20 }, queue = { messages: 4096, bytes: 4 << 20 }, http = false, polls = false } = {}) {
    Object.assign(this, { http, polls });
    this.session = createSession({
      now: () => 1, patience: () => 20_000, opened() {}, resumed() {}, arrived() {},
      taken: (messages) => this.taken.push(messages.map(({ data }) => data)),
      down: (reason, lasted, code) => this.lost.push(code),
      over: (ending) => { this.over = ending; },
    }, json, { window: own, queue, closeTimeout: 5000 });
  }

  /** Begins an attachment, and gives the frame that asks for it. */
  offer() {
    this.link = new Link(this.http, this.polls);
    this.session.dial(this.link);
    this.session.begin();
    this.posts = createPosts(this.session, this.link, json, () => 1);
    return this.link.said[0];
  }

  receive(unit, number) {
    this.session.receive(this.link, unit, number);
    return this.session.take();
  }

  collect(limit) { return this.http ? this.posts.next(limit) : this.session.collect(this.link, limit); }

  say(...texts) {
    return texts.map((text) => {
      const message = outgoing(json, text);
      this.session.send(message);
      return message;
    });
  }
}

function opened({ window = GRANT.window, ...options } = {}) {
  const client = new Client(options);
  client.offer();
  client.receive(frame('opened', { ...GRANT, window }));
  const proof = client.collect(); // the ack that proves it
  if (client.http) client.posts.answered(0);
  else assert.ok(proof);
  return client;
}

const units = (batch) => batch?.units.map((unit) => JSON.parse(unit));
const texts = (batch) => (units(batch) ?? []).map(({ text }) => text).filter((text) => text !== undefined);

/** Brings a unit that is the server's fault: the link ends with that code, and the session stays [FRM-2]. */
function faults(client, name, unit, number, label) {
  client.receive(unit, number);
  assert.deepEqual([client.link.ended, client.lost.at(-1), client.over], [CODES[name], CODES[name], null], label);
}

test('what was not granted is asked for again, with a higher attachment [ATT-1]', () => {
  const client = new Client({ own: { messages: 8, bytes: 900 } });
  assert.deepEqual(client.offer(), { open: { attachment: 1, window: { messages: 8, bytes: 900 } } });
  assert.deepEqual(client.offer(), { open: { attachment: 2, window: { messages: 8, bytes: 900 } } });
  client.receive(frame('opened', GRANT));
  client.receive(frame('text', 'a'));
  const { session, token } = GRANT;
  assert.deepEqual(client.offer(), { resume: { session, token, attachment: 3, received: 1 } });
  assert.equal(client.offer().resume.attachment, 4);
});

test('the head of an answer to a poll stands for `resumed` where a proxy repeated the request, and nothing else does [POL-2]', () => {
  for (const [polls, head] of [[true, 0], [false, 0], [true, undefined]]) {
    const client = opened({ http: true, polls });
    client.say('up');
    client.collect();
    client.offer();
    if (head !== undefined) client.session.counted(client.link, head);
    if (!polls || head === undefined) {
      faults(client, 'unexpected', frame('text', 'down'));
      continue;
    }
    assert.equal(client.receive(frame('text', 'down')).value, 'down');
    assert.equal(client.session.head().received, 1);
    assert.deepEqual(texts(client.collect()), ['up']);
  }
});

test('base counts what went before, whatever was acknowledged meanwhile [DLV-1, PST-2]', () => {
  const client = opened();
  client.say('a', 'b', 'c');
  assert.equal(client.collect({ messages: 2, bytes: 1000 }).base, 0);
  client.receive(frame('ack', 1));
  const batch = client.collect();
  assert.deepEqual([batch.base, texts(batch)], [2, ['c']]);
  client.receive(frame('ack', 3));
  client.say('d');
  assert.equal(client.collect().base, 3);
});

test('a window of bytes counts the bytes of units, in UTF-8 [DLV-2]', () => {
  const bytes = Buffer.byteLength(frame('text', 'ä'));
  assert.equal(bytes, 13);
  const client = opened({ window: { messages: 9, bytes: 2 * bytes } });
  client.say('ä', 'ä', 'ä');
  assert.deepEqual(texts(client.collect()), ['ä', 'ä']);
  client.receive(frame('ack', 1));
  assert.deepEqual(texts(client.collect()), ['ä']);
});

test('a message that no window can hold, or the queue can not, is refused at once and not queued', () => {
  const client = opened({ window: { messages: 9, bytes: 20 } });
  assert.throws(() => client.say('more than twenty bytes'), RangeError);
  assert.equal(client.session.queue.length, 0);
  const full = opened();
  full.say(...Array(4096).fill('x'));
  assert.throws(() => full.say('one more'), { name: 'QueueFullError' });
  assert.equal(full.session.queue.length, 4096);
  const heavy = opened({ queue: { messages: 9, bytes: 30 } });
  heavy.say('1234567890');
  assert.throws(() => heavy.say('1234567890'), { name: 'QueueFullError' });
});

test('an ack is due at half the window, in messages or bytes, not before and not for each; a count told by other means resets it [DLV-3]', () => {
  const few = opened({ own: { messages: 6, bytes: 10_000 } });
  for (const text of ['a', 'b']) few.receive(frame('text', text));
  assert.equal(few.collect(), undefined);
  few.receive(frame('text', 'c'));
  assert.deepEqual(units(few.collect()), [{ ack: 3 }]);
  assert.equal(few.collect(), undefined);
  const small = opened({ own: { messages: 100, bytes: 100 } });
  small.receive(frame('text', 'x'.repeat(30)));
  assert.equal(small.collect(), undefined);
  small.receive(frame('text', 'x'));
  assert.deepEqual(units(small.collect()), [{ ack: 2 }]);
  small.receive(frame('text', 'x'.repeat(60)));
  assert.equal(small.session.head().received, 3, 'in a header');
  assert.equal(small.collect(), undefined);
});

test('a server that overruns the window, in messages or bytes, is at fault [DLV-2]', () => {
  const own = { messages: 2, bytes: 10_000 };
  const client = opened({ own });
  for (const text of ['a', 'b']) client.receive(frame('text', text));
  faults(client, 'window', frame('text', 'c'));
  assert.equal(client.session.head().received, 2);
  faults(opened({ own: { messages: 9, bytes: 20 } }), 'too-large', frame('text', 'more than twenty bytes'));
  const small = opened({ own: { messages: 9, bytes: 20 } });
  small.receive(frame('text', 'abc'));
  small.receive(frame('text', 'def')); // 14 bytes each: this one reaches the window, and is the last
  faults(small, 'window', frame('text', 'ghi'));
});

test('a resume sends again what the server lacks, in order, and nothing else; each message knows what became of it [DLV-6]', () => {
  const client = opened();
  const messages = client.say('a', 'b', 'c', 'd');
  client.collect();
  client.say('e');
  client.offer();
  assert.equal(client.collect(), undefined, 'nothing before resumed');
  client.receive(frame('resumed', { received: 2 }));
  const batch = client.collect();
  assert.deepEqual([batch.base, texts(batch)], [2, ['c', 'd', 'e']]);
  assert.deepEqual(messages.map(({ state }) => state), ['taken', 'taken', 'sent', 'sent']);
});

test('a pong, ack or ping that an older attachment owed is not sent on the next one', () => {
  const client = opened({ own: { messages: 2, bytes: 1000 } });
  client.receive(frame('ping', 0));
  client.receive(frame('text', 'a'));
  client.session.ping();
  client.offer();
  client.receive(frame('resumed', { received: 0 }));
  assert.equal(client.collect(), undefined);
});

test('counts: higher than what was sent is a fault, lower than before is old news, anything else is malformed [DLV-4, TRM-1]', () => {
  const sent = () => {
    const client = opened();
    client.say('a', 'b', 'c');
    client.collect();
    return client;
  };
  const early = opened();
  early.say('a');
  faults(early, 'unexpected', frame('ack', 1), undefined, 'not sent yet');
  const client = sent();
  client.receive(frame('ack', 2));
  client.receive(frame('ack', 1));
  assert.deepEqual([client.session.queue.length, client.link.ended], [1, undefined]);
  faults(client, 'unexpected', frame('ack', 4));
  for (const count of [-1, 1.5, 2 ** 53, '3', null]) faults(sent(), 'malformed', frame('ack', count), undefined, String(count));
  client.offer();
  faults(client, 'unexpected', frame('resumed', { received: 1 }), undefined, 'the server forgot what it had acknowledged');
});

test('each message is reported taken once, when its count comes', () => {
  const client = opened();
  client.say('a', 'b', 'c');
  client.collect();
  for (const unit of [frame('ack', 2), frame('ack', 2), frame('ping', 3)]) client.receive(unit);
  assert.deepEqual(client.taken, [['a', 'b'], ['c']]);
});

test('nothing comes before opened or resumed, neither comes twice, and a server sends no offers [WS-2, FRM-2]', () => {
  for (const unit of [frame('text', 'a'), frame('resumed', { received: 0 }), frame('close', { code: 1000, reason: '', received: 0 }), frame('reset', 'x')]) {
    const client = new Client();
    client.offer();
    faults(client, 'unexpected', unit, undefined, unit);
  }
  const client = new Client();
  client.offer();
  faults(client, 'malformed', frame('opened', { session: GRANT.session }));
  for (const [kind, value] of [['opened', GRANT], ['resumed', { received: 0 }], ['reset', 'unknown'], ['open', {}], ['resume', {}]]) {
    faults(opened(), 'unexpected', frame(kind, value), undefined, kind);
  }
  faults(opened(), 'malformed', frame('else', {}));
});

test('what is no Unicode cannot be sent', () => {
  assert.equal(outgoing(json, 'a\ud800b😀').unit, '{"text":"a\ufffdb😀"}');
});

test('close goes out behind the last message, once for each attachment, and with the final count [CLS-1]', () => {
  const client = opened({ window: { messages: 1, bytes: 1000 } });
  client.receive(frame('text', 'from the server'));
  client.say('a', 'b');
  client.session.close(3001, 'done');
  assert.deepEqual(units(client.collect()), [{ text: 'a' }]);
  client.receive(frame('ack', 1));
  const close = { close: { code: 3001, reason: 'done', received: 1 } };
  assert.deepEqual(units(client.collect()), [{ text: 'b' }, close]);
  assert.equal(client.collect(), undefined);
  client.offer();
  client.receive(frame('resumed', { received: 2 }));
  const batch = client.collect();
  assert.deepEqual([units(batch), batch.close], [[close], true], 'the answer was lost: again');
});

test('after a close of the server no more messages are sent; what is not acknowledged is unknown if it was sent, unsent otherwise [CLS-2, CLS-3]', () => {
  const client = opened();
  const [a, b] = client.say('a', 'b');
  client.collect({ messages: 1, bytes: 1000 });
  client.receive(frame('close', { code: 1000, reason: '', received: 0 }));
  assert.deepEqual(client.link.said.at(-1), { close: { code: 1000, reason: '', received: 0 } });
  assert.equal(client.collect(), undefined);
  assert.deepEqual([client.over.by, client.over.unknown, client.over.unsent], ['server', [a], [b]]);
});

test('a message that any link carried is unknown, though the last one did not [CLS-3, SES-3]', () => {
  const client = opened({ window: { messages: 3, bytes: 1000 } });
  const [a, b, c, d] = client.say('a', 'b', 'c', 'd');
  client.collect();
  client.offer();
  client.receive(frame('resumed', { received: 1 }));
  assert.deepEqual(texts(client.collect({ messages: 1, bytes: 1000 })), ['b'], 'c was on the older link only');
  client.offer();
  client.receive(frame('reset', 'unknown'));
  assert.deepEqual([client.over.unknown, client.over.unsent], [[b, c], [d]]);
  assert.deepEqual([a, b, c, d].map(({ state }) => state), ['taken', 'unknown', 'unknown', 'unsent']);
});

test('a page that leaves repeats what it has no acknowledgement for [PST-2, PST-4]', () => {
  const client = opened({ http: true });
  client.say('a', 'b', 'c');
  client.collect();
  client.session.counted(client.link, 1);
  client.session.close(1000, '');
  assert.equal(client.collect(), undefined, 'one POST is in flight');
  client.session.rewind();
  const batch = client.session.collect(client.link);
  assert.deepEqual([batch.base, texts(batch), batch.close], [1, ['b', 'c'], true]);
  client.session.rewind();
  client.session.counted(client.link, 2); // of what went out before
  assert.deepEqual([client.session.collect(client.link).base, client.session.queue.length], [2, 1]);
});

test('event streams are cut at their blank lines, whatever the chunks and line ends [SSE-1]', () => {
  const stream = 'data: {"opened":1}\n\n: comment\nid: 1\ndata: {"text":"ä: b"}\n\nid:2\r\ndata:two\r\ndata\r\ndata: lines\r\n\r\nevent: x\n\ndata: end\r\rdata: cut';
  const expected = [[undefined, '{"opened":1}'], ['1', '{"text":"ä: b"}'], ['2', 'two\n\nlines'], [undefined, 'end']];
  for (let size = 1; size <= stream.length; size += 1) {
    const parse = events(4 << 20);
    const got = [];
    for (let at = 0; at < stream.length; at += size) got.push(...parse(stream.slice(at, at + size)));
    assert.deepEqual(got.map(({ id, data }) => [id, data]), expected, `chunks of ${size}`);
  }
  assert.throws(() => [...events(4 << 20)('x'.repeat(5 << 20))], RangeError, 'a line has an end');
});

test('over links that die at random, both sides get what the other sent, once and in order', () => {
  for (let seed = 1; seed <= 300; seed += 1) simulate(seed);
});

/** A client against a model of a server: frames are lost when links die, and windows are small. */
function simulate(seed) {
  const random = (below) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >> 8) % below;
  };
  const start = seed;
  const own = { messages: 4, bytes: 200 };
  const client = new Client({ own });
  const { session } = client;
  const server = { queue: [], acknowledged: 0, sent: 0, received: [], told: 0 };
  const got = [];
  let [up, down, written, spoken] = [[], [], 0, 0];
  const attach = () => {
    const offer = client.offer();
    [up, down] = [[], []];
    if (random(4) === 0) return attach(); // the offer is lost
    const count = offer.resume?.received ?? 0;
    server.queue.splice(0, count - server.acknowledged);
    server.acknowledged = server.sent = count;
    server.told = server.received.length;
    down.push(offer.open ? frame('opened', { ...GRANT, window: { messages: 3, bytes: 200 } }) : frame('resumed', { received: server.told }));
  };
  attach();
  const settled = () => got.length === 40 && server.received.length === 40 && session.queue.length === 0;
  for (let step = 0; !settled(); step += 1) {
    assert.ok(step < 20_000, `seed ${start} makes no progress: ${got.length} down, ${server.received.length} up`);
    switch (random(8)) {
      case 0: if (spoken < 40) client.say(String(spoken++)); break;
      case 1: if (written < 40) server.queue.push(String(written++)); break;
      case 2: up.push(...(client.collect({ messages: 1 + random(4), bytes: 100 })?.units ?? [])); break;
      case 3: {
        const unit = down.shift();
        const taken = unit && client.receive(unit);
        if (taken) got.push(taken.value);
        assert.equal(client.link.ended, undefined, `seed ${start}: ${unit} ended the link`);
        break;
      }
      case 4: {
        const [[kind, value]] = Object.entries(JSON.parse(up.shift() ?? '{"none":0}'));
        if (kind === 'text') server.received.push(value);
        if (kind === 'ack') {
          assert.ok(value <= server.sent, `seed ${start}: acknowledged what was not sent`);
          if (value > server.acknowledged) server.queue.splice(0, value - server.acknowledged);
          server.acknowledged = Math.max(server.acknowledged, value);
        }
        break;
      }
      case 5: {
        const next = server.queue[server.sent - server.acknowledged];
        if (next !== undefined && server.sent - server.acknowledged < own.messages) {
          server.sent += 1;
          down.push(frame('text', next));
        }
        break;
      }
      case 6: if (down.length || !session.pending) down.push(frame('ack', server.received.length)); break;
      case 7: if (random(6) === 0) attach(); break;
    }
  }
  const all = Array.from({ length: 40 }, (_, index) => String(index));
  assert.deepEqual(got, all, `seed ${start}`);
  assert.deepEqual(server.received, all, `seed ${start}`);
}
