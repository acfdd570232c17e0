// The names that the build shortens are nobody else's.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { INTERNAL } from '../internal.mjs';

const read = (name) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
const names = (text) => new Set(text.match(/[A-Za-z]+/g));
const members = (text) => new Set(Array.from(code(text).matchAll(/(?:^|[{;])\s*(?:readonly )?(\w+)\??[:(<]/gm), ([, name]) => name));
const code = (text) => text.replace(/\/\*\*[^]*?\*\/|\/\/.*/g, '');

test('no name that the build shortens is one of the package\'s types, or crosses to a format that an application brings', () => {
  const format = /interface (Frame|Format) \{[^]*?\n\}/g;
  const known = members([
    read('src/api.ts'), ...read('src/frames.ts').match(format), ...read('src/message.ts').match(/interface Message<[^]*?\n\}/g),
    ...read('src/frames.ts').match(/interface Size \{[^]*?\n\}/g),
  ].join('\n'));
  assert.ok(['retry', 'climb', 'exchange', 'kind', 'messages', 'unsent', 'event'].every((name) => known.has(name)), 'it reads them');
  const events = ['lost']; // types of events are strings, which the build leaves alone
  assert.deepEqual(INTERNAL.filter((name) => known.has(name) && !events.includes(name)), []);
});

test('no name that the build shortens is in the protocol\'s frames', () => {
  const wire = names(code(/const FORMS[^]*?\n\};/.exec(read('src/frames.ts'))[0]) + code(/interface Grant \{[^]*?\n\}/.exec(read('src/frames.ts'))[0]));
  assert.deepEqual(INTERNAL.filter((name) => wire.has(name)), []);
});

test('no name that the build shortens is a member of what the platform has here', () => {
  const platform = [
    globalThis, EventTarget, Event, AbortController, AbortSignal, Response, Headers, ReadableStream, URL, TextDecoder, TextEncoder,
    Promise, Map, Set, Array, String, Number, Object, Math, Date, JSON, RegExp, Uint8Array, ArrayBuffer, Error, globalThis.WebSocket, globalThis.BroadcastChannel,
  ].filter(Boolean).flatMap((one) => [...Object.getOwnPropertyNames(one), ...Object.getOwnPropertyNames(one.prototype ?? {})]);
  assert.deepEqual(INTERNAL.filter((name) => platform.includes(name)), []);
});

test('each of them is in use, and once in the list', () => {
  const sources = ['session', 'socket', 'part', 'climbing', 'posts', 'message', 'page', 'timers'].map((name) => names(read(`src/${name}.ts`)));
  assert.deepEqual(INTERNAL.filter((name, at) => INTERNAL.indexOf(name) !== at || !sources.some((known) => known.has(name))), []);
});
