// A TCP proxy that reads the requests along. It can hold them, refuse them and cut links; it remembers what passed; and it
// serves the pages of the clients, so that they and the endpoint have one origin.

import { createHash } from 'node:crypto';
import net from 'node:net';
import { Ended, Reader, readBody, readHead, readMessage } from '../browser/wire.mjs';
import { Watch } from './watch.mjs';

export class Proxy extends Watch {
  /** Every request, in the order of arrival: { method, path, query, transport, id, connects, body, answer, over }. */
  requests = [];
  /** Says of each request before it goes on: 'pass', 'refuse', or 'end' for a WebSocket that is accepted and ended; a promise of it holds the request. */
  judge = () => 'pass';
  /** What is served here: path → { type, body }. */
  pages = new Map();
  #server;
  #target;
  #connections = new Set();
  #gate = null; // while cut: what holds new requests

  static async start(t, url) {
    const proxy = new Proxy();
    proxy.target(url);
    proxy.#server = net.createServer({ noDelay: true }, (socket) => proxy.#accept(socket));
    await new Promise((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    proxy.url = `http://127.0.0.1:${proxy.#server.address().port}`;
    t.after(() => {
      proxy.#server.close();
      for (const { client, server } of proxy.#connections) for (const socket of [client, server]) socket?.destroy();
    });
    return proxy;
  }

  /** Where new connections go. */
  target(url) {
    const { hostname, port } = new URL(url);
    this.#target = { host: hostname, port: Number(port) };
  }

  /**
   * Takes every connection away; requests wait until restore(). Clients see their sockets end in the middle of what passes, or
   * be reset, or an answer that is `complete`. Resolves when the server has let go of its side: from then on it writes to
   * none of them.
   */
  async cut(how = 'ended') {
    this.pause();
    const connections = [...this.#connections];
    for (const { client, server, asked } of connections) {
      if (how === 'complete' && asked.at(-1)?.links) client.write('0\r\n\r\n');
      if (how === 'reset' && !client.writableEnded && !client.destroyed) client.resetAndDestroy();
      else client.destroySoon();
      server?.end();
    }
    await this.until(() => connections.every(({ server }) => !server || server.closed), 'the server to let go of its links');
  }

  /** Requests wait until restore(). */
  pause() {
    this.#gate ??= gate();
  }

  /** What was held goes on. */
  restore() {
    this.#gate?.open();
    this.#gate = null;
  }

  /** Holds the next request that `matches`. Resolves to it and what lets it go once it is here. */
  hold(matches) {
    return new Promise((resolve) => {
      const before = this.judge;
      this.judge = (request) => {
        if (!matches(request)) return before(request);
        this.judge = before;
        return new Promise((release) => resolve({ request, release: () => release('pass') }));
      };
    });
  }

  /** Resolves to the first request that `matches`, past or to come. */
  request(matches, what) {
    return this.until(() => this.requests.find(matches), what);
  }

  /** Resolves when the newest request that connects is a link. */
  linked() {
    return this.until(() => this.requests.findLast(({ connects }) => connects)?.links, 'the link');
  }

  /** Resolves when everything that came is answered to its end, or gone. */
  quiet() {
    return this.until(() => this.requests.every(({ ended }) => ended), () => `the end of ${this.requests.find(({ ended }) => !ended)}`);
  }

  #accept(client) {
    const connection = { client, server: null, asked: [] };
    this.#connections.add(connection);
    const over = () => {
      if (!client.closed || (connection.server && !connection.server.closed)) return;
      for (const request of connection.asked) request.over = true;
      this.#connections.delete(connection);
      this.changed();
    };
    client.on('error', () => {}).on('close', () => { connection.server?.end(); over(); });
    connection.over = over;
    this.#up(new Reader(client), connection).catch((error) => {
      connection.server?.end();
      if (!connection.server) client.end();
      if (!(error instanceof Ended)) throw error;
    });
  }

  async #up(reader, connection) {
    for (;;) {
      const { raw, first: [method, target], headers } = await readHead(reader);
      const parts = [];
      for await (const part of readBody(reader, headers)) parts.push(part);
      const request = describe(method, target, headers, Buffer.concat(parts.map(({ data }) => data)));
      connection.asked.push(request);
      request.over = connection.client.closed; // a client that took its request back before it was read here
      this.requests.push(request);
      this.changed();
      const page = this.pages.get(request.path);
      if (page) {
        connection.client.write(`HTTP/1.1 200 OK\r\nContent-Type: ${page.type}\r\nContent-Length: ${Buffer.byteLength(page.body)}\r\n\r\n${page.body}`);
        request.over = true;
        continue;
      }
      connection.held = true;
      const verdict = await this.judge(request);
      await this.#gate?.passed;
      connection.held = false;
      if (connection.client.destroyed) throw new Ended();
      if (verdict !== 'pass') {
        request.answer = verdict === 'refuse' ? REFUSAL : acceptance(headers['sec-websocket-key']);
        connection.client.end(request.answer);
        return;
      }
      if (!connection.server || connection.server.readableEnded || connection.server.destroyed) connection.server = this.#connect(connection);
      connection.server.write(Buffer.concat([raw, ...parts.map((part) => part.raw)]));
      if (request.transport === 'websocket' && headers.upgrade) for (;;) connection.server.write((await readMessage(reader)).raw);
    }
  }

