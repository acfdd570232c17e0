// One session of nosphere.v1, seen from the client: numbers, windows, links and deadlines. No clock, timer or socket is in
// here: time is an argument, and links are told what to do. Rules in brackets are those of SPEC.md.

import { Code, Fault, fault } from './codes.js';
import { KINDS, isCount, sizeOf } from './frames.js';
import type { Format, Frame, Unit } from './frames.js';
import { QueueFullError } from './errors.js';
import type { Outgoing } from './message.js';

export interface Size {
  messages: number;
  bytes: number;
}

/** What `opened` says. */
export interface Grant {
  session: string;
  token: string;
  heartbeat: number;
  timeout: number;
  proof: number;
  resume: number;
  window: Size;
}

/** What the session knows of a link. */
export interface Link {
  readonly transport: string;
  /** Frames go by POST. */
  readonly http: boolean;
  /** It is a run of polls. */
  readonly polls: boolean;
  /** Asks for the session with `open` or `resume`. */
  begin(frame: Frame): void;
  /** Writes a frame past the queue: what proves a link that is none yet. */
  write(frame: Frame): void;
  end(code: number, reason?: string): void;
}

export interface Ending {
  by: 'client' | 'server' | 'network';
  code: number;
  reason: string;
  unknown: Outgoing[];
  unsent: Outgoing[];
}

/** What the session tells. */
export interface Host {
  opened(): void;
  /** `moved`: the session was not without a link. */
  resumed(moved: boolean): void;
  /** The session has lost its link, or the one that was to become it. */
  down(link: Link, reason: string, code: number | undefined): void;
  /** A message came, and waits to be taken. */
  arrived(frame: Frame): void;
  /** The server took these. */
  taken(messages: Outgoing[]): void;
  over(ending: Ending): void;
}

export interface Batch {
  /** The number of messages before the first one. */
  base: number;
  units: Unit[];
  /** It holds `close`. */
  close: boolean;
}

/** A session that is kept over a reload. */
export interface Kept {
  grant: Grant;
  attachment: number;
  received: number;
  acknowledged: number;
  highest: number;
  /** How many requests there were. */
  requests?: number;
  queue: Outgoing[];
}

export interface Limits {
  /** What the server may have unacknowledged. */
  window: Size;
  /** What waits here. */
  queue: Size;
  closeTimeout: number;
}

export type Session = ReturnType<typeof createSession>;

const POLL = 25_000; // the longest poll [POL-4, HB-4]
const BATCH = { units: 512, bytes: 1 << 20 }; // [PST-6]

