// The modules of the package, for tests of what it does not export.

import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';

const { outputFiles } = await build({
  absWorkingDir: fileURLToPath(new URL('../', import.meta.url)),
  stdin: {
    contents: ['index', 'session', 'messagepack', 'frames', 'message', 'http', 'posts', 'codes'].map((name) => `export * from './src/${name}.ts';`).join('\n'),
    resolveDir: fileURLToPath(new URL('../', import.meta.url)),
  },
  bundle: true, format: 'esm', target: 'es2022', write: false, sourcemap: 'inline',
});

let pages = 0;

/** The modules as one more page has them. `change`: what a test does to their code. */
export const load = (change = (code) => code) => {
  const code = Buffer.from(change(outputFiles[0].text)).toString('base64');
  return import(`data:text/javascript;base64,${code}#${pages += 1}`);
};

export const internals = await load();
