// Who iterates, and sets the pace: each next() that was asked for takes one message.

import type { Frame } from './frames.js';

type Wanted = ((frame?: Frame) => void)[];

/** `pull` hands over what waits. */
export function createReaders(pull: () => void) {
  const reading = new Set<Wanted>();
  let wanted: Wanted[] = []; // whose turn it is
  let begun = false;

  return {
    /** Whether messages have to wait: for a loop that is busy or, once there was one, for the next, unless somebody else listens. */
    busy: (listened: boolean) => !wanted[0] && (reading.size > 0 || (begun && !listened)),

    give: (frame: Frame) => wanted.shift()?.shift()!(frame),

    /** There will be no more. */
    end() {
      for (const own of wanted.splice(0)) own.shift()!();
    },

    iterate(): AsyncIterableIterator<any> {
      const own: Wanted = [];
      reading.add(own);
      begun = true;
      return {
        [Symbol.asyncIterator]() { return this; },

        next: () => new Promise((resolve) => {
          own.push((frame) => resolve({ value: frame?.value, done: !frame }));
          if (!reading.has(own)) return own.pop()!();
          wanted.push(own);
          pull();
        }),

        return() {
          reading.delete(own);
          wanted = wanted.filter((one) => one != own);
          for (const end of own.splice(0)) end();
          pull();
          return this.next();
        },
      };
    },
  };
}
