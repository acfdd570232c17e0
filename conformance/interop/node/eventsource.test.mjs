// Plain event streams with the library `eventsource`, unmodified: it knows nothing of nosphere.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventSource } from 'eventsource';
import { Queue, startEcho, startProxy, within } from './harness.mjs';

const url = await startEcho();

class Source {
  constructor(t, address) {
    this.address = address;
    this.messages = new Queue();
    this.sessions = new Queue();
    this.resets = new Queue();
    this.source = new EventSource(address);
    this.source.addEventListener('message', (event) => this.messages.push(event.data));
    this.source.addEventListener('binary', (event) => this.messages.push(Buffer.from(event.data, 'base64')));
    this.source.addEventListener('session', (event) => this.sessions.push(event.data));
    this.source.addEventListener('reset', (event) => this.resets.push(event.data));
    t.after(() => this.source.close());
  }

  static async open(t, address) {
    const source = new Source(t, address);
    [source.session, source.token] = (await source.sessions.next('event: session (PLN-3)')).split('.');
    return source;
  }

  async post(body, type = 'text/plain') {
    const response = await fetch(url + new URL(this.address).pathname, {
      method: 'POST', body,
      headers: { 'Content-Type': type, 'Nosphere-Session': this.session, 'Nosphere-Token': this.token },
    });
    assert.equal(response.status, 204, await response.text());
  }

  /** Waits until the stream was lost. */
  lost() {
    return within(new Promise((resolve) => this.source.addEventListener('error', resolve, { once: true })), 'the loss');
  }
}

test('text, JSON and binary come back (PLN-2, PLN-3)', async (t) => {
  const source = await Source.open(t, `${url}/echo`);
  const big = '€'.repeat(33_334);
  for (const text of ['hello', 'ñ 漢字 🚀', ' two\nlines\n', '{"a": [1]}', big]) await source.post(text);
  await source.post(Buffer.alloc(100_000, 'x'), 'application/octet-stream');
  const expected = ['hello', 'ñ 漢字 🚀', ' two\nlines\n', '{"a":[1]}', big, Buffer.alloc(100_000, 'x')];
  assert.deepEqual(await source.messages.take(6), expected);
});

test('a stream that is cut comes back by itself with Last-Event-ID and misses nothing (PLN-3)', async (t) => {
  const proxy = await startProxy(url);
  const source = await Source.open(t, `${proxy.url}/echo`);
  for (let round = 0; round < 2; round += 1) {
    const [before, away] = ['before', 'away'].map((part) => Array.from({ length: 10 }, (_, index) => `${part} ${round} ${index}`));
    for (const text of before) await source.post(text);
    // Some of these are read, some are lost with the connection, and ten more come while nobody listens.
    const lost = source.lost();
    proxy.cut();
    await lost;
    for (const text of away) await source.post(text);
    assert.deepEqual(await source.messages.take(20), [...before, ...away]);
  }
  await source.post('end');
  assert.equal(await source.messages.next(), 'end', 'nothing came twice');
});

test('a session that is gone is told by reset, and a new one begins (PLN-4)', async (t) => {
  // The proxy leads to another server after the cut: what this one knows is nothing.
  const other = await startEcho();
  const proxy = await startProxy(url);
  const elsewhere = await startProxy(other);
  let target = proxy.url;
  const source = new EventSource(`${proxy.url}/echo`, {
    fetch: (address, init) => fetch(`${target}${new URL(address).pathname}`, init),
  });
  t.after(() => source.close());
  const events = new Queue();
  for (const type of ['session', 'reset']) source.addEventListener(type, (event) => events.push([type, event.data]));
  const [, first] = await events.next('the session');
  target = elsewhere.url;
  proxy.cut();
  const [session, reset] = await events.take(2);
  assert.equal(session[0], 'session');
  assert.notEqual(session[1], first);
  assert.deepEqual(reset, ['reset', '']);
});

test('what is not there stops an EventSource for good', async () => {
  const source = new EventSource(`${url}/nowhere`);
  const error = await within(new Promise((resolve) => source.addEventListener('error', resolve)), 'the error');
  assert.equal(error.code, 404);
  assert.equal(source.readyState, EventSource.CLOSED);
});

test('any page may not post into the session of another (SEC-2)', async (t) => {
  const source = await Source.open(t, `${url}/echo`);
  const response = await fetch(`${url}/echo`, {
    method: 'POST', body: 'x',
    headers: { Origin: 'https://evil.example', 'Nosphere-Session': source.session, 'Nosphere-Token': source.token },
  });
  assert.deepEqual([response.status, response.headers.get('Nosphere-Error')], [403, 'origin']);
  await source.post('after');
  assert.equal(await source.messages.next(), 'after');
});
