// The three carriers of nosphere.v1. A link lives for one attachment: it moves units, and asks its session what to send.

import { NAMES } from './codes.js';
import type { Format, Frame, Unit } from './frames.js';
import type { Batch, Link, Session } from './session.js';

export type Transport = 'websocket' | 'sse' | 'long-polling';

/** What links see of the socket. */
export interface Carrier {
  readonly session: Session;
  readonly format: Format;
  readonly WebSocket: typeof globalThis.WebSocket;
  readonly fetch: typeof globalThis.fetch;
  readonly credentials?: RequestCredentials;
  readonly limit: number;
  /** The carrier is there; it may be asked to begin. */
  ready(link: Carried): void;
  unit(link: Carried, unit: Unit, number?: number): void;
  /** A sign of life. */
  heard(link: Carried): void;
  counted(link: Carried, count: number): void;
  /** What has to be waited for before the next poll. */
  rest(): Promise<void> | undefined;
  posted(batch: Batch, count: number): void;
  /** It is over; `status` and `code` where an answer said them. */
  lost(link: Carried, reason: string, status?: number, code?: number): void;
}

export interface Carried extends Link {
  readonly transport: Transport;
  readonly bearer?: string;
  /** Sends what may be sent. */
  flush(): void;
  /** Sends the rest without waiting: the page may be going away. */
  leave(): void;
}

export type Open = (carrier: Carrier, url: string, bearer?: string) => Carried;

/** How a token is offered where no header can be set [NEG-5]. */
const offer = (token: string) =>
  `nosphere.bearer.${btoa(String.fromCharCode(...new TextEncoder().encode(token))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '')}`;

const webSocket: Open = (carrier, url, bearer) => {
  const { format, session } = carrier;
  const protocol = `nosphere.v1.${format.name}`;
  const socket = new carrier.WebSocket(url.replace(/^http/, 'ws'), bearer == undefined ? [protocol] : [protocol, offer(bearer)]);
  let ended = false;
  const lose = (reason: string, code?: number) => {
    if (ended) return;
    link.end(1000);
    carrier.lost(link, reason, undefined, code);
  };
  const link: Carried = {
    transport: 'websocket',
    http: false,
    polls: false,
    bearer,
    begin: (frame) => link.write(frame),
    write(frame) {
      if (socket.readyState == 1) socket.send(format.encode(frame) as string);
    },
    flush() {
      for (let batch; socket.readyState == 1 && (batch = session.collect(link)); ) {
        for (const unit of batch.units) socket.send(unit as string);
      }
    },
    leave() {
      link.flush();
      link.end(1000);
    },
    end(code, reason) {
      ended = true;
      // A page may not say every code.
      socket.close(code == 1000 || code >= 3000 ? code : 1000, reason);
    },
  };
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => (socket.protocol == protocol ? carrier.ready(link) : lose('the server speaks another protocol'));
  socket.onmessage = ({ data }) => carrier.unit(link, typeof data == 'string' ? data : new Uint8Array(data));
  socket.onclose = ({ code, reason }) => lose(reason || `closed with ${code}`, code);
  return link;
};

