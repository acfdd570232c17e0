// The other tabs of this browser: those of the same address share a channel, where there is such a thing.

export function createTabs(heard: (data: unknown) => void) {
  let channel: BroadcastChannel | undefined;

  return {
    /** Once: whoever is there stays there. */
    enter(url: string) {
      if (channel || !globalThis.BroadcastChannel) return;
      channel = new BroadcastChannel(`nosphere ${url}`);
      (channel as any).unref?.(); // it does not keep a program running
      channel.onmessage = ({ data }) => heard(data);
    },

    say: (data: unknown) => channel?.postMessage(data),

    part() {
      channel = channel?.close() as undefined;
    },
  };
}
