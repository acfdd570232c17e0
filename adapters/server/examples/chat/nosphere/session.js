// The state of one nosphere.v1 session, seen from the client: numbering, queue, windows, acknowledgements.
// It knows no clock, socket or request. Rules in brackets are those of SPEC.md.

export const CODES = {
  closed: 1000, 'going-away': 1001, 'too-large': 1009, internal: 1011, malformed: 4400, forbidden: 4403, timeout: 4408,
  fenced: 4409, 'unknown-session': 4410, unproved: 4411, expired: 4412, window: 4413, unexpected: 4422, overflow: 4429,
  unavailable: 4503,
};

/** Default of what the server may send before it must wait for an acknowledgement. */
export const WINDOW = { messages: 256, bytes: 1 << 20 };

const QUEUE = { messages: 4096, bytes: 4 << 20 };
const BATCH = { units: 512, bytes: 1 << 20 };
const DEPTH = 64;

/** The peer broke the protocol: its link ends with `code`, the session stays [FRM-2]. */
export class Fault extends Error {
  constructor(name, message) {
    super(message);
    this.code = CODES[name];
  }
}

/**
 * A message of the application. `state`: queued, sent, taken; or unknown, unsent when the session ended first.
 * `exchange` is { request: id } or { reply: id } for one that asks or answers [REQ-1].
 */
export class Message {
  constructor(kind, data, exchange) {
    this.kind = kind;
    this.data = data;
    this.unit = encode(kind, data, exchange);
    this.bytes = utf8.encode(this.unit).length;
    this.state = 'queued';
  }
}

export class Session {
  /** Fields of `opened`, null before it: session, token, heartbeat, timeout, proof, resume, window. */
  grant = null;
  attachment = 0;
  /** Count of the server's messages that were taken. */
  received = 0;
  /** Count of our messages that the server took. */
  acknowledged = 0;

  #window;
  #taken; // told of each run of messages that the server acknowledged
  #queue = []; // everything behind `acknowledged`, in order
  #queuedBytes = 0;
  #sent = 0; // how many of the queue were handed to the current link
  #sentBytes = 0;
  #highest = 0; // the highest number that any link ever carried
  #told = 0; // the count that the server was last told
  #untoldBytes = 0;
  #awaits = null; // the answer that the current attachment still owes us
  #head = null; // what the head of its answer said
  #due = new Set(); // of ack, ping, pong
  #close = null; // { code, reason } once we are closing
  #closeSent = false;
  #peerClosed = false;
  #requests = 0; // how many there were: the id of the last one
  #asked = new Map(); // requests without a reply, by id: { resolve, reject }

  constructor(window = WINDOW, taken = () => {}) {
    this.#window = window;
    this.#taken = taken;
  }

