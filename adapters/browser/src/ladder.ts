// The transports, best first: what is known of each, and which are to be tried.

import { storage } from './storage.js';
import { TRANSPORTS } from './transports.js';
import type { Rung } from './api.js';
import type { Transport } from './transports.js';

const LASTING = 120_000; // a link that lived this long is no strike against its transport
const STRIKES = 3;
const REST = 600_000; // how long a transport is left alone that died so often
const AGE = 86_400_000; // of what is remembered

export interface Watched extends Rung {
  state: Rung['state'];
  reason?: string | undefined;
  /** How often in a row it broke too early. */
  strikes: number;
  /** Not tried by itself before this time. */
  rest: number;
}

/** `has`: whether the platform does. `url`: where it is remembered what worked, if anywhere. */
export function createLadder(transports: Transport[], has: (transport: Transport) => boolean, url: string | undefined) {
  const rungs = transports.map((transport): Watched => {
    if (!TRANSPORTS[transport]) throw new TypeError(`no such transport: ${transport}`);
    return { transport, browser: has(transport), state: 'untried', strikes: 0, rest: 0 };
  });
  const usable = rungs.filter(({ browser }) => browser);
  if (!usable[0]) throw new TypeError('no transport');
  const [remembered, at] = url ? [storage('localStorage', url)].flat() : [];
  let best = Date.now() - at < AGE ? usable.find(({ transport }) => transport == remembered) : undefined; // what worked last

  return {
    /** For people. */
    get known() { return rungs.map(({ strikes, rest, ...known }): Rung => known); },

    /** What is tried, in this order: first what worked. */
    plan() {
      const rested = usable.filter(({ rest }) => rest <= Date.now());
      return (rested[0] ? rested : [...usable]).sort((a, b) => Number(b == best) - Number(a == best));
    },

    better: (rung: Watched) => usable.slice(0, usable.indexOf(rung)),

    works(rung: Watched) {
      best = rung;
      rung.state = 'works';
      rung.reason = undefined;
      if (url) storage('localStorage', url, [rung.transport, Date.now()]);
    },

    /** Its link is lost after it served for some time, or never did. */
    failed(rung: Watched, reason: string, lasted: number) {
      if (lasted) rung.strikes = lasted < LASTING ? rung.strikes + 1 : 0;
      const struck = rung.strikes >= STRIKES;
      if (struck) {
        rung.strikes = 0;
        rung.rest = Date.now() + REST;
      }
      if (!lasted || (struck && rung != usable.at(-1))) {
        rung.state = 'failed';
        rung.reason = reason;
      }
    },
  };
}