const http = (transport: 'sse' | 'long-polling'): Open => (carrier, url, bearer) => {
  const { format, session } = carrier;
  const protocol = `nosphere.v1.${format.name}`;
  const polls = transport == 'long-polling';
  const gone = new AbortController();
  let posting: AbortController | undefined;
  let ended = false;
  let delivering = false; // an answer to a poll

  const request = (method: string, headers: Record<string, unknown>, init: RequestInit) => {
    const { attachment, session: id, token, received } = session.head(polls && method == 'GET');
    const named = {
      'Nosphere-Attachment': attachment,
      ...(id && { 'Nosphere-Session': id, 'Nosphere-Token': token, 'Nosphere-Received': received }),
      ...(bearer != undefined && { Authorization: `Bearer ${bearer}` }),
      ...headers,
    };
    return carrier.fetch(url, { method, cache: 'no-store', credentials: carrier.credentials, ...init, headers: named as unknown as HeadersInit });
  };

  const countOf = (response: Response) => Number(response.headers.get('Nosphere-Received') ?? NaN);

  const post = (batch: Batch, init: RequestInit) =>
    request('POST', { 'Content-Type': `application/vnd.${protocol}`, 'Nosphere-Base': batch.base }, { body: format.join(batch.units), ...init });

  const lose = (reason: string, status?: number, code?: number) => {
    if (ended) return;
    link.end();
    carrier.lost(link, reason, status, code);
  };

  const refuse = async (response: Response) => {
    const name = response.headers.get('Nosphere-Error');
    const text = await response.text().catch(() => '');
    lose(text.trim() || name || `status ${response.status}`, response.status, NAMES[name!]);
  };

  /** Asks for the stream or for one poll; its head says what `frame` says on a WebSocket. */
  const get = async (frame?: Frame) => {
    const window = frame?.kind == 'open' && { 'Nosphere-Window': `${frame.value.window.messages}/${frame.value.window.bytes}` };
    const asks = { 'Nosphere-Protocol': protocol, 'Nosphere-Transport': transport, ...(!polls && { Accept: 'text/event-stream' }), ...window };
    const response = await request('GET', asks, { signal: gone.signal });
    if (ended) return;
    const count = countOf(response);
    if (response.ok && count >= 0) carrier.counted(link, count);
    if (response.ok && !response.headers.get('Nosphere-Error')) return response;
    await refuse(response);
  };

  /** Posts what waits, one request after the other; each is repeated until it is answered [PST-4]. */
  const flush = async () => {
    if (posting || delivering) return;
    for (let batch, repeats = 0; (batch = session.collect(link)); ) {
      const controller = (posting = new AbortController());
      const timer = setTimeout(() => controller.abort(), session.grant!.timeout);
      const response = await post(batch, { signal: controller.signal }).catch(() => undefined);
      clearTimeout(timer);
      if (!response || [502, 504].includes(response.status)) { // of a proxy: no one knows what became of it
        session.failed(batch);
        if (ended && repeats > 6) break;
        await new Promise((resolve) => setTimeout(resolve, Math.min(5000, 50 * 2 ** repeats++)));
      } else if (response.ok) {
        repeats = 0;
        carrier.posted(batch, countOf(response));
      } else await refuse(response);
    }
    posting = undefined;
  };

  const stream = async (response: Response) => {
    if (!/^text\/event-stream/.test(response.headers.get('Content-Type')!)) return lose('not an event stream');
    const reader = response.body!.getReader();
    const text = new TextDecoder();
    const parse = events();
    for (let part; !ended && !(part = await reader.read()).done; ) {
      carrier.heard(link);
      for (const { id, data } of parse(text.decode(part.value, { stream: true }), carrier.limit)) {
        if (!ended) carrier.unit(link, format.event(data), id == undefined ? id : Number(id));
      }
    }
    lose('the stream ended');
  };

  const run = async (answer: Promise<Response | undefined>) => {
    for (let repeated = false; !ended; ) {
      try {
        const response = await answer;
        const units = response ? await format.read(response) : [];
        delivering = true;
        for (const unit of units) if (!ended) carrier.unit(link, unit);
        carrier.heard(link);
        repeated = false;
      } catch (error) {
        // A poll can be repeated [POL-1], but not the one that began the attachment: its answer comes only once.
        if (repeated || session.pending) throw error;
        repeated = true;
      }
      await carrier.rest();
      if (ended) break;
      answer = get(); // before the flush: its head says what was taken, so that no POST has to
      delivering = false;
      void flush();
    }
  };

  const link: Omit<Carried, 'end'> & { end(): void } = {
    transport,
    http: true,
    polls,
    bearer,
    begin(frame) {
      const answer = get(frame);
      void (polls ? run(answer) : answer.then((response) => response && stream(response))).catch((error) => lose(String(error)));
    },
    write() {},
    flush,
    leave() {
      session.rewind();
      const batch = session.collect(link, { units: 512, bytes: 60_000 }); // browsers refuse more of a request that outlives its page
      if (batch) post(batch, { keepalive: true }).catch(() => {});
      link.end();
    },
    end() {
      ended = true;
      gone.abort();
      posting?.abort();
    },
  };
  queueMicrotask(() => ended || carrier.ready(link));
  return link;
};

/** Cuts an event stream into events, whatever the chunks. */
export function events() {
  let rest = '';
  let data: string[] = [];
  let id: string | undefined;
  return function* parse(text: string, limit = Infinity): Generator<{ id?: string; data: string }> {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop()!;
    if (rest.length > limit) throw new RangeError('longer than the window');
    for (const line of lines) {
      const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line)!;
      if (name == 'data') data.push(value);
      else if (name == 'id') id = value;
      else if (!line) {
        if (data.length) yield { id, data: data.join('\n') };
        data = [];
        id = undefined;
      }
    }
  };
}

export const TRANSPORTS: Record<Transport, Open> = { websocket: webSocket, sse: http('sse'), 'long-polling': http('long-polling') };
