/** @module What the tests of breakwater/deepseek share: a client before a simulated service, and what was seen of it. */

import type { ObservedEvent } from 'breakwater';
import {
  type ChatChunk,
  type ChatRequest,
  createDeepSeek,
  type DeepSeek,
  type DeepSeekClientOptions,
} from 'breakwater/deepseek';
import {
  createFakeClock,
  createScriptedFetch,
  createSimulator,
  type FakeClock,
  type ScriptedFault,
  type ScriptedFetch,
  type ScriptedReply,
  type Simulator,
} from 'breakwater/testing';
import { onTestFinished } from 'vitest';
import { type Served, serve } from '../../playground/serve.ts';
import type { FetchLike } from '../../src/core/types.ts';

/** A key as the service issues them, and no key of anybody. */
export const apiKey: string = `sk-${'0123456789abcdef'.repeat(2)}`;

export const ping: ChatRequest = {
  model: 'deepseek-v4-flash',
  messages: [{ role: 'user', content: 'ping' }],
};

export const endpoint = 'https://api.deepseek.com/chat/completions';

/** The body of a whole answer. */
export const pong: object = {
  id: 'pong-1',
  model: 'deepseek-flash',
  choices: [{ finish_reason: 'stop', message: { role: 'assistant', content: 'pong' } }],
};

export interface Watched {
  readonly ai: DeepSeek;
  readonly clock: FakeClock;
  readonly events: readonly ObservedEvent[];
  /** The events of one type, without the call and the time. */
  of(type: ObservedEvent['type']): object[];
  /** Moves the clock until the promise has settled. */
  run<T>(promise: Promise<T>): Promise<T>;
}

type Options = Partial<DeepSeekClientOptions>;

/** A client on a fake clock, whose jitter is half the ceiling, in front of any fetch. */
export function watch(
  fetch: FetchLike,
  options: Options = {},
  clock: FakeClock = createFakeClock(),
): Watched {
  const events: ObservedEvent[] = [];
  const onEvent = (event: ObservedEvent) => void events.push(event);
  return {
    ai: createDeepSeek({ apiKey, clock, random: () => 0.5, onEvent, fetch, ...options }),
    clock,
    events,
    of: (type) =>
      events
        .filter((event) => event.type === type)
        .map(({ callId: _callId, at: _at, type: _type, ...rest }) => rest),
    run: (promise) => clock.runUntil(promise),
  };
}

/** A client before the simulated service, each of whose calls meets the next fault. */
export function simulate(options: Options, ...faults: ScriptedFault[]): Watched & { simulator: Simulator } {
  const clock = createFakeClock();
  const simulator = createSimulator({ clock });
  simulator.script(...faults);
  return { ...watch(simulator.fetch, options, clock), simulator };
}

/** A client before a script. */
export function play(options: Options, ...replies: ScriptedReply[]): Watched & { fetch: ScriptedFetch } {
  const fetch = createScriptedFetch(...replies);
  return { ...watch(fetch, options), fetch };
}

/** A fetch over real HTTP, until the test is over. */
export async function served(handler: FetchLike): Promise<Served> {
  const server = await serve(handler);
  onTestFinished(() => server.close());
  return server;
}

/** All pieces of a stream. */
export async function piecesOf(stream: AsyncIterable<ChatChunk>): Promise<ChatChunk[]> {
  const pieces: ChatChunk[] = [];
  for await (const piece of stream) pieces.push(piece);
  return pieces;
}

export function contentOf(pieces: readonly ChatChunk[]): string {
  return pieces.map(({ content }) => content).join('');
}
