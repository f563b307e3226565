/**
 * What a streamed answer costs for each of its chunks, over a stub fetch: 20,000 events of 180 bytes, one a chunk, in two
 * shapes. Everything runs in one process, in rounds whose order alternates, and no collection is forced between
 * measurements. Afterwards it is counted what the guard allocates for each chunk, and what it holds while thousands of streams are open.
 *
 *     npm run bench:stream -- [--rounds 11] [--chunks 20000] [--json] [--smoke]
 */
import { parseArgs } from 'node:util';
import { allocationsOf, hold, openings, promisesOf } from './stream-costs.mjs';
import { subjects } from './stream-subjects.mjs';
import { shapes, stubOf } from './streams.mjs';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '11' },
    chunks: { type: 'string', default: '20000' },
    json: { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
  },
});
const rounds = options.smoke ? 1 : positive('rounds');
const chunks = options.smoke ? 100 : positive('chunks');
const warmUpRounds = options.smoke ? 0 : 3;
/** A subject reads stream after stream until this time has passed, because a fast one has read the first in a few milliseconds. */
const leastMs = options.smoke ? 0 : 40;
const counts = options.smoke ? [10, 20] : [1000, 10_000];

const guards = ['guard (streamTimeout)', 'guard (DeepSeek preset)'];
const decoder = 'guard and decoder (ai.stream)';
/** A number or two for each chunk: less than a closure, a promise or the smallest view of a buffer. */
const FEW_BYTES = 24;

const results = [];
for (const [shape, chunksOf] of Object.entries(shapes)) {
  const fetch = stubOf(chunksOf(chunks));
  const runs = Object.entries(subjects).map(([name, subject]) => ({ name, run: subject(fetch) }));
  for (const { name, run } of runs) await checkCount(name, run);
  const rows = await timesOf(runs);
  const costs = [];
  for (const { name, run } of runs.filter(({ name }) => ['bare', decoder, ...guards].includes(name)))
    costs.push({
      name,
      promises: await promisesOf(run),
      ...(await allocationsOf(run, options.smoke ? 1 : 5)),
    });
  results.push({ shape, rows, costs });
}
const open = [];
for (const count of counts)
  for (const [name, layers] of Object.entries(openings)) open.push({ name, ...(await hold(layers, count)) });

if (options.json)
  console.log(JSON.stringify({ node: process.version, rounds, chunks, results, open }, null, 2));
else report();

/** Microseconds for each chunk, one number a round. */
async function timesOf(runs) {
  const times = runs.map(() => []);
  for (let round = -warmUpRounds; round < rounds; round++) {
    const order = [...runs.keys()];
    for (const index of round % 2 === 0 ? order : order.reverse()) {
      const microseconds = await measure(runs[index].run);
      if (round >= 0) times[index].push(microseconds);
    }
  }
  const [bare] = times;
  return runs.map(({ name }, index) => ({
    name,
    median: median(times[index]),
    ratio: median(times[index].map((time, round) => time / bare[round])),
    least: Math.min(...times[index]),
    most: Math.max(...times[index]),
  }));
}

async function measure(run) {
  const start = performance.now();
  let streams = 0;
  do {
    await run();
    streams++;
  } while (performance.now() - start < leastMs);
  return ((performance.now() - start) * 1000) / (streams * chunks);
}

/** All see every chunk; those that decode may count the last as two, as one or, because nothing is said in it, as none. */
async function checkCount(name, run) {
  const seen = await run();
  if (Math.abs(seen - chunks) > 1) throw new Error(`${name} saw ${seen} of ${chunks} chunks`);
}

function report() {
  console.log(
    `node ${process.version}, ${rounds} rounds after ${warmUpRounds} to warm up, ${chunks} chunks a stream`,
  );
  for (const { shape, rows, costs } of results) {
    console.log(`\nchunks ${shape}, µs for each`.padEnd(37), '  median  × bare   least    most');
    for (const { name, ...row } of rows)
      console.log(name.padEnd(36) + cells([row.median, row.ratio, row.least, row.most]));
    console.log('\nallocated for each, in bytes'.padEnd(37), 'promises    ours builtins  others');
    for (const { name, functions, ...row } of costs) {
      const [most = ''] = functions.map(({ name, bytes }) => `  ${name} ${bytes.toFixed(0)}`);
      console.log(name.padEnd(36) + cells([row.promises, row.ours, row.builtins, row.others], 1) + most);
    }
  }
  console.log('\nopen streams, bytes for each'.padEnd(37), ' streams   bytes over bare  timers');
  for (const { name, count, bytes, timers } of open) {
    const bare = open.find((row) => row.name === 'bare' && row.count === count);
    console.log(name.padEnd(36) + cells([count, bytes, bytes - bare.bytes, timers], 0));
  }
  if (options.smoke) console.log('\nA smoke run only shows that everything runs: its figures mean nothing.');
  else verdicts();
}

function verdicts() {
  console.log('');
  for (const { shape, rows, costs } of results) {
    const find = (list, wanted) => list.find(({ name }) => name === wanted);
    for (const name of guards) verdict(`${name} ≤ 2 × bare, ${shape}`, find(rows, name).ratio, 2);
    const openai = find(rows, 'openai SDK').median / 4;
    verdict(`${decoder} ≤ a quarter of the openai SDK, ${shape}`, find(rows, decoder).median, openai);
    for (const name of guards) {
      const { promises, ours, builtins, functions } = find(costs, name);
      // A promise is counted instead: what a stream makes for each read is no less for being made by `then`.
      const then = functions
        .filter(({ name }) => name.startsWith('then '))
        .reduce((sum, { bytes }) => sum + bytes, 0);
      verdict(
        `${name} makes no promises beyond those of one more stream, ${shape}`,
        promises,
        2 * costs[0].promises + 0.1,
      );
      verdict(`${name} allocates no closure and no buffer, ${shape}`, ours + builtins - then, FEW_BYTES);
    }
  }
  for (const { name, count, timers, timersAtEnd } of open.filter(({ name }) => name !== 'bare')) {
    verdict(`${name} has one timer for each of ${count} streams`, timers, 1);
    verdict(`${name} has no timer at the end of ${count} streams`, timersAtEnd, 0);
  }
}

function verdict(claim, value, limit) {
  console.log(
    `${value <= limit ? 'holds ' : 'FAILS '} ${claim}: ${value.toFixed(2)} against ${limit.toFixed(2)}`,
  );
}

function cells(numbers, digits = 2) {
  return numbers.map((number) => number.toFixed(digits).padStart(8)).join('');
}

function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function positive(name) {
  const value = Number(options[name]);
  if (!Number.isInteger(value) || value < 1)
    throw new RangeError(`--${name} must be a positive integer: ${options[name]}`);
  return value;
}
