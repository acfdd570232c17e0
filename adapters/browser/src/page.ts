// What the platform says of the page, the machine and the network.

import type { Core } from './part.js';

export function watch({ awake, gone: signal, on, unplug }: Core): void {
  const { document, navigator } = globalThis as any;
  const hear = (target: any, type: string, listener: (event: any) => void) => target?.addEventListener?.(type, listener, { signal });
  hear(globalThis, 'online', awake);
  hear(globalThis, 'offline', () => unplug('offline'));
  hear(document, 'visibilitychange', () => document.hidden || awake());
  hear(document, 'resume', awake);
  hear(navigator?.connection, 'change', awake);
  hear(globalThis, 'pagehide', ({ persisted }) => {
    on.hide(persisted);
    unplug('pagehide');
  });
  hear(globalThis, 'pageshow', ({ persisted }) => {
    if (!persisted) return;
    on.show();
    awake();
  });
}

/** The address as fetch takes it, relative to the page if there is one. */
export function absolute(where: string | URL): string {
  const { href } = new URL(where, globalThis.location?.href);
  if (!/^(http|ws)s?:/.test(href)) throw new TypeError(`not an address: ${href}`);
  return href.replace(/^ws/, 'http');
}
