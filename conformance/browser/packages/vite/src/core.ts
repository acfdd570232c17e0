import { connector } from 'nosphere';
import type { Line } from './exchange';

const lines: string[] = [];
const socket = connector()<Line, Line>('/echo');
socket.onmessage = ({ data, kind }) => {
  if (lines.push(`${kind} ${data.author}: ${data.message}`) === 2) socket.close();
};
socket.onclose = ({ code }) => {
  document.title = `${lines.join(', ')}, closed ${code}`;
};
socket.send({ author: 'joe', message: 'hi' });
socket.send({ author: 'ann', message: 'ho' });
