/** The wire format `messagepack`, SPEC §3.2. `@msgpack/msgpack` writes it. */

import { encode } from '@msgpack/msgpack';
import { DEPTH, KINDS, control, fromBase64, isCount, shallow, stringify } from './frames.js';
import type { Format, Frame, Unit } from './frames.js';

const NAMES = ['open', 'opened', 'resume', 'resumed', 'reset', 'text', 'json', 'binary', 'ack', 'ping', 'pong', 'close', 'request', 'reply'];
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const messagepack: Format = {
  name: 'messagepack',

  encode({ kind, value, exchange, id }) {
    const head = exchange ? [NAMES.indexOf(exchange), id, NAMES.indexOf(kind)] : [NAMES.indexOf(kind)];
    return encode([...head, ...(KINDS.includes(kind) ? [payload(kind, value)] : fields(kind, value))], { maxDepth: DEPTH + 2 });
  },

  decode: read,

  join(units) {
    const parts = units as Uint8Array[];
    const body = new Uint8Array(parts.reduce((length, part) => length + 4 + part.length, 0));
    let at = 0;
    for (const part of parts) {
      new DataView(body.buffer).setUint32(at, part.length); // [BAT-2]
      body.set(part, at + 4);
      at += 4 + part.length;
    }
    return body;
  },

  read: async (response) => {
    const body = new Uint8Array(await response.arrayBuffer());
    const view = new DataView(body.buffer);
    const units: Unit[] = [];
    for (let at = 0; at < body.length; ) {
      const end = at + 4 + view.getUint32(at);
      if (end > body.length) throw new RangeError('a batch that ends early');
      units.push(body.subarray(at + 4, end));
      at = end;
    }
    return units;
  },

  event: fromBase64,
};

/** A message's content as the library is to write it. */
function payload(kind: string, value: unknown): unknown {
  if (kind != 'json') return value;
  const plain = JSON.parse(stringify(value));
  shallow(plain);
  return plain;
}

const bytes = (hex: string) => Uint8Array.from(hex.replaceAll('-', '').match(/../g)!, (pair) => parseInt(pair, 16));
const hex = (id: Uint8Array) => Array.from(id, (byte) => byte.toString(16).padStart(2, '0')).join('');

function fields(kind: string, value: any): unknown[] {
  switch (kind) {
    case 'open': return [value.attachment, value.window.messages, value.window.bytes];
    case 'opened': return [
      bytes(value.session), bytes(value.token), value.heartbeat, value.timeout, value.proof, value.resume, value.window.messages, value.window.bytes,
    ];
    case 'resume': return [bytes(value.session), bytes(value.token), value.attachment, value.received];
    case 'resumed': return [value.received];
    case 'close': return [value.code, value.reason, value.received];
    default: return [value];
  }
}

/** Reads a unit. What stands around a payload is read here, so that its faults are told from those of the payload [FRM-3]. */
function read(unit: Unit): Frame {
  const data = unit as Uint8Array;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const head = headOf(view, 0);
  if (head.type != 'array') malformed();
  let { at } = head;
  let left = head.n;

  const next = (type: string) => {
    if (left-- < 1) malformed();
    const one = headOf(view, at);
    if (one.type != type) malformed();
    const content = data.subarray(one.at, one.at + one.n);
    at = one.at + (type == 'str' || type == 'bin' ? one.n : 0);
    return type == 'str' ? utf8.decode(content) : type == 'bin' ? content : one.n;
  };
  const count = () => {
    const n = next('int') as number;
    return isCount(n) ? n : malformed();
  };
  const id = () => {
    const digits = hex(next('bin') as Uint8Array);
    return digits.length == 32 ? digits : malformed();
  };
  const uuid = () => id().replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  const end = <T>(frame: T): T => { // [MSP-1]
    while (left-- > 0) at = pass(view, at);
    return at == data.length ? frame : malformed();
  };

  const value = (kind: string): any => {
    switch (kind) {
      case 'open': return { attachment: count(), window: { messages: count(), bytes: count() } };
      case 'opened': return {
        session: uuid(), token: id(), heartbeat: count(), timeout: count(), proof: count(), resume: count(), window: { messages: count(), bytes: count() },
      };
      case 'resume': return { session: uuid(), token: id(), attachment: count(), received: count() };
      case 'resumed': return { received: count() };
      case 'reset': return next('str');
      case 'close': return { code: count(), reason: next('str'), received: count() };
      default: return count();
    }
  };

  let kind = NAMES[next('int') as number] ?? malformed();
  let exchange: Frame['exchange'];
  let number: number | undefined;
  if (kind == 'request' || kind == 'reply') {
    exchange = kind;
    number = count();
    kind = NAMES[next('int') as number] ?? malformed();
    if (!KINDS.includes(kind)) malformed();
  }
  if (!KINDS.includes(kind)) return end(control(kind, value(kind)));
  if (left < 1) malformed();
  const frame = { kind, exchange, id: number };
  let content;
  try {
    if (kind == 'json') {
      ({ value: content, at } = json(view, at, 0));
      left -= 1;
    } else content = next(kind == 'text' ? 'str' : 'bin');
  } catch {
    return { ...frame, error: `not ${kind}` };
  }
  return end({ ...frame, value: content });
}

