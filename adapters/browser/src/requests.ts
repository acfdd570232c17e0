// Questions that wait for their replies.

import { TimeoutError } from './errors.js';
import type { createTimers } from './timers.js';

export function createRequests({ after, stop }: ReturnType<typeof createTimers>) {
  const asked = new Map<number, (error?: unknown, reply?: unknown) => void>();

  return {
    get waiting() { return asked.size; },

    /** Waits for the reply to a question that was sent [REQ-2]. */
    wait: (id: number, timeout: number, signal?: AbortSignal) => new Promise<any>((resolve, reject) => {
      const settle = (error?: unknown, reply?: unknown) => {
        asked.delete(id);
        stop(id);
        signal?.removeEventListener('abort', cancel);
        if (error) reject(error);
        else resolve(reply);
      };
      const cancel = () => {
        reject(signal!.reason); // which may be nothing
        settle();
      };
      after(id, timeout, () => settle(new TimeoutError('no reply in time')));
      signal?.addEventListener('abort', cancel);
      asked.set(id, settle);
    }),

    settle: (id: number, error?: unknown, reply?: unknown) => asked.get(id)?.(error, reply),

    /** Nobody will answer any more, but for what was not sent yet. */
    end(error: unknown, unsent: { id: number | undefined }[]) {
      for (const [number, settle] of asked) if (!unsent.some(({ id }) => id == number)) settle(error);
    },
  };
}
