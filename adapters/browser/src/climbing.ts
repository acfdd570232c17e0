// From a worse transport to a better one, within the session, §9.1. Since there is this way back, what worked last is tried first.

import { Code } from './codes.js';
import { storage } from './storage.js';
import type { Part } from './api.js';
import type { Carried, Carrier, Dialled, Watched } from './part.js';
import type { Link } from './session.js';

const SLOWEST = 300_000; // between attempts
const AGE = 86_400_000; // of what is remembered

/** `climb`, which it does by itself, too. */
export const climbing: Part<'climbing'> = (core) => {
  const { options: { climbAfter = 5000, remember = true }, url } = core;
  const [remembered, at] = remember && url ? [storage('localStorage', url)].flat() : [];
  let best: string | undefined = Date.now() - at < AGE ? remembered : undefined; // what worked last
  let trying: { left: Watched[]; result: Promise<boolean>; resolve(won: boolean): void } | undefined;
  let turn = 0; // of asking for a token: a late answer is for nobody
  let candidate: Dialled | undefined; // has been asked for a pong
  let previous: Link | undefined; // serves until the next one is granted

  /** What is better than what is in use. */
  const better = () => core.usable.slice(0, core.usable.indexOf(core.rung));

  const later = (delay: number) => {
    const rested = Math.min(...better().map(({ rest }) => rest)); // Infinity: there is none
    if (!delay || rested == Infinity) return;
    const time = Math.max(Date.now() + delay, rested);
    core.after('climb', time - Date.now(), async () => {
      if (!(await climb(time)) && core.session.link) later(Math.min(delay * 2, SLOWEST));
    });
  };

  /** Tries what has rested until `time`. */
  const climb = (time = Infinity): Promise<boolean> => {
    const left = better().filter(({ rest }) => rest <= time);
    const open = core.socket.state == 'open';
    if (trying || !open || !left[0]) return trying?.result ?? Promise.resolve(open);
    let resolve!: (won: boolean) => void;
    const result = new Promise<boolean>((settled) => (resolve = settled));
    trying = { left, result, resolve };
    void step();
    return result;
  };

  /** Tries the next better transport beside the link in use, which serves until that one works. `reason`: why the last did not. */
  const step = async (reason?: string): Promise<void> => {
    const mine = ++turn;
    if (reason != undefined) {
      const one = trying!.left.shift()!;
      core.failed(one, reason);
      core.emit('transportfailure', { transport: one.transport, reason });
    }
    const next = trying?.left[0];
    candidate = candidate?.end() as undefined;
    if (!next) return settle(false);
    core.after('probe', core.patience(), () => step('no sign in time'));
    try {
      const bearer = await core.identify();
      if (mine != turn) return;
      core.plan();
      const link = core.linkTo(next, bearer, prober);
      // What begins with a request cannot be proved before: if it does not work, the way back is a resume, too.
      if (link.posts) dial(link);
      else candidate = link;
    } catch (error) {
      if (mine == turn) void step(`${error}`);
    }
  };

  const dial = (link: Carried) => {
    core.stop('probe'); // the session has its own deadline for what comes now
    previous = core.session.link;
    core.dial(link as Dialled);
  };

  const settle = (won: boolean) => {
    turn += 1;
    core.stop('probe');
    candidate?.end();
    previous?.end(Code.Fenced);
    candidate = previous = undefined;
    trying?.resolve(won);
    trying = undefined;
  };

  /** The same for links that are tried: a pong has to come before they are the session's. */
  const prober: Carrier = {
    ...core,
    ready(link) {
      if (link == candidate) link.write({ kind: 'ping', value: 0 });
      else core.ready(link);
    },
    unit(link, unit, number) {
      if (link != candidate) return core.unit(link, unit, number);
      candidate = undefined;
      try {
        if (core.format.decode(unit).kind != 'pong') throw 0;
      } catch {
        link.end(Code.Unexpected);
        return void step('no pong');
      }
      dial(link);
      core.ready(link);
      core.pass();
    },
    lost(link, reason, status, code) {
      if (link == candidate) void step(reason);
      else core.lost(link, reason, status, code);
    },
  };

  core.socket.climb = () => climb();

  const lose = () => {
    settle(false);
    core.stop('climb');
  };

  return {
    plan(round) {
      round.sort((a, b) => Number(b.transport == best) - Number(a.transport == best));
    },

    granted() {
      best = core.rung.transport;
      if (remember && url) storage('localStorage', url, [best, Date.now()]);
      settle(true);
      later(climbAfter);
    },
    down: lose,
    over: lose,
  };
};
