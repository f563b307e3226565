/**
 * @module When a service is down, asking it again and again costs every caller a timeout and costs the service its recovery. The
 * breaker answers for it at once, and finds out with single probes when it is back. The rules are a pure reducer; here
 * is what they are fed with, and no timer: time is read when a call comes.
 */

import { type Call, originOf } from '../core/call.ts';
import { type CircuitState, isolate, reset } from '../core/circuit-state.ts';
import { type CircuitSettings, type CircuitSnapshot, Circuits } from '../core/circuits.ts';
import { type Clock, type Random, systemClock, systemRandom } from '../core/clock.ts';
import { defineMiddleware } from '../core/define-middleware.ts';
import {
  aClock,
  aFunction,
  aPositiveCount,
  aPositiveDuration,
  aRatio,
  readOptions,
  refuse,
} from '../core/options.ts';
import type { Middleware } from '../core/types.ts';

export type { CircuitSnapshot } from '../core/circuits.ts';

/** What {@link circuitBreaker} is told. */
export interface CircuitBreakerOptions {
  /**
   * How many failures in a row open the circuit. Must be a positive integer.
   * @default 5
   */
  readonly maxFailures?: number | undefined;
  /**
   * The share of failures in the last `windowMs` that opens the circuit too. Must be a number above 0 and up to 1.
   * @default none
   */
  readonly failureRatio?: number | undefined;
  /**
   * How far back `failureRatio` looks, in milliseconds. Must be a positive number.
   * @default 30_000
   */
  readonly windowMs?: number | undefined;
  /**
   * How many calls the window must hold before `failureRatio` counts. Must be a positive integer.
   * @default 10
   */
  readonly minCalls?: number | undefined;
  /**
   * How long the circuit stays open, unless a probe succeeds before, in milliseconds; longer when the service says
   * so in `Retry-After`. Must be a positive number.
   * @default 60_000
   */
  readonly openMs?: number | undefined;
  /**
   * The longest open time that `Retry-After` can bring about, in milliseconds. Must be a positive number, and not below
   * `openMs`.
   * @default 600_000
   */
  readonly maxOpenMs?: number | undefined;
  /**
   * How often an open circuit lets one call through to see whether the service is back, in milliseconds (±20 %). Must be a
   * positive number.
   * @default 5_000
   */
  readonly probeEveryMs?: number | undefined;
  /**
   * How long a probe that nobody hears of again holds its place, in milliseconds. Must be a positive number.
   * @default 60_000
   */
  readonly probeLeaseMs?: number | undefined;
  /**
   * Names the circuit that a call belongs to: calls with the same key stand and fall together.
   * @default the origin of the URL
   */
  readonly key?: ((call: Call) => string) | undefined;
  /**
   * Says whether an answer counts as a failure of the service.
   * @default 429 and every status from 500
   */
  readonly isFailure?: ((response: Response) => boolean) | undefined;
  /**
   * Measures open times and windows.
   * @default the clock of the runtime
   */
  readonly clock?: Clock | undefined;
  /**
   * Spreads the probes of many processes.
   * @default Math.random
   */
  readonly random?: Random | undefined;
}

/** The defaults of {@link circuitBreaker}. */
export const CIRCUIT_BREAKER_DEFAULTS: {
  readonly maxFailures: number;
  readonly windowMs: number;
  readonly minCalls: number;
  readonly openMs: number;
  readonly maxOpenMs: number;
  readonly probeEveryMs: number;
  readonly probeLeaseMs: number;
} = Object.freeze({
  maxFailures: 5,
  windowMs: 30_000,
  minCalls: 10,
  openMs: 60_000,
  maxOpenMs: 600_000,
  probeEveryMs: 5000,
  probeLeaseMs: 60_000,
});

/** The middleware, and the handle on its circuits. */
export interface CircuitBreaker extends Middleware {
  /** The state of one circuit; a key that was never seen is closed. */
  state(key: string): CircuitState['state'];
  /** All circuits that are known. */
  snapshot(): CircuitSnapshot[];
  /** Refuses every call, of one key or of all, until {@link CircuitBreaker.reset}. */
  isolate(key?: string): void;
  /** Closes the circuit of one key, or all, and forgets what was counted. */
  reset(key?: string): void;
}

const subject = 'circuitBreaker middleware';

/**
 * Refuses calls at once while their service is failing, and lets single probes find out when it is back.
 *
 * Statuses from 500, 429, timeouts, network errors and broken streams count as failures; the caller's own aborts and refusals of
 * other layers count as nothing. A success counts when the answer begins to arrive, and a failure after that as one.
 * An answer is never changed: the one that opens the circuit reaches the caller as it came.
 *
 * @returns The middleware, which is also the handle on its circuits. Apply it once and share the fetch.
 * @throws {TypeError | RangeError} From the factory, for wrong options.
 * @throws {CircuitOpenError} From the fetch: `CIRCUIT_OPEN`, with the time until the next probe.
 *
 * @example An outage
 * ```ts
 * import { circuitBreaker, isBreakwaterError } from 'breakwater';
 *
 * const breaker = circuitBreaker({ maxFailures: 1 });
 * const guarded = breaker(async () => new Response('busy', { status: 503 }));
 * await guarded('https://api.deepseek.com/models');
 * const error = await guarded('https://api.deepseek.com/models').catch((thrown: unknown) => thrown);
 * if (!isBreakwaterError(error) || error.code !== 'CIRCUIT_OPEN') throw new Error('not refused');
 * if (breaker.state('https://api.deepseek.com') !== 'open') throw new Error('not open');
 * ```
 */
export function circuitBreaker(options?: CircuitBreakerOptions): CircuitBreaker {
  const circuits = new Circuits(readSettings(options));
  const middleware = defineMiddleware('circuitBreaker', (call, next) => circuits.run(call, next));
  return Object.assign(middleware, {
    state: (key: string) => circuits.get(key).state,
    snapshot: () => circuits.snapshot(),
    isolate: (key?: string) => circuits.change(isolate, key),
    reset: (key?: string) => circuits.change(reset, key),
  });
}

function readSettings(options: CircuitBreakerOptions | undefined): CircuitSettings {
  const settings = readOptions(subject, options, CIRCUIT_BREAKER_DEFAULTS, {
    maxFailures: aPositiveCount,
    failureRatio: aRatio,
    windowMs: aPositiveDuration,
    minCalls: aPositiveCount,
    openMs: aPositiveDuration,
    maxOpenMs: aPositiveDuration,
    probeEveryMs: aPositiveDuration,
    probeLeaseMs: aPositiveDuration,
    key: aFunction,
    isFailure: aFunction,
    clock: aClock,
    random: aFunction,
  });
  const { openMs, failureRatio } = settings;
  // A longer open time of one's own lifts the default bound on what the service may ask for.
  const maxOpenMs = options?.maxOpenMs ?? Math.max(settings.maxOpenMs, openMs);
  if (openMs > maxOpenMs) {
    refuse(subject, `"openMs" must not be above "maxOpenMs": current values are ${openMs} and ${maxOpenMs}`);
  }
  const { key = (call) => originOf(call.url), isFailure = ({ status }) => status === 429 || status >= 500 } =
    settings;
  const { clock = systemClock, random = systemRandom } = settings;
  return { ...settings, maxOpenMs, maxProbes: 3, failureRatio, key, isFailure, clock, random };
}
