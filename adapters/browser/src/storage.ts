// What outlives a page. Storage may be missing, full or forbidden.

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
