/** @module One call on its way through its attempts: which failure is worth another, how long to wait for it, and what stands in its way. */

import { Attempt } from './attempt.ts';
import { backoffCeiling, fullJitter, toldDelay } from './backoff.ts';
import { isReplayable } from './body.ts';
import type { Call } from './call.ts';
import type { Clock, Random } from './clock.ts';
import { CircuitOpenError } from './errors.ts';
import type { Cause, ChainEvent } from './events.ts';
import { causeOf, failureKind, retriesForStatus } from './failure.ts';
import { readRetryAfter } from './retry-after.ts';
import type { RetryBudget } from './retry-budget.ts';
import { sleep } from './sleep.ts';

/** A failed attempt, as `shouldRetry` sees it. */
export interface RetryFailure {
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** What the service answered, or undefined if the attempt threw. Its body must not be read. */
  readonly response: Response | undefined;
  /** What the attempt threw. */
  readonly error: unknown;
}

/** What retries go by; `RetryOptions` of the middleware says what each means. */
export interface RetrySettings {
  readonly maxRetries: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
  readonly budgetMs: number;
  readonly maxTimeoutRetries: number;
  readonly maxReplayBytes: number;
  readonly maxRetriesByStatus?: Readonly<Record<number, number>> | undefined;
  readonly shouldRetry?: ((failure: RetryFailure) => boolean | undefined) | undefined;
  readonly onDiscard?: ((response: Response, call: Call) => void) | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly retryBudget: RetryBudget | false;
  /** Pays in for a committed call. One function for all calls. */
  readonly credit: () => void;
  /** Counts a retry; answers with how many a minute there are, where that has to be told, and else with 0. */
  readonly pressure: () => number;
}

/** An attempt that did not bring a 2xx. */
interface Failed extends Omit<RetryFailure, 'attempt'> {
  readonly attempt: Attempt;
  readonly startedAt: number;
}

type Refusal = ChainEvent & { type: 'retry.refused' };

/** An answer that is empty again and again is what the service has to say. */
const MAX_EMPTY_RETRIES = 2;

/** Above this many retries a minute over all calls, the service is under pressure from us. */
const PRESSURE_PER_MINUTE = 50;

/** Watches how many retries all calls together need. */
export function pressureGauge(clock: Clock): () => number {
  const times: number[] = [];
  let toldAt = Number.NEGATIVE_INFINITY;
  return () => {
    const now = clock.now();
    times.push(now);
    while ((times[0] ?? now) <= now - 60_000) times.shift();
    if (times.length <= PRESSURE_PER_MINUTE || now - toldAt < 60_000) return 0;
    toldAt = now;
    return times.length;
  };
}

/** One call on its way through its attempts. */
export class Retrying {
  readonly #settings: RetrySettings;
  readonly #call: Call;
  #retries = 0;
  #timeouts = 0;
  #spentMs = 0;
  #lastStatus: number | undefined;
  /** How many retries a status, or an error code, has had. */
  #retriesByCause: Record<Cause, number> | undefined;

  constructor(settings: RetrySettings, call: Call) {
    this.#settings = settings;
    this.#call = call;
  }

