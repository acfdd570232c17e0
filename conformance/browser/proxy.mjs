// A TCP proxy between browser and server that can break things at the worst moment. It reads along far enough to know
// what each piece of traffic is, asks `proxy.judge(item)` about it, and only then passes it on, whole, as it was.
//
// An item: { kind, direction, connection, request, text }
//   kind        request (of any sort, with its body) | answer (of a page, poll or POST, whole) | event (of a stream)
//               | message (of a WebSocket) | opening (the head of a stream, or the 101 of a WebSocket)
//   direction   up (to the server) | down (to the browser)
//   request     { method, path, sort } with sort: page, poll, stream, post, websocket
//   text        the body, event or message
// A verdict: 'pass' | 'kill' (both connections, with a reset: what the server wrote is never read) | 'drop' (swallow)
//            | { cut: n } (pass the first n bytes, then kill)
//            | { as: bytes, end } (pass these bytes in place of those that came; with `end`, end the connection behind them)
//            | { answer: bytes, end } (of a request: the server never sees it, the browser gets this)
// or a promise of one, which holds this direction of this connection until then.

import net from 'node:net';
import { Ended, Reader, readBody, readHead, readMessage } from './wire.mjs';

export class Proxy {
  /** Decides on each item. Replaced by tests, see fault(). */
  judge = () => 'pass';
  connections = new Set();
  /** What the proxy answers by itself, by path: { type, body }. To a browser it is of one origin with the server. */
  pages = new Map();
  /** How many connections were accepted, and how many of them refused by cut(). */
  accepted = 0;
  refused = 0;
  #server;
  #target;
  #cut = false;

