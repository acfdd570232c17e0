// What the platform says of the page, the machine and the network.

export interface Page {
  /** The machine slept, the network is another one, or the page is looked at again. */
  awake(): void;
  offline(): void;
  /** The page goes. `persisted`: it may be shown again as it is now. */
  hide(persisted: boolean): void;
  /** It is. */
  show(): void;
}

export function watch({ awake, offline, hide, show }: Page, signal: AbortSignal): void {
  const { document, navigator } = globalThis as any;
  const on = (target: any, type: string, listener: (event: any) => void) => target?.addEventListener?.(type, listener, { signal });
  on(globalThis, 'online', awake);
  on(globalThis, 'offline', offline);
  on(document, 'visibilitychange', () => document.hidden || awake());
  on(document, 'resume', awake);
  on(navigator?.connection, 'change', awake);
  on(globalThis, 'pageshow', ({ persisted }) => persisted && show());
  on(globalThis, 'pagehide', ({ persisted }) => hide(persisted));
}

/** The address as fetch takes it, relative to the page if there is one. */
export function absolute(where: string | URL): string {
  const { href } = new URL(where, globalThis.location?.href);
  if (!/^(http|ws)s?:/.test(href)) throw new TypeError(`not an address: ${href}`);
  return href.replace(/^ws/, 'http');
}
