// One client of one version in a process of its own, since all subscriptions of a process share one tracking id. It takes
// commands from its parent as { id, command, parameters }, and answers { id, result } or { id, error }; what happens to the
// client it tells as { event, … }.

import { createRequire } from 'node:module';
import { classic, modern } from './subject.mjs';

const [version] = process.argv.slice(2);
const emit = (event) => process.send(event);
for (const fault of ['uncaughtException', 'unhandledRejection']) process.on(fault, (error) => emit({ event: 'fault', reason: String(error?.stack ?? error) }));

const subject = await load();
process.on('message', async ({ id, command, parameters }) => {
  if (command === 'exit') process.exit();
  try {
    emit({ id, result: await subject[command](...parameters) });
  } catch (error) {
    emit({ id, error: error.message });
  }
});
process.on('disconnect', () => process.exit());
emit({ event: 'ready' });

async function load() {
  if (!version.startsWith('5.')) return classic(createRequire(import.meta.url)(`atmosphere-${version}`), emit);
  const [{ WebSocket }, { EventSource }] = await Promise.all([import('ws'), import('eventsource')]);
  Object.assign(globalThis, { WebSocket, EventSource });
  const { Atmosphere } = await import(`atmosphere-${version}`);
  return modern(Atmosphere, emit);
}