  #connect(connection) {
    const { client, asked } = connection;
    const server = net.connect({ ...this.#target, noDelay: true });
    // A client between two requests is kept: the next one goes to whatever server is there when it goes on.
    const ended = () => { if (connection.server === server && !connection.held && !asked.at(-1).ended) client.end(); };
    server.on('error', () => {}).on('end', ended).on('close', () => { ended(); connection.over(); this.changed(); });
    server.on('data', (data) => {
      if (!client.destroyed) client.write(data);
      asked.at(-1).answer += data.toString('latin1');
      this.changed();
    });
    return server;
  }
}

function describe(method, target, headers, body) {
  const { pathname, searchParams } = new URL(target, 'http://proxy');
  const query = Object.fromEntries([...searchParams].map(([name, value]) => [name.toLowerCase(), value]));
  const [transport, id] = ['x-atmosphere-transport', 'x-atmosphere-tracking-id'].map((name) => query[name] ?? headers[name]);
  return {
    method, path: pathname, query, headers, transport, id, body: body.toString(), answer: '', over: false,
    connects: method === 'GET' && transport !== undefined && !['close', 'polling'].includes(transport),
    /** Its answer has begun, and goes on: it is a link. */
    get links() {
      return this.connects && !this.over && (this.status === '101'
        || (this.status === '200' && /^transfer-encoding: chunked/im.test(this.answer) && !/\r\n0\r\n\r\n$/.test(this.answer)));
    },
    /** Its answer is complete, or its connection is gone. */
    get ended() {
      return this.over || (this.status !== undefined && this.status !== '101' && !this.links);
    },
    /** The body as far as it has come, without the sizes of its chunks. */
    get content() {
      const [head, ...rest] = this.answer.split('\r\n\r\n');
      let body = rest.join('\r\n\r\n');
      if (!/^transfer-encoding: chunked/im.test(head)) return body;
      let content = '';
      for (let size; (size = parseInt(body, 16)) > 0; body = body.slice(body.indexOf('\r\n') + 2 + size + 2)) {
        content += body.slice(body.indexOf('\r\n') + 2).slice(0, size);
      }
      return content;
    },
    get status() { return this.answer.match(/^HTTP\/1.1 (\d+)/)?.[1]; },
    toString() { return `${method} ${target} ${this.body && JSON.stringify(this.body)} → ${this.over ? 'over ' : ''}${this.status} ${JSON.stringify(this.content.replace(/ {9,}/g, '<spaces>').slice(0, 300))}`; },
  };
}

const REFUSAL = 'HTTP/1.1 501 Not Implemented\r\nX-Atmosphere-error: Websocket protocol not supported\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';

function acceptance(key) {
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
}

function gate() {
  let open;
  const passed = new Promise((resolve) => (open = resolve));
  return { passed, open };
}
