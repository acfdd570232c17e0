// Every fault, over every transport, in two browsers: 1,000 numbered messages go to an echo and come back, each once and in
// order. The table is printed with what this run counted; MATRIX.md holds of it what is the same in every run.
//
//   SEED=7 npm run matrix          the same places as in the run that printed this seed
//   ONLY='stall.*sse' npm run matrix
//   UPDATE=1 npm run matrix        writes MATRIX.md

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { FAULTS, TRANSPORTS, block, randomFrom } from './faults.mjs';
import { BROWSERS, Visit, assertComplete, launch, startEcho, startProxy, until } from './stage.mjs';
import { WAYS, markdown, printed } from './table.mjs';

const TOTAL = 1_000;
const LAST = 100; // are sent when all faults have happened
const TRIES = 3; // that a client makes in vain before a fault is lifted
const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
const ONLY = process.env.ONLY && new RegExp(process.env.ONLY);
const MATRIX = new URL('../MATRIX.md', import.meta.url);
// Silence is noticed in this time, where it is the server who says when [HB-4].
const LIMITS = { heartbeat: 700, timeout: 1_500 };

const cells = FAULTS.flatMap((fault) => Object.keys(fault.on).map((column) => ({ fault, column, way: '' })));
const cut = FAULTS.find(({ name }) => name === 'cut');
for (const way of Object.keys(WAYS).filter(Boolean)) cells.push(...TRANSPORTS.map((column) => ({ fault: cut, column, way })));
const results = [];

let echo;
before(async () => {
  console.log(`SEED=${SEED}`);
  echo = await startEcho(LIMITS);
});
after(async () => {
  assert.deepEqual(await echo?.stop(), [0, null], echo?.said());
});

describe('matrix', { concurrency: true }, () => {
  for (const name of Object.keys(BROWSERS)) {
    describe(name, { concurrency: 6 }, () => {
      let browser;
      before(async () => { browser = await launch(name); });
      after(() => browser?.close());
      for (const cell of cells) {
        const title = `${cell.fault.name} × ${cell.column}${cell.way && `, ${cell.way}`}`;
        if (ONLY && !ONLY.test(`${name}: ${title}`)) continue;
        test(`${name}: ${title}: ${TOTAL} messages each way, once and in order`, async (t) => {
          results.push({ browser: name, ...cell, ...(await run(t, browser, cell)) });
        });
      }
    });
  }
});

after(() => console.log(printed(results)));

test('MATRIX.md says what this run has shown', { skip: ONLY && 'a part of the matrix is no matrix' }, () => {
  assert.equal(results.length, cells.length * Object.keys(BROWSERS).length, 'cells that failed are in no table');
  const text = markdown(FAULTS, results, { total: TOTAL, tries: TRIES });
  if (process.env.UPDATE) writeFileSync(MATRIX, text);
  assert.equal(readFileSync(MATRIX, 'utf8'), text, 'UPDATE=1 writes it anew');
});

async function run(t, browser, { fault, column, way }) {
  const began = Date.now();
  const random = randomFrom(SEED + FAULTS.indexOf(fault) * 101 + [...TRANSPORTS, 'auto'].indexOf(column));
  const proxy = await startProxy(echo);
  t.after(() => proxy.stop());
  const auto = column === 'auto';
  const blocked = auto ? (fault.without ?? []).map((transport) => block(proxy, transport)) : [];
  const done = fault.commit(proxy, { random });
  const visit = await Visit.open(t, browser, proxy, { ...WAYS[way], ...(!auto && { transports: [column] }) });

  const outcome = fault.on[column];
  if (outcome === 'stops') {
    await visit.do('messages are kept while the transport fails', (transport, total, tries) => {
      window.sending = window.trial.send(total);
      return Promise.all([window.sending, window.trial.when(() => window.trial.failures[transport] >= tries)]);
    }, column, TOTAL, TRIES);
    const { received, waiting, state } = await visit.report();
    assert.deepEqual({ received, waiting }, { received: 0, waiting: TOTAL }, 'nothing gets through, and nothing is dropped');
    assert.match(state, /^(connecting|suspended)$/);
    done.lifted = true;
  } else {
    await visit.do('the first messages have come back', (count) => {
      window.trial.send(count);
      return window.trial.when(() => window.trial.received.length >= count);
    }, TOTAL - LAST);
    await until(() => done.count >= done.wanted, 'the faults to happen', () => JSON.stringify(done));
    await visit.do('the last messages are sent', (total) => window.trial.send(total), TOTAL);
  }
  await visit.do('all messages have come back', () => window.trial.settled());
  // While a better one is tried, that is the one which it names.
  if (auto && fault.ends) await visit.do(`it ends on ${fault.ends}`, (ends) => window.trial.when(() => window.trial.socket.transport === ends), fault.ends);
  const { transport, transports } = await visit.report();
  await visit.do('the session is closed', () => window.trial.close());

  const report = await visit.report();
  assertComplete(report, TOTAL);
  assert.equal(report.counts.open, 1, 'one session saw it all');
  assert.equal(report.counts.close, 1);
  assert.ok(done.exact ? done.count === done.wanted : done.count >= done.wanted, `${done.count} faults, wanted ${done.wanted}`);
  for (const { count } of blocked) assert.ok(count > 0, 'auto met what was blocked');
  const { open, reopen, move } = report.counts;
  return { outcome, report, transport, transports, faults: done, links: open + reopen + move, milliseconds: Date.now() - began };
}