export function createSession(host: Host, format: Format, limits: Limits, kept?: Kept) {
  let grant = kept?.grant;
  let attachment = kept?.attachment ?? 0;
  let received = kept?.received ?? 0; // count of the server's messages that were taken
  let acknowledged = kept?.acknowledged ?? 0; // count of ours that the server took
  let highest = kept?.highest ?? 0; // the highest number that any link ever carried
  const queue: Outgoing[] = kept?.queue ?? []; // everything behind `acknowledged`
  let sent = 0; // how many of the queue were handed to the current link
  let told = received; // the count that the server was last told
  let untold = 0; // bytes of what was taken since
  let inbox: [frame: Frame, bytes: number][] = []; // what came and was not taken

  let link: Link | undefined;
  let previous: Link | undefined; // serves until the new one is granted, §9.1
  let candidate: Link | undefined;
  let farewell: Link | undefined; // takes the answer to a `close`, when all else is over [CLS-2]
  let awaits: string | undefined; // the answer that the link owes us
  let head: number | undefined; // what the head of that answer said
  let up = false;
  let ended = false;
  let post: Batch | undefined; // the one in flight
  let closing: { code: number; reason: string } | undefined;
  let closeSent = false;
  const due = new Set<string>();
  let alive = Infinity; // when the link is lost for its silence
  let until = Infinity; // when the session is over
  let asked = false; // whether there is a sign of life at all

  const bytesOf = (messages: { bytes: number }[]) => messages.reduce((sum, { bytes }) => sum + bytes, 0);
  const waits = () => inbox.reduce((sum, [, bytes]) => sum + bytes, 0);

  /** The count for a header or frame that is about to leave. */
  const tell = () => {
    told = received + (ended || closing ? inbox.length : 0); // what is left is taken before the end is heard of
    untold = 0;
    due.delete('ack');
    return told;
  };

  const heard = (now: number) => {
    if (!link) return;
    const { heartbeat, timeout } = grant!;
    alive = now + (link.polls ? POLL + timeout : heartbeat ? heartbeat + timeout : Infinity); // [HB-4]
    asked = false;
  };

  /** Lets the next collect() begin behind `base`. */
  const rewind = (base = acknowledged) => {
    sent = Math.max(0, base - acknowledged);
    closeSent = false;
  };

  /** Drops what the server took. A lower count than before is old news [DLV-4]. */
  const acknowledge = (count: number) => {
    if (!isCount(count)) fault(Code.Malformed, 'not a count');
    if (count > highest) fault(Code.Unexpected, 'more was taken than was sent');
    const taken = queue.splice(0, Math.max(0, count - acknowledged));
    acknowledged += taken.length;
    sent = Math.max(0, sent - taken.length);
    for (const message of taken) message.state = 'taken';
    if (taken.length) host.taken(taken);
  };

  const granted = (now: number) => {
    previous?.end(Code.Fenced);
    previous = awaits = undefined;
    if (!closing) until = Infinity;
    up = true;
    heard(now);
  };

  const resumed = (count: number, now: number) => { // [DLV-6]
    if (count < acknowledged) fault(Code.Unexpected, 'the server forgot what it had taken');
    acknowledge(count);
    rewind();
    const moved = up;
    granted(now);
    host.resumed(moved);
  };

  /** The link is gone. */
  const drop = (now: number, reason: string, code?: number) => {
    const lost = link!;
    previous?.end(Code.Fenced);
    link = previous = post = awaits = undefined;
    alive = Infinity;
    if (up && !closing) until = now + grant!.resume;
    up = false;
    host.down(lost, reason, code);
  };

  /** Does the work of a link; if the server is at fault, the link ends [FRM-2]. */
  const guard = (now: number, work: () => void) => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      link!.end(error.code, error.message);
      drop(now, error.message, error.code);
    }
  };

  const over = (by: Ending['by'], code: number, reason: string) => {
    ended = true;
    for (const one of [link, previous, candidate]) one?.end(code);
    link = previous = candidate = awaits = undefined;
    alive = Infinity;
    if (!farewell) until = Infinity;
    const unsent = queue.splice(0);
    const unknown = unsent.splice(0, highest - acknowledged); // [CLS-3]
    for (const message of unknown) message.state = 'unknown';
    for (const message of unsent) message.state = 'unsent';
    host.over({ by, code, reason, unknown, unsent });
  };

  /** The server ended the session. */
  const closed = ({ code, reason, received: count }: any, now: number) => {
    acknowledge(count);
    const by = closing ? 'client' : 'server';
    const answers = !awaits;
    closing ??= { code, reason: '' };
    if (answers) {
      if (link!.http) {
        farewell = link;
        closeSent = !!post?.close;
        until = now + limits.closeTimeout;
      } else if (!closeSent) {
        link!.write({ kind: 'close', value: { ...closing, received: received + inbox.length } }); // [CLS-2]
      }
    }
    over(by, code, reason);
  };

  const arrive = (frame: Frame, unit: Unit, number: number | undefined) => {
    if (closing) return; // [CLS-1]
    const count = received + inbox.length;
    const bytes = sizeOf(unit);
    if (number != undefined && number != count + 1) fault(Code.Unexpected, 'a message is missing'); // [SSE-4]
    if (count - told >= limits.window.messages || untold + waits() >= limits.window.bytes) fault(Code.Window, 'more than the window allows');
    if (bytes > limits.window.bytes) fault(Code.TooLarge, 'longer than the window');
    inbox.push([frame, bytes]);
    host.arrived(frame);
  };

  const receive = (unit: Unit, number: number | undefined, now: number) => {
    let frame;
    try {
      frame = format.decode(unit);
    } catch (error) {
      return fault(Code.Malformed, `${error}`);
    }
    const { kind, value } = frame;
    const answer = kind == 'reset' || kind == 'close';
    if (awaits == 'resumed' && head != undefined && kind != awaits && !answer) resumed(head, now); // [POL-2]
    if (awaits ? kind != awaits && !(grant && answer) : kind == 'reset' || kind == 'resumed' || kind == 'opened') {
      fault(Code.Unexpected, `${kind} may not come here`);
    }
    if (KINDS.includes(kind)) return arrive(frame, unit, number);
    switch (kind) {
      case 'ping':
        due.add('pong'); // [HB-2]
      case 'ack':
      case 'pong':
        return acknowledge(value);
      case 'close':
        return closed(value, now);
      case 'reset':
        return over('server', Code.UnknownSession, value);
      case 'resumed':
        return resumed(value.received, now);
      case 'opened':
        grant = value as Grant;
        due.add('ack'); // [SES-6]
        granted(now);
        return host.opened();
    }
    fault(Code.Unexpected, `${kind} from a server`);
  };

  const attach = (next: Link, now: number, patience: number) => {
    attachment += 1; // [ATT-1]
    previous?.end(Code.Fenced);
    [previous, link] = [link, next];
    candidate = post = head = undefined;
    due.clear();
    inbox = [];
    awaits = grant ? 'resumed' : 'opened';
    alive = now + Math.min(patience, grant?.timeout ?? patience);
    asked = true;
    link.begin(grant
      ? { kind: 'resume', value: { session: grant.session, token: grant.token, attachment, received: tell() } }
      : { kind: 'open', value: { attachment, window: limits.window } });
  };

  return {
    get grant() { return grant; },
    get link() { return link; },
    get up() { return up; },
    get closing() { return !!closing; },
    get ended() { return ended; },
    get waiting() { return queue.length; },
    get attachment() { return attachment; },
    /** Whether the link is still to be granted. */
    get pending() { return !!awaits; },

    /** Begins an attachment on a link. Everything handed to older ones counts as unsent. */
    attach,

    /** A link that may become the session's: a ping has to prove it, §9.1. */
    try(next: Link) {
      candidate = next;
      next.write({ kind: 'ping', value: received });
    },

    /** A unit came. `number` is what its carrier says that it is. */
    receive(from: Link, unit: Unit, number: number | undefined, now: number, patience: number) {
      if (from == candidate) {
        candidate = undefined;
        let kind;
        try {
          kind = format.decode(unit).kind;
        } catch {
          // no pong
        }
        return kind == 'pong' ? attach(from, now, patience) : from.end(Code.Unexpected);
      }
      if (from != link) return; // [ATT-4]
      if (!awaits) heard(now);
      guard(now, () => receive(unit, number, now));
    },

    /** A sign of life that is no whole unit. */
    heard(from: Link, now: number) {
      if (from == link && !awaits) heard(now);
    },

    /** The head of an answer said how many messages the server has taken. */
    counted(from: Link, count: number, now: number) {
      if (from != link) return;
      if (!awaits) guard(now, () => acknowledge(count));
      else if (from.polls) head = count;
    },

    /** A link is lost. */
    detach(from: Link, reason: string, now: number) {
      if (from == candidate) candidate = undefined;
      if (from == link) drop(now, reason);
    },

    /** The server refused what came over a link, which is over. */
    refused(from: Link, code: number | undefined, reason: string, now: number) {
      if (from == farewell) return (farewell = undefined), (until = Infinity);
      if (from != link) return;
      from.end(Code.Closed);
      const final = [Code.Malformed, Code.Forbidden, Code.UnknownSession, Code.Unproved, Code.Expired, Code.Unexpected, Code.Closed];
      if (code && (final.includes(code) || (code >= 3000 && code < 4000))) over('server', code, reason);
      else drop(now, reason);
    },

    posted(batch: Batch, count: number, now: number) {
      if (batch != post) return;
      post = undefined;
      if (farewell) {
        if (batch.close) (farewell = undefined), (until = Infinity);
        return;
      }
      guard(now, () => acknowledge(count));
      if (batch.close && link) over('client', closing!.code, closing!.reason);
    },

    /** No answer: the same is posted again, with what came since [PST-4]. */
    failed(batch: Batch) {
      if (batch != post) return;
      post = undefined;
      rewind(batch.base);
      due.add('ack');
    },

    /**
     * Hands the next units to a link: control frames, then what the server's window allows, then `close` behind the last
     * message.
     */
    collect(to: Link, limit = BATCH): Batch | undefined {
      if (post || awaits || !(farewell ? to == farewell : to == link)) return;
      const units: Unit[] = [];
      const base = acknowledged + (farewell ? 0 : sent);
      for (const kind of due) units.push(format.encode({ kind, value: received }));
      if (units.length) tell();
      due.clear();
      const { window } = grant!;
      let bytes = bytesOf(queue.slice(0, sent));
      for (let room = limit.bytes; !farewell && units.length < limit.units; ) {
        const next = queue[sent];
        // [DLV-2]: the unit that reaches the window is the last
        if (!next || next.bytes > room || sent >= window.messages || bytes >= window.bytes) break;
        room -= next.bytes + 4;
        bytes += next.bytes;
        next.state = 'sent';
        sent += 1;
        units.push(next.unit);
      }
      highest = Math.max(highest, acknowledged + sent);
      const close = !!closing && !closeSent && (!!farewell || sent == queue.length);
      if (close) {
        closeSent = true;
        units.push(format.encode({ kind: 'close', value: { ...closing, received: tell() } }));
      }
      if (!units.length) return;
      const batch = { base, units, close };
      if (to.http) post = batch;
      return batch;
    },

    /** For a page that goes away: what is in flight goes again, since nobody will hear what became of it. */
    rewind() {
      post = undefined;
      rewind();
    },

    /** Hands over the next message that came: it counts as received now [DLV-3]. */
    take(): Frame | undefined {
      const [frame, bytes] = inbox.shift() ?? [];
      if (!frame) return;
      received += 1;
      untold += bytes!;
      const { window } = limits;
      if (2 * (received - told) >= window.messages || 2 * untold >= window.bytes) due.add('ack');
      return frame;
    },

    /** What the next take() gives. */
    peek: (): Frame | undefined => inbox[0]?.[0],

    /** What the head of a request says. A poll is answered behind its count [POL-1], so that it discards what was not taken. */
    head(poll?: boolean) {
      if (poll) inbox = [];
      return { ...grant, attachment, received: tell() };
    },

    /** Accepts a message, or throws and leaves everything as it was. */
    send(message: Outgoing) {
      if (message.bytes > (grant?.window.bytes ?? 1 << 20)) throw new RangeError('longer than the server takes');
      if (queue.length >= limits.queue.messages || bytesOf(queue) + message.bytes > limits.queue.bytes) {
        throw new QueueFullError('too much waits to be sent');
      }
      queue.push(message);
    },

    ping() {
      due.add('ping');
    },

    /** Asks the link for a sign of life within `patience`, since there is doubt. */
    doubt(now: number, patience: number) {
      if (!up || awaits) return;
      due.add('ping');
      alive = Math.min(asked ? alive : Infinity, now + patience);
      asked = true;
    },

    close(code: number, reason: string, now: number) {
      if (closing || ended) return;
      closing = { code, reason };
      inbox = [];
      until = now + limits.closeTimeout;
      if (!grant) over('client', code, reason);
    },

    /** Ends everything at once, from this side. */
    abandon(by: Ending['by'], code: number, reason: string) {
      if (!ended) over(by, code, reason);
    },

    /** When expire() wants to be called. */
    get deadline() {
      return Math.min(alive, until);
    },

    /** Time has passed. Returns whether the link is lost for its silence. */
    expire(now: number) {
      if (now >= until) {
        if (farewell) (farewell = undefined), (until = Infinity);
        else if (closing) over('client', closing.code, closing.reason);
        else over('network', Code.Expired, 'not resumed in time');
      } else if (now >= alive) {
        link!.end(Code.Timeout);
        drop(now, 'no sign of life', Code.Timeout);
      }
    },

    /** Whether a sign of life was asked for and has not come. */
    get asked() { return asked; },

    keep(): Kept | undefined {
      return grant && !closing && !ended ? { grant, attachment, received, acknowledged, highest, queue } : undefined;
    },
  };
}
