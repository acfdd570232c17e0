// A page that is left ends its session at once, as far as that can be done.

import { Code } from './codes.js';
import type { Part } from './api.js';
import type { Carried, Watched } from './part.js';

/** `close` for the server, when the page goes for good. */
export const leaving: Part<'leaving'> = (core) => ({
  hide(persisted) {
    const { session } = core;
    if (!session.closing && (persisted || core.resumes)) return;
    session.close(Code.Closed, '');
    if (session.ended) return;
    const link = session.link as Carried | undefined;
    if (!session.since || session.pending || !link!.leave()) { // a POST may end it whatever carried the attachment [PST-3]
      link?.end();
      if (core.openers['long-polling']) {
        const last = core.linkTo({ transport: 'long-polling' } as Watched, core.bearer);
        session.dial(last);
        last.leave();
      }
    }
    session.part();
  },
});
