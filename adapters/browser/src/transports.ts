// The three carriers of nosphere.v1. A link lives for one attachment: it moves units, and asks its session what to send.

import { ENDS } from './codes.js';
import { LATEST } from './timers.js';
import type { Format, Frame, Unit } from './frames.js';
import type { Batch, Link, Session } from './session.js';

export type Transport = 'websocket' | 'sse' | 'long-polling';

/** What links see of the socket. */
export interface Carrier<L extends Carried = Carried> {
  readonly session: Session;
  readonly format: Format;
  readonly WebSocket: typeof globalThis.WebSocket;
  fetch(url: string, init: RequestInit): Promise<Response>;
  /** The carrier is there: it may be asked for the session. */
  ready(link: L): void;
  unit(link: L, unit: Unit, number?: number): void;
  /** Something other than a unit changed the session. */
  changed(): void;
  /** It is over; `status` and `code` where an answer said them. */
  lost(link: L, reason: string, status?: number, code?: number): void;
  /** What has to be waited for before the next poll. */
  rest(): Promise<void> | undefined;
}

export interface Carried extends Link {
  /** Sends what may be sent. */
  flush(): void;
  /** Sends the rest without waiting: the page is going away. False if it cannot. */
  leave(): boolean;
}

export type Open = (carrier: Carrier, url: string, bearer?: string) => Carried;

const LINE = 4096; // of an event stream, beside a message, which may be as long as the window, in base64
const LEAST = 1 << 16; // bytes of a POST, as long as its path is slow: nothing else gets through meanwhile, as a `pong` [HB-2]
const MOST = 1 << 20; // [PST-6]
const QUICK = 1000; // the next POST may have twice what was answered in this time

const webSocket: Open = (carrier, url, bearer) => {
  const { format, session } = carrier;
  const protocol = `nosphere.v1.${format.name}`;
  const offers = [protocol];
  if (bearer != undefined) { // no header can be set [NEG-5]
    offers.push(`nosphere.bearer.${btoa(bearer).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '')}`);
  }
  const socket = new carrier.WebSocket(url.replace(/^http/, 'ws'), offers);
  let ended = false;
  const lose = (reason: string, code = 0) => {
    if (ended) return;
    link.end();
    carrier.lost(link, reason, 0, code < 4000 ? 0 : code);
  };
  const send = (last?: boolean) => {
    if (socket.readyState == 1) for (const unit of session.collect(link, { last })?.units ?? []) socket.send(unit as string);
  };
  const link: Carried = {
    http: false,
    polls: false,
    write(frame) {
      if (socket.readyState == 1) socket.send(format.encode(frame) as string);
    },
    flush: () => send(),
    leave() {
      const up = socket.readyState == 1; // a browser may have closed it before the page heard that it goes
      send(true);
      link.end();
      return up;
    },
    end(code = 0) {
      ended = true;
      socket.close(code < 3000 ? 1000 : code); // a page may not say all codes
    },
  };
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => (socket.protocol == protocol ? carrier.ready(link) : lose('another protocol'));
  socket.onmessage = ({ data }) => carrier.unit(link, typeof data == 'string' ? data : new Uint8Array(data));
  socket.onerror = () => {}; // close follows; some libraries throw an error that nobody hears
  socket.onclose = ({ code, reason }) => lose(reason || `closed with ${code}`, code);
  return link;
};

