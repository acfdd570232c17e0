// A nosphere server that is made up, and the network before it: everything takes its time, breaks, or is not let through, as
// chance has it, but nothing overtakes on one connection. It keeps to SPEC.md; what a client does against that is a problem.

import { GRANT } from '../support.mjs';

const HEARTBEAT = 25_000;
const POLL = 25_000; // how long a poll waits for messages
const NOTICE = 200; // until the server knows that the client closed a WebSocket; what is still under way then is lost

/** `dice(n)` is a number below n. `record` and `problem` are told what happens, and what must not. */
export function createServer({ dice, record, problem }) {
  const sessions = new Map();
  const links = new Set(); // that may break
  const window = { messages: 2 + dice(6), bytes: 100_000 };
  let faulty = true;
  let through = { websocket: true, sse: true, 'long-polling': true }; // what something on the way lets through

  const delay = () => {
    if (dice(4)) return 1 + dice(40);
    return dice(20) || !faulty ? dice(400) : dice(8000);
  };
  const later = (work, time = delay()) => setTimeout(work, time);

  /** One direction of a connection: what is put in first arrives first. */
  const way = (arrives) => {
    const under = [];
    return (item) => {
      under.push(item);
      later(() => arrives(under.shift()));
    };
  };

  // --- sessions --------------------------------------------------------------------------------------------------------

  const begin = (attachment, messages, polls = false) => {
    const id = `${String(sessions.size + 1).padStart(8, '0')}${GRANT.session.slice(8)}`;
    const session = {
      id, attachment, polls, window: messages, closed: false, forgotten: false, link: undefined, pong: undefined,
      arrived: [], told: 0, // what the client sent, and the count of it that the client may know
      messages: [], acknowledged: 0, highest: 0, // what it is sent, and the highest number that a link carried
    };
    sessions.set(id, session);
    return session;
  };

  const granted = ({ id }) => ({ opened: { ...GRANT, session: id, window } });
  const tell = (session) => (session.told = session.arrived.length);
  const closed = (session) => ({ close: { code: 1000, reason: '', received: tell(session) } });

  const acknowledge = (session, count) => {
    if (count > session.highest) problem(`${count} is acknowledged, and ${session.highest} were sent`);
    session.acknowledged = Math.max(session.acknowledged, count);
  };

  /** The next attachment of a session; or why there is none. */
  const attach = (session, attachment, received, polls = false) => {
    if (attachment <= session.attachment) return 'fenced';
    if (received < session.acknowledged || received > session.highest) {
      problem(`a resume with ${received}, where ${session.acknowledged} were acknowledged and ${session.highest} sent`);
      return 'unexpected';
    }
    session.link?.end();
    Object.assign(session, { attachment, polls, acknowledged: received, link: undefined });
  };

  const take = (session, { text, request }) => {
    if (session.arrived.length >= session.told + window.messages) problem(`${text} is beyond the window`);
    session.arrived.push(text);
    if (request) session.messages.push({ reply: request, text });
  };

  const control = (session, frame, say) => {
    acknowledge(session, frame.ping ?? frame.pong ?? frame.ack ?? frame.close.received);
    if ('ping' in frame) say({ pong: tell(session) });
    session.closed ||= 'close' in frame;
  };

  /** The message behind `cursor`, if the client's window is not full. */
  const next = (session, cursor) => {
    if (cursor >= session.acknowledged + session.window || cursor === session.messages.length) return undefined;
    session.highest = Math.max(session.highest, cursor + 1);
    return session.messages[cursor];
  };

  const beat = () => {
    for (const session of sessions.values()) session.link?.say?.({ ping: tell(session) });
    later(beat, HEARTBEAT);
  };
  later(beat, HEARTBEAT);

  // --- WebSocket -------------------------------------------------------------------------------------------------------

  class WebSocket {
    readyState = 0;
    protocol = 'nosphere.v1.json';
    ended = false; // for the server
    cursor = 0;

    constructor() {
      links.add(this);
      this.up = way((frame) => this.ended || this.serve(frame));
      this.down = way((data) => {
        if (this.readyState !== 1) return;
        record('websocket brings', data);
        this.onmessage({ data });
      });
      if (through.websocket) later(() => this.opens());
      else if (dice(2)) later(() => this.breaks()); // or nothing ever comes of it
    }

    opens() {
      if (this.readyState) return;
      this.readyState = 1;
      this.onopen();
    }

    send(unit) {
      record('websocket sends', unit);
      if (this.readyState !== 1) problem('a WebSocket that is not open is sent to');
      this.up(JSON.parse(unit));
    }

    close(code) {
      if (this.readyState === 3) return;
      record('websocket closes', code);
      this.readyState = 3;
      links.delete(this);
      later(() => this.end(), NOTICE);
    }

    breaks() {
      if (this.readyState === 3) return;
      this.readyState = 3;
      links.delete(this);
      this.end();
      this.onclose({ code: 1006, reason: '' });
    }

    end() {
      this.ended = true;
      if (this.session?.link === this) this.session.link = undefined;
    }

    say(frame) { this.down(JSON.stringify(frame)); }

    serve(frame) {
      const { session } = this;
      if (!session) return this.greet(frame);
      if ('text' in frame) take(session, frame);
      else control(session, frame, (answer) => this.say(answer));
      if (!session.closed) return this.pump();
      this.say(closed(session));
      this.end();
    }

    greet({ ping, open, resume }) {
      if (ping !== undefined) return this.say({ pong: 0 });
      if (open) return this.serves(begin(open.attachment, open.window.messages), granted);
      const session = sessions.get(resume.session);
      if (session.forgotten) return this.say({ reset: 'unknown' });
      if (session.closed) return this.say(closed(session));
      if (attach(session, resume.attachment, resume.received)) return this.breaks();
      this.cursor = resume.received;
      this.serves(session, () => ({ resumed: { received: tell(session) } }));
    }

    serves(session, greeting) {
      this.session = session;
      session.link = this;
      this.say(greeting(session));
      this.pump();
    }

    pump() {
      const { session } = this;
      for (let message; (message = next(session, this.cursor)); this.cursor += 1) this.say(message);
      if (session.told < session.arrived.length) this.say({ ack: tell(session) });
    }
  }

  // --- HTTP ------------------------------------------------------------------------------------------------------------

  // Not the platform's, whose body takes turns of the real event loop: then no seed would give the same run twice.
  const response = (status, fields = {}, text = '', body = undefined) => ({
    status, ok: status < 300, headers: { get: (name) => fields[name] ?? null }, text: async () => text, body,
  });

  const fetch = (url, { method, headers, signal, body }) => new Promise((resolve, reject) => {
    const abort = () => reject(new DOMException('aborted', 'AbortError'));
    if (signal?.aborted) return abort();
    signal?.addEventListener('abort', abort);
    const settle = (work) => {
      signal?.removeEventListener('abort', abort);
      work();
    };
    const fail = () => settle(() => reject(new TypeError('network')));
    const lost = (faulty && dice(12) === 0) || (method === 'GET' && !through[headers['Nosphere-Transport']]);
    if (lost) return void later(fail);
    const unheard = faulty && dice(12) === 0; // the server gets the request, and the client no answer
    const answer = (...all) => later(() => (unheard ? fail() : settle(() => resolve(response(...all)))));
    later(() => {
      record(method, JSON.stringify(headers), body ?? '');
      const id = headers['Nosphere-Session'];
      const session = sessions.get(id);
      if (session?.forgotten) return answer(410, { 'Nosphere-Error': 'unknown-session' });
      if (method === 'POST') post(session, headers, body, answer);
      else get(session, headers, { signal, answer, fail });
    });
  });

  const refuse = (answer, status, name) => answer(status, { 'Nosphere-Error': name });

  function post(session, headers, body, answer) {
    const frames = body.split('\n').map((unit) => JSON.parse(unit));
    const ends = frames.some((frame) => 'close' in frame);
    const accept = () => answer(204, { 'Nosphere-Received': tell(session) });
    if (session.closed) return ends ? accept() : refuse(answer, 410, 'closed');
    const elsewhere = session.link instanceof WebSocket && !ends; // a POST may end what any link carries [PST-3]
    if (headers['Nosphere-Attachment'] !== session.attachment || elsewhere) return refuse(answer, 409, 'fenced');
    let number = headers['Nosphere-Base'];
    if (number > session.arrived.length) {
      problem(`a POST begins behind ${number}, and ${session.arrived.length} came`);
      return refuse(answer, 409, 'gap');
    }
    acknowledge(session, headers['Nosphere-Received']);
    for (const frame of frames) {
      if (!('text' in frame)) control(session, frame, (pong) => (session.pong = pong));
      else if (number++ === session.arrived.length) take(session, frame); // what came before is a repetition [PST-4]
    }
    session.link?.pump();
    accept();
  }

  function get(session, headers, exchange) {
    const attachment = headers['Nosphere-Attachment'];
    const received = headers['Nosphere-Received'] ?? 0;
    const polls = headers['Nosphere-Transport'] === 'long-polling';
    const serve = polls ? poll : stream;
    if (!session) {
      const [messages] = headers['Nosphere-Window']?.split('/') ?? [];
      if (!messages) {
        problem('a request neither names a session nor says a window for one');
        return refuse(exchange.answer, 400, 'malformed');
      }
      const begun = begin(attachment, Number(messages), polls);
      return serve(begun, 0, [granted(begun)], exchange);
    }
    if (session.closed) return serve(session, received, [closed(session)], exchange);
    if (polls && session.polls && attachment === session.attachment) {
      if (received < session.acknowledged) return refuse(exchange.answer, 409, 'stale');
      acknowledge(session, received);
      session.link?.end();
      return poll(session, received, [], exchange);
    }
    const refusal = attach(session, attachment, received, polls);
    if (refusal) return refuse(exchange.answer, 409, refusal);
    serve(session, received, [{ resumed: { received: tell(session) } }], exchange);
  }

  function stream(session, cursor, first, { signal, answer }) {
    const chunks = []; // `undefined` is the end
    let broken = false;
    let wake = () => {};
    const detach = () => {
      links.delete(link);
      if (session.link === link) session.link = undefined;
    };
    const down = way((text) => {
      record('sse brings', text);
      chunks.push(text && new TextEncoder().encode(text));
      wake();
    });
    const link = {
      say: (frame, number) => down(`${number ? `id: ${number}\n` : ''}data: ${JSON.stringify(frame)}\n\n`),
      breaks() {
        broken = true;
        detach();
        wake();
      },
      end() {
        detach();
        down(undefined);
      },
      pump() {
        if (session.pong) link.say(session.pong);
        session.pong = undefined;
        for (let message; (message = next(session, cursor));) link.say(message, cursor += 1);
      },
    };
    signal.addEventListener('abort', link.breaks);
    links.add(link);
    for (const frame of first) link.say(frame);
    if (!session.closed) {
      session.link = link;
      link.pump();
    }
    const read = async () => {
      while (!broken && !chunks.length) await new Promise((woken) => { wake = woken; });
      if (broken) throw new TypeError('network');
      const value = chunks.shift();
      return { done: !value, value };
    };
    answer(200, { 'Content-Type': 'text/event-stream' }, '', { getReader: () => ({ read }) });
  }

  function poll(session, received, first, { answer, fail }) {
    let done = false;
    const finish = (work) => {
      if (done) return;
      done = true;
      links.delete(link);
      if (session.link === link) session.link = undefined;
      work();
    };
    const link = {
      breaks: () => finish(() => later(fail)),
      end: () => finish(() => answer(204, { 'Nosphere-Error': 'replaced', 'Nosphere-Received': tell(session) })),
      pump(now) {
        if (done) return;
        const frames = [...first];
        if (session.pong) frames.push(session.pong);
        session.pong = undefined;
        for (let cursor = received, message; !session.closed && (message = next(session, cursor)); cursor += 1) frames.push(message);
        if (!frames.length && !now) return;
        const text = frames.map((frame) => JSON.stringify(frame)).join('\n');
        record('poll brings', text);
        finish(() => answer(200, { 'Nosphere-Received': tell(session) }, text));
      },
    };
    links.add(link);
    if (!session.closed) session.link = link;
    later(() => link.pump(true), POLL);
    link.pump();
  }

  return {
    WebSocket,
    fetch,
    sessions,
    later,
    /** The session of that id, if it lives. */
    session(id) {
      const session = sessions.get(id);
      return session && !session.closed && !session.forgotten ? session : undefined;
    },
    send(session, text) {
      session.messages.push({ text });
      session.link?.pump();
    },
    forget(session) {
      session.forgotten = true;
      session.link?.breaks();
    },
    /** Breaks some connections. */
    breaks() {
      for (const link of [...links]) if (dice(2)) link.breaks();
    },
    /** Something on the way lets through other transports than before. */
    filter() {
      through = { websocket: dice(3) > 0, sse: dice(2) > 0, 'long-polling': dice(5) > 0 };
    },
    /** From here on nothing fails. */
    heal() {
      faulty = false;
      through = { websocket: true, sse: true, 'long-polling': true };
    },
    end() {
      for (const link of [...links]) link.breaks();
    },
  };
}
