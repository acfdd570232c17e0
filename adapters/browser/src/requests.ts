// Questions of either side, and their replies.

import { TimeoutError } from './errors.js';
import type { Part } from './api.js';
import type { Frame, Kind } from './frames.js';
import type { Session } from './session.js';

/** `request` and `onrequest`. */
export const requests: Part<'requests'> = (core) => {
  const { options: { requestTimeout = 10_000 }, socket } = core;
  const asked = new Map<number, (error?: unknown, reply?: unknown) => void>();
  const settle = (id: number, error?: unknown, reply?: unknown) => asked.get(id)?.(error, reply);

  socket.request = async (data, { as, timeout = requestTimeout, signal } = {}) => {
    signal?.throwIfAborted();
    const id = ++core.asked;
    core.put(data, as, 'request', id);
    return new Promise<any>((resolve, reject) => { // [REQ-2]
      const cancel = () => {
        reject(signal!.reason); // which may be nothing
        settle(id);
      };
      asked.set(id, (error, reply) => {
        asked.delete(id);
        core.stop(id);
        signal?.removeEventListener('abort', cancel);
        if (error) reject(error);
        else resolve(reply);
      });
      core.after(id, timeout, () => settle(id, new TimeoutError('no reply in time')));
      signal?.addEventListener('abort', cancel);
    });
  };

  /** What onrequest says goes back to who asked, as long as there is the session in which it did. */
  const answer = async ({ kind, value, id }: Frame, asker?: Session) => {
    try {
      const reply = await socket.onrequest?.(value, kind as Kind);
      if (reply !== undefined && core.session == asker) core.put(reply, undefined, 'reply', id);
    } catch (error) {
      core.emit('error', { error });
    }
  };

  return {
    asks: () => asked.size > 0,

    arrived({ exchange, id, error, value }) {
      if (exchange == 'reply') settle(id!, error && new Error(error), value);
    },

    handed(frame, asker) {
      if (frame.exchange == 'request') void answer(frame, asker);
    },

    unfit: ({ id }, error) => settle(id!, error),

    /** Nobody will answer any more, but for what was not sent yet. */
    over(error, moved) {
      for (const [number, settle] of asked) if (!moved.some(({ id }) => id == number)) settle(error);
    },
  };
};
