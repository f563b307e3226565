/**
 * @module A repetition is right only when the failure was a passing one, when there is time for the wait that the service asks
 * for, and when the service is not made worse by it. Each of these is a rule here; what none of them allows goes to
 * the caller at once, as it came.
 */

import { loadBody, MAX_REPLAY_BYTES } from '../core/body.ts';
import type { Call } from '../core/call.ts';
import { type Clock, type Random, systemClock, systemRandom } from '../core/clock.ts';
import { defineMiddleware } from '../core/define-middleware.ts';
import {
  aClock,
  aCount,
  aDuration,
  aFunction,
  isCount,
  type Rule,
  readOptions,
  refuse,
} from '../core/options.ts';
import { createRetryBudget, type RetryBudget } from '../core/retry-budget.ts';
import { pressureGauge, type RetryFailure, Retrying, type RetrySettings } from '../core/retrying.ts';
import type { Middleware } from '../core/types.ts';

export {
  createRetryBudget,
  RETRY_BUDGET_DEFAULTS,
  type RetryBudget,
  type RetryBudgetOptions,
} from '../core/retry-budget.ts';
export type { RetryFailure } from '../core/retrying.ts';

/** What {@link retry} is told. */
export interface RetryOptions {
  /**
   * How many attempts may follow the first. 0 disables retries. Must be a non-negative integer.
   * @default 4
   */
  readonly maxRetries?: number | undefined;
  /**
   * The first ceiling of the backoff, in milliseconds; each retry doubles it. The wait is a random share of the
   * ceiling (full jitter). Must be a non-negative number, and not above `maxDelayMs`.
   * @default 500
   */
  readonly baseDelayMs?: number | undefined;
  /**
   * What no ceiling exceeds, in milliseconds. It never shortens a wait that the service asked for. Must be a
   * non-negative number.
   * @default 30_000
   */
  readonly maxDelayMs?: number | undefined;
  /**
   * The most that waits, and attempts that failed with a status or a network error, may take together, in
   * milliseconds. It never cuts an attempt short, and attempts that a clock ended do not count. Must be a
   * non-negative number.
   * @default 90_000
   */
  readonly budgetMs?: number | undefined;
  /**
   * How many retries may follow attempts that a clock ended. Must be a non-negative integer.
   * @default 1
   */
  readonly maxTimeoutRetries?: number | undefined;
  /**
   * How many retries a status is worth, in place of the rule: `maxRetries` for 429, 502, 503 and 504, two for 408, 409,
   * 425 and the other 5xx, none for the rest. `maxRetries` bounds it. Must hold non-negative integers.
   * @default none
   */
  readonly maxRetriesByStatus?: Readonly<Record<number, number>> | undefined;
  /**
   * The size up to which the body of a `Request` is kept to be sent again, in bytes. A larger one gets a single attempt; in
   * browsers, which cannot send streams, any size is kept. Must be a non-negative integer.
   * @default 8_388_608
   */
  readonly maxReplayBytes?: number | undefined;
  /**
   * What the retries of all calls are paid from, or `false` for no such bound.
   * @default a budget of its own for each middleware
   */
  readonly retryBudget?: RetryBudget | false | undefined;
  /**
   * Decides about one failure: `true` makes it worth a retry, `false` forbids it, `undefined` leaves it to the rules.
   * The counts, the budgets and the deadline hold in any case; calls that the caller aborted, or that another
   * layer refused, are not asked about.
   * @default none
   */
  readonly shouldRetry?: ((failure: RetryFailure) => boolean | undefined) | undefined;
  /**
   * Takes over a response that is about to be repeated, which otherwise is cancelled unread. It must read the body to the
   * end or cancel it; the wait does not wait for it.
   * @default the body is cancelled
   */
  readonly onDiscard?: ((response: Response, call: Call) => void) | undefined;
  /**
   * Measures and waits.
   * @default the clock of the runtime
   */
  readonly clock?: Clock | undefined;
  /**
   * Spreads the waits, so that many clients do not come back at once.
   * @default Math.random
   */
  readonly random?: Random | undefined;
}

