/**
 * Bundles what a user would import, minifies and gzips it, and fails above the limits (in bytes of 1 kB = 1000 B).
 * Below each line stand the modules that the bytes come from.
 */
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { entries } from './entries.mjs';

const five = ['auth-check', 'payload-schema', 'retry', 'circuit-breaker', 'stream-timeout'];
/** @type {Record<string, number>} */
const limits = {
  'auth-check': 2900,
  'payload-schema': 3300,
  retry: 5500,
  'circuit-breaker': 5000,
  'stream-timeout': 7250,
  observe: 2700,
  fallback: 4500,
};
const middlewares = Object.entries(entries).filter(([, source]) => source.startsWith('src/middleware/'));

/** @type {{ title: string, code: string, limit?: number | undefined }[]} */
const bundles = [
  { title: 'compose', code: `export { compose } from './src/index.ts'`, limit: 200 },
  {
    title: 'compose + five',
    code: `export { compose, ${five.map(camelCase)} } from './src/index.ts'`,
    limit: 13_500,
  },
  ...middlewares.map(([name, source]) => ({
    title: name,
    code: `export { ${camelCase(name)} } from './${source}'`,
    limit: limits[name],
  })),
  { title: 'index, all of it', code: `export * from './src/index.ts'` },
  { title: 'deepseek, with its dependencies', code: `export * from './src/deepseek/index.ts'` },
];

let tooLarge = 0;
console.log(row('bundle', 'raw', 'min', 'gzip', 'limit'));
for (const { title, code, limit } of bundles) {
  const [raw, minified] = await Promise.all([bundle(code, false), bundle(code, true)]);
  const gzip = gzipSync(minified.contents, { level: 9 }).length;
  const over = limit !== undefined && gzip > limit;
  if (over) tooLarge++;
  console.log(
    row(title, raw.contents.length, minified.contents.length, gzip, limit ?? '-') +
      (over ? '  TOO LARGE' : ''),
  );
  const parts = minified.parts.map(([path, bytes]) => `${path.replace(/^src\//, '')} ${bytes}`);
  console.log(`    ${parts.join(', ')}`);
}
if (tooLarge > 0) {
  console.error(`${tooLarge} of ${bundles.length} bundles are above their limit`);
  process.exitCode = 1;
}

/**
 * @param {string} code
 * @param {boolean} minify
 */
async function bundle(code, minify) {
  const result = await build({
    stdin: { contents: code, resolveDir: process.cwd(), loader: 'ts' },
    bundle: true,
    format: 'esm',
    target: 'es2022',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    metafile: true,
    minify,
    write: false,
  });
  const [file] = result.outputFiles;
  const [output] = Object.values(result.metafile.outputs);
  if (!file || !output) throw new Error(`esbuild wrote nothing for: ${code}`);
  return { contents: file.contents, parts: largest(output.inputs) };
}

/**
 * The share of each module in the minified bundle, before gzip; each npm package is one module.
 * @param {Record<string, { bytesInOutput: number }>} inputs
 */
function largest(inputs, count = 8) {
  const sums = new Map();
  for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
    const module = path.replace(/^node_modules\/((?:@[^/]+\/)?[^/]+)\/.*/, '$1');
    sums.set(module, (sums.get(module) ?? 0) + bytesInOutput);
  }
  const sorted = [...sums].filter(([, bytes]) => bytes > 0).sort((a, b) => b[1] - a[1]);
  const rest = sorted.slice(count).reduce((sum, [, bytes]) => sum + bytes, 0);
  return rest > 0 ? [...sorted.slice(0, count), ['others', rest]] : sorted;
}

/** @param {string} name */
function camelCase(name) {
  return name.replace(/-([a-z])/g, (_, letter) => letter.toUpperCase());
}

/** @param {(string | number)[]} cells */
function row(...cells) {
  const [title, ...numbers] = cells;
  return String(title).padEnd(34) + numbers.map((cell) => String(cell).padStart(8)).join('');
}
