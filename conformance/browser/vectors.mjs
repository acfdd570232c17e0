// Plays the vectors of conformance/vectors against the session and the wire formats of adapters/browser. What the notation
// means is in the README there.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { internals } from '../../adapters/browser/test/internals.mjs';

const { ENDS, NAMES, climbing, createPosts, createSession, json, messagepack, outgoing } = internals;
const codeOf = (name) => ENDS[NAMES.indexOf(name)];
const VECTORS = new URL('../vectors/', import.meta.url);
const SESSION = '24f98d6b-c271-4169-8f9c-217343b62aa7';
const TOKEN = '00112233445566778899aabbccddeeff';
const KINDS = ['text', 'json', 'binary'];
export const FORMATS = { json, messagepack };

export const cases = (folder) => readdirSync(new URL(`${folder}/`, VECTORS)).sort()
  .flatMap((file) => JSON.parse(readFileSync(new URL(`${folder}/${file}`, VECTORS), 'utf8')))
  .flatMap(({ about, cases: list }) => list.map((one) => ({ about, ...one })));

export const hexOf = (bytes) => Buffer.from(bytes).toString('hex').replace(/..(?=.)/g, '$& ');
export const bytesOf = ({ hex }) => new Uint8Array(Buffer.from([hex].flat().join('').replaceAll(' ', ''), 'hex'));
export const unitOf = (unit) => unit.text ?? bytesOf(unit);

/** The notation as a frame of the package. */
export function frameOf(notation, config = {}) {
  const [[kind, body]] = Object.entries(notation);
  const window = { messages: 256, bytes: 1 << 20, ...config.window, ...body?.window };
  const identity = { session: SESSION, token: TOKEN };
  switch (kind) {
    case 'request': case 'reply': {
      const { id, ...message } = body;
      return { ...frameOf(message), exchange: kind, id };
    }
    case 'binary': return { kind, value: bytesOf(body) };
    case 'json-text': return { kind: 'json', value: JSON.parse(body) };
    case 'open': return { kind, value: { attachment: 1, ...body, window } };
    case 'opened': return {
      kind, value: { ...identity, heartbeat: 25_000, timeout: 20_000, proof: 10_000, resume: 120_000, ...body, window },
    };
    case 'resume': return { kind, value: { ...identity, ...body } };
    case 'close': return { kind, value: { code: body.code, reason: '', ...body } };
    default: return { kind, value: body };
  }
}

/** And back. What is only for people is not compared. */
export function notationOf({ kind, value, exchange, id }) {
  if (exchange) return { [exchange]: { id, ...notationOf({ kind, value }) } };
  if (kind === 'binary') return { binary: { hex: hexOf(value) } };
  if (kind === 'json') return { json: JSON.parse(JSON.stringify(value)) };
  if (kind === 'close') return { close: { code: value.code, received: value.received } };
  return { [kind]: value };
}

/** Plays a script; fails at the first difference. */
export async function play(script, format) {
  const player = new Player(script, format);
  for (const [index, step] of script.steps.entries()) {
    try {
      await player.step(step);
    } catch (error) {
      error.message = `step ${index + 1} ${JSON.stringify(step)}: ${error.message}`;
      throw error;
    }
  }
}

const EPOCH = 1_000_000; // a script's 0

class Player {
  #now = EPOCH;
  #links = [];
  #batch; // the POST in flight
  #previous; // serves until the next one is granted
  #climbing; // the part of the package that tries better links
  #up = false;
  #told = []; // events that wait behind messages

  constructor({ config = {} }, format) {
    this.config = config;
    this.format = format;
    const host = {
      now: () => this.#now,
      patience: () => 20_000,
      arrived: () => this.#told.push(null), // the place of a message
      taken() {},
      opened: () => {
        this.#granted();
        this.#up = true;
        this.#told.push({ connected: this.#latest.transport });
      },
      resumed: (moved) => {
        this.#granted();
        if (!moved && !this.session.closing) this.#told.push({ resumed: this.#latest.transport });
        this.#up = true;
      },
      down: () => {
        this.#climbing.down();
        if (this.#up && !this.session.closing) this.#told.push('suspended');
        this.#up = false;
      },
      over: ({ by, code, unknown, unsent }) => {
        this.#climbing.over();
        const notation = (messages) => messages.map(({ unit }) => notationOf(format.decode(unit)));
        this.#told.push({ disconnected: { by, code }, undelivered: { unknown: notation(unknown), unsent: notation(unsent) } });
      },
    };
    const size = (given, messages, bytes) => ({ messages, bytes, ...given });
    this.session = createSession(host, format, {
      window: size(config.window, 256, 1 << 20), queue: size(config.queue, 4096, 4 << 20), closeTimeout: config['close-timeout'] ?? 5000,
    });
    this.carrier = this.#core();
    this.#climbing = climbing(this.carrier);
  }

  #granted() {
    this.#previous?.end(internals.Code.Fenced);
    this.#previous = undefined;
    this.#climbing.granted();
  }

