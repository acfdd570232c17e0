// Who iterates, and sets the pace: each next() that was asked for takes one message.

import type { Frame } from './frames.js';

/** `pull` hands over what waits. */
export function createReaders(pull: () => void) {
  let wanted: { reader: object; resolve(frame?: Frame): void }[] = [];
  let reading = 0;
  let begun = false;

  return {
    /** Whether messages have to wait: for a loop that is busy or, once there was one, for the next, unless somebody else listens. */
    busy: (listened: boolean) => !wanted[0] && (reading > 0 || (begun && !listened)),

    give: (frame: Frame) => wanted.shift()?.resolve(frame),

    /** There will be no more. */
    end() {
      for (const { resolve } of wanted.splice(0)) resolve();
    },

    iterate(): AsyncIterableIterator<any> {
      let left = false;
      reading += 1;
      begun = true;
      return {
        [Symbol.asyncIterator]() { return this; },

        next() {
          return new Promise((settle) => {
            const resolve = (frame?: Frame) => settle({ value: frame?.value, done: !frame });
            if (left) return resolve();
            wanted.push({ reader: this, resolve });
            pull();
          });
        },

        async return() {
          if (!left) reading -= 1;
          left = true;
          wanted = wanted.filter(({ reader, resolve }) => reader != this || resolve());
          pull();
          return { value: undefined, done: true };
        },
      };
    },
  };
}