const http = (transport: 'sse' | 'long-polling'): Open => (carrier, url, bearer) => {
  const { format, session } = carrier;
  const protocol = `nosphere.v1.${format.name}`;
  const polls = transport == 'long-polling';
  const gone = new AbortController();
  let posting: AbortController | undefined;
  let delivering = false; // an answer to a poll
  let resting = false; // it does not poll: what came waits to be taken
  let room = LEAST;
  let ended = false;
  let own: number | undefined; // its attachment: it may still serve when the next one has begun, §9.1

  const request = (method: string, headers: Record<string, unknown>, init: RequestInit) => {
    const { attachment, session: id, token, received } = session.head(polls && method == 'GET');
    return carrier.fetch(url, {
      method,
      ...init,
      headers: {
        'Nosphere-Attachment': (own ??= attachment),
        ...(id && { 'Nosphere-Session': id, 'Nosphere-Token': token, 'Nosphere-Received': received }),
        ...(bearer != undefined && { Authorization: `Bearer ${bearer}` }),
        ...headers,
      } as any,
    });
  };

  const countOf = (response: Response) => Number(response.headers.get('Nosphere-Received') ?? NaN);

  const post = ({ base, units }: Batch, init: RequestInit) => request(
    'POST', { 'Content-Type': `application/vnd.${protocol}`, 'Nosphere-Base': base }, { body: format.join(units), ...init },
  );

  const lose = (reason: string, status?: number, code?: number) => {
    if (ended) return;
    link.end();
    carrier.lost(link, reason, status, code);
  };

  const refuse = async (response: Response) => {
    const name = response.headers.get('Nosphere-Error')!;
    lose((await response.text().catch(() => '')).trim() || name || `status ${response.status}`, response.status, ENDS[name]);
  };

  /** Asks for the stream or for one poll; its head says what `frame` says on a WebSocket. */
  const get = async (frame?: Frame) => {
    const { messages, bytes } = frame?.value.window ?? {};
    const response = await request('GET', {
      'Nosphere-Protocol': protocol,
      'Nosphere-Transport': transport,
      Accept: polls ? '*/*' : 'text/event-stream',
      ...(bytes && { 'Nosphere-Window': `${messages}/${bytes}` }),
    }, { signal: gone.signal });
    const count = countOf(response);
    if (response.ok && count >= 0 && !ended) session.counted(link, count);
    if (response.ok && !response.headers.get('Nosphere-Error')) return response;
    await refuse(response);
    throw 0; // which is lost already
  };

  /** Posts what waits, one request after the other; each is repeated until it is answered [PST-4]. */
  const flush = async () => {
    if (!own || posting || delivering) return; // before its attachment has begun, nothing is its to send
    for (let batch, repeats = 0; (batch = session.collect(link, { messages: 512, bytes: room })); ) {
      const { signal } = (posting = new AbortController());
      const began = Date.now();
      const timer = setTimeout(() => posting!.abort(), Math.min(session.grant!.timeout * (1 + batch.bytes / LEAST), LATEST));
      const response = await post(batch, { signal }).catch(() => undefined);
      clearTimeout(timer);
      if (!response || response.status == 502 || response.status == 504) { // of a proxy: no one knows what became of it
        session.failed(batch);
        if (ended && repeats > 6) break;
        await sleep(Math.min(5000, 50 * 2 ** repeats++));
      } else if (response.ok) {
        repeats = 0;
        if (resting) session.heard(link); // there is no poll that could hear anything
        room = Math.min(Math.max(LEAST, Date.now() - began < QUICK ? 2 * batch.bytes : 0), MOST);
        session.posted(batch, countOf(response));
        carrier.changed();
      } else if (ended) { // it was the answer to a `close`, and nothing waits for another
        session.refused(link, '');
        carrier.changed();
      } else await refuse(response);
    }
    posting = undefined;
  };

  const stream = async (response: Response) => {
    if (!/^text\/event-stream/.test(response.headers.get('Content-Type')!)) return lose('not an event stream');
    const text = new TextDecoder();
    const parse = events(LINE + 2 * session.window.bytes);
    for (let part, reader = response.body!.getReader(); !ended && !(part = await reader.read()).done; ) {
      session.heard(link);
      for (const { id, data } of parse(text.decode(part.value, { stream: true }))) {
        if (!ended) carrier.unit(link, format.event(data), id && Number(id));
      }
    }
    lose('stream ended');
    void flush(); // a `close` of the server waits for its answer [CLS-2]
  };

  const run = async (frame: Frame) => {
    for (let answer = get(frame), began = Date.now(), repeated = false; !ended; ) {
      let units: Unit[] | undefined;
      try {
        units = await format.read(await answer);
        session.heard(link);
        delivering = true;
        for (const unit of units) if (!ended) carrier.unit(link, unit);
        repeated = false;
      } catch (error) {
        // A poll can be repeated [POL-1], but not the one that began the attachment: its answer comes only once.
        if (repeated || session.pending) throw error;
        repeated = true;
      }
      const vain = !units?.length && !repeated && Date.now() - began < QUICK; // something on the way answers by itself
      const rest = !ended && (vain ? sleep(QUICK) : carrier.rest());
      if (rest) {
        delivering = false;
        resting = true;
        void flush();
        await rest;
        resting = false;
      }
      began = Date.now();
      if (!ended) answer = get(); // before the flush: its head says what was taken, so that no POST has to
      delivering = false;
      void flush();
    }
  };

  const link: Carried = {
    http: true,
    polls,
    write(frame) {
      (polls ? run(frame) : get(frame).then(stream)).catch((error) => lose(`${error}`));
    },
    flush,
    leave() {
      session.rewind();
      // Browsers refuse more of a request that outlives its page.
      const batch = session.collect(link, { messages: 512, bytes: 60_000, last: true });
      if (batch) post(batch, { keepalive: true }).catch(() => {});
      link.end();
      return true;
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

const sleep = (time: number) => new Promise((resolve) => setTimeout(resolve, time));

/** Cuts an event stream into events, whatever the chunks. */
export function events(longest: number) {
  let rest = '';
  let event: any = {};
  return function* parse(text: string): Generator<any> {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop()!;
    if (rest.length > longest) throw new RangeError('line too long');
    for (const line of lines) {
      const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line) as any;
      if (line) event[name] = (name == 'data' && name in event ? `${event.data}\n` : '') + value;
      else {
        if ('data' in event) yield event;
        event = {};
      }
    }
  };
}

export const TRANSPORTS: Record<Transport, Open> = { websocket: webSocket, sse: http('sse'), 'long-polling': http('long-polling') };
