// Builds dist/, and the copy of the single file that the server crate serves.
//
//   node build.mjs            builds
//   node build.mjs --check    builds, and fails if the committed copy is another one
//   node build.mjs --size     fails if what was built is larger than it may be

import { build } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { minify } from 'terser';
import { INTERNAL } from './internal.mjs';

// Bytes after gzip -9. Of the files: what was reached, to the next 64, so that nothing grows unseen.
const FILES = { 'dist/index.js': 151 * 64, 'dist/nosphere.min.js': 149 * 64 };
// Of what a bundler makes of a page that imports no more than this: the core may have so many, and no more.
const PROGRAMS = [
  ['the core', 'connector', 'connector()', 6 * 1024],
  ['the core and http', 'connector, http', 'connector(http)', 125 * 64],
  ['connect', 'connect', 'connect', 156 * 64],
];

const here = new URL('./', import.meta.url);
const path = (name) => fileURLToPath(new URL(name, here));
const SERVED = path('../server/src/browser/nosphere.min.js');

if (process.argv.includes('--size')) {
  let large = false;
  const weigh = (name, content, limit) => {
    const size = gzipSync(content, { level: 9 }).length;
    console.log(`${name}: ${size} of ${limit} bytes, minified and gzipped`);
    large ||= size > limit;
  };
  for (const [name, limit] of Object.entries(FILES)) weigh(name, readFileSync(path(name)), limit);
  for (const [name, imports, use, limit] of PROGRAMS) weigh(`a page with ${name}`, await program(imports, use), limit);
  process.exit(large ? 1 : 0);
}

rmSync(path('dist'), { recursive: true, force: true });
mkdirSync(path('dist'));
await bundle('src/index.ts', 'dist/index.js', 'esm', { mangleProps: new RegExp(`^(${INTERNAL.join('|')})$`) });
await bundle('src/messagepack.ts', 'dist/messagepack.js', 'esm', { external: ['@msgpack/msgpack'] });
await bundle('src/global.ts', 'dist/nosphere.min.js', 'iife', { mangleProps: new RegExp(`^(${INTERNAL.join('|')})$`) });
execFileSync(process.execPath, [path('node_modules/typescript/bin/tsc'), '-p', path('.')], { stdio: 'inherit' });

const single = readFileSync(path('dist/nosphere.min.js'), 'utf8');
if (process.argv.includes('--check')) {
  let committed = '';
  try {
    committed = readFileSync(SERVED, 'utf8');
  } catch {
    // there is none
  }
  if (committed !== single) {
    console.error(`${SERVED} is not what the sources give. Run: npm run build`);
    process.exit(1);
  }
} else {
  mkdirSync(path('../server/src/browser/'), { recursive: true });
  writeFileSync(SERVED, single);
}

/** What a user's bundler makes of the package, as it is published. */
async function program(imports, use) {
  const contents = `import { ${imports} } from './dist/index.js'; globalThis.connect = ${use};`;
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: path('.') }, bundle: true, minify: true, format: 'esm', target: 'es2022', write: false,
    logLevel: 'warning',
  });
  return outputFiles[0].contents;
}

/** esbuild puts the modules into one and names what is internal; terser makes that small. */
async function bundle(entry, outfile, format, options) {
  const { outputFiles } = await build({
    absWorkingDir: path('.'), entryPoints: [entry], bundle: true, minifySyntax: true, target: 'es2022', format, write: false,
    logLevel: 'warning', legalComments: 'none', charset: 'utf8', ...options,
  });
  const { code } = await minify(outputFiles[0].text, {
    ecma: 2022, module: true,
    compress: { passes: 4, unsafe: true, unsafe_arrows: true, unsafe_methods: true, pure_getters: true, keep_fargs: false },
  });
  writeFileSync(path(outfile), `${code}\n`);
}
