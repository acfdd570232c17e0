export const LATEST = 2 ** 31 - 1; // a timer that is to fire later does so at once

/** Timers, by what they are for: there is one of each. */
export function createTimers() {
  const timers = new Map<string | number, ReturnType<typeof setTimeout>>();

  /** Whether there was one. */
  const stop = (name: string | number) => {
    clearTimeout(timers.get(name));
    return timers.delete(name);
  };

  return {
    stop,

    after(name: string | number, delay: number, work: () => void) {
      stop(name);
      timers.set(name, setTimeout(() => {
        timers.delete(name);
        work();
      }, Math.min(delay, LATEST)));
    },

    stopAll() {
      for (const name of timers.keys()) stop(name);
    },
  };
}