/** The defaults of {@link retry}. */
export const RETRY_DEFAULTS: {
  readonly maxRetries: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
  readonly budgetMs: number;
  readonly maxTimeoutRetries: number;
  readonly maxReplayBytes: number;
} = Object.freeze({
  maxRetries: 4,
  baseDelayMs: 500,
  maxDelayMs: 30_000,
  budgetMs: 90_000,
  maxTimeoutRetries: 1,
  maxReplayBytes: MAX_REPLAY_BYTES,
});

const subject = 'retry middleware';
const countsByStatus: Rule = {
  must: 'an object of non-negative integers by status',
  types: 'object',
  test: (counts: object) =>
    Object.entries(counts).every(([status, count]) => /^[1-5]\d\d$/.test(status) && isCount(count)),
};
const budgetOrFalse: Rule = {
  must: 'a retry budget or false',
  types: 'object boolean',
  test: (budget: RetryBudget | boolean) =>
    typeof budget === 'boolean'
      ? !budget
      : typeof budget.take === 'function' && typeof budget.add === 'function',
};

/**
 * Repeats a call that failed in passing, until an attempt succeeds or a limit is reached.
 *
 * `Retry-After` is a floor under the backoff. When the wait does not fit the budget or the deadline, the response is
 * handed over at once, body unread, with a `retry.refused` event. The caller sees the last attempt's own outcome,
 * never a wrapper around it; once the answer has begun to reach the caller, nothing is repeated.
 *
 * @throws {TypeError | RangeError} From the factory, for wrong options.
 *
 * @example Two bad moments
 * ```ts
 * import { retry } from 'breakwater';
 *
 * const answers = [503, 429, 200];
 * const retrying = retry({ baseDelayMs: 1 })(async () => new Response('pong', { status: answers.shift() ?? 200 }));
 * const response = await retrying('https://api.deepseek.com/models');
 * if (response.status !== 200) throw new Error(`got ${response.status}`);
 * ```
 */
export function retry(options?: RetryOptions): Middleware {
  const settings = readSettings(options);
  const run = (call: Call, next: (call: Call) => Promise<Response>) => new Retrying(settings, call).run(next);
  // No async function: most calls have nothing to load, and a promise per layer is what a chain costs.
  return defineMiddleware('retry', (call, next) =>
    call.request && settings.maxRetries
      ? loadBody(call, settings.maxReplayBytes).then((loaded) => run(loaded, next))
      : run(call, next),
  );
}

function readSettings(options: RetryOptions | undefined): RetrySettings {
  const settings = readOptions(subject, options, RETRY_DEFAULTS, {
    maxRetries: aCount,
    baseDelayMs: aDuration,
    maxDelayMs: aDuration,
    budgetMs: aDuration,
    maxTimeoutRetries: aCount,
    maxRetriesByStatus: countsByStatus,
    maxReplayBytes: aCount,
    retryBudget: budgetOrFalse,
    shouldRetry: aFunction,
    onDiscard: aFunction,
    clock: aClock,
    random: aFunction,
  });
  const { baseDelayMs, maxDelayMs, maxRetries, clock = systemClock, random = systemRandom } = settings;
  if (baseDelayMs > maxDelayMs) {
    refuse(
      subject,
      `"baseDelayMs" must not be above "maxDelayMs": current values are ${baseDelayMs} and ${maxDelayMs}`,
    );
  }
  // One caller alone can always use all of its retries: the budget is there for the many.
  const maxTokens = Math.max(10, 2 * maxRetries);
  const { retryBudget = createRetryBudget({ clock, maxTokens }) } = settings;
  const credit = () => {
    if (retryBudget) retryBudget.add();
  };
  return { ...settings, clock, random, retryBudget, credit, pressure: pressureGauge(clock) };
}