  static async start(url) {
    const proxy = new Proxy();
    proxy.target(url);
    proxy.#server = net.createServer({ noDelay: true }, (socket) => proxy.#accept(socket));
    await new Promise((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    proxy.url = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  /** Where new connections go. */
  target(url) {
    const { hostname, port } = new URL(url);
    this.#target = { host: hostname, port: Number(port) };
  }

  stop() {
    this.#server.close();
    this.kill();
  }

  /** Kills what is open, all or one sort, as a pulled cable would. Returns how many connections that were. */
  kill(sort) {
    const chosen = [...this.connections].filter(({ request }) => !sort || request?.sort === sort);
    for (const connection of chosen) connection.kill();
    return chosen.length;
  }

  /** No network from here on, until restore(). */
  cut() {
    this.#cut = true;
    return this.kill();
  }

  restore() {
    this.#cut = false;
  }

  /**
   * Arms one fault: the first item that `matches` gets `verdict`, or what that function returns for it. The promise is
   * that of the item, so that a test can show that the fault happened.
   */
  fault(matches, verdict) {
    return new Promise((resolve) => {
      const before = this.judge;
      this.judge = (item) => {
        if (!matches(item)) return before(item);
        this.judge = before;
        resolve(item);
        return typeof verdict === 'function' ? verdict(item) : verdict;
      };
    });
  }

  #accept(browser) {
    this.accepted += 1;
    if (this.#cut) {
      this.refused += 1;
      return reset(browser);
    }
    const server = net.connect({ ...this.#target, noDelay: true });
    const connection = {
      request: null,
      asked: [], // requests whose answers are to come
      bytes: 0, // read from either side, and judged
      over: new Promise((resolve) => [browser, server].forEach((socket) => socket.on('end', resolve).on('close', resolve))),
      kill() {
        for (const socket of [browser, server]) reset(socket);
      },
    };
    this.connections.add(connection);
    for (const socket of [browser, server]) socket.on('error', () => connection.kill());
    server.on('close', () => this.connections.delete(connection));
    const ended = (error) => {
      browser.end(); // behind what was passed on before
      server.end();
      if (!(error instanceof Ended)) throw error;
    };
    const pass = (direction, to) => async (item) => {
      const verdict = await this.judge({ ...item, direction, connection, text: String(item.data ?? '') });
      connection.bytes += item.raw.length;
      if (verdict === 'kill') connection.kill();
      if (verdict === 'pass' && !to.destroyed) to.write(item.raw);
      if (verdict.cut !== undefined) {
        to.write(item.raw.subarray(0, verdict.cut), () => connection.kill());
        await new Promise(() => {}); // what was read already must not follow
      }
      if (verdict.as && !to.destroyed) to.write(verdict.as);
      if (verdict.as && verdict.end) to.end();
      return verdict.answer ? verdict : null;
    };
    const answer = ({ answer: bytes, end }) => {
      browser.write(bytes);
      if (end) throw new Ended();
    };
    this.#up(new Reader(browser), connection, pass('up', server), answer).catch(ended);
    this.#down(new Reader(server), connection, pass('down', browser)).catch(ended);
  }

  async #up(reader, connection, pass, answer) {
    for (;;) {
      const { raw, first: [method, path], headers } = await readHead(reader);
      const body = await collect(readBody(reader, headers));
      const request = { method, path, sort: sortOf(method, headers) };
      connection.request = request;
      const page = method === 'GET' && this.pages.get(path.split('?')[0]);
      if (page) {
        answer({ answer: response('200 OK', page.body, { 'Content-Type': page.type, 'Cache-Control': 'no-cache' }) });
        continue;
      }
      const answered = new Promise((resolve) => connection.asked.push({ request, answered: resolve }));
      const own = await pass({ kind: 'request', request, headers, raw: Buffer.concat([raw, body.raw]), data: body.data });
      if (own) {
        connection.asked.pop();
        answer(own);
        continue;
      }
      const upgraded = await Promise.race([answered, reader.ended]); // ended: an aborted request
      if (upgraded) for (;;) await pass({ kind: 'message', request, ...(await readMessage(reader)) });
    }
  }

  async #down(reader, connection, pass) {
    for (;;) {
      const { raw, first: [, status], headers } = await readHead(reader);
      const { request, answered } = connection.asked.shift() ?? raise(new Ended());
      if (status === '101') {
        await pass({ kind: 'opening', request, status, raw });
        answered(true);
        for (;;) await pass({ kind: 'message', request, ...(await readMessage(reader)) });
      }
      if (headers['content-type']?.startsWith('text/event-stream')) {
        await pass({ kind: 'opening', request, status, headers, raw });
        let raws = [];
        let data = '';
        for await (const part of readBody(reader, headers)) {
          raws.push(part.raw);
          data += part.data;
          if (part.data.length && !data.endsWith('\n\n')) continue; // an event in several chunks
          await pass({ kind: 'event', request, status, raw: Buffer.concat(raws), data });
          [raws, data] = [[], ''];
        }
      } else {
        const none = ['204', '304'].includes(status) || request.method === 'HEAD';
        const body = none ? { raw: Buffer.alloc(0) } : await collect(readBody(reader, headers));
        await pass({ kind: 'answer', request, status, headers, raw: Buffer.concat([raw, body.raw]), data: body.data });
      }
      answered(false);
    }
  }
}

/** An answer of the proxy's own. */
export function response(status, body = '', headers = {}, version = 'HTTP/1.1') {
  const content = Buffer.from(body);
  const lines = Object.entries({ 'Cache-Control': 'no-store', 'Content-Length': content.length, ...headers });
  return Buffer.concat([
    Buffer.from(`${version} ${status}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`), content,
  ]);
}

/** A socket that was ended already cannot be reset any more: Node would keep it open for ever. */
function reset(socket) {
  if (socket.writableEnded || socket.destroyed) socket.destroy();
  else socket.resetAndDestroy();
}

function raise(error) {
  throw error;
}

function sortOf(method, headers) {
  if (headers.upgrade?.toLowerCase() === 'websocket') return 'websocket';
  if (method === 'POST') return 'post';
  return { sse: 'stream', 'long-polling': 'poll' }[headers['nosphere-transport']] ?? 'page';
}

async function collect(parts) {
  const all = { raw: [], data: [] };
  for await (const { raw, data } of parts) {
    all.raw.push(raw);
    all.data.push(data);
  }
  return { raw: Buffer.concat(all.raw), data: Buffer.concat(all.data) };
}
