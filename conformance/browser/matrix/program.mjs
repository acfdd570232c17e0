// A trial in Node and in Deno: `program.mjs PACKAGE URL TOTAL OPTIONS [ws]` prints its report, and must then end by itself.

import { run } from './page/run.js';

const [dist, url, total, options, own] = globalThis.Deno?.args ?? process.argv.slice(2);
const { connect } = await import(new URL('index.js', dist));
const WebSocket = own && (await import('ws')).default;
const report = await run(connect, url, Number(total), { ...JSON.parse(options), ...(own && { WebSocket }) });
console.log(JSON.stringify({ ...report, platform: { WebSocket: 'WebSocket' in globalThis } }));
