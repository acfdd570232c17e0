const named = (name: string) => class extends Error {
  override name = name;
};

/** The queue is full: nothing was queued, and nothing is lost. `send` again when messages were acknowledged. */
export const QueueFullError = named('QueueFullError');

/** The socket is closed, or closing. */
export const ClosedError = named('ClosedError');

/** A request got no reply in time. */
export const TimeoutError = named('TimeoutError');

export type QueueFullError = Error;
export type ClosedError = Error;
export type TimeoutError = Error;
