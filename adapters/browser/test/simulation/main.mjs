// npm run simulate -- [--seed N] [--count N] [--forget] [--core] [--trace]
//
// Runs so many seeds, from that one on; exits with 1 if one failed. `--forget`: the server forgets sessions. `--core`:
// the client is the core, without a part. `--trace`: prints what happened, of a failure or of the only seed.

import { parseArgs } from 'node:util';
import { simulate } from './client.mjs';

const { values: { seed, count, forget, core, trace } } = parseArgs({ options: {
  seed: { type: 'string', default: '1' }, count: { type: 'string', default: '1' },
  forget: { type: 'boolean', default: false }, core: { type: 'boolean', default: false }, trace: { type: 'boolean', default: false },
} });
const [from, runs] = [Number(seed), Number(count)];
if (!Number.isSafeInteger(from) || !Number.isSafeInteger(runs) || runs < 1) {
  console.error('--seed and --count are whole numbers, the latter above 0');
  process.exit(2);
}

let failures = 0;
for (let one = from; one < from + runs; one += 1) {
  const run = await simulate(one, { forget, core });
  if (trace && (runs === 1 || run.problems.length)) console.log(run.trace.join('\n'));
  if (runs === 1) console.log(`digest ${run.digest}`);
  if (!run.problems.length) continue;
  failures += 1;
  console.log(`seed ${one} failed: npm run simulate -- --seed ${one}${forget ? ' --forget' : ''}${core ? ' --core' : ''} --trace`);
  for (const problem of run.problems) console.log(`  ${problem}`);
}
console.log(`${runs} seeds, ${failures} failed`);
process.exitCode = failures ? 1 : 0;
