/** The queue is full: nothing was queued, and nothing is lost. `send` again when messages were acknowledged. */
export class QueueFullError extends Error {
  override name = 'QueueFullError';
}

/** The socket is closed, or closing. */
export class ClosedError extends Error {
  override name = 'ClosedError';
}

/** A request got no reply in time. */
export class TimeoutError extends Error {
  override name = 'TimeoutError';
}
