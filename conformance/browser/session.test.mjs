// The client's session without any network: numbers, windows, acknowledgements, and what comes back when it ends.

import assert from 'node:assert/strict';
import { test } from 'node:test';

const CLIENT = new URL('../../adapters/server/examples/chat/nosphere/', import.meta.url);
const { CODES, Message, Session, decode, encode } = await import(new URL('session.js', CLIENT));
const { EventParser } = await import(new URL('transports.js', CLIENT));

const GRANT = {
  session: '24f98d6b-c271-4169-8f9c-217343b62aa7', token: '00112233445566778899aabbccddeeff', heartbeat: 25000, timeout: 20000,
  proof: 10000, resume: 120000, window: { messages: 256, bytes: 1 << 20 },
};
const frame = (kind, value) => JSON.stringify({ [kind]: value });

function opened({ window = GRANT.window, own, taken } = {}) {
  const session = new Session(own, taken);
  session.offer();
  session.receive(frame('opened', { ...GRANT, window }));
  session.collect(); // the ack that proves it
  return session;
}

function say(session, ...texts) {
  return texts.map((text) => {
    const message = new Message('text', text);
    session.send(message);
    return message;
  });
}

const units = (batch) => batch?.units.map((unit) => JSON.parse(unit));
const texts = (batch) => (units(batch) ?? []).map(({ text }) => text).filter((text) => text !== undefined);
const fault = (name) => (error) => {
  assert.equal(error.constructor.name, 'Fault', String(error.stack));
  assert.equal(error.code, CODES[name]);
  return true;
};

test('an offer opens first and resumes later, each with a higher attachment [ATT-1]', () => {
  const session = new Session({ messages: 8, bytes: 900 });
  assert.deepEqual(session.offer(), { open: { attachment: 1, window: { messages: 8, bytes: 900 } } });
  assert.deepEqual(session.offer(), { open: { attachment: 2, window: { messages: 8, bytes: 900 } } }, 'not granted: asked again');
  session.receive(frame('opened', GRANT));
  session.receive(frame('text', 'a'));
  const { session: id, token } = GRANT;
  assert.deepEqual(session.offer(), { resume: { session: id, token, attachment: 3, received: 1 } });
  assert.equal(session.offer().resume.attachment, 4);
});

test('the head of an answer to a poll stands for `resumed` where a proxy repeated the request, and nothing else does [POL-2]', () => {
  for (const [polled, head] of [[true, 0], [false, 0], [true, undefined]]) {
    const session = opened();
    say(session, 'up');
    session.collect();
    session.offer();
    if (head !== undefined) session.counted(head, polled);
    if (!polled || head === undefined) {
      assert.throws(() => session.receive(frame('text', 'down')), fault('unexpected'));
      continue;
    }
    session.receive(frame('text', 'down'));
    assert.equal(session.received, 1);
    assert.deepEqual(texts(session.collect()), ['up']);
  }
});

test('ack with 0 goes out right after opened, and nothing before it [SES-6]', () => {
  const session = new Session();
  session.offer();
  say(session, 'early');
  assert.equal(session.collect(), null);
  session.receive(frame('opened', GRANT));
  assert.deepEqual(units(session.collect()), [{ ack: 0 }, { text: 'early' }]);
});

test('base counts what went before, whatever was acknowledged meanwhile [DLV-1, PST-2]', () => {
  const session = opened();
  say(session, 'a', 'b', 'c');
  assert.equal(session.collect({ units: 2, bytes: 1000 }).base, 0);
  session.acknowledge(1);
  const batch = session.collect();
  assert.deepEqual([batch.base, texts(batch)], [2, ['c']]);
  session.acknowledge(3);
  say(session, 'd');
  assert.equal(session.collect().base, 3);
});

test('a window of messages stops the sender until an ack comes [DLV-2]', () => {
  const session = opened({ window: { messages: 2, bytes: 1000 } });
  say(session, 'a', 'b', 'c', 'd', 'e');
  assert.deepEqual(texts(session.collect()), ['a', 'b']);
  assert.equal(session.collect(), null);
  session.receive(frame('ack', 1));
  assert.deepEqual(texts(session.collect()), ['c']);
  session.receive(frame('pong', 3));
  assert.deepEqual(texts(session.collect()), ['d', 'e']);
});

