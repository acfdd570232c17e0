// The three carriers of nosphere.v1 in its JSON format. A link lives for one attachment. It moves units and tells its host:
//   host.started(link)                the carrier is there; answer with link.begin(session.offer())
//   host.unit(link, unit, number)     something came; `number` where the carrier names one
//   host.heard(link)                  a sign of life
//   host.counted(link, count)         an HTTP answer said how many messages the server has taken
//   host.posted(link, batch)          the server applied a POST
//   host.lost(link, { code, reason, status })   it is over; `code` of SPEC.md §13 and the HTTP status where they are known
// and it pulls what to send from host.session.collect() whenever flush() is called.

import { CODES } from './session.js';

const PROTOCOL = 'nosphere.v1.json';
const TYPE = 'application/vnd.nosphere.v1.json';
const KEEPALIVE = { units: 512, bytes: 60_000 }; // browsers refuse larger bodies of requests that outlive their page

export class WebSocketLink {
  static transport = 'websocket';

  constructor(host) {
    this.transport = WebSocketLink.transport;
    this.host = host;
    const url = new URL(host.url);
    url.protocol = url.protocol.replace('http', 'ws');
    this.socket = new host.WebSocket(url.href, [PROTOCOL]);
    this.socket.onopen = () => {
      if (this.socket.protocol === PROTOCOL) host.started(this);
      else this.#lose({ reason: 'the server speaks another protocol' });
    };
    this.socket.onmessage = ({ data }) => {
      host.heard(this);
      host.unit(this, data);
    };
    this.socket.onclose = ({ code, reason }) => this.#lose({ code, reason });
  }

  begin(frame) {
    this.write(frame);
  }

  /** Writes a frame past the queue: what begins an attachment, or proves a link that is none yet. */
  write(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  flush() {
    if (this.socket.readyState !== 1) return;
    for (let batch; (batch = this.host.session.collect()); ) {
      for (const unit of batch.units) this.socket.send(unit);
    }
  }

  leave() {
    this.flush();
    this.end();
  }

  end(code = 1000, reason = '') {
    this.ended = true;
    this.socket.close(code, reason);
  }

  #lose(failure) {
    if (this.ended) return;
    this.end();
    this.host.lost(this, failure);
  }
}

class HttpLink {
  #gone = new AbortController();
  #post = null; // aborts the POST in flight

  constructor(host, transport) {
    this.host = host;
    this.transport = transport;
    queueMicrotask(() => this.ended || host.started(this));
  }

  /** Posts what waits, one request after the other; each is repeated until it is answered [PST-4]. */
  async flush() {
    if (this.#post || this.ended) return;
    for (let batch; !this.ended && (batch = this.host.session.collect()); ) {
      for (let repeats = 0; !this.ended && !(await this.#answered(batch)); repeats += 1) await pause(repeats);
    }
    this.#post = null;
  }

  async #answered(batch) {
    const controller = (this.#post = new AbortController());
    const timer = setTimeout(() => controller.abort(), this.host.session.grant.timeout);
    try {
      const response = await this.#fetch('POST', { ...post(batch), signal: controller.signal });
      if (this.ended) return true;
      if ([502, 504].includes(response.status)) return false; // of a proxy: no one knows what became of it
      if (response.ok) this.host.posted(this, batch);
      else this.lose(await failure(response));
      return true;
    } catch {
      return false;
    } finally {
      clearTimeout(timer);
    }
  }

  async #fetch(method, { headers, ...init }) {
    const { session, url, fetch } = this.host;
    const identity = { 'Nosphere-Attachment': session.attachment };
    if (session.grant) {
      identity['Nosphere-Session'] = session.grant.session;
      identity['Nosphere-Token'] = session.grant.token;
      identity['Nosphere-Received'] = session.tell();
    }
    const response = await fetch(url, { method, cache: 'no-store', ...init, headers: { ...identity, ...headers } });
    if (!this.ended) {
      this.host.heard(this);
      const count = response.headers.get('Nosphere-Received');
      if (response.ok && count !== null) this.host.counted(this, Number(count));
    }
    return response;
  }

  /** Sends the GET of a transport; its headers say what `frame` says on a WebSocket. */
  get(headers, frame) {
    const window = frame?.open && { 'Nosphere-Window': `${frame.open.window.messages}/${frame.open.window.bytes}` };
    return this.#fetch('GET', {
      headers: { 'Nosphere-Protocol': PROTOCOL, ...headers, ...window }, signal: this.#gone.signal,
    });
  }

