// The package as it is built, in Node, against the real server.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../dist/index.js';
import { messagepack } from '../dist/messagepack.js';
import { once, patient, slowUplink, startEcho } from './support.mjs';

const WebSocket = globalThis.WebSocket; // Node has none before version 22
const TRANSPORTS = [...(WebSocket ? ['websocket'] : []), 'sse', 'long-polling'];

for (const transport of TRANSPORTS) {
  for (const format of [undefined, messagepack]) {
    const name = `${transport}, ${format?.name ?? 'json'}`;

    test(`${name}: a thousand messages go there and back, once and in order, to who iterates`, async (t) => {
      const socket = connect(await startEcho(t), patient(t, { transports: [transport], format, requestTimeout: 60_000 }));
      for (let number = 0; number < 1000; number += 1) socket.send({ number });
      let expected = 0;
      for await (const { number } of socket) {
        assert.equal(number, expected);
        expected += 1;
        if (expected === 1000) break;
      }
      assert.equal(socket.transport, transport);
      socket.close();
      assert.equal((await once(socket, 'close')).by, 'client');
    });

    test(`${name}: who iterates may ask in between, while messages wait behind`, async (t) => {
      const socket = connect(await startEcho(t), patient(t, { transports: [transport], format, requestTimeout: 60_000 }));
      for (let number = 0; number < 5; number += 1) socket.send({ number });
      const got = [];
      for await (const { number } of socket) {
        got.push(number, await socket.request({ asked: number }));
        if (number === 4) break;
      }
      assert.deepEqual(got, [0, 1, 2, 3, 4].flatMap((number) => [number, { asked: number }]));
      socket.close();
      await once(socket, 'close');
    });

    test(`${name}: a message beyond the usual batch goes where the server's window allows it, and does not hold up the next`, async (t) => {
      const socket = connect(await startEcho(t), patient(t, { transports: [transport], format, queue: { bytes: 64 << 20 }, window: { bytes: 4 << 20 } }));
      await once(socket, 'open');
      const got = [];
      const all = new Promise((resolve) => {
        socket.onmessage = ({ data }) => got.push(data.length) === 3 && resolve();
      });
      for (const length of [5, 2 << 20, 6]) socket.send('x'.repeat(length));
      await all;
      assert.deepEqual(got, [5, 2 << 20, 6]);
      socket.close();
      await once(socket, 'close');
    });

    test(`${name}: every kind of message keeps its kind and content, and requests get their replies`, async (t) => {
      const socket = connect(await startEcho(t), patient(t, { transports: [transport], format, requestTimeout: 60_000 }));
      const got = [];
      socket.onmessage = ({ kind, data }) => got.push([kind, data]);
      const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
      const said = [['text', 'line\nbreak "quotes" 😀'], ['text', ''], ['json', { a: [1, null, -2.5, '\n'] }], ['json', null], ['binary', bytes], ['json', JSON.parse('{"__proto__":[true,-3,1.5]}')]];
      for (const [kind, data] of said) socket.send(data, { as: kind });
      assert.equal(await socket.request('what?'), 'what?');
      assert.deepEqual(await socket.request({ b: 1 }), { b: 1 });
      assert.deepEqual(got, said);
      socket.close(3001, 'done');
      const { by, code, unknown, unsent } = await once(socket, 'close');
      assert.deepEqual({ by, code, unknown, unsent }, { by: 'client', code: 3001, unknown: [], unsent: [] });
    });
  }
}

// The one rule of the server that takes real time. A machine that stands still for less than its patience changes nothing; and both
// wait at once.
test('through an uplink that needs far longer than the server\'s patience, everything gets there, once, without a loss of the link', { concurrency: true }, async (t) => {
  const [patience, length] = [5000, 1 << 18];
  await Promise.all(['sse', 'long-polling'].map((transport) => t.test(transport, async (t) => {
    const echo = await startEcho(t, { ECHO_HEARTBEAT: '1000', ECHO_TIMEOUT: String(patience) });
    const way = await slowUplink(t, echo, 1000 * length / (2 * patience)); // twice as long, for each message
    const socket = connect(way.url, patient(t, { transports: [transport] }));
    await once(socket, 'open');
    const failures = [];
    socket.ontransportfailure = ({ reason }) => failures.push(reason);
    let got = 0;
    const all = new Promise((resolve) => { socket.onmessage = () => (got += 1) === 2 && resolve(); });
    for (let index = 0; index < 2; index += 1) socket.send('x'.repeat(length));
    await all;
    assert.deepEqual([got, failures], [2, []]);
    assert.ok(way.bytes < 2.2 * length, `${way.bytes} bytes for ${2 * length}`);
    socket.close();
    await once(socket, 'close');
  })));
});

test('as they are built apart, a malformed unit of MessagePack ends the link with its code all the same [FRM-2]', async (t) => {
  const closed = await new Promise((resolve) => {
    connect('http://chat.test/', patient(t, {
      format: messagepack, transports: ['websocket'],
      WebSocket: class {
        protocol = 'nosphere.v1.messagepack';
        readyState = 1;
        constructor() {
          setImmediate(() => {
            this.onopen();
            this.onmessage({ data: Uint8Array.of(0xc1).buffer });
          });
        }
        send() {}
        close(code) { resolve([code, this]); }
      },
    }));
  });
  assert.equal(closed[0], 4400);
});

test('without WebSocket on the platform, the next transport is used, and that is no failure', async (t) => {
  const socket = connect(await startEcho(t), patient(t, { WebSocket: WebSocket ?? null }));
  const failures = [];
  socket.ontransportfailure = (event) => failures.push(event);
  await once(socket, 'open');
  assert.equal(socket.transport, WebSocket ? 'websocket' : 'sse');
  assert.deepEqual(socket.transports.map(({ browser }) => browser), [!!WebSocket, true, true]);
  assert.deepEqual(failures, []);
  socket.close();
  await once(socket, 'close');
});