test('a window of bytes counts the bytes of units, in UTF-8 [DLV-2]', () => {
  const bytes = Buffer.byteLength(frame('text', 'ä'));
  assert.equal(bytes, 13);
  const session = opened({ window: { messages: 9, bytes: 2 * bytes } });
  say(session, 'ä', 'ä', 'ä');
  assert.deepEqual(texts(session.collect()), ['ä', 'ä']);
  session.receive(frame('ack', 1));
  assert.deepEqual(texts(session.collect()), ['ä']);
});

test('a message that no window can hold, or the queue can not, is refused at once and not queued', () => {
  const session = opened({ window: { messages: 9, bytes: 20 } });
  assert.throws(() => say(session, 'more than twenty bytes'), RangeError);
  assert.equal(session.waiting, 0);
  const full = opened();
  say(full, ...Array(4096).fill('x'));
  assert.throws(() => say(full, 'one more'), RangeError);
  assert.equal(full.waiting, 4096);
});

test('an ack is due at half the window of messages, not before and not for each [DLV-3]', () => {
  const session = opened({ own: { messages: 6, bytes: 10_000 } });
  for (const text of ['a', 'b']) session.receive(frame('text', text));
  assert.equal(session.collect(), null);
  session.receive(frame('text', 'c'));
  assert.deepEqual(units(session.collect()), [{ ack: 3 }]);
  assert.equal(session.collect(), null);
});

test('an ack is due at half the window of bytes, and a count told by other means resets it [DLV-3]', () => {
  const session = opened({ own: { messages: 100, bytes: 100 } });
  session.receive(frame('text', 'x'.repeat(30)));
  assert.equal(session.collect(), null);
  session.receive(frame('text', 'x'));
  assert.deepEqual(units(session.collect()), [{ ack: 2 }]);
  session.receive(frame('text', 'x'.repeat(60)));
  assert.equal(session.tell(), 3, 'in a header');
  assert.equal(session.collect(), null);
});

test('a server that overruns the window is at fault [DLV-2]', () => {
  const session = opened({ own: { messages: 2, bytes: 10_000 } });
  session.receive(frame('text', 'a'));
  session.receive(frame('text', 'b'));
  assert.throws(() => session.receive(frame('text', 'c')), fault('window'));
  assert.equal(session.received, 2);
  session.collect();
  session.receive(frame('text', 'c'));
  const small = opened({ own: { messages: 9, bytes: 20 } });
  assert.throws(() => small.receive(frame('text', 'more than twenty bytes')), fault('too-large'));
  small.receive(frame('text', 'abc'));
  small.receive(frame('text', 'def')); // 14 bytes each: this one reaches the window, and is the last
  assert.throws(() => small.receive(frame('text', 'ghi')), fault('window'));
});

test('a resume sends again what the server lacks, in order, and nothing else [DLV-6]', () => {
  const session = opened();
  const messages = say(session, 'a', 'b', 'c', 'd');
  session.collect();
  say(session, 'e');
  session.offer();
  assert.equal(session.collect(), null, 'nothing before resumed');
  session.receive(frame('resumed', { received: 2 }));
  const batch = session.collect();
  assert.deepEqual([batch.base, texts(batch)], [2, ['c', 'd', 'e']]);
  assert.deepEqual(messages.map(({ state }) => state), ['taken', 'taken', 'sent', 'sent']);
});

test('a pong, ack or ping that an older attachment owed is not sent on the next one', () => {
  const session = opened({ own: { messages: 2, bytes: 1000 } });
  session.receive(frame('ping', 0));
  session.receive(frame('text', 'a'));
  session.ping();
  session.offer();
  session.receive(frame('resumed', { received: 0 }));
  assert.equal(session.collect(), null);
});

test('ping is answered with pong and the count [HB-2]', () => {
  const session = opened();
  session.receive(frame('text', 'a'));
  session.receive(frame('ping', 0));
  assert.deepEqual(units(session.collect()), [{ pong: 1 }]);
});

test('counts: higher than what was sent is a fault, lower than before is old news, anything else is malformed [DLV-4, TRM-1]', () => {
  const session = opened();
  say(session, 'a', 'b', 'c');
  assert.throws(() => session.receive(frame('ack', 1)), fault('unexpected'), 'not sent yet');
  session.collect();
  session.receive(frame('ack', 2));
  session.receive(frame('ack', 1));
  assert.equal(session.acknowledged, 2);
  assert.throws(() => session.receive(frame('ack', 4)), fault('unexpected'));
  for (const count of [-1, 1.5, 2 ** 53, '3', null]) assert.throws(() => session.receive(frame('ack', count)), fault('malformed'));
  session.offer();
  assert.throws(() => session.receive(frame('resumed', { received: 1 })), fault('unexpected'), 'the server forgot what it had acknowledged');
});

