// Which transport is tried when: in the order of preference, beginning with what worked, and past what dies again and again.

import type { Transport } from './transports.js';

export interface Rung {
  readonly transport: Transport;
  /** Whether this platform has it. */
  readonly browser: boolean;
  state: 'untried' | 'trying' | 'works' | 'failed';
  reason?: string;
}

interface Watched extends Rung {
  strikes: number;
  /** Not tried before this time. */
  rest: number;
}

const LASTING = 120_000; // a link that lived this long is no strike
const STRIKES = 3;
const REST = 600_000;

export function createLadder(transports: Transport[], has: (transport: Transport) => boolean, first?: Transport) {
  const all = transports.map((transport): Watched => ({ transport, browser: has(transport), state: 'untried', strikes: 0, rest: 0 }));
  const usable = all.filter(({ browser }) => browser);
  let best = usable.find(({ transport }) => transport == first) ?? usable[0]!;
  let round: Watched[] = [];
  const of = (transport: Transport) => all.find((rung) => rung.transport == transport)!;

  return {
    usable: usable.length,

    table: (): Rung[] => all.map(({ transport, browser, state, reason }) => ({ transport, browser, state, reason })),

    /** Begins a round: what worked last, then the others. */
    begin(now: number) {
      const rested = usable.filter(({ rest }) => rest <= now);
      round = rested.length ? rested : [...usable];
      round.sort((a, b) => Number(b == best) - Number(a == best));
    },

    /** The next of the round, if there is one. */
    next(): Transport | undefined {
      const rung = round.shift();
      if (rung) rung.state = 'trying';
      return rung?.transport;
    },

    get left() { return round.length; },

    failed(transport: Transport, reason: string) {
      Object.assign(of(transport), { state: 'failed', reason });
    },

    works(transport: Transport) {
      best = of(transport);
      best.state = 'works';
      best.reason = undefined;
    },

    /** A link that was in use broke after some time. Whether that was once too often, so that others get their turn. */
    broke(transport: Transport, reason: string, lasted: number, now: number): boolean {
      const rung = of(transport);
      rung.strikes = lasted < LASTING ? rung.strikes + 1 : 0;
      if (rung.strikes < STRIKES || rung == usable.at(-1)) return false;
      Object.assign(rung, { state: 'failed', reason, strikes: 0, rest: now + REST });
      return true;
    },

    /** What may be better than `transport`. */
    better(transport: Transport, now: number): Transport[] {
      const at = usable.findIndex((rung) => rung.transport == transport);
      return usable.slice(0, at).filter(({ rest }) => rest <= now).map((rung) => rung.transport);
    },
  };
}
