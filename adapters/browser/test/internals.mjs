// The modules of the package, for tests of what it does not export.

import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';

const { outputFiles } = await build({
  absWorkingDir: fileURLToPath(new URL('../', import.meta.url)),
  stdin: {
    contents: ['session', 'json', 'messagepack', 'frames', 'message', 'transports', 'storage', 'socket', 'errors', 'codes']
      .map((name) => `export * from './src/${name}.ts';`).join('\n'),
    resolveDir: fileURLToPath(new URL('../', import.meta.url)),
  },
  bundle: true, format: 'esm', target: 'es2022', write: false, sourcemap: 'inline',
});

let pages = 0;

/** The modules as one more page has them. */
export const load = () => import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}#${pages += 1}`);

export const internals = await load();