  /** Sends the rest without waiting, since the page may be going away. A POST in flight is repeated within it. */
  leave() {
    this.host.session.rewind();
    const batch = this.host.session.collect(KEEPALIVE);
    if (batch) this.#fetch('POST', { ...post(batch), keepalive: true }).catch(() => {});
    this.end();
  }

  end() {
    this.ended = true;
    this.#gone.abort();
    this.#post?.abort();
  }

  lose(failure) {
    if (this.ended) return;
    this.end();
    this.host.lost(this, failure);
  }
}

export class EventStreamLink extends HttpLink {
  static transport = 'sse';

  constructor(host) {
    super(host, EventStreamLink.transport);
  }

  async begin(frame) {
    try {
      const response = await this.get({ Accept: 'text/event-stream', 'Nosphere-Transport': 'sse' }, frame);
      if (!response.ok) return this.lose(await failure(response));
      if (!response.headers.get('Content-Type')?.startsWith('text/event-stream')) {
        return this.lose({ reason: 'not an event stream' });
      }
      const events = new EventParser();
      const text = new TextDecoder();
      const reader = response.body.getReader();
      for (let part; !(part = await reader.read()).done && !this.ended; ) {
        this.host.heard(this);
        for (const { id, data } of events.push(text.decode(part.value, { stream: true }))) {
          if (!this.ended) this.host.unit(this, data, id === undefined ? undefined : Number(id));
        }
      }
      this.lose({ reason: 'the stream ended' });
    } catch (error) {
      this.lose({ reason: String(error) });
    }
  }
}

export class PollLink extends HttpLink {
  static transport = 'long-polling';
  #delivering = false;

  constructor(host) {
    super(host, PollLink.transport);
  }

  async begin(frame) {
    let answer = this.#poll(frame);
    let repeated = false;
    while (!this.ended) {
      try {
        const response = await answer;
        if (!response.ok) return this.lose(await failure(response));
        if (response.headers.get('Nosphere-Error')) return this.lose({ reason: 'another poll took the place of this one' });
        this.#deliver(await response.text());
        repeated = false;
      } catch (error) {
        // A poll can be repeated [POL-1], but not the one that began the attachment: its answer comes only once.
        if (repeated || this.host.session.pending) return this.lose({ reason: String(error) });
        repeated = true;
      }
      if (this.ended) return;
      answer = this.#poll(); // before the flush: its header says what was taken, so that no POST has to
      super.flush();
    }
  }

  flush() {
    if (!this.#delivering) return super.flush();
  }

  #poll(frame) {
    return this.get({ 'Nosphere-Transport': 'long-polling' }, frame);
  }

  #deliver(body) {
    this.#delivering = true;
    for (const unit of body.split('\n')) {
      if (unit && !this.ended) this.host.unit(this, unit);
    }
    this.#delivering = false;
  }
}

/** Cuts an event stream into events, whatever the chunks. */
export class EventParser {
  #rest = '';
  #event = { data: [] };

  *push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      const [, name, value] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
      if (name === 'data') this.#event.data.push(value ?? '');
      else if (name === 'id') this.#event.id = value ?? '';
      else if (line === '') {
        const { data, id } = this.#event;
        this.#event = { data: [] };
        if (data.length) yield { id, data: data.join('\n') };
      }
    }
  }
}

const post = ({ base, units }) => ({
  body: units.join('\n'), headers: { 'Content-Type': TYPE, 'Nosphere-Base': base },
});

const pause = (repeats) => new Promise((resolve) => setTimeout(resolve, Math.min(5000, 50 * 2 ** repeats)));

/** What a refusal means: its name in `Nosphere-Error` tells the code. */
async function failure(response) {
  const name = response.headers.get('Nosphere-Error');
  const reason = (await response.text().catch(() => '')).trim() || name || `status ${response.status}`;
  return { code: CODES[name], reason, status: response.status };
}