test('each message is reported taken once, when its count comes', () => {
  const reports = [];
  const session = opened({ taken: (messages) => reports.push(messages.map(({ data }) => data)) });
  say(session, 'a', 'b', 'c');
  session.collect();
  session.receive(frame('ack', 2));
  session.receive(frame('ack', 2));
  session.receive(frame('ping', 3));
  assert.deepEqual(reports, [['a', 'b'], ['c']]);
});

test('an event whose id is not the next number ends the stream [SSE-4]', () => {
  const session = opened();
  session.receive(frame('text', 'a'), 1);
  assert.throws(() => session.receive(frame('text', 'c'), 3), fault('unexpected'));
  assert.throws(() => session.receive(frame('text', 'a'), 1), fault('unexpected'));
  assert.equal(session.received, 1);
});

test('nothing comes before opened or resumed, neither comes twice, and a server sends no offers [WS-2, FRM-2]', () => {
  const session = new Session();
  session.offer();
  assert.throws(() => session.receive(frame('text', 'a')), fault('unexpected'));
  assert.throws(() => session.receive(frame('resumed', { received: 0 })), fault('unexpected'));
  assert.throws(() => session.receive(frame('opened', { session: GRANT.session })), fault('malformed'));
  session.receive(frame('opened', GRANT));
  assert.throws(() => session.receive(frame('opened', GRANT)), fault('unexpected'));
  assert.throws(() => session.receive(frame('reset', 'unknown')), fault('unexpected'));
  for (const kind of ['open', 'resume', 'else']) assert.throws(() => session.receive(frame(kind, {})), fault('unexpected'));
});

test('units that are no frames are malformed and count for nothing [FRM-2]', () => {
  const session = opened();
  for (const unit of ['', 'x', '[]', '1', 'null', '"text"', '{}', '{"ack":1,"text":"a"}', '{"text":"a"', '{"ack":', '[{"text":"a"}]']) {
    assert.throws(() => session.receive(unit), fault('malformed'), unit);
  }
  assert.equal(session.received, 0);
});

test('unknown fields of a frame are ignored [FRM-1]', () => {
  const session = new Session();
  session.offer();
  session.receive(frame('opened', { ...GRANT, more: { of: 'it' } }));
  session.receive('{ "close" : {"code":1000,"reason":"","received":0,"more":1} }');
});

test('a payload that cannot be read is a message all the same, reported in its place [FRM-3]', () => {
  const session = opened();
  const deep = (levels) => '['.repeat(levels) + ']'.repeat(levels);
  const bad = ['{"json":{broken}}', '{"json":1,"text":"a"}', '{"text":"a\u0001"}', '{"text":5}', '{"binary":"AQI"}', '{"binary":"AQ=="}', '{"binary":"A-_="}', `{"json":${deep(65)}}`];
  const results = bad.map((unit) => session.receive(unit));
  assert.deepEqual(results.map(({ error }) => Boolean(error)), [true, true, true, true, true, false, true, true]);
  assert.equal(session.received, bad.length);
  assert.equal(session.receive(`{"json":${deep(64)}}`).error, undefined);
});

test('messages keep their kind and content both ways [JSN-1, JSN-2, JSN-3]', () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
  for (const [kind, value] of [['text', 'line\nbreak \r "quotes" \\ 😀 \u2028'], ['text', ''], ['json', { a: [1, null, '\n'] }], ['json', null], ['binary', bytes], ['binary', new Uint8Array()]]) {
    const unit = encode(kind, value);
    assert.doesNotMatch(unit, /[\r\n]/);
    assert.deepEqual(decode(unit), { kind, value });
  }
  assert.equal(encode('binary', Uint8Array.of(1, 2, 3)), '{"binary":"AQID"}');
  assert.equal(decode(encode('text', 'a\ud800')).value, 'a\ufffd', 'what is no Unicode cannot be sent');
  assert.throws(() => encode('json', undefined), TypeError);
  assert.throws(() => encode('json', JSON.parse('['.repeat(65) + ']'.repeat(65))), RangeError);
  assert.throws(() => encode('xml', '<a/>'), TypeError);
});

