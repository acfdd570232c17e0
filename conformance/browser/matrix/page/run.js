// A whole trial, for programs that nobody steers: in a worker, in Node, in Deno.

import { Trial } from './trial.js';

export async function run(connect, url, total, options) {
  const trial = new Trial(connect, url, options);
  await trial.send(total);
  await trial.settled();
  const { transport } = trial.socket;
  await trial.close();
  return { ...trial.report(), transport };
}
