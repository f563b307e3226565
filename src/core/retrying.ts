/** @module One call on its way through its attempts: which failure is worth another, how long to wait for it, and what stands in its way. */

import { Attempt } from './attempt.ts';
import { backoffCeiling, fullJitter, toldDelay } from './backoff.ts';
import { isReplayable } from './body.ts';
import type { Call } from './call.ts';
import type { Clock, Random } from './clock.ts';
import { CircuitOpenError } from './errors.ts';
import type { ChainEvent } from './events.ts';
import { causeOf, type FailureKind, failureKind, retriesForStatus } from './failure.ts';
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
  readonly #replayable: boolean;
  #retries = 0;
  #timeouts = 0;
  #spentMs = 0;
  #lastStatus: number | undefined;
  #byStatus: Map<number, number> | undefined;

  constructor(settings: RetrySettings, call: Call) {
    this.#settings = settings;
    this.#call = call;
    this.#replayable = isReplayable(call);
    call.context.startedAt ??= settings.clock.now();
    if (!this.#replayable) this.#emit({ type: 'body.single-attempt' });
  }

  async run(next: (call: Call) => Promise<Response>): Promise<Response> {
    const { clock, credit } = this.#settings;
    for (;;) {
      const attempt = new Attempt(this.#call.context, this.#retries + 1);
      this.#emit({ type: 'attempt.started', attempt: attempt.number });
      const startedAt = clock.now();
      let response: Response | undefined;
      let error: unknown;
      try {
        response = await next(this.#call.with({ attempt }));
        attempt.arrive();
        if (response.ok) attempt.onCommitted(credit);
      } catch (thrown) {
        error = thrown;
      }
      try {
        if (!response?.ok && (await this.#repeats({ response, error }, attempt, clock.now() - startedAt)))
          continue;
      } catch (thrown) {
        if (response) attempt.discard(response); // a callback threw, so nobody else will
        throw thrown;
      }
      this.#call.attempt.follow(attempt);
      if (!response) throw this.#final(error);
      return response;
    }
  }

  /** Waits for the next attempt, if there is to be one; otherwise it answers at once. */
  async #repeats(
    { response, error }: Pick<RetryFailure, 'response' | 'error'>,
    attempt: Attempt,
    tookMs: number,
  ): Promise<boolean> {
    const kind = response ? undefined : failureKind(error, this.#call);
    const failure: RetryFailure = { attempt: attempt.number, response, error };
    if (attempt.tripped || !this.#isWorth(failure, kind)) return false;
    if (kind !== 'timeout') this.#spentMs += tookMs;
    const { clock, retryBudget, pressure, onDiscard } = this.#settings;
    const cause = causeOf(response ?? error);
    const { delayMs, toldMs } = this.#delay(response);
    const cost = kind === 'timeout' ? 2 : 1;
    const reason = this.#obstacle(delayMs, toldMs ?? delayMs, cost);
    if (reason) {
      this.#emit({ type: 'retry.refused', attempt: attempt.number, cause, reason, toldMs });
      return false;
    }
    this.#emit({ type: 'retry.scheduled', attempt: attempt.number, cause, delayMs, toldMs });
    const retriesPerMinute = pressure();
    if (retriesPerMinute) this.#emit({ type: 'retry.pressure', retriesPerMinute });
    this.#note(response, kind, delayMs);
    if (response) attempt.discard(response, onDiscard && ((unread) => onDiscard(unread, this.#call)));
    try {
      await sleep(delayMs, clock, this.#call.signal);
    } catch (reason) {
      if (retryBudget) retryBudget.add(cost);
      throw reason;
    }
    return true;
  }

  #isWorth(failure: RetryFailure, kind: FailureKind | undefined): boolean {
    const { maxRetries, maxTimeoutRetries, maxRetriesByStatus = {}, shouldRetry } = this.#settings;
    const { response } = failure;
    if (!maxRetries || (kind && kind !== 'timeout' && kind !== 'network')) return false;
    if (kind === 'timeout' && this.#timeouts >= maxTimeoutRetries) return false;
    const verdict = response?.headers.get('x-should-retry');
    const decided =
      shouldRetry?.(failure) ?? (/^(true|false)$/.test(verdict ?? '') ? verdict === 'true' : undefined);
    if (decided !== undefined || !response) return decided ?? true;
    const { status } = response;
    return (
      (this.#byStatus?.get(status) ?? 0) <
      (maxRetriesByStatus[status] ?? retriesForStatus(status, maxRetries))
    );
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
  #obstacle(
    delayMs: number,
    waitMs: number,
    cost: number,
  ): (ChainEvent & { type: 'retry.refused' })['reason'] | undefined {
    const { maxRetries, budgetMs, retryBudget, clock } = this.#settings;
    if (this.#retries >= maxRetries) return 'limit';
    if (!this.#replayable) return 'single-attempt';
    if (clock.now() + delayMs >= (this.#call.context.deadlineAt ?? Number.POSITIVE_INFINITY))
      return 'deadline';
    if (this.#spentMs + waitMs > budgetMs) return 'budget';
    return retryBudget && !retryBudget.take(cost) ? 'retry-budget' : undefined;
  }

  #note(response: Response | undefined, kind: FailureKind | undefined, delayMs: number): void {
    this.#retries++;
    this.#spentMs += delayMs;
    if (kind === 'timeout') this.#timeouts++;
    if (!response) return;
    const { status } = response;
    this.#lastStatus = status;
    this.#byStatus ??= new Map();
    this.#byStatus.set(status, (this.#byStatus.get(status) ?? 0) + 1);
  }

  #final(error: unknown): unknown {
    const { signal } = this.#call;
    if (signal?.aborted) return signal.reason; // some runtimes throw an error of their own instead
    if (this.#lastStatus !== undefined && (error as Partial<CircuitOpenError>)?.code === 'CIRCUIT_OPEN') {
      const { key, retryAfterMs } = error as CircuitOpenError;
      return new CircuitOpenError(key, retryAfterMs, this.#lastStatus);
    }
    return error;
  }

  #emit(event: ChainEvent): void {
    this.#call.context.emit?.(event);
  }
}
