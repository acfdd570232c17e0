// Clients that leave: the others are told once, or, where the client does not say that it leaves, when its time is over.

import assert from 'node:assert/strict';

/** The client closes, and a poll that strays in behind that brings nothing back. */
export async function close(cell) {
  const { row: { transport, where }, proxy } = cell;
  const { client, said, assertTold } = await chatWith(cell);
  const connects = () => proxy.requests.filter((request) => request.connects);
  const before = connects().length;
  await client.command('close');
  if (cell.modern) return closeOfFive(cell, client, assertTold);

  const request = await proxy.request((one) => one.transport === 'close' && one.status, 'the close request');
  assert.deepEqual([request.method, request.status, request.content], [where === 'Node' ? 'GET' : 'POST', '200', '']);
  await said('has left the room');
  if (where === 'Node' && ['long-polling', 'streaming'].includes(transport)) {
    await proxy.until(() => connects().length > before && connects().at(-1).ended, 'the stray poll');
    const stray = connects().at(-1);
    // Where it overtook the close request, it has padding.
    assert.deepEqual([stray.id, stray.status, stray.content.trim()], [request.id, '200', ''], 'the answer to the stray poll');
  }
  if (where === 'Node') await client.exit();
  else await client.page.close();
  await proxy.quiet();
  await assertTold(1);
  return undefined;
}

/** Version 5 sends no close request, and on WebSocket it comes back. */
async function closeOfFive(cell, client, assertTold) {
  const { row: { transport }, proxy } = cell;
  if (transport === 'websocket') {
    await client.until(() => client.count('reopen'), 'the reopening');
    assert.deepEqual(client.events.slice(-3).map(({ event }) => event), ['close', 'reconnect', 'reopen']);
  } else await linksEnd(proxy);
  await assertTold(0);
  assert.ok(!proxy.requests.some((request) => request.transport === 'close'));
  if (transport === 'websocket') {
    const other = await cell.open('/the-chat', { reconnect: false });
    await other.command('close');
    await other.until(() => other.count('close'), 'the end of its WebSocket');
    assert.equal(other.count('reconnect'), 0);
  }
  return transport === 'websocket' ? 'reconnects' : 'silent';
}

/** The tab is closed: version 4 says so by a beacon, version 5 does not. */
export async function unload(cell) {
  const { proxy } = cell;
  const { client, said, assertTold } = await chatWith(cell);
  await client.closeTab();
  if (cell.modern) await linksEnd(proxy);
  else {
    const request = await proxy.request((one) => one.transport === 'close' && one.status, 'the beacon');
    assert.deepEqual([request.method, request.status, request.body, request.content], ['POST', '200', '', '']);
    await said('has left the room');
    await proxy.quiet();
  }
  await assertTold(cell.modern ? 0 : 1);
  return cell.modern ? 'silent' : undefined;
}

const linksEnd = (proxy) => proxy.until(() => proxy.requests.every(({ connects, over }) => !connects || over), 'the end of the link');

/** The client in the chat, with one peer that counts what it is told, and another that speaks. */
async function chatWith(cell) {
  const observer = await cell.plain('/the-chat');
  const told = (message) => observer.messages.filter((text) => JSON.parse(text).message === message).length;
  const said = (message, times = 1) => observer.until(() => told(message) === times, `“${message}”`);
  await said('joined the room', 1); // that its WebSocket is open does not say that it is in the room
  const other = await cell.plain('/the-chat');
  const say = (message) => other.say(JSON.stringify({ author: 'other', message }));
  await said('joined the room', 2);
  const client = await cell.open('/the-chat');
  await said('joined the room', 3);
  say('welcome');
  await client.until(() => client.text.includes('welcome'), 'what is said to the client');
  if (cell.row.transport === 'long-polling') {
    await cell.proxy.until(() => {
      const poll = cell.proxy.requests.findLast(({ connects }) => connects);
      return poll.links && !poll.content.includes('welcome');
    }, 'the poll behind the welcome');
  }
  return {
    client, said,
    /** That it was told so often, up to now, that somebody left, and that nobody came. */
    async assertTold(times) {
      say('marker');
      await said('marker');
      assert.deepEqual([told('joined the room'), told('has left the room')], [3, times]);
    },
  };
}
