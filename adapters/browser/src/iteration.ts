// Who iterates, and sets the pace: each next() that was asked for takes one message.

import type { Part, Socket } from './api.js';
import type { Frame } from './frames.js';

type Wanted = ((frame?: Frame) => void)[];

/** `for await (const data of socket)`. */
export const iteration: Part<'iteration'> = (core) => {
  const { pass, socket } = core;
  const backlog: Frame[] = []; // what sessions that are over left, of two at most
  let older = 0; // how many of these the last one that left any did not
  let blocked = false; // a session waits for these to be taken
  const reading = new Set<Wanted>();
  let wanted: Wanted[] = []; // whose turn it is
  let begun = false;
  let listener: Socket['onmessage'];

  /** Whether a message has to wait: for a loop that is busy or, once there was one, for the next, unless somebody else listens. */
  const waits = (frame?: Frame) =>
    !!frame && !frame.exchange && !frame.error && !wanted[0] && (reading.size > 0 || (begun && !listener));

  Object.defineProperty(socket, 'onmessage', {
    get: () => listener,
    set(next) {
      listener = next;
      queueMicrotask(pass);
    },
  });

  socket[Symbol.asyncIterator] = (): AsyncIterableIterator<any> => {
    const own: Wanted = [];
    reading.add(own);
    begun = true;
    return {
      [Symbol.asyncIterator]() { return this; },

      next: () => new Promise((resolve) => {
        own.push((frame) => resolve({ value: frame?.value, done: !frame }));
        if (!reading.has(own)) return own.pop()!();
        wanted.push(own);
        pass();
      }),

      return() {
        reading.delete(own);
        wanted = wanted.filter((one) => one != own);
        for (const end of own.splice(0)) end();
        pass();
        return this.next();
      },
    };
  };

  return {
    holds() {
      for (; backlog[0] && !waits(backlog[0]); older -= 1) core.hand(backlog.shift()!);
      if (blocked && older <= 0) {
        blocked = false;
        core.awake();
      }
      return !!backlog[0] || waits(core.session.peek()); // who got one may have asked for others
    },

    /** First: who listens may end that iterator, or ask it for the next one. */
    handed(frame) {
      if (!frame.exchange) wanted.shift()?.shift()!(frame);
    },

    drained() {
      if (core.session.ended) for (const own of wanted.splice(0)) own.shift()!();
    },

    full: () => (blocked = older > 0),

    over() {
      if (core.session.peek()) older = backlog.length;
      for (let frame; (frame = core.session.take()); ) backlog.push(frame);
    },
  };
};