  async run(next: (call: Call) => Promise<Response>): Promise<Response> {
    const { context, attempt: outer } = this.#call;
    const { clock, credit } = this.#settings;
    if (!isReplayable(this.#call)) context.emit?.({ type: 'body.single-attempt' });
    for (;;) {
      const attempt = new Attempt(context, this.#retries + 1);
      context.emit?.({ type: 'attempt.started', attempt: attempt.number });
      const startedAt = clock.now();
      context.startedAt ??= startedAt;
      let response: Response | undefined;
      let error: unknown;
      try {
        response = await next(this.#call.with({ attempt }));
        attempt.arrive();
      } catch (thrown) {
        error = thrown;
      }
      if (response?.ok) attempt.onCommitted(credit);
      else if (await this.#repeats({ attempt, response, error, startedAt })) continue;
      outer.follow(attempt);
      if (!response) throw this.#final(error);
      return response;
    }
  }

  /** Waits for the next attempt, if there is to be one; otherwise it answers at once. */
  async #repeats(failed: Failed): Promise<boolean> {
    const { attempt, response } = failed;
    const { clock, retryBudget, onDiscard } = this.#settings;
    let cost = 0;
    try {
      const plan = this.#plan(failed);
      if (!plan) return false;
      cost = plan.cost;
      if (response)
        attempt.discard(response, onDiscard && ((unread) => quietly(onDiscard(unread, this.#call))));
      await sleep(plan.delayMs, clock, this.#call.signal);
      return true;
    } catch (thrown) {
      if (retryBudget) retryBudget.add(cost);
      if (response) attempt.discard(response); // a callback threw, so nobody else will
      throw thrown;
    }
  }

  /** How long to wait before the next attempt, and what it has cost; undefined if there is to be none. */
  #plan({ attempt, response, error, startedAt }: Failed): { delayMs: number; cost: number } | undefined {
    const { clock, pressure } = this.#settings;
    const { context } = this.#call;
    const kind = response ? 'network' : failureKind(error, this.#call);
    const isTimeout = kind === 'timeout';
    if (attempt.tripped || !(isTimeout || kind === 'network')) return;
    if (!this.#isWorth({ attempt: attempt.number, response, error }, isTimeout)) return;
    if (!isTimeout) this.#spentMs += clock.now() - startedAt;
    const { delayMs, toldMs } = this.#delay(response);
    const cost = isTimeout ? 2 : 1;
    const reason = this.#obstacle(delayMs, toldMs ?? delayMs, cost);
    const about = { attempt: attempt.number, cause: causeOf(response ?? error), toldMs };
    if (reason) return void context.emit?.({ type: 'retry.refused', ...about, reason });
    context.emit?.({ type: 'retry.scheduled', ...about, delayMs });
    const retriesPerMinute = pressure();
    if (retriesPerMinute) context.emit?.({ type: 'retry.pressure', retriesPerMinute });
    this.#retries++;
    this.#spentMs += delayMs;
    if (isTimeout) this.#timeouts++;
    this.#note(about.cause, response);
    return { delayMs, cost };
  }

  #isWorth(failure: RetryFailure, isTimeout: boolean): boolean {
    const { maxRetries, maxTimeoutRetries, maxRetriesByStatus = {}, shouldRetry } = this.#settings;
    const { response } = failure;
    if (!maxRetries || (isTimeout && this.#timeouts >= maxTimeoutRetries)) return false;
    const verdict = response?.headers.get('x-should-retry');
    const decided =
      shouldRetry?.(failure) ?? (/^(true|false)$/.test(verdict ?? '') ? verdict === 'true' : undefined);
    if (decided !== undefined) return decided;
    const cause = causeOf(response ?? failure.error);
    const limit = response
      ? (maxRetriesByStatus[response.status] ?? retriesForStatus(response.status, maxRetries))
      : cause === 'STREAM_EMPTY'
        ? MAX_EMPTY_RETRIES
        : Number.POSITIVE_INFINITY; // bounded by maxRetries, which is told
    // A limit that is no narrower than maxRetries is left to that, whose end is told.
    return limit >= maxRetries || (this.#retriesByCause?.[cause] ?? 0) < limit;
  }

  #delay(response: Response | undefined): { delayMs: number; toldMs: number | undefined } {
    const { baseDelayMs, maxDelayMs, clock, random } = this.#settings;
    const ceilingMs = backoffCeiling(this.#retries, baseDelayMs, maxDelayMs);
    const toldMs = response && readRetryAfter(response.headers, () => clock.wall());
    return {
      toldMs,
      delayMs: toldMs === undefined ? fullJitter(ceilingMs, random) : toldDelay(toldMs, ceilingMs, random),
    };
  }

  /** What stands in the way of one more attempt. Whether a wait fits the budget is judged without its spread, which must not be cut: that would make a herd. */
  #obstacle(delayMs: number, waitMs: number, cost: number): Refusal['reason'] | undefined {
    const { maxRetries, budgetMs, retryBudget, clock } = this.#settings;
    const { deadlineAt = Number.POSITIVE_INFINITY } = this.#call.context;
    if (this.#retries >= maxRetries) return 'limit';
    if (!isReplayable(this.#call)) return 'single-attempt';
    if (clock.now() + delayMs >= deadlineAt) return 'deadline';
    if (this.#spentMs + waitMs > budgetMs) return 'budget';
    return retryBudget && !retryBudget.take(cost) ? 'retry-budget' : undefined;
  }

  #note(cause: Cause, response: Response | undefined): void {
    this.#lastStatus = response?.status ?? this.#lastStatus;
    this.#retriesByCause ??= {};
    this.#retriesByCause[cause] = (this.#retriesByCause[cause] ?? 0) + 1;
  }

  #final(error: unknown): unknown {
    const { signal } = this.#call;
    if (signal?.aborted) return signal.reason; // some runtimes throw an error of their own instead
    const { code, key, retryAfterMs } = Object(error) as CircuitOpenError;
    return code === 'CIRCUIT_OPEN' && this.#lastStatus !== undefined
      ? new CircuitOpenError(key, retryAfterMs, this.#lastStatus)
      : error;
  }
}

/** What a callback promises is its own affair. */
function quietly(returned: unknown): void {
  if (returned instanceof Promise) returned.catch(() => {});
}
