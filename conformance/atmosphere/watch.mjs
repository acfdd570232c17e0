// Waiting for a condition, with a deadline: nothing here is asserted by waiting for a time.

export const PATIENCE = Number(process.env.PATIENCE ?? 20_000);

/** Something that changes, and what waits for it to be so. */
export class Watch {
  #waiting = new Set();

  changed() {
    for (const check of [...this.#waiting]) check();
  }

  /** Resolves to what `condition` gives as soon as that is true of anything; fails at the deadline. */
  until(condition, what, patience = PATIENCE) {
    return new Promise((resolve, reject) => {
      const check = () => {
        const value = condition();
        if (!value) return;
        this.#waiting.delete(check);
        clearTimeout(timer);
        resolve(value);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(check);
        reject(new Error(`waited in vain for ${typeof what === 'function' ? what() : what}`));
      }, patience);
      this.#waiting.add(check);
      check();
    });
  }
}

/** Fails, instead of waiting for ever. */
export function within(promise, what, patience = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), patience)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
