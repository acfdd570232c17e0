// What outlives a page: which transport worked, and a session over a reload. Storage may be missing, full or forbidden.

import { fromBase64, toBase64 } from './frames.js';
import type { Format } from './frames.js';
import { outgoing } from './message.js';
import type { Kept } from './session.js';
import type { Transport } from './transports.js';

const AGE = 86_400_000;

function item(area: 'localStorage' | 'sessionStorage', key: string, value?: unknown): any {
  try {
    const storage = globalThis[area];
    const text = storage.getItem(key);
    if (value === null) storage.removeItem(key);
    else if (value !== undefined) storage.setItem(key, JSON.stringify(value));
    return JSON.parse(text!);
  } catch {
    return null;
  }
}

const key = (url: string) => `nosphere ${url}`;

/** The transport that worked here within the last day. */
export function recall(url: string, now: number): Transport | undefined {
  const [transport, at] = item('localStorage', key(url)) ?? [];
  return now - at < AGE && now >= at ? transport : undefined;
}

export function memorize(url: string, transport: Transport, now: number): void {
  item('localStorage', key(url), [transport, now]);
}

/** Keeps a session for the next page of this tab. */
export function keep(url: string, format: Format, { queue, ...kept }: Kept): void {
  const messages = queue.map(({ unit }) => {
    const { kind, value, exchange, id } = format.decode(unit); // what was sent, whatever the application made of its data since
    return [kind, kind == 'binary' ? toBase64(value) : value, exchange, id];
  });
  item('sessionStorage', key(url), { ...kept, queue: messages });
}

/** Takes it away, so that a copy of this tab cannot have it, too. */
export function reclaim(url: string, format: Format): Kept | undefined {
  try {
    const kept = item('sessionStorage', key(url), null);
    kept.queue = kept.queue.map(([kind, data, exchange, id]: any[]) => outgoing(format, kind == 'binary' ? fromBase64(data) : data, kind, exchange ?? undefined, id ?? undefined));
    return kept.grant.token && kept;
  } catch {
    return undefined;
  }
}
