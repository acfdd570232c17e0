// Where there are several transports: what breaks again and again is left alone.

import type { Core, Hooks } from './part.js';

const LASTING = 120_000; // a link that lived this long is no strike against its transport
const STRIKES = 3;
const REST = 600_000; // how long a transport is left alone that died so often

export function ladder(core: Core): Hooks {
  return {
    plan(round) {
      const rested = round.filter(({ rest }) => rest <= Date.now());
      if (rested[0]) round.splice(0, round.length, ...rested);
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
