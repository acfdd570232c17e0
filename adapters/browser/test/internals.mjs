// The modules of the package, for tests of what it does not export.

import { build } from 'esbuild';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = mkdtempSync(join(tmpdir(), 'nosphere-'));
const outfile = join(folder, 'internals.mjs');
await build({
  absWorkingDir: fileURLToPath(new URL('../', import.meta.url)),
  stdin: {
    contents: ['session', 'json', 'messagepack', 'frames', 'message', 'transports', 'storage', 'socket', 'errors', 'codes']
      .map((name) => `export * from './src/${name}.ts';`).join('\n'),
    resolveDir: fileURLToPath(new URL('../', import.meta.url)),
  },
  bundle: true, format: 'esm', target: 'es2022', outfile, sourcemap: 'inline',
});

export const internals = await import(outfile);
rmSync(folder, { recursive: true });
