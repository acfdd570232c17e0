// What a link posts, and when. No I/O.

import type { Format, Frame } from './frames.js';
import type { Batch, Limit, Link, Session } from './session.js';

export function createPosts(session: Session, link: Link, format: Format, now: () => number) {
  let batch: Batch | undefined; // in flight: one at a time, until it is answered [PST-4]
  let farewell: Batch | undefined; // the answer to a `close`, when all else is over [CLS-2]

  const posts = {
    /** When that is given up. */
    until: 0,

    /** What is to be posted now. */
    next: (limit?: Limit) =>
      batch ? undefined : (batch = !farewell ? session.collect(link, limit) : now() < posts.until ? farewell : undefined),

    /** The server took so many messages. */
    answered(count: number) {
      const { close } = batch!;
      batch = undefined;
      session.counted(link, count);
      if (!close) return;
      posts.until = 0;
      if (session.link == link) session.part();
    },

    /** No answer: the same goes again, with what came since. */
    failed() {
      if (session.link == link) session.rewind(batch!.base);
      batch = undefined;
    },

    /** There is a `close` to be answered. */
    part(frame: Frame) {
      farewell = { base: session.head().acknowledged, units: [format.encode(frame)], bytes: 0, close: true };
      posts.until = now() + session.closeTimeout;
    },
  };
  return posts;
}
