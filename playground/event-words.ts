/** @module What the events of a chain mean, in words. */

import type { ObservedEvent } from 'breakwater';
import type { Entry, Tone } from './timeline.ts';

type EventOf<Type extends ObservedEvent['type']> = Extract<ObservedEvent, { readonly type: Type }>;

/** Null for what is not worth a line. */
type Words = {
  readonly [Type in ObservedEvent['type']]?: ((event: EventOf<Type>) => Entry) | null;
};

const WORDS: Words = {
  'call.started': ({ method, url }) => entry('call', `${method} ${new URL(url).pathname}`, 'quiet'),
  'attempt.started': ({ attempt }) => entry(`attempt ${attempt}`, '', 'quiet'),
  'retry.scheduled': ({ cause, delayMs, toldMs }) => entry(`${cause}`, waitOf(delayMs, toldMs), 'waiting'),
  'retry.refused': ({ cause, reason }) => entry(`${cause}`, `not repeated: ${reason}`, 'bad'),
  'limit.told': ({ limit, inFlight }) =>
    entry(
      'limit told',
      `its message says: ${inFlight} calls in flight, where ${limit} are allowed`,
      'waiting',
    ),
  'balance.low': () => entry('balance low', 'and that a higher balance would allow more', 'waiting'),
  'breaker.opened': ({ retryAfterMs }) =>
    entry('breaker opens', `calls are refused at once; a probe may go in ${timeOf(retryAfterMs)}`, 'bad'),
  'breaker.probed': () => entry('probe', 'this one call may find out whether the service is back', 'waiting'),
  'breaker.closed': () => entry('breaker closes', 'the service is back, and all calls may go', 'good'),
  'call.queued': () => entry('queued', 'a 200, and no answer yet: nothing but keep-alives', 'waiting'),
  'stream.keep-alive': null,
  'stream.first-token': null, // the program tells it together with the time in the queue
  'call.settled': ({ outcome, status, cause, durationMs }) => {
    const end = status === undefined ? `${cause ?? outcome}` : `with status ${status}`;
    const isGood = outcome !== 'failed' && status !== undefined && status < 400;
    return entry('call ends', `${end}, after ${timeOf(durationMs)}`, isGood ? 'good' : 'bad');
  },
};

/** What an event means; undefined when it is not worth a line. An event that has no words yet stands under its own name. */
export function wordsOf(event: ObservedEvent): Entry | undefined {
  const words = WORDS[event.type] as ((event: ObservedEvent) => Entry) | null | undefined;
  return words === undefined ? entry(event.type, '', 'quiet') : words?.(event);
}

/** A time for people. */
export function timeOf(ms: number): string {
  return ms < 100 ? `${Math.ceil(ms)} ms` : `${Number((ms / 1000).toFixed(2))} s`;
}

function entry(event: string, meaning: string, tone: Tone): Entry {
  return { event, meaning, tone };
}

function waitOf(delayMs: number, toldMs: number | undefined): string {
  return toldMs === undefined
    ? `again in ${timeOf(delayMs)}: a random share of the backoff`
    : `Retry-After ${timeOf(toldMs)}, and some spread against a herd: again in ${timeOf(delayMs)}`;
}
