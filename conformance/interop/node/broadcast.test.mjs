// `ws`, `eventsource` and `fetch` in one room, each in another protocol.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { EventSource } from 'eventsource';
import WebSocket from 'ws';
import { FORMATS, JSON_FORMAT, MESSAGEPACK_FORMAT, MESSAGES, Polling, Queue, WINDOW, isMessage, startEcho, within } from './harness.mjs';

const url = await startEcho();

for (const format of FORMATS) {
  test(`messages come back unchanged over polls in ${format.name}`, async () => {
    const polling = await Polling.open(`${url}/echo`, format);
    await polling.send(...MESSAGES);
    assert.deepEqual(await polling.messages(MESSAGES.length), MESSAGES);
  });
}

test('a JSON WebSocket, a MessagePack poll and a plain EventSource hear the same', async (t) => {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/broadcast`, JSON_FORMAT.name);
  const frames = new Queue();
  socket.on('message', (data) => frames.push(JSON_FORMAT.decode(data.toString())));
  await within(once(socket, 'open'), 'the handshake');
  socket.send(JSON_FORMAT.encode({ open: { attachment: 1, window: WINDOW } }));
  assert.ok((await frames.next()).opened);
  const polling = await Polling.open(`${url}/broadcast`, MESSAGEPACK_FORMAT);
  const source = new EventSource(`${url}/broadcast`);
  t.after(() => { socket.terminate(); source.close(); });
  const [events, sessions] = [new Queue(), new Queue()];
  source.addEventListener('message', (event) => events.push({ json: JSON.parse(event.data) }));
  source.addEventListener('session', (event) => sessions.push(event.data));
  const [session, token] = (await sessions.next('event: session')).split('.');

  const rounds = 20;
  for (let round = 0; round < rounds; round += 1) {
    socket.send(JSON_FORMAT.encode({ json: { from: 'socket', round } }));
    await polling.send({ json: { from: 'polling', round } });
    const response = await fetch(`${url}/broadcast`, {
      method: 'POST', body: JSON.stringify({ from: 'source', round }),
      headers: { 'Content-Type': 'application/json', 'Nosphere-Session': session, 'Nosphere-Token': token },
    });
    assert.equal(response.status, 204);
  }
  const heard = [await polling.messages(3 * rounds), await events.take(3 * rounds), []];
  while (heard[2].length < 3 * rounds) heard[2].push(...[await frames.next()].filter(isMessage));
  assert.deepEqual(heard[1], heard[0]);
  assert.deepEqual(heard[2], heard[0]);
  for (const from of ['socket', 'polling', 'source']) {
    const lines = heard[0].filter((frame) => frame.json.from === from).map((frame) => frame.json.round);
    assert.deepEqual(lines, Array.from({ length: rounds }, (_, round) => round), from);
  }
});
