// Is only type-checked: each line below a mark must be refused.
import { connect, connector, http, requests, type Message } from 'nosphere';

interface In { text: string }
interface Out { number: number }
const socket = connect<In, Out>('/echo', { transports: ['sse'] });

export const sent: Message<Out> = socket.send({ number: 1 });
// @ts-expect-error what is sent has the type that was said
socket.send({ number: 'one' });
// @ts-expect-error there is no such transport
connect('/echo', { transports: ['pigeon'] });
socket.onmessage = ({ data }) => data.text.length;
// @ts-expect-error what comes has the type that was said
socket.onmessage = ({ data }) => data.number;
socket.addEventListener('transportfailure', ({ transport, reason }) => `${transport}: ${reason}`);
// @ts-expect-error not every event has a reason
socket.addEventListener('message', ({ reason }) => reason);
export const texts = async (): Promise<void> => {
  for await (const { text } of socket) text.trim();
};

const some = connector(http, requests)<In, Out>('/echo', { transports: ['sse'], requestTimeout: 1000 });
export const reply: Promise<In> = some.request({ number: 1 });
// @ts-expect-error there is no iterator without its part
export const iterator = some[Symbol.asyncIterator];
// @ts-expect-error nor an option
connector(http, requests)('/echo', { resume: true });
