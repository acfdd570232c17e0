// Unmodified atmosphere.js clients against nosphere: every version, on every transport, with and without length tracking.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Cell } from './cell.mjs';
import { ROWS, TRANSPORTS, VERSIONS, isModern } from './clients.mjs';
import { startBrowser } from './harness.mjs';
import { SCENARIOS } from './scenarios.mjs';
import { Results } from './table.mjs';
import { chat, headers, room, tabs } from './together.mjs';

const PAGE = new URL('../../adapters/server/src/guide/atmosphere_clients.md', import.meta.url);
const TRACKING = [false, true];
const CONCURRENCY = Number(process.env.CONCURRENCY ?? 4);
const results = new Results();

let browser;
before(async () => { browser = await startBrowser(); });
after(() => browser?.close());

const inNode = ROWS.filter(({ where }) => where === 'Node');
const inPages = ROWS.filter(({ where }) => where === 'Chromium');
const tracked = (tracking) => (tracking ? 'with length tracking' : 'without length tracking');

for (const [where, rows, concurrency] of [['Node', inNode, CONCURRENCY], ['Chromium', inPages, CONCURRENCY]]) {
  describe(where, { concurrency }, () => {
    for (const row of rows) for (const tracking of TRACKING) for (const [name, { run, example, exists = () => true }] of Object.entries(SCENARIOS)) {
      if (!exists(row)) continue;
      test(`${row.version} in ${where} over ${row.transport} ${tracked(tracking)}: ${name}`, { timeout: 90_000 }, async (t) => {
        results.add(row, name, tracking, false);
        const cell = new Cell(t, row, tracking, browser);
        try {
          await cell.start(example);
          const note = await run(cell);
          cell.clients.forEach((client) => client.assertSound());
          results.add(row, name, tracking, note ?? true);
        } catch (error) {
          error.message += `\n${cell.report()}`;
          throw error;
        }
      });
    }
  });
}

// Every client of the table has been in a room with a native one; those in Chromium, with one of each version in Node.
const oneOfEach = inNode.filter((_, index) => index % TRANSPORTS.length === Math.floor(index / TRANSPORTS.length) % TRANSPORTS.length);
for (const tracking of TRACKING) {
  for (const [where, rows, guests] of [['Node', inNode, []], ['Chromium', inPages, oneOfEach]]) {
    test(`one room, ${where}, ${tracked(tracking)}: every message of each reaches all, once and in the same order`, { timeout: 120_000 }, async (t) => {
      rows.forEach((row) => results.add(row, 'room', tracking, false));
      await room(t, [...rows, ...guests], tracking, browser);
      rows.forEach((row) => results.add(row, 'room', tracking, true));
    });
  }
}

/** A test whose name the page of the guide repeats. */
function also(name, run) {
  results.also(name, false);
  test(name, { timeout: 120_000 }, async (t) => {
    await run(t);
    results.also(name, true);
  });
}

describe('beside the table', { concurrency: CONCURRENCY }, () => {
  for (const version of VERSIONS.filter((one) => !isModern(one))) for (const transport of ['streaming', 'long-polling']) {
    also(`${version} in Node over ${transport}, with headers and no parameters: a push comes back`, (t) => headers(t, version, transport));
  }
  also('4.0.1 in Chromium, `shared`: two tabs have one connection, tell each other what no server hears, and the one that is left connects',
    (t) => tabs(t, browser));
  for (const where of ['Node', 'Chromium']) for (const refused of [false, true]) {
    also(`4.0.1 in ${where}, the request of the old chat page${refused ? ', WebSocket refused' : ''}: it and the page of the chat example hear each other`,
      (t) => chat(t, browser, { where, refused }));
  }
});

test('the page of the guide says what came out', () => {
  const page = results.page();
  console.log(page);
  if (process.env.UPDATE && results.complete) writeFileSync(PAGE, page);
  assert.ok(results.complete, 'not everything has passed');
  assert.equal(readFileSync(PAGE, 'utf8'), page, 'UPDATE=1 writes it anew');
});
