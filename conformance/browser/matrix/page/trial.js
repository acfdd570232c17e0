// What a page of the matrix does: it sends numbered messages of all kinds to an echo, and keeps account of what comes back.
// The same file runs in pages, workers, Node and Deno, and the proxy knows by it how a message looks.

/** The n-th message begins with this, in whatever kind it is; always of one length, so that none is the beginning of another. */
export const label = (number) => `m-${String(number).padStart(5, '0')}`;

/** Text, JSON and binary by turns; every tenth is a text. */
export function kindOf(number) {
  return number % 10 === 0 ? 'text' : ['text', 'json', 'binary'][number % 3];
}

export function contentOf(number) {
  switch (kindOf(number)) {
    case 'text': return label(number);
    case 'json': return { label: label(number), nested: [number, null, { of: 'numbers' }] };
    default: return new TextEncoder().encode(label(number));
  }
}

const EVENTS = [
  'open', 'close', 'error', 'reconnect', 'reopen', 'move', 'transportfailure', 'lost', 'clienttimeout', 'localmessage',
];

export class Trial {
  sent = 0;
  received = []; // numbers, as they came; 0 for what is none of our messages
  wrong = []; // what was no message of ours, or not as it was sent
  counts = Object.fromEntries(EVENTS.map((type) => [type, 0]));
  failures = {}; // by transport
  log = [];
  #conditions = new Set();

  /** With `iterate`, it reads by `for await`, and takes its time: messages that came wait for it. */
  constructor(connect, url, { iterate, ...options }) {
    this.socket = connect(url, options);
    this.began = Date.now();
    for (const type of EVENTS) this.socket.addEventListener(type, (event) => this.#saw(type, event));
    if (iterate) this.#iterate();
    else this.socket.addEventListener('message', (event) => this.#take(event));
    for (const type of ['acknowledged', 'statechange']) this.socket.addEventListener(type, () => this.#check());
  }

  /** Sends the messages up to number `last`, some at a time, whatever state the client is in. */
  async send(last) {
    while (this.sent < last) {
      for (let index = 0; index < 30 && this.sent < last; index += 1) {
        const number = this.sent + 1;
        const as = kindOf(number);
        this.socket.send(contentOf(number), { as });
        this.sent = number;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** What the next page of this tab has to know to go on with the account. */
  account() {
    const { sent, received, wrong } = this;
    return { sent, received, wrong };
  }

  goOn(account) {
    Object.assign(this, account);
  }

  /** Resolves when something is so. */
  when(condition) {
    return new Promise((resolve) => {
      this.#conditions.add({ condition, resolve });
      this.#check();
    });
  }

  /** Everything came back, and the server knows that we have it. */
  settled() {
    return this.when(() => this.received.length >= this.sent && this.socket.waiting === 0 && this.socket.state === 'open');
  }

  /** Closes, and waits for the last event. */
  async close() {
    const closed = this.when(() => this.counts.close > 0);
    this.socket.close();
    await closed;
  }

  /** What can be said in JSON. */
  report() {
    const { sent, received, wrong, counts, failures, log, socket } = this;
    const once = new Set(received);
    return {
      sent, received: received.length, doubled: received.length - once.size, lost: sent - once.size,
      ordered: received.every((number, index) => number === index + 1), wrong: wrong.slice(0, 5), counts, failures,
      state: socket.state, transport: socket.transport, session: socket.session, waiting: socket.waiting,
      transports: JSON.parse(JSON.stringify(socket.transports ?? null)), log: log.slice(-40),
    };
  }

  #saw(type, event) {
    this.counts[type] += 1;
    const fields = ['transport', 'reason', 'delay', 'attempt', 'by', 'code', 'session', 'messages'];
    const entry = { at: Date.now() - this.began, type };
    for (const name of fields) if (event[name] !== undefined) entry[name] = event[name];
    for (const name of ['unknown', 'unsent']) if (event[name] !== undefined) entry[name] = event[name].length;
    if (event.error) entry.error = String(event.error.message ?? event.error);
    this.log.push(entry);
    if (type === 'transportfailure') this.failures[event.transport] = (this.failures[event.transport] ?? 0) + 1;
    this.#check();
  }

  async #iterate() {
    for await (const data of this.socket) {
      this.#take({ data, kind: typeof data === 'string' ? 'text' : data instanceof Uint8Array ? 'binary' : 'json' });
      if (this.received.length % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  #take({ data, kind }) {
    let text = data;
    if (kind === 'json') text = data?.label;
    if (kind === 'binary') text = new TextDecoder().decode(data);
    const number = Number(/^m-(\d{5})$/.exec(text)?.[1] ?? 0);
    const same = kind === kindOf(number) && (kind !== 'json' || JSON.stringify(data) === JSON.stringify(contentOf(number)));
    if (!number || !same) this.wrong.push({ kind, data: JSON.stringify(data) ?? String(data) });
    this.received.push(number);
    this.#check();
  }

  #check() {
    for (const entry of this.#conditions) {
      if (!entry.condition()) continue;
      this.#conditions.delete(entry);
      entry.resolve();
    }
  }
}