test('requests and replies are messages: numbered, acknowledged, sent again [REQ-1, DLV-6]', () => {
  const session = opened();
  const { id } = session.request('json', { what: 'is your name?' });
  session.send(new Message('text', 'that', { reply: 7 }));
  const asked = { request: id, json: { what: 'is your name?' } };
  const batch = session.collect();
  assert.deepEqual([batch.base, ...batch.units], [0, JSON.stringify(asked), '{"reply":7,"text":"that"}']);
  session.receive('{"request":9007199254740991,"binary":"AQID"}', 1);
  const reply = session.receive('{"reply":5,"text":"unasked"}', 2);
  assert.deepEqual([reply, session.received], [{ kind: 'reply', id: 5, value: { kind: 'text', value: 'unasked' } }, 2]);
  session.offer();
  session.receive(frame('resumed', { received: 1 }));
  const again = session.collect();
  assert.deepEqual([again.base, units(again)], [1, [{ reply: 7, text: 'that' }]]);
});

test('a request ends once: with the first reply that names it, when nobody waits any more, or with the session [REQ-2]', async () => {
  const session = opened();
  const [first, second, third] = ['a', 'b', 'c'].map((text) => session.request('text', text));
  session.receive(JSON.stringify({ reply: second.id, json: [1] }));
  session.receive(JSON.stringify({ reply: second.id, json: [2] }));
  session.forget(second.id, new Error('late'));
  assert.deepEqual(await second.reply, { kind: 'json', value: [1] });
  session.forget(first.id, new Error('late'));
  await assert.rejects(first.reply, /late/);
  session.receive(JSON.stringify({ reply: first.id, text: 'too late' }));
  assert.equal(session.received, 3);
  session.end();
  await assert.rejects(third.reply, /over/);
  const fourth = opened().request('text', 'd');
  assert.equal(fourth.message.state, 'queued');
});

test('a request that is refused is not waited for', () => {
  const session = opened({ window: { messages: 9, bytes: 30 } });
  assert.throws(() => session.request('text', 'more than thirty bytes of text'), RangeError);
  assert.equal(session.waiting, 0);
  assert.equal(session.request('text', 'a').id, 1);
});

test('a request that cannot be read is counted; without an id, a message or a payload of its own it is no frame [FRM-3, JSN-4]', () => {
  const session = opened();
  const bad = ['{"request":5,"json":x}', ' { "reply" : 5 , "text" : 1 } ', '{"reply":0,"binary":"AQI"}', '{"request":5,"text":"a","more":1}'];
  const results = bad.map((unit) => session.receive(unit));
  assert.deepEqual(results.map(({ id, error, value }) => [id, Boolean(error), value]), [5, 5, 0, 5].map((id) => [id, true, undefined]));
  assert.equal(session.received, bad.length);
  for (const unit of ['{"request":5}', '{"request":-1,"text":"a"}', '{"reply":9007199254740992,"text":"a"}', '{"reply":9007199254740992,"text":x}', '{"request":1.5,"text":"a"}', '{"request":"5","text":"a"}', '{"request":05,"text":"a"}', '{"request":5,"ack":1}', '{"request":5,"reply":6,"text":"a"}', '{"request":5,"text":"a"']) {
    assert.throws(() => session.receive(unit), fault('malformed'), unit);
  }
  assert.equal(session.received, bad.length);
});

test('close goes out behind the last message, once for each attachment, and with the final count [CLS-1]', () => {
  const session = opened({ window: { messages: 1, bytes: 1000 } });
  say(session, 'a', 'b');
  session.close(3001, 'done');
  assert.deepEqual(units(session.collect()), [{ text: 'a' }]);
  assert.throws(() => say(session, 'too late'), /closing/);
  session.receive(frame('text', 'from the server'));
  session.receive(frame('ack', 1));
  const close = { close: { code: 3001, reason: 'done', received: 1 } };
  assert.deepEqual(units(session.collect()), [{ text: 'b' }, close]);
  assert.equal(session.collect(), null);
  session.offer();
  session.receive(frame('resumed', { received: 2 }));
  const batch = session.collect();
  assert.deepEqual([units(batch), batch.close], [[close], true], 'the answer was lost: again');
});

