// A trial in a worker: gets what program.mjs gets as arguments, and answers with the report.

import { connect } from '/dist/index.js';
import { run } from '/run.js';

globalThis.onmessage = async ({ data: { url, total, options } }) => postMessage(await run(connect, url, total, options));
postMessage('ready');
