// The modules of the package, for tests of what it does not export.

import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';

const { outputFiles: [{ text }] } = await build({
  absWorkingDir: fileURLToPath(new URL('../', import.meta.url)),
  stdin: {
    contents: ['session', 'json', 'messagepack', 'frames', 'message', 'transports', 'storage', 'socket', 'errors', 'codes']
      .map((name) => `export * from './src/${name}.ts';`).join('\n'),
    resolveDir: fileURLToPath(new URL('../', import.meta.url)),
  },
  bundle: true, format: 'esm', target: 'es2022', write: false, sourcemap: 'inline',
});

export const internals = await import(`data:text/javascript;base64,${Buffer.from(text).toString('base64')}`);