  /** What climbing sees of a socket. Its time is not the script's: no script waits for it. */
  #core() {
    const player = this;
    const better = { rest: 0 };
    const current = { rest: 0 };
    this.socket = { state: 'open' };
    return {
      options: { climbAfter: 0 }, usable: [better, current], rung: current, socket: this.socket, format: this.format,
      get session() { return player.session; },
      after() {}, stop() {}, failed() {}, emit() {}, plan() {}, pass() {},
      patience: () => 20_000,
      identify: async () => undefined,
      linkTo: (rung, bearer, carrier) => {
        const link = new PlayedLink(player, player.trying, carrier);
        player.#links.push(link);
        queueMicrotask(() => carrier.ready(link));
        return link;
      },
      dial: (link) => player.session.dial(link),
      ready: () => player.session.begin(),
      unit: (link, unit, number) => player.session.receive(link, unit, number),
      lost: (link, reason) => link === player.session.link && player.session.lost(reason),
    };
  }

  get #latest() { return this.#links.at(-1); }
  get now() { return this.#now; }

  async step(step) {
    for (const at = step.at === undefined ? this.#now : EPOCH + step.at; ;) {
      const due = this.session.deadline;
      if (!(due < at)) {
        this.#now = at;
        break;
      }
      this.#now = Math.max(this.#now, due);
      this.session.expire();
      assert.deepEqual(this.#collect({}), { transmits: [], events: [] }, `at ${due - EPOCH} already`);
    }
    this.said = [];
    this.refused = undefined;
    this.#input(step);
    for (let turn = 0; turn < 10; turn += 1) await undefined;
    const { undelivered, ...said } = this.#collect(step);
    const passedOver = (event) => event !== 'heartbeat' && event !== 'writable' && !event.fault && !event.undeliverable;
    said.transmits.forEach((is, index) => {
      if (step.transmits?.[index]?.number === undefined) delete is.number; // compared where the script gives one
    });
    const expected = {
      transmits: (step.transmits ?? []).map((one) => this.#filled(one)),
      ...(step.post && { post: step.post }),
      events: (step.events ?? []).filter(passedOver),
    };
    assert.deepEqual(said, expected);
    assert.equal(this.refused, step.refused);
    if (undelivered) assert.deepEqual(undelivered, { unknown: [], unsent: [], ...step.undelivered });
    if (!('deadline' in step)) return;
    const { until } = this.#latest.posting ?? {}; // of the answer to a `close`
    const deadline = until > this.#now ? until : this.session.deadline;
    assert.equal(deadline, step.deadline === null ? Infinity : EPOCH + step.deadline, 'deadline');
  }

  /** What a script expects, with everything that it leaves out. */
  #filled(expected) {
    const { number, on, ...frame } = expected;
    const filled = 'open' in frame || 'resume' in frame ? notationOf(frameOf(frame, this.config)) : frame;
    return { ...filled, ...(on && { on }), ...(number && { number }) };
  }

  #input(step) {
    const { session } = this;
    const on = step.on ? this.#links[step.on - 1] : this.#latest;
    if (step.attach) {
      const polls = step.attach === 'long-polling';
      if (polls && session.link?.polls && session.link === on && !session.pending && session.since) {
        const { attachment, received } = session.head(true);
        this.said.push({ resume: { session: SESSION, token: TOKEN, attachment, received } });
        this.#links.push(on); // the next poll of the run
      } else {
        this.#previous = session.link; // as climbing has it
        this.#links.push(new PlayedLink(this, step.attach));
        session.dial(this.#latest);
        session.begin();
      }
    } else if (step.try) {
      this.trying = step.try;
      void this.socket.climb();
    } else if (step.refuse) {
      on.over = true;
      if (on === session.link) session.lost(step.refuse, codeOf(step.refuse));
    } else if (step.polled) {
      session.counted(on, step.polled.received);
      for (const frame of step.polled.frames) this.#receive(on, frame);
      session.heard(on);
    } else if (step.posted !== undefined) {
      const batch = this.#batch;
      const { received, error } = step.posted;
      if (!batch) return; // of an attachment that is over
      const { link } = batch;
      if (step.posted === 'failed') link.posting.failed();
      else if (!error) link.posting.answered(received);
      else if (link === session.link) session.lost(error, codeOf(error));
    } else if (step.receive) this.#receive(on, step.receive, step.id);
    else if (step.detach) {
      on.over = true;
      on.carrier.lost(on, step.detach);
    } else if (step.send) {
      const { kind, value, exchange, id } = frameOf(step.send);
      try {
        session.send(outgoing(this.format, value, kind, exchange, id));
      } catch (error) {
        this.refused = error.name === 'QueueFullError' ? 'full' : String(error);
      }
    } else if (step.close) session.close(step.close, '');
    else session.expire();
  }

  #receive(on, notation, number) {
    on.carrier.unit(on, this.#unit(notation), number);
  }

  #unit(notation) {
    const text = this.format === json;
    const either = (string, bytes) => (text ? string : Uint8Array.from(bytes));
    const unreadable = (kind, before, bytes) => either(
      `${before}${{ json: '"json":x', text: '"text":1', binary: '"binary":1' }[kind]}}`, [...bytes, ...{ json: [6, 0xc1], text: [5, 1], binary: [7, 1] }[kind]],
    );
    const [[kind, body]] = Object.entries(notation);
    if (kind === 'malformed') return either('{}', [0x90]);
    if (kind === 'wrong-kind') return text ? new TextEncoder().encode('{"ack":0}') : '{"ack":0}';
    if (kind === 'unreadable') return unreadable(body, '{', [0x92]);
    if (body?.unreadable) return unreadable(body.unreadable, `{"${kind}":${body.id},`, [0x94, kind === 'request' ? 12 : 13, body.id]);
    const frame = frameOf(notation, this.config);
    return this.format === json && !KINDS.includes(frame.kind) ? JSON.stringify({ [frame.kind]: frame.value }) : this.format.encode(frame);
  }

  /** What goes out, and what the application sees. */
  #collect({ take = Infinity, blocked }) {
    const { session } = this;
    const events = [];
    let post;
    let undelivered;
    const takeEvents = () => {
      for (; this.#told.length && take > 0; take -= 1) {
        if (this.#told[0] === null && !session.peek()) { // discarded, or ignored
          this.#told.shift();
          take += 1;
          continue;
        }
        const told = this.#told.shift();
        if (told) {
          const { undelivered: left, ...event } = typeof told === 'string' ? {} : told;
          undelivered = left ?? undelivered;
          events.push(typeof told === 'string' ? told : event);
        } else {
          const frame = session.take();
          events.push(frame.error ? { unreadable: frame.kind } : notationOf(frame));
        }
      }
    };
    takeEvents();
    if (!blocked) {
      for (const link of new Set(this.#links)) {
        for (let batch; (batch = link.posts ? link.posting.next() : session.collect(link)); ) {
          const frames = batch.units.map((unit) => notationOf(this.format.decode(unit)));
          if (!link.posts) {
            let number = batch.base;
            for (const frame of frames) this.#say(link, frame, KINDS.concat('request', 'reply').some((kind) => kind in frame) ? ++number : undefined);
            continue;
          }
          const { attachment, received } = session.head();
          this.#batch = Object.assign(batch, { link });
          post = { attachment, base: batch.base, received, frames: frames.filter((frame) => !('ack' in frame)) };
        }
      }
      takeEvents();
    }
    const transmits = (this.said ?? []).map(({ link, ...frame }) => frame);
    this.said = [];
    return { transmits, ...(post && { post }), events, ...(undelivered && { undelivered }) };
  }

  say(link, notation) { this.#say(link, notation); }

  #say(link, notation, number) {
    this.said.push({ ...notation, ...(link !== this.#latest && { on: this.#links.indexOf(link) + 1 }), ...(number && { number }) });
  }
}

class PlayedLink {
  over = false;

  constructor(player, transport, carrier = player.carrier) {
    this.player = player;
    this.transport = transport;
    this.carrier = carrier;
    this.posts = transport !== 'websocket';
    this.polls = transport === 'long-polling';
    if (this.posts) this.posting = createPosts(player.session, this, player.format, () => player.now);
  }

  write(frame) {
    if (this.posts && frame.kind === 'close') this.posting.part(frame);
    else this.player.say(this, notationOf(frame));
  }

  end(code) {
    if (this.over) return;
    this.over = true;
    this.player.say(this, { end: this.posts ? this.transport : code ?? 1000 });
  }
}
