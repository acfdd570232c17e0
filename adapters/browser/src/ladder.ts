// Where there are several transports: what worked is tried first the next time, if there is a way back to a better one (`climbing`),
// and what breaks again and again is left alone.

import { storage } from './storage.js';
import type { Core, Hooks, Watched } from './part.js';

const LASTING = 120_000; // a link that lived this long is no strike against its transport
const STRIKES = 3;
const REST = 600_000; // how long a transport is left alone that died so often
const AGE = 86_400_000; // of what is remembered

export function ladder(core: Core): Hooks {
  const { options: { remember = true }, url } = core;
  const [remembered, at] = remember && url ? [storage('localStorage', url)].flat() : [];
  let best: string | undefined = Date.now() - at < AGE ? remembered : undefined; // what worked last
  const climbs = () => 'climb' in core.socket; // parts come in any order

  return {
    /** First what worked. */
    plan(round) {
      const rested = round.filter(({ rest }) => rest <= Date.now());
      if (rested[0]) round.splice(0, round.length, ...rested);
      if (climbs()) round.sort((a: Watched, b: Watched) => Number(b.transport == best) - Number(a.transport == best));
    },

    granted() {
      best = core.rung.transport;
      if (remember && url && climbs()) storage('localStorage', url, [best, Date.now()]);
    },

    down(reason, lasted) {
      const { rung, usable } = core;
      if (lasted) rung.strikes = lasted < LASTING ? rung.strikes + 1 : 0;
      if (rung.strikes < STRIKES) return;
      rung.strikes = 0;
      rung.rest = Date.now() + REST;
      if (rung != usable.at(-1)) core.failed(rung, reason);
    },
  };
}
