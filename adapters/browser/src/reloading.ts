// A session that outlives its page, for the next page of this tab.

import { Code } from './codes.js';
import { json } from './json.js';
import { outgoing } from './message.js';
import { storage } from './storage.js';
import type { Part } from './api.js';
import type { Format, Kind } from './frames.js';
import type { Kept } from './session.js';

const names = new Set<string>(); // under which this page has sessions

/** The option `resume`. */
export const reloading: Part<'reloading'> = (core) => {
  const { format, options: { resume }, url } = core;
  if (!resume || !url) return {};
  let name = '';
  let reclaimed = false;

  const find = () => {
    const found = reclaim(name, format);
    core.asked = Math.max(core.asked, found?.requests ?? 0);
    return found;
  };

  return {
    entered() {
      if (name) return;
      name = nameOf(url);
      core.resumes = true;
      core.found = find();
      reclaimed = !!core.found;
      core.gone.addEventListener('abort', () => names.delete(name));
    },

    granted() {
      reclaimed = false;
    },

    /** Another page's by now, or another user's. */
    foreign({ code, unknown, unsent }) {
      const foreign = code == Code.Fenced || (reclaimed && code == Code.Forbidden);
      reclaimed = !!core.found;
      if (foreign) {
        for (const message of unsent) message.state = 'unknown';
        unknown.push(...unsent.splice(0));
      }
      return foreign;
    },

    hide() {
      const { session } = core;
      if (session.closing) return;
      core.unplug('pagehide');
      if (session.grant && !session.closing) keep(name, format, (core.kept = session.head() as Kept), core.asked);
    },

    show() {
      const mine = core.kept;
      core.kept = undefined;
      if (!mine) return;
      const found = find();
      if (found?.grant.session == mine.grant.session && found.attachment == mine.attachment) return;
      core.found = found;
      core.session.over('network', Code.Fenced, 'another page has the session');
    },
  };
};

/** A name for the session of one more socket of this address: the next page makes them in the same order. */
function nameOf(url: string): string {
  let name = url;
  while (names.has(name)) name += ' +';
  names.add(name);
  return name;
}

/** Keeps a session for the next page of this tab. */
export function keep(name: string, format: Format, kept: Kept, requests: number): void {
  const queue = kept.queue.map(({ unit }) => json.encode(format.decode(unit)));
  storage('sessionStorage', name, { ...kept, requests, queue });
}

export function reclaim(name: string, format: Format): (Kept & { requests: number }) | undefined {
  const kept = storage('sessionStorage', name);
  try {
    kept.queue = kept.queue.map((unit: string) => {
      const { kind, value, exchange, id } = json.decode(unit);
      return outgoing(format, value, kind as Kind, exchange, id);
    });
    return kept.grant.token && kept;
  } catch {
    return undefined;
  }
}
