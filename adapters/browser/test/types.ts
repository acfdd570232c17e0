// Compiled, not run: what has to be allowed by the types, and what has to be refused.

import { connect, connector, climbing, http, iteration, leaving, reloading, requests, tabs } from 'nosphere';
import type { Connect, Options, Part, Socket, SocketEvents, SocketOf } from 'nosphere';

interface Line { author: string }

export const options: Options = { fetch: null, WebSocket: null };

export async function use(): Promise<void> {
  const socket = connect<Line | Uint8Array, string>('http://chat.test/', options);
  socket.onmessage = ({ data }) => data instanceof Uint8Array || data.author;
  socket.onerror = ({ error, message }: SocketEvents['error']) => void [error.message, message?.data];
  for await (const data of socket) void data;
}

export async function compose(): Promise<void> {
  const core = connector()<Line, string>('/the-chat', { token: () => 'me', transports: ['websocket'] });
  core.send('hi').state satisfies string;
  core.onmessage = ({ data }) => data.author;
  core.addEventListener('lost', ({ unknown }) => unknown.length);
  // @ts-expect-error what is sent has the type that was said
  core.send(1);
  // @ts-expect-error there are no requests without their part
  void core.request('what?');
  // @ts-expect-error nor is there an iterator
  for await (const data of core) void data;
  // @ts-expect-error nor climbing
  void core.climb();
  // @ts-expect-error nor other tabs
  core.local('hi');
  // @ts-expect-error an option of a part that is not given
  connector()('/the-chat', { resume: true });
  // @ts-expect-error a transport of a part that is not given
  connector(requests)('/the-chat', { transports: ['sse'] });
  // @ts-expect-error nor the option of another one
  connector(requests, http)('/the-chat', { climbAfter: 0 });

  const some: Connect<'requests' | 'http' | 'iteration'> = connector(http, requests, iteration);
  const socket: SocketOf<'requests' | 'http' | 'iteration', Line, string> = some<Line, string>('/the-chat', { requestTimeout: 1, fetch: null });
  const { author } = await socket.request('who?');
  for await (const data of socket) void [data.author, author];

  const part: Part<'tabs'> = tabs;
  const all: Socket<Line, string> = connector(http, requests, iteration, climbing, leaving, reloading, part)<Line, string>('/the-chat', options);
  all.onlocalmessage = ({ data }) => all.local(data);
}
