// The other tabs of this browser: those of the same address share a channel, where there is such a thing.

import type { Part } from './api.js';

/** `local` and `localmessage`. */
export const tabs: Part<'tabs'> = (core) => {
  const { tabs: wanted = true } = core.options;
  let channel: BroadcastChannel | undefined;
  core.socket.local = (data) => channel?.postMessage(data);
  core.gone.addEventListener('abort', () => {
    channel = channel?.close() as undefined;
  });

  return {
    /** Once: whoever is there stays there. */
    entered(url) {
      if (!wanted || channel || !globalThis.BroadcastChannel) return;
      channel = new BroadcastChannel(`nosphere ${url}`);
      (channel as any).unref?.(); // it does not keep a program running
      channel.onmessage = ({ data }) => core.emit('localmessage', { data });
    },
  };
};
