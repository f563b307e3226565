/**
 * @module One timeout cannot bound a streamed answer: short enough to notice a dead connection, it kills healthy answers, and a
 * timer on the headers alone waits for ever on a stream that stalls. Four clocks can, each for its own silence; and
 * an answer that has not begun is held back, because until then another attempt does no harm. Signs of life are no answer.
 */

import type { Call } from '../core/call.ts';
import { type Clock, systemClock } from '../core/clock.ts';
import { defineMiddleware } from '../core/define-middleware.ts';
import { aClock, aFunction, aPositiveCount, aPositiveDuration, oneOf, readOptions } from '../core/options.ts';
import { detectProgress, type ProgressDetector } from '../core/progress.ts';
import type { GuardSettings, StreamLimits } from '../core/stream-clocks.ts';
import { StreamGuard } from '../core/stream-guard.ts';
import type { Middleware } from '../core/types.ts';

export type { ProgressDetector, StreamFault } from '../core/progress.ts';

/** What {@link streamTimeout} is told. */
export interface StreamTimeoutOptions {
  /**
   * The longest wait for the response headers of an attempt, in milliseconds. `Infinity` waits for ever. Must be a
   * positive number.
   * @default 60_000
   */
  readonly headersMs?: number | undefined;
  /**
   * The longest time from the start of an attempt to the first content of its answer, in milliseconds; no keep-alive puts it off. Must be a positive
   * number.
   * @default 180_000
   */
  readonly firstTokenMs?: number | undefined;
  /**
   * The longest silence within an answer, in milliseconds. It runs only while somebody waits for data, so a consumer may
   * pause as long as it likes. Must be a positive number.
   * @default 60_000
   */
  readonly idleMs?: number | undefined;
  /**
   * The longest time of the whole call, with all its attempts and waits, in milliseconds. Must be a positive number.
   * @default none
   */
  readonly totalMs?: number | undefined;
  /**
   * Until when a 2xx Response is held back: `'first-token'` lets the layers above act on an answer that never begins, `'headers'`
   * hands it over at once.
   * @default 'first-token'
   */
  readonly hold?: 'first-token' | 'headers' | undefined;
  /**
   * The most of a Response that is held back, in bytes. A larger one is handed over unjudged, with a `stream.unheld` event. Must be a
   * positive integer.
   * @default 8_388_608
   */
  readonly maxHoldBytes?: number | undefined;
  /**
   * Watches an answer, and says what in it is progress, when the caller may have it and whether it is whole.
   * @default the events of an event stream; in other bodies, whatever is not blank
   */
  readonly detect?: ((response: Response, call: Call) => ProgressDetector) | undefined;
  /**
   * Gives this call other limits than the rest; what it leaves out stays as it is.
   * @default none
   */
  readonly limitsFor?: ((call: Call) => Partial<StreamLimits> | undefined) | undefined;
  /**
   * Measures the silences.
   * @default the clock of the runtime
   */
  readonly clock?: Clock | undefined;
}

/** The defaults of {@link streamTimeout}. */
export const STREAM_TIMEOUT_DEFAULTS: {
  readonly headersMs: number;
  readonly firstTokenMs: number;
  readonly idleMs: number;
  readonly hold: 'first-token' | 'headers';
  readonly maxHoldBytes: number;
} = Object.freeze({
  headersMs: 60_000,
  firstTokenMs: 180_000,
  idleMs: 60_000,
  hold: 'first-token',
  maxHoldBytes: 8_388_608,
});

/**
 * Bounds each silence of a call, to the end of its body, and reports how the answer ended.
 *
 * The caller sees a rejection while the answer is held back, and afterwards an error of the body stream. Answers that are
 * no 2xx, or have no body, are returned as they came. Aborting the call, or cancelling its body, aborts what is below.
 *
 * @throws {TypeError | RangeError} From the factory, for wrong options.
 * @throws {StreamTimeoutError} From the fetch or the body: `TIMEOUT_HEADERS`, `TIMEOUT_FIRST_TOKEN`, `TIMEOUT_IDLE` or
 * `TIMEOUT_TOTAL`.
 * @throws {StreamBrokenError} From the fetch or the body: `STREAM_RESET`, when the connection was lost in the answer, and of event streams
 * `STREAM_EMPTY`, `STREAM_TRUNCATED`, `STREAM_FAILED` and `STREAM_OVERFLOW`.
 *
 * @example An answer that never begins
 * ```ts throws
 * import { streamTimeout } from 'breakwater';
 *
 * const stalled = async () => new Response(new ReadableStream());
 * await streamTimeout({ firstTokenMs: 10 })(stalled)('https://api.deepseek.com/models'); // TIMEOUT_FIRST_TOKEN
 * ```
 */
export function streamTimeout(options?: StreamTimeoutOptions): Middleware {
  const {
    clock = systemClock,
    limitsFor,
    detect = detectProgress,
    totalMs = Number.POSITIVE_INFINITY,
    ...rest
  } = readOptions('streamTimeout middleware', options, STREAM_TIMEOUT_DEFAULTS, {
    ...limitRules,
    hold: oneOf('first-token', 'headers'),
    maxHoldBytes: aPositiveCount,
    detect: aFunction,
    limitsFor: aFunction,
    clock: aClock,
  });
  const settings: GuardSettings = { ...rest, totalMs, detect, clock };
  return defineMiddleware('streamTimeout', (call, next) => {
    const own = limitsFor?.(call);
    const limits = own ? { ...settings, ...readOptions('limits of a call', own, {}, limitRules) } : settings;
    return new StreamGuard(call, limits as GuardSettings).run(next);
  });
}

const limitRules = {
  headersMs: aPositiveDuration,
  firstTokenMs: aPositiveDuration,
  idleMs: aPositiveDuration,
  totalMs: aPositiveDuration,
};