test('after a close of the server no more messages are sent, only the answer [CLS-2]', () => {
  const session = opened();
  const [a, b] = say(session, 'a', 'b');
  session.collect({ units: 1, bytes: 1000 });
  session.receive(frame('close', { code: 1000, reason: '', received: 0 }));
  session.close(1000, '');
  assert.deepEqual(units(session.collect()), [{ close: { code: 1000, reason: '', received: 0 } }]);
  assert.deepEqual(session.end(), { unknown: [a], unsent: [b] });
});

test('what is not acknowledged comes back: unknown if any link ever carried it, unsent otherwise [CLS-3, SES-3]', () => {
  const session = opened({ window: { messages: 3, bytes: 1000 } });
  const [a, b, c, d] = say(session, 'a', 'b', 'c', 'd');
  session.collect();
  session.offer();
  session.receive(frame('resumed', { received: 1 }));
  assert.deepEqual(texts(session.collect({ units: 1, bytes: 1000 })), ['b'], 'c was on the older link only');
  assert.deepEqual(session.end(), { unknown: [b, c], unsent: [d] });
  assert.deepEqual([a, b, c, d].map(({ state }) => state), ['taken', 'unknown', 'unknown', 'unsent']);
});

test('a page that leaves repeats what it has no acknowledgement for [PST-2, PST-4]', () => {
  const session = opened();
  say(session, 'a', 'b', 'c');
  session.collect();
  session.acknowledge(1);
  session.close(1000, '');
  session.rewind();
  const batch = session.collect();
  assert.deepEqual([batch.base, texts(batch), batch.close], [1, ['b', 'c'], true]);
  session.rewind();
  session.acknowledge(2); // of what went out before
  assert.deepEqual([session.collect().base, session.waiting], [2, 1]);
});

test('event streams are cut at their blank lines, whatever the chunks and line ends [SSE-1]', () => {
  const stream = 'data: {"opened":1}\n\n: comment\nid: 1\ndata: {"text":"ä: b"}\n\nid:2\r\ndata:two\r\ndata\r\ndata: lines\r\n\r\nevent: x\n\ndata: end\r\rdata: cut';
  const expected = [
    { id: undefined, data: '{"opened":1}' }, { id: '1', data: '{"text":"ä: b"}' }, { id: '2', data: 'two\n\nlines' }, { id: undefined, data: 'end' },
  ];
  for (let size = 1; size <= stream.length; size += 1) {
    const parser = new EventParser();
    const events = [];
    for (let at = 0; at < stream.length; at += size) events.push(...parser.push(stream.slice(at, at + size)));
    assert.deepEqual(events, expected, `chunks of ${size}`);
  }
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
  const session = new Session(own);
  const server = { queue: [], acknowledged: 0, sent: 0, received: [], told: 0 };
  const got = [];
  let [up, down, written, spoken] = [[], [], 0, 0];
  const attach = () => {
    const offer = session.offer();
    [up, down] = [[], []];
    if (random(4) === 0) return attach(); // the offer is lost
    const count = offer.resume?.received ?? 0;
    server.queue.splice(0, count - server.acknowledged);
    server.acknowledged = server.sent = count;
    server.told = server.received.length;
    down.push(offer.open ? frame('opened', { ...GRANT, window: { messages: 3, bytes: 200 } }) : frame('resumed', { received: server.told }));
  };
  attach();
  const settled = () => got.length === 40 && server.received.length === 40 && session.waiting === 0;
  for (let step = 0; !settled(); step += 1) {
    assert.ok(step < 20_000, `seed ${start} makes no progress: ${got.length} down, ${server.received.length} up`);
    switch (random(8)) {
      case 0: if (spoken < 40) say(session, String(spoken++)); break;
      case 1: if (written < 40) server.queue.push(String(written++)); break;
      case 2: up.push(...(session.collect({ units: 1 + random(4), bytes: 100 })?.units ?? [])); break;
      case 3: {
        const unit = down.shift();
        if (unit && session.receive(unit).kind === 'text') got.push(JSON.parse(unit).text);
        break;
      }
      case 4: {
        const [[kind, value]] = Object.entries(JSON.parse(up.shift() ?? '{"none":0}'));
        if (kind === 'text') server.received.push(value);
        if (kind === 'ack') {
          assert.ok(value <= server.acknowledged + server.sent - server.acknowledged && value <= server.sent, `seed ${start}: acknowledged what was not sent`);
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
