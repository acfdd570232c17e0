// What outlives a page: which transport worked, and a session over a reload. Storage may be missing, full or forbidden.

import { json } from './json.js';
import { outgoing } from './message.js';
import type { Format, Kind } from './frames.js';
import type { Kept } from './session.js';

const names = new Set<string>(); // under which this page has sessions

/** Takes something out of storage, or puts it in. */
export function storage(area: 'localStorage' | 'sessionStorage', name: string, value?: unknown): any {
  try {
    const store = globalThis[area];
    name = `nosphere ${name}`;
    if (value) return store.setItem(name, JSON.stringify(value));
    const text = store.getItem(name);
    if (area == 'sessionStorage') store.removeItem(name); // so that a copy of this tab cannot have it, too
    return JSON.parse(text!);
  } catch {
    return undefined;
  }
}

/** A name for the session of one more socket of this address: the next page makes them in the same order. */
export function nameOf(url: string): string {
  let name = url;
  while (names.has(name)) name += ' +';
  names.add(name);
  return name;
}

export const release = (name: string) => names.delete(name);

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
