/** What a guarded stream costs beside time: what it allocates for each chunk, and what it holds while it is open. */
import { Session } from 'node:inspector/promises';
import { promiseHooks, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { deepseek } from '../../dist/deepseek.js';
import { streamTimeout } from '../../dist/index.js';
import { createSimulator } from '../../dist/testing.js';
import { request, url } from './stream-subjects.mjs';

const dist = new URL('../../dist/', import.meta.url).href;

/**
 * Bytes that were allocated for each chunk, garbage included: in functions of `dist`, in built-ins that they call
 * directly, such as `then`, and elsewhere.
 */
export async function allocationsOf(run, streams) {
  await run();
  const session = new Session();
  session.connect();
  await session.post('HeapProfiler.startSampling', {
    samplingInterval: 1024,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true,
  });
  let chunks = 0;
  for (let stream = 0; stream < streams; stream++) chunks += await run();
  const { profile } = await session.post('HeapProfiler.stopSampling');
  session.disconnect();

  const sums = { ours: 0, builtins: 0, others: 0 };
  const byFunction = new Map();
  walk(profile.head, '');
  const functions = [...byFunction].map(([name, bytes]) => ({ name, bytes: bytes / chunks }));
  functions.sort((a, b) => b.bytes - a.bytes);
  const perChunk = Object.fromEntries(Object.entries(sums).map(([name, bytes]) => [name, bytes / chunks]));
  return { ...perChunk, functions: functions.filter(({ bytes }) => bytes >= 0.5) };

  function walk({ callFrame, selfSize, children }, caller) {
    const { url: file, functionName } = callFrame;
    const isOurs = file.startsWith(dist);
    const isBuiltin = file === '' && caller !== '';
    sums[isOurs ? 'ours' : isBuiltin ? 'builtins' : 'others'] += selfSize;
    const name = isOurs ? functionName : isBuiltin ? `${functionName} in ${caller}` : undefined;
    if (name && selfSize > 0) byFunction.set(name, (byFunction.get(name) ?? 0) + selfSize);
    for (const child of children) walk(child, isOurs ? functionName : isBuiltin ? caller : '');
  }
}

/** How many promises are made for each chunk, counted and not sampled. */
export async function promisesOf(run) {
  let promises = 0;
  const stop = promiseHooks.onInit(() => promises++);
  const chunks = await run();
  stop();
  return promises / chunks;
}

/** The middlewares whose streams are held open. */
export const openings = {
  bare: () => (fetch) => fetch,
  'guard (streamTimeout)': (clock) => streamTimeout({ clock }),
  'whole preset (deepseek)': (clock) => deepseek({ clock }),
};

/** Opens so many simulated streams at a time, reads each until it falls silent, and waits for more. */
export async function hold(open, count) {
  const clock = countingClock();
  const simulator = createSimulator({ answer: 'pong '.repeat(20) });
  simulator.script(...Array.from({ length: count }, () => ({ stallAfterChunks: 4 })));
  const fetch = open(clock)(simulator.fetch);
  const before = bytesInUse();
  const readers = [];
  for (let stream = 0; stream < count; stream++) readers.push(await openOne(fetch));
  const waiting = readers.map((reader) => reader.read());
  await settle();
  const bytes = (bytesInUse() - before) / count;
  const timers = clock.alive / count;
  for (const reader of readers) reader.cancel();
  await Promise.all(waiting);
  return { count, bytes, timers, timersAtEnd: clock.alive };
}

async function openOne(fetch) {
  const { body } = await fetch(url, request);
  const reader = body.getReader();
  for (let chunk = 0; chunk < 4; chunk++) await reader.read();
  return reader;
}

function countingClock() {
  const clock = {
    alive: 0,
    now: () => performance.now(),
    wall: () => Date.now(),
    setTimeout(callback, ms) {
      clock.alive++;
      const timer = setTimeout(() => {
        clock.alive--;
        timers.delete(timer);
        callback();
      }, ms);
      timers.add(timer);
      return timer;
    },
    clearTimeout(timer) {
      if (timers.delete(timer)) clock.alive--;
      clearTimeout(timer);
    },
  };
  const timers = new Set();
  return clock;
}

function settle() {
  return new Promise((resolve) => setTimeout(resolve, 50));
}

let collect;

/** What is left in use after a collection. Nothing is timed after this: a forced collection shrinks the heap. */
function bytesInUse() {
  if (!collect) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc');
  }
  for (let pass = 0; pass < 3; pass++) collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
