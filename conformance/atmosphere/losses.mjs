// Links that are lost, and servers that end.

import assert from 'node:assert/strict';
import { lines } from './cell.mjs';
import { startServer } from './harness.mjs';

/**
 * How links are lost. Of a stream that breaks in the middle, versions 2 to 4 hear more than once, and open several; in Node, with
 * the XMLHttpRequest that they bring, they lose their way.
 */
function losses({ row: { transport, where }, modern }) {
  const several = !modern && transport === 'streaming';
  return { several, how: several && where === 'Node' ? ['complete', 'complete'] : ['ended', 'reset'] };
}

/** The network takes the link away, more than once: what was broadcast meanwhile arrives, once and in order. */
export async function cut(cell) {
  const { row: { where }, proxy } = cell;
  const { several, how } = losses(cell);
  const client = await cell.open('/broadcast');
  const { peer, heard, say } = await cell.speaker();
  await say(...lines('before', 5));
  await client.hears('before-5');
  for (const round of [1, 2]) {
    await proxy.linked();
    await proxy.cut(how[round - 1]);
    // The delimiter is what a client that waits for a handshake takes for one.
    await say(`round ${round}|away`, ...lines(`away in round ${round}`, 20));
    proxy.restore();
    await client.hears(`away in round ${round}-20`);
    await proxy.linked();
    await say(`marker ${round}`);
    await client.hears(`marker ${round}`);
    client.assertHeard(heard);
    await client.until(() => client.count('reopen') >= round, `reopen ${round}`);
  }
  await client.push('still the same');
  heard.push('still the same');
  await peer.hears('still the same');
  await say('end');
  await client.hears('end');
  client.assertHeard(heard);
  if (several) {
    for (const { content } of proxy.requests.filter((request) => request.connects && request.content)) {
      assert.match(content, /^\s/, 'a stream begins with white space, whatever its client remembers of another');
    }
  }
  assert.equal(peer.messages.filter((text) => text === 'still the same').length, 1);
  assert.equal(client.count('open'), 1);
  assert.equal(client.count('transportFailure'), 0);
  if (!several || where === 'Chromium') return undefined;
  const reconnects = client.count('reconnect');
  assert.equal(reconnects, 2);
  await proxy.cut('ended');
  await client.until(() => client.count('reconnect') > reconnects + 1, 'several attempts at once');
  return 'complete';
}

/** Another server process, after a crash and after an orderly end, knows nothing of the client, which goes on and hears what is sent. */
export async function restart(cell) {
  const { row: { transport, where }, proxy } = cell;
  const { several, how } = losses(cell);
  const client = await cell.open('/broadcast');
  const heard = [];
  const push = async (text) => {
    await client.push(text);
    await client.hears(text);
    heard.push(text);
  };
  await push('before');
  const id = cell.modern ? undefined : await client.command('id');
  for (const [round, signal] of ['SIGKILL', 'SIGTERM'].entries()) {
    await proxy.linked();
    const cutting = signal === 'SIGKILL' ? proxy.cut(how[round]) : proxy.pause();
    await cell.server.stop(signal);
    await cutting;
    cell.server = await startServer(cell.t, 'echo');
    proxy.target(cell.server.url);
    proxy.restore();
    await client.until(() => client.count('reopen') > round, `the reopening after ${signal}`);
    await proxy.linked();
    const peer = await cell.plain('/broadcast');
    const text = `here|I am after ${signal}`;
    peer.say(text);
    await client.hears(text);
    heard.push(text);
    await push(`and I after ${signal}`);
    await peer.hears(heard.at(-1));
    assert.deepEqual(peer.messages, heard.slice(-2));
    client.assertHeard(heard);
  }
  if (!cell.modern) assert.equal(await client.command('id'), id, 'the id is adopted');
  assert.equal(client.count('open'), 1);
  assert.equal(client.count('transportFailure'), 0);
  if (cell.modern && transport === 'long-polling') return betweenPolls(cell, client, heard);
  return several && where === 'Node' ? 'complete' : undefined;
}

/** To another server, a poll of version 5 looks the same whether the one before it broke, and a handshake is awaited, or not. */
async function betweenPolls(cell, client, heard) {
  const { proxy } = cell;
  await proxy.linked();
  const held = proxy.hold(({ connects }) => connects);
  await client.push('the last of this server');
  await client.hears('the last of this server');
  const { request: { id }, release } = await held;
  await cell.server.stop('SIGKILL');
  cell.server = await startServer(cell.t, 'echo');
  proxy.target(cell.server.url);
  release();
  await client.hears(`${id}|0|X|`);
  await client.push('goes on');
  await client.hears('goes on');
  client.assertHeard([...heard, 'the last of this server', `${id}|0|X|`, 'goes on']);
  return 'shown';
}
