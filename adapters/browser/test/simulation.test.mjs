// A client and a server under a network that chance makes, for some hundred fixed seeds: `npm run simulate` has as many as one wants.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { internals, load } from './internals.mjs';
import { simulate } from './simulation/client.mjs';

const MAIN = fileURLToPath(new URL('./simulation/main.mjs', import.meta.url));
const SEEDS = 200;
const FEW = 20; // are enough for a fault that matters

// In processes of their own: the test runner watches every promise, which makes these runs five times as slow.
for (const flags of [[], ['--forget'], ['--core'], ['--core', '--forget']]) {
  const gaps = flags.includes('--forget') ? ', with gaps only where the server forgot' : '';
  test(`whatever the network does, messages arrive once and in order${gaps}${flags[0] === '--core' ? ', by the core alone' : ''}`, () => {
    const { status, stdout } = spawnSync(process.execPath, [MAIN, '--count', String(SEEDS), ...flags], { encoding: 'utf8' });
    assert.deepEqual([status, stdout], [0, `${SEEDS} seeds, 0 failed\n`]);
  });
}

test('a seed gives the same run each time, so that a failure can be repeated', async () => {
  for (const seed of [1, 2, 3]) {
    const [one, again, other] = [await simulate(seed), await simulate(seed), await simulate(seed + 1)];
    assert.deepEqual(one.trace, again.trace);
    assert.equal(one.digest, again.digest);
    assert.notEqual(one.digest, other.digest);
    assert.ok(one.trace.length > 100, 'something happens');
  }
});

test('the order in which parts are named is nobody\'s business', async () => {
  const { connector, http, requests, iteration, climbing, leaving, reloading, tabs } = internals;
  const connect = connector(tabs, reloading, leaving, climbing, iteration, requests, http);
  for (let seed = 1; seed <= FEW; seed += 1) assert.deepEqual((await simulate(seed, { connect })).problems, [], `seed ${seed}`);
});

// What is planted into the modules, and so has to be noticed: else the runs above show nothing.
for (const [fault, from, to] of [
  ['a message is acknowledged before it is taken', 'received + (closing ? inbox.length : 0)', 'received + inbox.length'],
  ['a resume does not go back to what was not acknowledged', 'sent = Math.max(0, (base ?? acknowledged) - acknowledged);', ''],
  ['what waits is dropped when a loop ends', 'reading.delete(own);', 'reading.delete(own); begun = false;'],
  ['the server\'s window is not kept', 'sent >= messages || load() >= bytes', 'false'],
  ['a POST without an answer is not repeated', 'session.rewind(batch.base);', ';'],
]) {
  test(`a fault is noticed: ${fault}`, async () => {
    const { connect } = await load((code) => {
      assert.equal(code.split(from).length, 2, 'the place is there, once');
      return code.replace(from, to);
    });
    for (let seed = 1; seed <= FEW; seed += 1) {
      const { problems } = await simulate(seed, { connect });
      if (problems.length) return;
    }
    assert.fail(`no seed up to ${FEW} noticed`);
  });
}
