// Starts echo, and knows just enough of nosphere.v1 to talk to it through libraries that no one here wrote.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { createInterface } from 'node:readline';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { decode, encode } from '@msgpack/msgpack';

const BINARY = process.env.NOSPHERE_ECHO || fileURLToPath(new URL('../../../target/release/examples/echo', import.meta.url));
const PATIENCE = 15_000;

/** The URL of an echo server of this file's own, which must end cleanly when it is told to. */
export async function startEcho() {
  const child = spawn(BINARY, ['--addr', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  after(async () => {
    child.kill('SIGTERM');
    assert.deepEqual(await within(exited, 'the server to end'), [0, null]);
  });
  const [line] = await within(once(createInterface(child.stdout), 'line'), 'the server to listen');
  return JSON.parse(line).url;
}

/** Fails, instead of waiting for ever. */
export async function within(promise, what, patience = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), patience)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Things that come one after the other, and a promise for the next one. */
export class Queue {
  #come = [];
  #waiting = [];

  push(item) {
    const next = this.#waiting.shift();
    if (next) next(item);
    else this.#come.push(item);
  }

  next(what = 'the next message') {
    if (this.#come.length) return Promise.resolve(this.#come.shift());
    return within(new Promise((resolve) => this.#waiting.push(resolve)), what);
  }

  async take(count) {
    const items = [];
    while (items.length < count) items.push(await this.next(`message ${items.length + 1} of ${count}`));
    return items;
  }
}

/** A TCP proxy whose connections can be cut. */
export async function startProxy(url) {
  const target = new URL(url);
  const sockets = new Set();
  const server = net.createServer((client) => {
    const upstream = net.connect(target.port, target.hostname);
    for (const [socket, other] of [[client, upstream], [upstream, client]]) {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => { sockets.delete(socket); other.destroy(); }).pipe(other);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => { for (const socket of [...sockets]) socket.destroy(); };
  after(() => { cut(); server.close(); });
  return { url: `http://127.0.0.1:${server.address().port}`, cut };
}

const KINDS = ['open', 'opened', 'resume', 'resumed', 'reset', 'text', 'json', 'binary', 'ack', 'ping', 'pong', 'close'];
const hex = (bytes) => Buffer.from(bytes).toString('hex');
const dashed = (text) => text.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5');

export const JSON_FORMAT = {
  name: 'nosphere.v1.json',
  mediaType: 'application/vnd.nosphere.v1.json',
  encode: (frame) => JSON.stringify(frame.binary ? { binary: Buffer.from(frame.binary).toString('base64') } : frame),
  decode(unit) {
    const frame = JSON.parse(unit);
    return 'binary' in frame ? { binary: Buffer.from(frame.binary, 'base64') } : frame;
  },
  batch(frames) { return frames.map(this.encode).join('\n'); },
  unbatch(body) { return body.length ? body.toString().replace(/\n$/, '').split('\n').map(this.decode) : []; },
};

export const MESSAGEPACK_FORMAT = {
  name: 'nosphere.v1.messagepack',
  mediaType: 'application/vnd.nosphere.v1.messagepack',
  encode(frame) {
    const [[kind, value]] = Object.entries(frame);
    const number = KINDS.indexOf(kind);
    if (kind === 'open') return encode([number, value.attachment, value.window.messages, value.window.bytes]);
    if (kind === 'close') return encode([number, value.code, value.reason, value.received]);
    if (kind === 'resume') {
      const key = [value.session.replaceAll('-', ''), value.token].map((text) => Buffer.from(text, 'hex'));
      return encode([number, ...key, value.attachment, value.received]);
    }
    return encode([number, value]);
  },
  decode(unit) {
    const [number, ...values] = decode(unit);
    const kind = KINDS[number];
    if (kind === 'opened') return { opened: { session: dashed(hex(values[0])), token: hex(values[1]) } };
    if (kind === 'resumed') return { resumed: { received: values[0] } };
    if (kind === 'close') return { close: { code: values[0], reason: values[1], received: values[2] } };
    return { [kind]: kind === 'binary' ? Buffer.from(values[0]) : values[0] };
  },
  batch(frames) {
    return Buffer.concat(frames.flatMap((frame) => {
      const unit = Buffer.from(this.encode(frame));
      const length = Buffer.alloc(4);
      length.writeUInt32BE(unit.length);
      return [length, unit];
    }));
  },
  unbatch(body) {
    const frames = [];
    for (let at = 0; at < body.length; at += 4 + body.readUInt32BE(at)) {
      frames.push(this.decode(body.subarray(at + 4, at + 4 + body.readUInt32BE(at))));
    }
    return frames;
  },
};

export const FORMATS = [JSON_FORMAT, MESSAGEPACK_FORMAT];
export const WINDOW = { messages: 256, bytes: 1 << 20 };
export const isMessage = (frame) => 'text' in frame || 'json' in frame || 'binary' in frame;

/** What every client must get back as it was. */
export const MESSAGES = [
  { text: 'hello' }, { text: '' }, { text: 'ñ 漢字 🚀 \u2028 \u0000 "\\ \r\n end' }, { text: '€'.repeat(33_334) },
  { json: { author: 'joe', nested: [{ a: [1, -2.5, 1e300, true, null] }] } }, { json: null },
  { json: Array.from({ length: 20_000 }, (_, index) => index) },
  { binary: Buffer.from(Array.from({ length: 256 }, (_, index) => index)) }, { binary: Buffer.alloc(100_000, 'binary') },
];

/** A native client over polls and POSTs with `fetch`. */
export class Polling {
  attachment = 1;
  received = 0;
  base = 0;

  constructor(url, format) {
    Object.assign(this, { url, format });
  }

  static async open(url, format) {
    const polling = new Polling(url, format);
    const [frame] = await polling.poll();
    Object.assign(polling, frame.opened);
    return polling;
  }

  key() {
    return this.session
      ? { 'Nosphere-Session': this.session, 'Nosphere-Token': this.token, 'Nosphere-Received': String(this.received) }
      : {};
  }

  async poll() {
    const response = await fetch(this.url, {
      headers: { 'Nosphere-Protocol': this.format.name, 'Nosphere-Attachment': String(this.attachment), ...this.key() },
      signal: AbortSignal.timeout(40_000),
    });
    assert.equal(response.status, 200, await response.clone().text());
    const frames = this.format.unbatch(Buffer.from(await response.arrayBuffer()));
    this.received += frames.filter(isMessage).length;
    return frames;
  }

  async messages(count) {
    const messages = [];
    while (messages.length < count) messages.push(...(await this.poll()).filter(isMessage));
    return messages;
  }

  async send(...frames) {
    const response = await fetch(this.url, {
      method: 'POST',
      body: this.format.batch(frames),
      headers: {
        'Content-Type': this.format.mediaType, 'Nosphere-Attachment': String(this.attachment),
        'Nosphere-Base': String(this.base), ...this.key(),
      },
    });
    assert.equal(response.status, 204, await response.text());
    this.base += frames.filter(isMessage).length;
    assert.ok(Number(response.headers.get('Nosphere-Received')) <= this.base);
  }
}
