/** @module What every scene needs: the simulated service on a real port, clients of it, and a way to believe only what has been seen. */

import { setTimeout as wait } from 'node:timers/promises';
import type { Listener } from 'breakwater';
import {
  type ChatRequest,
  createDeepSeek,
  type DeepSeek,
  type DeepSeekClientOptions,
} from 'breakwater/deepseek';
import { createSimulator, type Simulator } from 'breakwater/testing';
import { wordsOf } from './event-words.ts';
import { serve } from './serve.ts';
import type { Timeline } from './timeline.ts';

/** The smallest request that a healthy service answers. Without thinking, which would use up the tokens. */
export const PING: ChatRequest = {
  model: 'deepseek-v4-flash',
  messages: [{ role: 'user', content: 'ping' }],
  max_tokens: 16,
  thinking: { type: 'disabled' },
};

/** What the simulated model says to anything but a ping. */
export const ANSWER = [
  'A breakwater does not stop the sea.',
  'It takes the force out of the waves,',
  'so that the boats behind it stay afloat.',
].join('\n');

/** The simulated service and all who watch it. */
export interface Stage {
  readonly timeline: Timeline;
  readonly simulator: Simulator;
  /** Where the service is. */
  readonly url: string;
  /** The share of every wait that is waited in fact; 1 is for people, less for tests. */
  readonly pace: number;
  /** Ends every call and every wait at once. */
  readonly signal: AbortSignal;
  /** Ends every connection. */
  close(): Promise<void>;
}

const API_KEY = 'sk-0123456789abcdef0123456789abcdef';
const TOKEN_MS = 30;

/** Starts the simulated service on a free port. */
export async function openStage(given: Pick<Stage, 'timeline' | 'pace' | 'signal'>): Promise<Stage> {
  const simulator = createSimulator({
    apiKeys: [API_KEY],
    tokenMs: TOKEN_MS * given.pace,
    answer: ({ body }) => (body.includes('"ping"') ? 'pong' : ANSWER),
  });
  const { url, close } = await serve(simulator.fetch);
  return { ...given, simulator, url, close };
}

/** A client whose chain reports into the timeline. */
export function connect(
  { timeline, url }: Pick<Stage, 'timeline' | 'url'>,
  options: Partial<DeepSeekClientOptions> = {},
): DeepSeek {
  const { onEvent, ...rest } = options;
  const report: Listener = (event) => {
    onEvent?.(event);
    const words = wordsOf(event);
    if (words) timeline.entry(words);
  };
  return createDeepSeek({ apiKey: API_KEY, baseURL: url, ...rest, onEvent: report });
}

/** Is thrown when the demo shows something else than it promises. */
export class NotAsTold extends Error {}

/** Throws unless something is as promised. */
export function mustHold(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new NotAsTold(otherwise);
}

/** What a call that must fail has failed with. */
export async function failureOf(call: Promise<unknown>): Promise<unknown> {
  const outcome = await call.then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  mustHold(outcome !== undefined, 'a call was answered that should have failed');
  return outcome.error;
}

/** Waits until something is so, for a second at most, and answers whether it is. */
export async function becomes(isSo: () => boolean, signal: AbortSignal): Promise<boolean> {
  for (let waits = 0; waits < 100 && !isSo(); waits++) await wait(10, undefined, { signal });
  return isSo();
}
