// Compiled, not run: what has to be allowed by the types.

import { connect } from 'nosphere';
import type { Options, SocketEvents } from 'nosphere';

interface Line { author: string }

export const options: Options = { fetch: null, WebSocket: null };

export async function use(): Promise<void> {
  const socket = connect<Line | Uint8Array, string>('http://chat.test/', options);
  socket.onmessage = ({ data }) => data instanceof Uint8Array || data.author;
  socket.onerror = ({ error, message }: SocketEvents['error']) => void [error.message, message?.data];
  for await (const data of socket) void data;
}
