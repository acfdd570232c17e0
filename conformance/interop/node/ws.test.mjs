// WebSocket with the library `ws`.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import WebSocket from 'ws';
import { FORMATS, JSON_FORMAT, MESSAGES, MESSAGEPACK_FORMAT, Polling, Queue, WINDOW, isMessage, startEcho, within } from './harness.mjs';

const url = await startEcho();

/** A native client. */
class Client {
  attachment = 0;
  received = 0;
  sent = [];

  constructor(path, format) {
    Object.assign(this, { url: `${url}${path}`, format });
  }

  static async open(format, path = '/echo') {
    const client = new Client(path, format);
    const { opened } = await client.attach(({ attachment }) => ({ open: { attachment, window: WINDOW } }));
    client.send({ ack: 0 });
    return Object.assign(client, { session: opened.session, token: opened.token });
  }

  async attach(offer) {
    this.attachment += 1;
    this.socket = new WebSocket(this.url.replace('http', 'ws'), this.format.name);
    this.frames = new Queue();
    this.socket.on('message', (data, binary) => this.frames.push(this.format.decode(binary ? data : data.toString())));
    this.closed = once(this.socket, 'close');
    await within(once(this.socket, 'open'), 'the handshake');
    assert.equal(this.socket.protocol, this.format.name, 'NEG-2');
    this.send(offer(this));
    return this.frames.next('the answer to the offer');
  }

  async resume(format = this.format) {
    this.format = format;
    const { resumed } = await this.attach(({ session, token, attachment, received }) => ({ resume: { session, token, attachment, received } }));
    this.send(...this.sent.slice(resumed.received));
  }

  send(...frames) {
    for (const frame of frames) this.socket.send(this.format.encode(frame));
  }

  say(...messages) {
    this.sent.push(...messages);
    this.send(...messages);
  }

  async messages(count) {
    const messages = [];
    while (messages.length < count) messages.push(...[await this.frames.next()].filter(isMessage));
    this.received += count;
    return messages;
  }

  async code() {
    return (await within(this.closed, 'the close'))[0];
  }
}

for (const format of FORMATS) {
  describe(format.name, () => {
    test('messages come back unchanged and in order', async () => {
      const client = await Client.open(format);
      client.say(...MESSAGES);
      assert.deepEqual(await client.messages(MESSAGES.length), MESSAGES);
    });

    test('close is answered with close, its count and the same code (CLS-2, WS-5)', async () => {
      const client = await Client.open(format);
      client.say({ text: 'one' });
      await client.messages(1);
      client.send({ close: { code: 3000, reason: 'done', received: 1 } });
      let frame;
      do frame = await client.frames.next('the close frame'); while (!frame.close);
      assert.equal(frame.close.received, 1);
      assert.equal(await client.code(), 3000);
    });

    test('a killed socket loses nothing and doubles nothing (DLV-6)', async () => {
      const client = await Client.open(format);
      const sent = Array.from({ length: 300 }, (_, index) => ({ text: `${index}` }));
      const got = [];
      while (got.length < sent.length) {
        client.say(...sent.slice(client.sent.length, client.sent.length + 50));
        got.push(...await client.messages(Math.min(30, sent.length - got.length)));
        client.socket.terminate();
        await client.resume(FORMATS[(client.attachment + 1) % 2]);
      }
      assert.deepEqual(got, sent);
    });

    test('the next attachment may be a poll in the other format (DLV-6)', async () => {
      const client = await Client.open(format);
      client.say({ text: 'one' }, { text: 'two' }, { text: 'three' });
      assert.deepEqual(await client.messages(1), [{ text: 'one' }]);
      client.socket.terminate();
      const polling = new Polling(client.url, FORMATS.find((other) => other !== format));
      Object.assign(polling, { session: client.session, token: client.token, attachment: 2, received: 1 });
      const [{ resumed }, ...rest] = await polling.poll();
      polling.base = resumed.received;
      if (resumed.received < 3) await polling.send(...client.sent.slice(resumed.received));
      const got = rest.filter(isMessage);
      if (got.length < 2) got.push(...await polling.messages(2 - got.length));
      assert.deepEqual(got, [{ text: 'two' }, { text: 'three' }]);
    });

    test('a newer attachment closes the older socket with fenced (ATT-3)', async () => {
      const client = await Client.open(format);
      const { closed } = client;
      await client.resume();
      assert.equal((await within(closed, 'the close'))[0], 4409);
      client.say({ text: 'here' });
      assert.deepEqual(await client.messages(1), [{ text: 'here' }]);
    });

    test('faults close with their codes, and the session goes on (FRM-2, DLV-4)', async () => {
      const client = await Client.open(format);
      for (const [fault, code] of [[{ ack: 99 }, 4422], [{ open: { attachment: 9, window: WINDOW } }, 4422]]) {
        client.send(fault);
        assert.equal(await client.code(), code);
        await client.resume();
      }
      client.socket.send(format === JSON_FORMAT ? 'nonsense' : Buffer.from('nonsense'));
      assert.equal(await client.code(), 4400);
      await client.resume();
      client.socket.send(format === JSON_FORMAT ? Buffer.from('{"text":"x"}') : '{"text":"x"}');
      assert.equal(await client.code(), 4400, 'WS-3');
      await client.resume();
      client.say({ text: 'still here' });
      assert.deepEqual(await client.messages(1), [{ text: 'still here' }]);
    });
  });
}

test('a unit over the window is told with 1009, even to a client that is still sending (WS-4)', async () => {
  const client = await Client.open(MESSAGEPACK_FORMAT);
  client.socket.on('error', () => {});
  client.send({ binary: Buffer.alloc(18 << 20) });
  assert.equal(await client.code(), 1009);
  await client.resume();
});

test('plain messages come back: text verbatim, JSON compact, binary (PLN-1, PLN-2)', async () => {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/echo`);
  const messages = new Queue();
  socket.on('message', (data, binary) => messages.push(binary ? data : data.toString()));
  await within(once(socket, 'open'), 'the handshake');
  assert.equal(socket.protocol, '', 'NEG-2');
  for (const message of ['  hello \n', ' {"a": [1.50] }', '{"a"', '€'.repeat(33_334), Buffer.alloc(100_000, 1)]) socket.send(message);
  assert.deepEqual(await messages.take(5), ['  hello \n', '{"a":[1.50]}', '{"a"', '€'.repeat(33_334), Buffer.alloc(100_000, 1)]);
  socket.close(3001, 'done');
  assert.equal((await within(once(socket, 'close'), 'the close'))[0], 3001);
});

for (const [what, path, protocols, options, status] of [
  ['no such endpoint', '/nowhere', [], {}, 404],
  ['a foreign origin (SEC-2)', '/echo', [], { origin: 'https://evil.example' }, 403],
  ['another version of WebSocket', '/echo', [], { protocolVersion: 8 }, 426],
  ['only unknown versions of nosphere (NEG-2)', '/echo', ['nosphere.v9.json'], {}, 400],
]) {
  test(`${what} is refused with ${status}`, async () => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}${path}`, protocols, options);
    const [, response] = await within(once(socket, 'unexpected-response'), 'the refusal');
    response.resume();
    assert.equal(response.statusCode, status);
    assert.equal(response.headers['cache-control'], 'no-store', 'NEG-4');
  });
}

test('a ping of WebSocket is answered with what it carried', async () => {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/echo`);
  await within(once(socket, 'open'), 'the handshake');
  socket.ping('payload');
  assert.equal((await within(once(socket, 'pong'), 'the pong'))[0].toString(), 'payload');
  socket.terminate();
});
