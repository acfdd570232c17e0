// Who iterates, and sets the pace: each next() that was asked for takes one message.

import type { Part, Socket } from './api.js';
import type { Frame } from './frames.js';

type Wanted = ((frame?: Frame) => void)[];

/** `for await (const data of socket)`. */
export const iteration: Part<'iteration'> = (core) => {
  const { pass, socket } = core;
  const backlog: Frame[] = []; // what a session that is over left
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
    holds(next) {
      while (backlog[0] && !waits(backlog[0])) core.hand(backlog.shift()!);
      return !!backlog[0] || waits(next);
    },

    /** First: who listens may end that iterator, or ask it for the next one. */
    handed(frame) {
      if (!frame.exchange) wanted.shift()?.shift()!(frame);
    },

    drained() {
      if (core.session.ended) for (const own of wanted.splice(0)) own.shift()!();
    },

    over() {
      for (let frame; (frame = core.session.take()); ) backlog.push(frame);
    },
  };
};