  /** Begins an attachment and returns the frame that asks for it. Everything handed to older links counts as unsent. */
  offer() {
    this.attachment += 1; // [ATT-1]
    this.#awaits = this.grant ? 'resumed' : 'opened';
    this.#head = null;
    this.#due.clear();
    if (!this.grant) return { open: { attachment: this.attachment, window: this.#window } };
    const { session, token } = this.grant;
    return { resume: { session, token, attachment: this.attachment, received: this.tell() } };
  }

  /** The count for a header or frame that is about to leave. */
  tell() {
    this.#told = this.received;
    this.#untoldBytes = 0;
    this.#due.delete('ack');
    return this.received;
  }

  /** Accepts a message for sending, or throws and leaves everything as it was. */
  send(message) {
    if (this.#close || this.#peerClosed) throw new Error('the session is closing');
    if (message.bytes > (this.grant?.window ?? WINDOW).bytes) throw new RangeError('the message is too large');
    if (this.#queue.length >= QUEUE.messages || this.#queuedBytes + message.bytes > QUEUE.bytes) {
      throw new RangeError('too many messages wait to be sent');
    }
    this.#queue.push(message);
    this.#queuedBytes += message.bytes;
  }

  /**
   * Sends a request. `reply` is a promise of { kind, value }; it is settled once: by the first reply that names the request,
   * by forget(), or by the end of the session [REQ-2].
   */
  request(kind, data) {
    const id = this.#requests + 1;
    const message = new Message(kind, data, { request: id });
    this.send(message);
    this.#requests = id;
    const reply = new Promise((resolve, reject) => this.#asked.set(id, { resolve, reject }));
    return { id, message, reply };
  }

  /** Waits no more for the reply to a request. */
  forget(id, error) {
    this.#settle(id, ({ reject }) => reject(error));
  }

  #settle(id, how) {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    if (asked) how(asked);
  }

  ping() {
    this.#due.add('ping');
  }

  close(code, reason) {
    this.#close ??= { code, reason };
  }

  /**
   * Hands the next units to the current link, or returns null: control frames, then what the server's window allows,
   * then `close` behind the last message. `base` is the number of messages before the first one of the batch.
   */
  collect(limit = BATCH) {
    if (this.#awaits || !this.grant) return null;
    const base = this.acknowledged + this.#sent;
    const units = [];
    for (const kind of this.#due) units.push(JSON.stringify({ [kind]: this.received }));
    if (units.length) this.tell();
    this.#due.clear();
    for (let room = limit.bytes; !this.#peerClosed && units.length < limit.units; ) {
      const next = this.#queue[this.#sent];
      if (!next || next.bytes > room || !this.#allows()) break;
      room -= next.bytes + 1;
      next.state = 'sent';
      this.#sent += 1;
      this.#sentBytes += next.bytes;
      units.push(next.unit);
    }
    this.#highest = Math.max(this.#highest, this.acknowledged + this.#sent);
    const close = Boolean(this.#close) && !this.#closeSent && (this.#peerClosed || this.#sent === this.#queue.length);
    if (close) {
      this.#closeSent = true;
      units.push(JSON.stringify({ close: { ...this.#close, received: this.tell() } }));
    }
    return units.length ? { base, units, close } : null;
  }

  #allows() { // [DLV-2]: the unit that reaches the window is the last
    const { messages, bytes } = this.grant.window;
    return this.#sent < messages && this.#sentBytes < bytes;
  }

  /**
   * Takes one unit of the current link; `number` is the one that its carrier named, if it does.
   * Returns { kind, value }: a message, or the frame that it was; `error` where a message could not be read [FRM-3]. A
   * request or a reply has an `id`, and its message for a value.
   */
  receive(unit, number) {
    const frame = decode(unit);
    const { kind, value } = frame;
    if (this.#awaits === 'resumed' && this.#head !== null && !['resumed', 'close', 'reset'].includes(kind)) {
      this.#resumed({ received: this.#head }); // [POL-2]
    }
    if (this.#awaits && ![this.#awaits, 'close', ...(this.grant ? ['reset'] : [])].includes(kind)) {
      throw new Fault('unexpected', `${kind} before ${this.#awaits}`);
    }
    switch (kind) {
      case 'text': case 'json': case 'binary': case 'request': this.#take(unit, number); break;
      case 'reply':
        this.#take(unit, number);
        this.#settle(frame.id, ({ resolve, reject }) => (frame.error ? reject(new Error(frame.error)) : resolve(value)));
        break;
      case 'ack': case 'pong': this.acknowledge(value); break;
      case 'ping':
        this.acknowledge(value);
        this.#due.add('pong'); // [HB-2]
        break;
      case 'close':
        this.#peerClosed = true;
        this.acknowledge(value?.received);
        break;
      case 'opened': this.#opened(value); break;
      case 'resumed': this.#resumed(value); break;
      case 'reset':
        if (!this.#awaits) throw new Fault('unexpected', 'reset in a session that is open');
        break;
      default: throw new Fault('unexpected', `${kind} from a server`);
    }
    return frame;
  }

  #take(unit, number) {
    if (number !== undefined && number !== this.received + 1) { // [SSE-4]
      throw new Fault('unexpected', `message ${number} after ${this.received}`);
    }
    const bytes = utf8.encode(unit).length;
    const { messages, bytes: most } = this.#window;
    if (this.received - this.#told >= messages || this.#untoldBytes >= most) {
      throw new Fault('window', 'more than the window allows');
    }
    if (bytes > most) throw new Fault('too-large', 'a unit longer than the window');
    this.received += 1;
    this.#untoldBytes += bytes;
    if ((this.received - this.#told) * 2 >= messages || this.#untoldBytes * 2 >= most) this.#due.add('ack'); // [DLV-3]
  }

  #opened(grant) {
    if (this.#awaits !== 'opened') throw new Fault('unexpected', 'opened twice');
    if (typeof grant?.session !== 'string' || typeof grant.token !== 'string' || !(grant.window?.bytes >= 1)) {
      throw new Fault('malformed', 'opened without its fields');
    }
    this.grant = grant;
    this.#awaits = null;
    this.#due.add('ack'); // [SES-6]
  }

  #resumed(value) { // [DLV-6]
    if (this.#awaits !== 'resumed') throw new Fault('unexpected', 'resumed twice');
    const count = value?.received;
    if (isCount(count) && count < this.acknowledged) throw new Fault('unexpected', 'resumed behind an earlier count');
    this.acknowledge(count);
    this.#awaits = null;
    this.rewind();
  }

  /** Lets the next collect() begin behind what the server acknowledged. */
  rewind() {
    this.#sent = 0;
    this.#sentBytes = 0;
    this.#closeSent = false;
  }

  /** Takes the count of an answer's head, which stands for the `resumed` that the answer to a repeated poll lacks. */
  counted(count, polled) {
    this.acknowledge(count);
    if (polled && this.#awaits === 'resumed') this.#head = count;
  }

  /** Drops what the server took. A lower count than before is old news [DLV-4]. */
  acknowledge(count) {
    if (!isCount(count)) throw new Fault('malformed', 'not a count');
    if (count > this.#highest) throw new Fault('unexpected', `${count} taken of ${this.#highest} sent`);
    if (count <= this.acknowledged) return;
    const taken = this.#queue.splice(0, count - this.acknowledged);
    this.acknowledged = count;
    for (const [index, message] of taken.entries()) {
      message.state = 'taken';
      this.#queuedBytes -= message.bytes;
      if (index < this.#sent) this.#sentBytes -= message.bytes;
    }
    this.#sent = Math.max(0, this.#sent - taken.length);
    this.#taken(taken);
  }

  /** The session is over: what the server did not acknowledge goes back to the application [CLS-3]. */
  end() {
    const queue = this.#queue.splice(0);
    const unknown = queue.splice(0, this.#highest - this.acknowledged);
    for (const id of [...this.#asked.keys()]) this.forget(id, new Error('the session is over'));
    for (const message of unknown) message.state = 'unknown';
    for (const message of queue) message.state = 'unsent';
    return { unknown, unsent: queue };
  }

  /** Messages that the server has not acknowledged. */
  get waiting() {
    return this.#queue.length;
  }

  /** Whether an attachment was asked for and has not been granted. */
  get pending() {
    return this.#awaits !== null;
  }
}

export function encode(kind, data, exchange) {
  const head = exchange ? `${JSON.stringify(exchange).slice(1, -1)},` : ''; // [JSN-4]
  switch (kind) {
    case 'text': return `{${head}"text":${JSON.stringify(wellFormed(String(data)))}}`;
    case 'binary': return `{${head}"binary":"${toBase64(data)}"}`;
    case 'json': {
      const json = JSON.stringify(data);
      if (json === undefined) throw new TypeError('not a JSON value');
      if (depth(JSON.parse(json)) > DEPTH) throw new RangeError('nested too deeply'); // [JSN-3]
      return `{${head}"json":${json}}`;
    }
    default: throw new TypeError(`no such kind of message: ${kind}`);
  }
}

export function decode(unit) {
  let frame;
  try {
    frame = JSON.parse(unit);
  } catch {
    // a payload that is no JSON, or no frame at all
  }
  const [entry, ...more] = frame && typeof frame === 'object' && !Array.isArray(frame) ? Object.entries(frame) : [];
  if (entry && EXCHANGES.includes(entry[0])) {
    const [[kind, id], [name, payload] = [], ...others] = [entry, ...more];
    if (!isCount(id) || !KINDS.includes(name)) throw new Fault('malformed', `not a ${kind}`);
    const { error, ...value } = others.length ? { error: 'more than one message' } : read(name, payload);
    return error ? { kind, id, error } : { kind, id, value };
  }
  if (!entry || more.length) {
    const [, kind, id, name] = ENVELOPE.exec(unit) ?? [];
    if (name && (!kind || isCount(Number(id)))) { // [FRM-3]
      return kind ? { kind, id: Number(id), error: 'not JSON' } : { kind: name, error: 'not JSON' };
    }
    throw new Fault('malformed', 'not a frame');
  }
  return read(...entry);
}

function read(kind, value) {
  if (kind === 'text' && typeof value !== 'string') return { kind, error: 'not a text' };
  if (kind === 'json' && depth(value) > DEPTH) return { kind, error: 'nested too deeply' };
  if (kind !== 'binary') return { kind, value };
  if (typeof value !== 'string' || !BASE64.test(value)) return { kind, error: 'not base64' };
  return { kind, value: fromBase64(value) };
}

const KINDS = ['text', 'json', 'binary'];
const EXCHANGES = ['request', 'reply'];
const NAMED = /(?:"(request|reply)"[ \t]*:[ \t]*(0|[1-9]\d*)[ \t]*,[ \t]*)?"(text|json|binary)"/;
const ENVELOPE = new RegExp(`^[ \\t]*\\{[ \\t]*${NAMED.source}[ \\t]*:.*\\}[ \\t]*$`, 's');
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/; // [JSN-2]
const utf8 = new TextEncoder();
const isCount = (value) => Number.isSafeInteger(value) && value >= 0; // [TRM-1]
const wellFormed = (text) => text.toWellFormed?.() ?? new TextDecoder().decode(utf8.encode(text));

function toBase64(bytes) {
  let binary = '';
  for (const byte of new Uint8Array(bytes)) binary += String.fromCharCode(byte);
  return btoa(binary);
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function depth(value) {
  let level = 0;
  for (let values = [value]; (values = values.filter((item) => item && typeof item === 'object')).length; level += 1) {
    if (level > DEPTH + 1) return level;
    values = values.flatMap((item) => Object.values(item));
  }
  return level;
}
