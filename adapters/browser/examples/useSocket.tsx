// A React hook around a socket: copy it. One socket for each address, closed when nobody shows it any more.

import { useEffect, useRef, useState } from 'react';
import { connect } from 'nosphere';
import type { Options, Socket, State } from 'nosphere';

export interface Line {
  author: string;
  message: string;
}

/** The socket, null before the first effect; its state; and the last messages. `options` are those of the first rendering. */
export function useSocket<In, Out = In>(url: string, options?: Options, keep = 100) {
  const [socket, setSocket] = useState<Socket<In, Out> | null>(null);
  const [state, setState] = useState<State>('connecting');
  const [messages, setMessages] = useState<In[]>([]);
  const first = useRef(options);

  useEffect(() => {
    const made = connect<In, Out>(url, first.current);
    setSocket(made);
    setMessages([]);
    made.onstatechange = ({ state: next }) => setState(next);
    made.onmessage = ({ data }) => setMessages((before) => [...before, data].slice(-keep));
    return () => {
      made.onstatechange = made.onmessage = null;
      made.close();
    };
  }, [url, keep]);

  return { socket, state, messages };
}

export function Chat({ name }: { name: string }) {
  const { socket, state, messages } = useSocket<Line>('/the-chat');
  return (
    <form
      action={(form) => {
        socket?.send({ author: name, message: String(form.get('line')) });
      }}
    >
      <p role="status">{state}</p>
      <ol>{messages.map(({ author, message }, index) => <li key={index}>{author}: {message}</li>)}</ol>
      <input name="line" required />
    </form>
  );
}
