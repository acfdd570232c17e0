// Builds dist/, and the copy of the single file that the server crate serves.
//
//   node build.mjs            builds
//   node build.mjs --check    builds, and fails if the committed copy is another one
//   node build.mjs --size     fails if the core is larger than it may be

import { build } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const LIMIT = 8.5 * 1024; // minified, gzip -9: what it does costs that much, see README.md
const here = new URL('./', import.meta.url);
const path = (name) => fileURLToPath(new URL(name, here));
const SERVED = path('../server/src/browser/nosphere.min.js');
const CORE = ['dist/nosphere.min.js', 'dist/index.js'];

const common = { absWorkingDir: path('.'), bundle: true, target: 'es2022', logLevel: 'warning', legalComments: 'none', charset: 'utf8' };

if (process.argv.includes('--size')) {
  let large = false;
  for (const name of CORE) {
    const { code } = await minified(readFileSync(path(name), 'utf8'));
    const size = gzipSync(code, { level: 9 }).length;
    console.log(`${name}: ${size} of ${LIMIT} bytes, minified and gzipped`);
    large ||= size > LIMIT;
  }
  process.exit(large ? 1 : 0);
}

rmSync(path('dist'), { recursive: true, force: true });
await build({ ...common, entryPoints: ['src/index.ts', 'src/messagepack.ts'], outdir: 'dist', format: 'esm', external: ['@msgpack/msgpack'] });
await build({ ...common, entryPoints: ['src/global.ts'], outfile: 'dist/nosphere.min.js', format: 'iife', minify: true });
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

async function minified(contents) {
  const { outputFiles } = await build({ ...common, stdin: { contents, loader: 'js' }, format: 'esm', minify: true, write: false });
  return { code: outputFiles[0].contents };
}
