// Where WebSockets do not get through: event streams and polls, each with POST.

import { ENDS } from './codes.js';
import { ladder } from './ladder.js';
import { createPosts } from './posts.js';
import { LATEST } from './timers.js';
import type { Part } from './api.js';
import type { Frame, Unit } from './frames.js';
import type { Carried, Open } from './part.js';
import type { Batch, Session } from './session.js';

/** What `Nosphere-Error` says for each of ENDS. */
export const NAMES = ['closed', 'forbidden', 'unknown-session', 'unproved', 'expired', 'unexpected', 'malformed'];

const PAUSE = 5000; // the longest between two polls, while what came waits to be taken
const SOON = 300; // the same, where a reply may be there
const LINE = 4096; // of an event stream, beside a message, which may be as long as the window, in base64
const LEAST = 1 << 16; // bytes of a POST, as long as its path is slow: nothing else gets through meanwhile, as a `pong` [HB-2]
const MOST = 1e6; // [PST-6], and with line breaks no more than 1 MiB, which proxies take unless they are told otherwise
const QUICK = 1000; // the next POST may have twice what was answered in this time

/** The transports `sse` and `long-polling`. */
export const http: Part<'http'> = (core) => {
  const { openers, options: { credentials, fetch = globalThis.fetch as any } } = core;
  let rested = () => {};

  // Where a request cannot be made, that is one that failed.
  const request: Request = async (where, init) => fetch(where, { cache: 'no-store', credentials, ...init });

  const rest: Rest = (session) => {
    if (!session.closing && !session.peek()) return;
    return new Promise((resolve) => {
      rested = resolve as () => void;
      // The server does not wait for ever for the next poll, and a reply comes by none but that.
      core.after('rest', session.closing || core.on.asks() ? SOON : PAUSE, rested);
    });
  };

  const asked = () => void (core.on.asks() && core.after('reply', SOON, () => rested()));

  for (const transport of ['sse', 'long-polling'] as const) openers[transport] = fetch && open(transport, request, rest, asked);
  return { ...ladder(core), drained: () => rested() };
};

type Request = (url: string, init: RequestInit) => Promise<Response>;

/** What has to be waited for before the next poll. */
type Rest = (session: Session) => Promise<void> | undefined;

/** `asked`: is told that the server has what was posted while no poll is made. */
const open = (transport: 'sse' | 'long-polling', fetch: Request, rest: Rest, asked: () => void): Open => (carrier, session, url, bearer) => {
  const { format } = carrier;
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
    const { attachment, grant, received } = session.head(polls && method == 'GET');
    return fetch(url, {
      method,
      ...init,
      headers: {
        'Nosphere-Attachment': (own ??= attachment),
        ...(grant && { 'Nosphere-Session': grant.session, 'Nosphere-Token': grant.token, 'Nosphere-Received': received }),
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
    lose((await response.text().catch(() => '')).trim() || name || `status ${response.status}`, response.status, ENDS[NAMES.indexOf(name)]);
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
    if (!own || delivering) return; // before its attachment has begun, nothing is its to send
    for (let batch, repeats = 0; (batch = posts.next({ messages: 512, bytes: room })); ) {
      const { signal } = (posting = new AbortController());
      const began = Date.now();
      const timer = setTimeout(() => posting!.abort(), Math.min(session.grant!.timeout * (1 + batch.bytes / LEAST), LATEST));
      const response = await post(batch, { signal }).catch(() => undefined);
      clearTimeout(timer);
      if (!response || response.status == 502 || response.status == 504) { // of a proxy: no one knows what became of it
        await sleep(Math.min(5000, 50 * 2 ** repeats++));
        posts.failed();
      } else if (response.ok) {
        repeats = 0;
        if (resting) { // there is no poll that could hear anything
          session.heard(link);
          asked();
        }
        room = Math.min(Math.max(LEAST, Date.now() - began < QUICK ? 2 * batch.bytes : 0), MOST);
        posts.answered(countOf(response));
        carrier.changed();
      } else if (ended) break; // it was the answer to a `close`, and nothing waits for another
      else await refuse(response);
    }
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
      const pause = !ended && (vain ? sleep(QUICK) : rest(session));
      if (pause) {
        delivering = false;
        resting = true;
        void flush();
        await pause;
        resting = false;
      }
      began = Date.now();
      if (!ended) answer = get(); // before the flush: its head says what was taken, so that no POST has to
      delivering = false;
      void flush();
    }
  };

  const link: Carried = {
    posts: true,
    polls,
    write(frame) {
      if (frame.kind == 'close') posts.part(frame);
      else (polls ? run(frame) : get(frame).then(stream)).catch((error) => lose(`${error}`));
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
  const posts = createPosts(session, link, format, Date.now);
  queueMicrotask(() => ended || carrier.ready(link));
  return link;
};

const sleep = (time: number) => new Promise((resolve) => setTimeout(resolve, time));

/** Cuts an event stream into events, whatever the chunks. */
export function events(longest: number) {
  let line = ''; // as much of it as came, which nothing looks into before it is whole
  let half = ''; // a line break, if no \n follows
  let event: any = {};
  return function* parse(text: string): Generator<any> {
    text = half + text;
    half = text.at(-1) == '\r' ? '\r' : '';
    const [end, ...lines] = text.slice(0, text.length - half.length).split(/\r\n?|\n/);
    line += end;
    if (line.length > longest) throw new RangeError('line too long');
    for (const next of lines) {
      const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line) as any;
      if (line) event[name] = (name == 'data' && name in event ? `${event.data}\n` : '') + value;
      else {
        if ('data' in event) yield event;
        event = {};
      }
      line = next;
    }
  };
}
