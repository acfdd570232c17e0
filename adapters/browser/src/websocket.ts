// The carrier of the core: a WebSocket. A link lives for one attachment: it moves units, and asks its session what to send.

import type { Carried, Open } from './part.js';

export const webSocket = (WebSocket: typeof globalThis.WebSocket): Open => ({ format, ready, unit, lost }, session, url, bearer) => {
  const protocol = `nosphere.v1.${format.name}`;
  const offers = [protocol];
  if (bearer != undefined) { // no header can be set [NEG-5]
    offers.push(`nosphere.bearer.${btoa(bearer).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '')}`);
  }
  const socket = new WebSocket(url.replace(/^http/, 'ws'), offers);
  let ended = false;
  const lose = (reason: string, code = 0) => {
    if (ended) return;
    link.end();
    lost(link, reason, 0, code < 4000 ? 0 : code);
  };
  const send = (last?: boolean) => {
    if (socket.readyState == 1) for (const unit of session.collect(link, { last })?.units ?? []) socket.send(unit as string);
  };
  const link: Carried = {
    posts: false,
    polls: false,
    write(frame) {
      if (socket.readyState == 1) socket.send(format.encode(frame) as string);
    },
    flush: () => send(),
    leave() {
      const up = socket.readyState == 1; // a browser may have closed it before the page heard that it goes
      send(true);
      link.end();
      return up;
    },
    end(code = 0) {
      ended = true;
      socket.close(code < 3000 ? 1000 : code); // a page may not say all codes
    },
  };
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => (socket.protocol == protocol ? ready(link) : lose('another protocol'));
  socket.onmessage = ({ data }) => unit(link, typeof data == 'string' ? data : new Uint8Array(data));
  socket.onerror = () => {}; // close follows; some libraries throw an error that nobody hears
  socket.onclose = ({ code, reason }) => lose(reason || `closed with ${code}`, code);
  return link;
};
