// The proxy may do to a connection what a network can, and nothing else.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { Proxy } from '../proxy.mjs';

test('a connection that is cut within an event brings nothing behind it, whatever the server has written already', async (t) => {
  const chunk = (data) => `${data.length.toString(16)}\r\n${data}\r\n`;
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    const events = Array.from({ length: 20 }, (_, index) => chunk(`data: event ${index}\n\n`)).join('');
    socket.once('data', () => socket.write(`HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n${events}`));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const proxy = await Proxy.start(`http://127.0.0.1:${server.address().port}`);
  t.after(() => proxy.stop());
  let cut;
  proxy.judge = ({ kind, raw }) => (kind === 'event' && !cut ? { cut: (cut = raw.subarray(0, 12)).length } : 'pass');

  const browser = net.connect(new URL(proxy.url).port, '127.0.0.1');
  let came = '';
  browser.on('data', (data) => (came += data)).on('error', () => {});
  browser.write('GET /echo HTTP/1.1\r\nHost: echo\r\nNosphere-Transport: sse\r\n\r\n');
  await once(browser, 'close');
  const body = came.slice(came.indexOf('\r\n\r\n') + 4);
  assert.ok(cut, 'it was cut');
  assert.ok(cut.toString().startsWith(body), `behind the cut came ${JSON.stringify(body)}`);
});