interface Head {
  type: 'array' | 'bin' | 'ext' | 'float' | 'int' | 'map' | 'scalar' | 'str';
  /** A number, the byte of a scalar, or how much follows. */
  n: number;
  /** Where that begins. */
  at: number;
}

/** One scalar, or what a string or container begins with. Throws where it ends early. */
function headOf(view: DataView, from: number): Head {
  const byte = view.getUint8(from);
  const at = from + 1;
  const sized = (type: Head['type'], size: number): Head => {
    const n = size == 1 ? view.getUint8(at) : size == 2 ? view.getUint16(at) : view.getUint32(at);
    return within({ type, n, at: at + size });
  };
  const within = (head: Head): Head => {
    if (/str|bin|ext/.test(head.type) && head.at + head.n > view.byteLength) throw new RangeError('ends early');
    return head;
  };
  if (byte < 0x80) return { type: 'int', n: byte, at };
  if (byte < 0x90) return { type: 'map', n: byte & 15, at };
  if (byte < 0xa0) return { type: 'array', n: byte & 15, at };
  if (byte < 0xc0) return within({ type: 'str', n: byte & 31, at });
  if (byte >= 0xe0) return { type: 'int', n: byte - 256, at };
  if (byte == 0xc0 || byte == 0xc2 || byte == 0xc3) return { type: 'scalar', n: byte, at };
  if (byte >= 0xc4 && byte <= 0xc6) return sized('bin', 1 << (byte - 0xc4));
  if (byte >= 0xc7 && byte <= 0xc9) {
    const ext = sized('ext', 1 << (byte - 0xc7));
    return within({ ...ext, n: ext.n + 1 });
  }
  if (byte == 0xca) return { type: 'float', n: view.getFloat32(at), at: at + 4 };
  if (byte == 0xcb) return { type: 'float', n: view.getFloat64(at), at: at + 8 };
  if (byte == 0xcc) return { type: 'int', n: view.getUint8(at), at: at + 1 };
  if (byte == 0xcd) return { type: 'int', n: view.getUint16(at), at: at + 2 };
  if (byte == 0xce) return { type: 'int', n: view.getUint32(at), at: at + 4 };
  if (byte == 0xcf) return { type: 'int', n: Number(view.getBigUint64(at)), at: at + 8 };
  if (byte == 0xd0) return { type: 'int', n: view.getInt8(at), at: at + 1 };
  if (byte == 0xd1) return { type: 'int', n: view.getInt16(at), at: at + 2 };
  if (byte == 0xd2) return { type: 'int', n: view.getInt32(at), at: at + 4 };
  if (byte == 0xd3) return { type: 'int', n: Number(view.getBigInt64(at)), at: at + 8 };
  if (byte >= 0xd4 && byte <= 0xd8) return within({ type: 'ext', n: 1 + (1 << (byte - 0xd4)), at });
  if (byte >= 0xd9 && byte <= 0xdb) return sized('str', 1 << (byte - 0xd9));
  if (byte == 0xdc || byte == 0xdd) return sized('array', byte == 0xdc ? 2 : 4);
  if (byte == 0xde || byte == 0xdf) return sized('map', byte == 0xde ? 2 : 4);
  throw new RangeError('a byte that MessagePack does not use');
}

/** Passes over one value, whatever it is. */
function pass(view: DataView, from: number): number {
  let at = from;
  for (let left = 1; left > 0; left -= 1) {
    const { type, n, at: next } = headOf(view, at);
    at = next + (/str|bin|ext/.test(type) ? n : 0);
    if (type == 'array') left += n;
    if (type == 'map') left += 2 * n;
    if (left > view.byteLength) throw new RangeError('ends early'); // each value takes a byte at least
  }
  return at;
}

/** Reads one value, which must be within the data model of JSON [MSP-2, MSP-3], and says where it ends. */
function json(view: DataView, from: number, level: number): { value: unknown; at: number } {
  const { type, n, at } = headOf(view, from);
  switch (type) {
    case 'int': return { value: n, at };
    case 'scalar': return { value: n == 0xc0 ? null : n == 0xc3, at };
    case 'float':
      if (!Number.isFinite(n)) throw new TypeError('no number of JSON');
      return { value: n, at };
    case 'str': return { value: text(view, at, n), at: at + n };
    case 'array': case 'map': {
      if (level == DEPTH) throw new RangeError('nested too deeply');
      let end = at;
      const next = () => {
        const item = json(view, end, level + 1);
        end = item.at;
        return item.value;
      };
      const key = () => {
        const head = headOf(view, end);
        if (head.type != 'str') throw new TypeError('a key that is no string');
        end = head.at + head.n;
        return text(view, head.at, head.n);
      };
      const items = [];
      for (let left = n; left > 0; left -= 1) items.push(type == 'map' ? [key(), next()] as const : next());
      return { value: type == 'map' ? Object.fromEntries(items as [string, unknown][]) : items, at: end }; // `__proto__` is a key like any other
    }
    default: throw new TypeError(`${type}, which JSON does not have`);
  }
}

const text = (view: DataView, at: number, length: number) => utf8.decode(new Uint8Array(view.buffer, view.byteOffset + at, length));

const malformed = (): never => {
  throw new TypeError('not a frame');
};
