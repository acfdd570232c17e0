// What can be a message, what cannot, and what is none though it looks like one.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { internals } from './internals.mjs';
import { FakeSocket, clock, open } from './support.mjs';

beforeEach(clock);

const FORMATS = [internals.json, internals.messagepack];

test('a key that JavaScript gives a meaning to is a key like any other', () => {
  for (const format of FORMATS) {
    for (const text of ['{"__proto__":{"admin":true},"a":1}', '[{"constructor":null,"toString":{"__proto__":[]}}]']) {
      const { value, error } = format.decode(format.encode({ kind: 'json', value: JSON.parse(text) }));
      assert.deepEqual([JSON.stringify(value), error], [text, undefined], format.name);
      assert.equal(value.admin, undefined);
    }
  }
});

test('every JSON value comes back as it was', () => {
  const value = [
    null, true, false, 0, -1, 127, 128, -32, -33, 255, 256, 65_536, 2 ** 32, 2 ** 53 - 1, -(2 ** 31), -(2 ** 40), 1.5, -2e300, '', 'ä😀', 'x'.repeat(40), 'y'.repeat(300),
    [], {}, Array(20).fill([1]), Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`key ${index}`, { index }])), { '': { a: [{ b: null }] } },
  ];
  for (const format of FORMATS) {
    for (const one of [...value, value]) assert.deepEqual(format.decode(format.encode({ kind: 'json', value: one })).value, one);
  }
});

test('what JSON would silently make an empty object of is no message', async () => {
  const { socket } = await open();
  for (const data of [new Map([[1, 2]]), new Set([1]), new Blob(['a']), Promise.resolve(1), new Error('a'), /a/, new URLSearchParams('a=1'), new Headers()]) {
    assert.throws(() => socket.send(data), TypeError);
    await assert.rejects(socket.request(data), TypeError);
  }
  class Point { x = 1; }
  class Empty {}
  for (const data of [{}, [], new Point(), new Empty(), Object.create(null), new Date(0), { toJSON: () => 'a' }, { toJSON: () => ({}) }, new URL('http://a/')]) socket.send(data);
  assert.equal(socket.waiting, 9);
});

test('a frame of no kind is malformed, also where JavaScript knows its name [FRM-2]', async () => {
  for (const kind of ['else', 'constructor', '__proto__', 'toString', 'valueOf']) {
    await open({ transports: ['websocket'] });
    FakeSocket.last.grants();
    FakeSocket.last.onmessage({ data: `{"${kind}":{}}` });
    assert.equal(FakeSocket.last.closed, 4400, kind);
  }
});
