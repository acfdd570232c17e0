// One session of nosphere.v1, seen from the client: numbers, windows, links and deadlines. No clock, timer or socket is in
// here: its host tells the time, and links are told what to do. Rules in brackets are those of SPEC.md.

import { Code, ENDS, fault } from './codes.js';
import { QueueFullError } from './errors.js';
import { KINDS, isCount, sizeOf } from './frames.js';
import type { Format, Frame, Grant, Size, Unit } from './frames.js';
import type { Outgoing } from './message.js';

/** What the session knows of a link. */
export interface Link {
  /** Frames go by POST. */
  readonly posts: boolean;
  /** It is a run of polls. */
  readonly polls: boolean;
  /** Writes a frame past the queue: what asks for the session, proves a link that is none yet, or answers a `close`. */
  write(frame: Frame): void;
  end(code?: number): void;
}

export interface Ending {
  by: 'client' | 'server' | 'network';
  code: number;
  reason: string;
  unknown: Outgoing[];
  unsent: Outgoing[];
}

/** Whom the session belongs to. */
export interface Host {
  /** Milliseconds. */
  now(): number;
  /** How long a link has to show that it works. */
  patience(): number;
  /** `unfit`: what was accepted before the server's window was known, and is longer. */
  opened(unfit: Outgoing[]): void;
  /** `moved`: the session was not without a link. */
  resumed(moved: boolean): void;
  /** The link is lost, after it served for some time, or 0. */
  down(reason: string, lasted: number, code: number | undefined): void;
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
  /** How long its messages are. */
  bytes: number;
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

/** What is handed over at once. The first message goes whatever its size, unless these are the last ones, with `close` behind them. */
export interface Limit extends Partial<Size> {
  last?: boolean;
}

export function createSession(host: Host, format: Format, { window: own, queue: most, closeTimeout }: Limits, kept?: Partial<Kept>) {
  let {
    grant,
    attachment = 0,
    received = 0, // count of the server's messages that were taken
    acknowledged = 0, // count of ours that the server took
    highest = 0, // the highest number that any link ever carried
  } = kept ?? {};
  let queue: Outgoing[] = []; // everything behind `acknowledged`
  let queued = 0; // bytes that ever were in it
  let cleared = 0; // bytes of what was acknowledged
  let sent = 0; // how many of the queue were handed to the current link
  let told = received; // the count that the server was last told
  let untold = 0; // bytes of what was taken since
  let inbox: { frame: Frame; bytes: number }[] = []; // what came and was not taken

  let link: Link | undefined;
  let awaits: string | undefined; // the answer that the link owes us
  let head: number | undefined; // what the head of that answer said
  let since = 0; // when the session got its link, 0: it has none
  let ended = false;
  let closing: { code: number; reason: string } | undefined;
  let left = false; // close() was called: whatever ends the session then, we did
  let closeSent = false;
  let alive = Infinity; // when the link is lost for its silence
  let until = Infinity; // when the session is over
  let asked = true; // for a sign of life
  const due = new Set<string>();

  const enqueue = (message: Outgoing) => {
    message.end = queued += message.bytes;
    queue.push(message);
  };

  /** Bytes of what the link carried and the server did not acknowledge. */
  const load = () => (queue[sent - 1]?.end ?? cleared) - cleared;

  const fits = ({ bytes }: Outgoing) => !grant || bytes <= grant.window.bytes;

  /** The count for a header or frame that is about to leave. */
  const tell = () => {
    due.delete('ack');
    untold = 0;
    return (told = received + (closing ? inbox.length : 0)); // what is left is taken before the end is heard of
  };

  const heard = () => {
    const { heartbeat, timeout } = grant!;
    alive = host.now() + timeout + (link!.polls ? POLL : heartbeat || Infinity); // [HB-4]
    asked = false;
  };

  /** Lets the next collect() begin behind `base`, where a POST began that got no answer [PST-4]. */
  const rewind = (base?: number) => {
    awaits = undefined;
    sent = Math.max(0, (base ?? acknowledged) - acknowledged);
    closeSent = false;
    if (base != undefined) due.add('ack');
  };

  /** Drops what the server took. A lower count than before is old news [DLV-4]. */
  const acknowledge = (count: number) => {
    if (!isCount(count)) fault(Code.Malformed);
    if (count > highest) fault(Code.Unexpected);
    const taken = queue.splice(0, Math.max(0, count - acknowledged));
    acknowledged += taken.length;
    cleared = taken.at(-1)?.end ?? cleared;
    sent = Math.max(0, sent - taken.length);
    for (const message of taken) message.state = 'taken';
    if (taken.length) host.taken(taken);
  };

  const grants = () => {
    awaits = undefined;
    if (!closing) until = Infinity;
    since = host.now();
    heard();
  };

  const resumed = (count: number) => { // [DLV-6]
    if (count < acknowledged) fault(Code.Unexpected);
    acknowledge(count);
    rewind();
    const moved = !!since;
    grants();
    host.resumed(moved);
  };

  /** The link is lost. */
  const drop = (reason: string, code?: number) => {
    const lasted = since && !awaits ? host.now() - since + 1 : 0;
    link?.end(code ?? Code.Fenced);
    link = awaits = undefined;
    alive = Infinity;
    if (since && !closing) until = host.now() + grant!.resume;
    since = 0;
    host.down(reason, lasted, code);
  };

  /** Does the work of a link; if the server is at fault, the link ends [FRM-2]. */
  const guard = (work: () => void) => {
    try {
      work();
    } catch (error: any) {
      if (!error.code) throw error;
      drop(`protocol fault ${error.code}`, error.code);
    }
  };

  const over = (by: Ending['by'], code: number, reason: string) => {
    if (ended) return;
    ended = true;
    link?.end(code);
    link = awaits = undefined;
    alive = until = Infinity;
    const unsent = queue.splice(0);
    const unknown = unsent.splice(0, highest - acknowledged); // [CLS-3]
    for (const message of unknown) message.state = 'unknown';
    for (const message of unsent) message.state = 'unsent';
    host.over({ by: left ? 'client' : by, code, reason, unknown, unsent });
  };

  /** Ends as close() has said. */
  const part = () => over('client', closing!.code, closing!.reason);

  const receive = (unit: Unit, number?: number) => {
    let frame: Frame;
    try {
      frame = format.decode(unit);
    } catch {
      return fault(Code.Malformed);
    }
    const { kind, value } = frame;
    const ends = kind == 'reset' || kind == 'close';
    if (awaits == 'resumed' && head != undefined && kind != awaits && !ends) resumed(head); // [POL-2]
    if (awaits ? kind != awaits && !(grant && ends) : kind == 'reset' || kind == 'resumed' || kind == 'opened') fault(Code.Unexpected);
    if (KINDS.includes(kind)) {
      if (closing) return; // [CLS-1]
      const count = received + inbox.length;
      const bytes = sizeOf(unit);
      if (number != undefined && number != count + 1) fault(Code.Unexpected); // [SSE-4]
      if (count - told >= own.messages || untold + inbox.reduce((sum, item) => sum + item.bytes, 0) >= own.bytes) fault(Code.Window); // [DLV-2]
      if (bytes > own.bytes) fault(Code.TooLarge);
      inbox.push({ frame, bytes });
      return host.arrived(frame);
    }
    switch (kind) {
      case 'ping':
        due.add('pong'); // [HB-2]
      case 'ack':
      case 'pong':
        return acknowledge(value);
      case 'reset':
        return over('server', Code.UnknownSession, value);
      case 'resumed':
        return resumed(value.received);
      case 'opened': {
        grant = value as Grant;
        due.add('ack'); // [SES-6]
        const unfit = queue.filter((message) => !fits(message));
        for (const message of unfit) message.state = 'unsent';
        const accepted = queue.filter(fits);
        queue = [];
        queued = 0;
        accepted.forEach(enqueue);
        grants();
        return host.opened(unfit);
      }
      case 'close': {
        const { code, reason } = value;
        acknowledge(value.received);
        closing ??= { code, reason: '' };
        if (!awaits && (link!.posts || !closeSent)) link!.write(last()); // [CLS-2]
        return over('server', code, reason);
      }
    }
    fault(Code.Unexpected);
  };

  const last = (): Frame => ({ kind: 'close', value: { ...closing, received: tell() } });

  kept?.queue?.forEach(enqueue);

  return {
    get grant() { return grant; },
    get link() { return link; },
    get since() { return since; },
    get closing() { return closing; },
    get ended() { return ended; },
    get queue() { return queue; },
    window: own,
    closeTimeout,
    /** Whether the link is still to be granted. */
    get pending() { return !!awaits; },
    /** Whether a sign of life was asked for and has not come. */
    get asked() { return asked; },

    over,
    part,

    /** A link is on its way, for which this waits. What comes by another one is nothing to it any more [ATT-4]. */
    dial(next: Link) {
      link = next;
    },

    /** The link is there: an attachment begins. Everything handed to older ones counts as unsent. */
    begin() {
      attachment += 1; // [ATT-1]
      head = undefined;
      rewind();
      due.clear();
      inbox = [];
      awaits = grant ? 'resumed' : 'opened';
      const { session, token, timeout = Infinity } = grant ?? {};
      alive = host.now() + Math.min(timeout, host.patience());
      asked = true;
      link!.write(grant
        ? { kind: 'resume', value: { session, token, attachment, received: tell() } }
        : { kind: 'open', value: { attachment, window: own } });
    },

    /** There will be a link, or there will have to be another. */
    wait() {
      alive = host.now() + host.patience();
      asked = true;
    },

    /** A unit came. `number` is what its carrier says that it is. */
    receive(from: Link, unit: Unit, number?: number) {
      if (from != link) return; // [ATT-4]
      if (!awaits) heard();
      guard(() => receive(unit, number));
    },

    /** A sign of life that is no whole unit. */
    heard(from: Link) {
      if (from == link && !awaits) heard();
    },

    /** The head of an answer said how many messages the server has taken. */
    counted(from: Link, count: number) {
      if (from != link) return;
      if (!awaits) guard(() => acknowledge(count));
      else if (from.polls) head = count;
    },

    /** The link is lost, or could not even be made. `code`: the server refused what came over it. */
    lost(reason: string, code?: Code) {
      if (ENDS.includes(code!)) over('server', code!, reason);
      else drop(reason);
    },

    /**
     * Hands the next units to a link: control frames, then what the server's window allows, then `close` behind the last
     * message.
     */
    collect(to: Link, { messages: some = Infinity, bytes: room = Infinity, last: leaves = false }: Limit = {}): Batch | undefined {
      if (awaits || to != link) return;
      const units: Unit[] = [];
      const base = acknowledged + sent;
      for (const kind of due) units.push(format.encode({ kind, value: received }));
      if (units.length) tell();
      due.clear();
      const { messages, bytes } = grant!.window;
      const first = sent;
      const before = load();
      for (let next; sent < first + some && (next = queue[sent]); ) {
        if (sent >= messages || load() >= bytes) break; // the unit that reaches the window is the last [DLV-2]
        if ((leaves || sent > first) && load() + next.bytes > before + room) break;
        next.state = 'sent';
        sent += 1;
        units.push(next.unit);
      }
      highest = Math.max(highest, acknowledged + sent);
      const close = !!closing && !closeSent && (leaves || sent == queue.length);
      if (close) {
        closeSent = true;
        units.push(format.encode(last()));
      }
      if (!units.length) return;
      return { base, units, bytes: load() - before, close };
    },

    /** For a page that goes away: what is in flight goes again, since nobody will hear what became of it, and no answer is awaited. */
    rewind,

    /** Hands over the next message that came: it counts as received now [DLV-3]. */
    take(): Frame | undefined {
      const item = inbox.shift();
      if (!item) return;
      received += 1;
      untold += item.bytes;
      if (2 * (received - told) >= own.messages || 2 * untold >= own.bytes) due.add('ack');
      return item.frame;
    },

    /** What the next take() gives. */
    peek: () => inbox[0]?.frame,

    /**
     * What there is to say of it, to the server or to another page. A poll is answered behind its count [POL-1], so that it
     * discards what was not taken.
     */
    head(poll?: boolean) {
      if (poll) inbox = [];
      return { grant, attachment, received: tell(), acknowledged, highest, queue };
    },

    /** Accepts a message, or throws and leaves everything as it was. */
    send(message: Outgoing) {
      if (!fits(message) || message.bytes > most.bytes) throw new RangeError('too large');
      if (queue.length >= most.messages || queued - cleared + message.bytes > most.bytes) throw new QueueFullError();
      enqueue(message);
    },

    ping() {
      due.add('ping');
    },

    /** Asks the link for a sign of life, since there is doubt. */
    doubt() {
      if (!since || awaits) return;
      due.add('ping');
      alive = Math.min(asked ? alive : Infinity, host.now() + host.patience());
      asked = true;
    },

    close(code: number, reason: string) {
      if (closing || ended) return;
      left = true;
      closing = { code, reason };
      inbox = [];
      until = host.now() + closeTimeout;
      if (!grant) over('client', code, reason);
    },

    /** When expire() wants to be called. */
    get deadline() {
      return Math.min(alive, until);
    },

    /** Time has passed. */
    expire() {
      const now = host.now();
      if (now >= until) {
        if (closing) part();
        else over('network', Code.Expired, 'not resumed in time');
      } else if (now >= alive) drop('no sign in time', Code.Timeout);
    },
  };
}
