/** @module What the tests of the middlewares look on with: events, listeners, collections, and a body whose every pull is seen. */

import { getEventListeners } from 'node:events';
import { inspect } from 'node:util';
import { type Middleware, type ObservedEvent, observe } from 'breakwater';
import type { FakeClock } from 'breakwater/testing';

export const url = 'https://api.deepseek.com/chat/completions';

/** A POST that can be sent again. */
export const post: RequestInit = { method: 'POST', body: '{"model":"deepseek-v4-flash"}' };

export interface Witness {
  readonly observed: Middleware;
  readonly events: readonly ObservedEvent[];
  /** The types of all events, in order. */
  readonly types: readonly string[];
  /** The events of one type, without the call and the time. */
  of(type: ObservedEvent['type']): object[];
}

/** Listens to a chain. */
export function watch(clock: FakeClock): Witness {
  const events: ObservedEvent[] = [];
  return {
    observed: observe((event) => void events.push(event), { clock }),
    events,
    get types() {
      return events.map(({ type }) => type);
    },
    of: (type) =>
      events
        .filter((event) => event.type === type)
        .map(({ callId: _callId, at: _at, type: _type, ...rest }) => rest),
  };
}

export function listenersOf(signal: AbortSignal): number {
  return getEventListeners(signal, 'abort').length;
}

/** What a promise rejects with. */
export function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => {
      throw new Error(`Nothing was thrown, but ${String(value)} was returned`);
    },
    (reason: unknown) => reason,
  );
}

/** All that a log could show of a value: at any depth, hidden members and JSON form included. */
export function printed(value: unknown): string {
  const stack = value instanceof Error ? value.stack : '';
  return [inspect(value, { depth: Infinity, showHidden: true }), JSON.stringify(value), stack].join('\n');
}

/** Whether a promise settles before a timer of 0 ms that is set now. */
export function settlesBeforeTimer(promise: Promise<unknown>): Promise<boolean> {
  const settled = promise.then(
    () => true,
    () => true,
  );
  return Promise.race([settled, new Promise<boolean>((resolve) => setTimeout(resolve, 0, false))]);
}

/** The rejections that nobody has handled when `run` is over. */
export async function unhandledIn(run: () => Promise<unknown>): Promise<unknown[]> {
  const reasons: unknown[] = [];
  const note = (reason: unknown) => void reasons.push(reason);
  process.on('unhandledRejection', note);
  try {
    await run();
    await new Promise((resolve) => setImmediate(resolve)); // they are told after all microtasks
    return reasons;
  } finally {
    process.off('unhandledRejection', note);
  }
}

/** Collects garbage, and lets finalizers and sockets have their turn, until `isDone` or until it is clear that it never will be. */
export async function collectUntil(isDone: () => boolean): Promise<boolean> {
  for (let turn = 0; turn < 100 && !isDone(); turn++) await collect();
  return isDone();
}

export async function collect(): Promise<void> {
  if (!globalThis.gc) throw new Error('Run the tests with --expose-gc');
  globalThis.gc();
  await new Promise((resolve) => setImmediate(resolve));
}

export interface Source {
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** How often data was asked for. */
  readonly pulls: number;
  /** The reasons of all cancels. */
  readonly cancels: readonly unknown[];
  push(...chunks: (string | Uint8Array<ArrayBuffer>)[]): void;
  close(): void;
  fail(error: unknown): void;
  /** A 200 with this body. */
  response(init?: ResponseInit): Response;
}

/** A body that a test feeds by hand. Nothing is asked of it before it is read. */
export function createSource(type?: 'bytes'): Source {
  let sink: ReadableByteStreamController | ReadableStreamDefaultController<Uint8Array> | undefined;
  let pulls = 0;
  const cancels: unknown[] = [];
  const source = {
    ...(type && { type }),
    start: (controller: ReadableByteStreamController) => {
      sink = controller;
    },
    pull: () => {
      pulls++;
    },
    cancel: (reason: unknown) => {
      cancels.push(reason);
    },
  };
  const stream = new ReadableStream(source as UnderlyingByteSource, { highWaterMark: 0 });
  return {
    stream,
    get pulls() {
      return pulls;
    },
    cancels,
    push: (...chunks) => {
      for (const chunk of chunks) sink?.enqueue(typeof chunk === 'string' ? bytesOf(chunk) : chunk);
    },
    close: () => sink?.close(),
    fail: (error) => sink?.error(error),
    response: (init) => new Response(stream, init),
  };
}

export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

export function textOf(bytes: Uint8Array | undefined): string {
  return new TextDecoder().decode(bytes);
}
