import type { Socket } from 'nosphere';

export interface Line { author: string; message: string; at?: number }

/** Three lines go there and back, one of them as a request; the title of the page says what came. */
export async function exchange(socket: Socket<Line, Line>): Promise<void> {
  const lines: string[] = [];
  const all = new Promise<void>((resolve) => {
    socket.onmessage = ({ data, kind }) => {
      lines.push(`${kind} ${data.author}: ${data.message}`);
      if (lines.length === 2) resolve();
    };
  });
  socket.send({ author: 'joe', message: 'hi' });
  socket.send({ author: 'ann', message: 'ho', at: 2 });
  await all;
  const reply: Line = await socket.request({ author: 'joe', message: 'still there?' });
  lines.push(`reply ${reply.author}: ${reply.message}`);
  const closed = new Promise<number>((resolve) => socket.addEventListener('close', ({ code }) => resolve(code)));
  socket.close();
  lines.push(`closed ${await closed}`);
  document.title = lines.join(', ');
}
