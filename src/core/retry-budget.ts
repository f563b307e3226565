/**
 * @module Why a limit per call is not enough: in an outage every call fails, so each one's four retries multiply the load on a
 * service that has too much of it already, and keep it down after the fault is gone. A budget that all calls share runs
 * dry exactly then; calls that succeed fill it again.
 */

import { type Clock, systemClock } from './clock.ts';
import { aClock, aPositiveCount, aPositiveDuration, aRatio, readOptions } from './options.ts';

/** What {@link createRetryBudget} is told. */
export interface RetryBudgetOptions {
  /**
   * How many tokens it holds, and begins with: a retry costs one, a retry after a timeout two. Must be a positive integer.
   * @default 10
   */
  readonly maxTokens?: number | undefined;
  /**
   * The time in which one token comes back by itself, in milliseconds. Must be a positive number.
   * @default 10_000
   */
  readonly refillEveryMs?: number | undefined;
  /**
   * The share of a token that a call brings whose answer has begun to arrive. Must be a number above 0 and up to 1.
   * @default 0.1
   */
  readonly commitRatio?: number | undefined;
  /**
   * Measures the time between refills.
   * @default the clock of the runtime
   */
  readonly clock?: Clock | undefined;
}

/** A token bucket that the retries of many calls are paid from. Give one to several `retry` middlewares to share it. */
export interface RetryBudget {
  /** The tokens that are left now; fractions count. */
  readonly tokens: number;
  /** Pays, or says no and takes nothing. */
  take(tokens: number): boolean;
  /** Gives tokens back: of a retry that did not happen, or with no argument the share that a committed call brings. */
  add(tokens?: number): void;
}

/** The defaults of {@link createRetryBudget}. */
export const RETRY_BUDGET_DEFAULTS: {
  readonly maxTokens: number;
  readonly refillEveryMs: number;
  readonly commitRatio: number;
} = Object.freeze({ maxTokens: 10, refillEveryMs: 10_000, commitRatio: 0.1 });

/**
 * Creates a retry budget. It is full at first, and time is read when it is asked, never scheduled.
 *
 * @throws {TypeError | RangeError} For wrong options.
 */
export function createRetryBudget(options?: RetryBudgetOptions): RetryBudget {
  const settings = readOptions('retry budget', options, RETRY_BUDGET_DEFAULTS, {
    maxTokens: aPositiveCount,
    refillEveryMs: aPositiveDuration,
    commitRatio: aRatio,
    clock: aClock,
  });
  const { maxTokens, refillEveryMs, commitRatio, clock = systemClock } = settings;
  let tokens = maxTokens;
  let refilledAt: number | undefined;
  const add = (more = commitRatio): void => {
    tokens = Math.min(maxTokens, tokens + more);
  };
  const refill = (): number => {
    const now = clock.now();
    add((now - (refilledAt ?? now)) / refillEveryMs);
    refilledAt = now;
    return tokens;
  };
  return {
    get tokens() {
      return refill();
    },
    take(cost) {
      if (refill() + 1e-9 < cost) return false; // ten tenths are a little less than 1
      tokens -= cost;
      return true;
    },
    add,
  };
}
