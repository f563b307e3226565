import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Call, defineMiddleware, type FetchLike, type Middleware } from 'breakwater';
import { build } from 'esbuild';

export const url = 'https://api.example/v1/ask?q=1';
export const key = `sk-${'0123456789abcdef'.repeat(2)}`;

export interface Sent {
  readonly input: string | URL | Request;
  readonly init: RequestInit & Record<PropertyKey, unknown>;
}

/** A fetch that keeps what it was called with, and answers with `statuses` in turn, then with 200. */
export function recorder(...statuses: number[]): FetchLike & { sent: Sent[] } {
  const sent: Sent[] = [];
  const fetch: FetchLike = async (input, init) => {
    sent.push({ input, init: init as Sent['init'] });
    return new Response('pong', { status: statuses.shift() ?? 200 });
  };
  return Object.assign(fetch, { sent });
}

/** The request that the runtime's fetch would make of what it was called with. */
export function requestOf({ input, init }: Sent): Request {
  return new Request(input, init);
}

/** A middleware that does nothing but look at each call. */
export function look(at: (call: Call) => void = () => undefined): Middleware {
  return defineMiddleware('look', (call, next) => {
    at(call);
    return next(call);
  });
}

/** A middleware that only makes and passes on Calls. */
export const pass: Middleware = look();

/** The error that a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('It did not reject');
}

/** What a function throws. */
export function thrownBy(run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    return error as Error;
  }
  throw new Error('It did not throw');
}

let secondCopy: Promise<typeof import('breakwater')> | undefined;

/** The package a second time, as a bundler puts it into another dependency: no module and no class is shared. */
export function anotherCopy(): Promise<typeof import('breakwater')> {
  secondCopy ??= bundleCopy();
  return secondCopy;
}

async function bundleCopy(): Promise<typeof import('breakwater')> {
  const entry = fileURLToPath(new URL('../../src/index.ts', import.meta.url));
  const built = await build({ entryPoints: [entry], bundle: true, format: 'esm', write: false });
  const file = join(await mkdtemp(join(tmpdir(), 'breakwater-')), 'copy.mjs');
  await writeFile(file, built.outputFiles[0]!.text);
  return import(/* @vite-ignore */ pathToFileURL(file).href);
}
