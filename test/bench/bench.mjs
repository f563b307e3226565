/**
 * What one call costs over a stub fetch: POST, a JSON answer of 140 bytes, read to its end. Everything runs in one
 * process, in rounds whose order alternates, so that warm-up, garbage and a busy machine hit every subject alike. No
 * collection is forced between them: it shrinks the heap, and then times the heap's growth instead of the calls.
 *
 *     npm run bench -- [--rounds 21] [--calls 2000] [--json] [--smoke]
 */
import { parseArgs } from 'node:util';
import createFfetch from '@fetchkit/ffetch';
import * as cockatiel from 'cockatiel';
import ky from 'ky';
import OpenAI from 'openai';
import * as v from 'valibot';
import { authCheck, circuitBreaker, compose, payloadSchema, retry, streamTimeout } from '../../dist/index.js';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '21' },
    calls: { type: 'string', default: '2000' },
    json: { type: 'boolean', default: false },
    smoke: { type: 'boolean', default: false },
  },
});
const rounds = options.smoke ? 3 : positive('rounds');
const calls = options.smoke ? 20 : positive('calls');
const warmUpRounds = options.smoke ? 1 : 4;

const url = 'https://api.deepseek.com/chat/completions';
const apiKey = `sk-${'0123456789abcdef'.repeat(2)}`;
const payload = { model: 'deepseek-v4-flash', messages: [{ role: 'user', content: 'ping' }] };
const request = {
  method: 'POST',
  headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
  body: JSON.stringify(payload),
};
const answer =
  '{"id":"1","model":"deepseek-v4-flash","choices":[{"index":0,"message":{"role":"assistant","content":"pong, pong!"},"finish_reason":"stop"}]}';
const answerHeaders = { 'content-type': 'application/json' };
if (Buffer.byteLength(answer) !== 140)
  throw new Error(`The answer has ${Buffer.byteLength(answer)} bytes, not 140`);

const stub = async () => new Response(answer, { headers: answerHeaders });

const schema = v.looseObject({
  model: v.string(),
  messages: v.array(v.looseObject({ role: v.string(), content: v.string() })),
  max_tokens: v.optional(v.number()),
});
const four = compose(authCheck(), payloadSchema(schema), retry(), circuitBreaker())(stub);
const five = compose(authCheck(), payloadSchema(schema), retry(), circuitBreaker(), streamTimeout())(stub);
const fiveUnheld = compose(
  authCheck(),
  payloadSchema(schema),
  retry(),
  circuitBreaker(),
  streamTimeout({ hold: 'headers' }),
)(stub);
const kyClient = ky.create({ fetch: stub, retry: { limit: 4, methods: ['post'] }, timeout: 60_000 });
const ffetch = createFfetch({ fetchHandler: stub, retries: 4, timeout: 60_000 });
const cockatielDefault = cockatielPolicies(cockatiel.TimeoutStrategy.Cooperative);
const cockatielKeeping = cockatielPolicies({
  strategy: cockatiel.TimeoutStrategy.Cooperative,
  abortOnReturn: false,
});
const openai = new OpenAI({
  apiKey,
  baseURL: 'https://api.deepseek.com',
  maxRetries: 4,
  timeout: 60_000,
  fetch: stub,
});

/** @type {Record<string, () => Promise<any>>} */
const subjects = {
  bare: async () => (await stub(url, request)).json(),
  'breakwater, four (no streamTimeout)': async () => (await four(url, request)).json(),
  'breakwater, five': async () => (await five(url, request)).json(),
  'breakwater, five (hold: headers)': async () => (await fiveUnheld(url, request)).json(),
  'cockatiel, three (default)': () => viaCockatiel(cockatielDefault),
  'cockatiel, three (abortOnReturn: false)': () => viaCockatiel(cockatielKeeping),
  'ky, retry and timeout': () => kyClient.post(url, request).json(),
  'ffetch, retries and timeout': async () => (await ffetch(url, request)).json(),
  'openai SDK': () => openai.chat.completions.create(payload),
};
const names = Object.keys(subjects);

/** Microseconds per call, one number a round. */
const times = Object.fromEntries(names.map((name) => [name, []]));

for (const name of names) await checkAnswer(name);
for (let round = -warmUpRounds; round < rounds; round++) {
  const order = round % 2 === 0 ? names : names.toReversed();
  for (const name of order) {
    const microseconds = await measure(subjects[name]);
    if (round >= 0) times[name].push(microseconds);
  }
}
report();

async function measure(call) {
  const start = performance.now();
  for (let i = 0; i < calls; i++) await call();
  return ((performance.now() - start) * 1000) / calls;
}

async function checkAnswer(name) {
  const { id } = await subjects[name]();
  if (id !== '1') throw new Error(`${name} did not deliver the answer`);
}

function report() {
  const bare = times.bare;
  const rows = names.map((name) => ({
    name,
    median: median(times[name]),
    ratio: median(times[name].map((time, round) => time / bare[round])),
    least: Math.min(...times[name]),
    most: Math.max(...times[name]),
  }));
  if (options.json)
    return console.log(JSON.stringify({ node: process.version, rounds, calls, rows, times }, null, 2));

  console.log(
    `node ${process.version}, ${rounds} rounds of ${calls} calls after ${warmUpRounds} to warm up; µs per call`,
  );
  console.log(`${'subject'.padEnd(42)}  median   × bare     least      most`);
  for (const { name, ...row } of rows) {
    const cells = [row.median, row.ratio, row.least, row.most].map((cell) => cell.toFixed(2).padStart(8));
    console.log(`${name.padEnd(40)}${cells.join('  ')}`);
  }
  if (options.smoke)
    return console.log('A smoke run only shows that everything runs: its figures mean nothing.');
  const [, ours4, ours5, unheld5, default3, keeping3] = rows;
  verdict('five (hold: headers) ≤ cockatiel, three (default)', unheld5.median, default3.median);
  verdict('five ≤ 1.25 × cockatiel, three (default)', ours5.median, 1.25 * default3.median);
  verdict('five ≤ cockatiel, three (abortOnReturn: false)', ours5.median, keeping3.median);
  verdict('four ≤ 1.6 × bare', ours4.ratio, 1.6);
}

function verdict(claim, value, limit) {
  console.log(
    `${value <= limit ? 'holds ' : 'FAILS '} ${claim}: ${value.toFixed(2)} against ${limit.toFixed(2)}`,
  );
}

function cockatielPolicies(timeoutOptions) {
  const { ConsecutiveBreaker, ExponentialBackoff, circuitBreaker, handleAll, retry, timeout, wrap } =
    cockatiel;
  return wrap(
    retry(handleAll, { maxAttempts: 4, backoff: new ExponentialBackoff() }),
    circuitBreaker(handleAll, { halfOpenAfter: 60_000, breaker: new ConsecutiveBreaker(5) }),
    timeout(60_000, timeoutOptions),
  );
}

async function viaCockatiel(policy) {
  const response = await policy.execute(({ signal }) => stub(url, { ...request, signal }));
  return response.json();
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
