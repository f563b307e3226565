/**
 * @module What a chain does at night has to be readable in the morning. Every layer reports into one place, so a log or a
 * metric needs one listener, outermost, and no layer needs a logger.
 */

import type { CallContext } from '../core/attempt.ts';
import { shownUrl } from '../core/call.ts';
import { type Clock, systemClock } from '../core/clock.ts';
import { defineMiddleware } from '../core/define-middleware.ts';
import type { ChainEvent, Listener, Settlement } from '../core/events.ts';
import { causeOf } from '../core/failure.ts';
import { aClock, readOptions } from '../core/options.ts';
import type { Middleware } from '../core/types.ts';

/** What {@link observe} is told. */
export interface ObserveOptions {
  /**
   * Where the times of the events come from.
   * @default the clock of the runtime
   */
  readonly clock?: Clock | undefined;
}

/**
 * Reports everything that happens to a call in the layers below it, from `call.started` to `call.settled`.
 *
 * Put it outermost. A listener that throws, or whose promise rejects, disturbs nothing. No event holds a key, a
 * query string, a header or a body.
 *
 * @param listener Is called at once, within the call: keep it short.
 * @throws {TypeError} From the factory, for a listener that is not a function or wrong options.
 *
 * @example What a call went through
 * ```ts
 * import { compose, observe, retry } from 'breakwater';
 *
 * const types: string[] = [];
 * const chain = compose(observe(({ type }) => void types.push(type)), retry());
 * await chain(async () => new Response('pong'))('https://api.deepseek.com/models');
 * if (types.join() !== 'call.started,attempt.started,call.settled') throw new Error(types.join());
 * ```
 */
export function observe(listener: Listener, options?: ObserveOptions): Middleware {
  if (typeof listener !== 'function') {
    throw new TypeError(
      `Cannot create observe middleware as its listener must be a function: current value is ${typeof listener}`,
    );
  }
  const { clock = systemClock } = readOptions('observe middleware', options, {}, { clock: aClock });
  const heard = new WeakSet<CallContext>();
  let count = 0;
  return defineMiddleware('observe', async (call, next) => {
    const { context, attempt } = call;
    if (heard.has(context)) return next(call); // below a retry or a fallback: the same call once more
    heard.add(context);
    const callId = ++count;
    const startedAt = clock.now();
    const outer = context.emit;
    const tell = (event: ChainEvent): void => {
      try {
        const returned: unknown = listener({ ...event, callId, at: clock.now() });
        if (returned instanceof Promise) returned.catch(() => {});
      } catch {}
    };
    context.emit = (event) => {
      outer?.(event);
      tell(event);
    };
    const settled = (settlement: Settlement, status?: number): void => {
      const { outcome } = settlement;
      const cause = outcome === 'failed' ? causeOf(settlement.error) : undefined;
      tell({ type: 'call.settled', outcome, status, cause, durationMs: clock.now() - startedAt });
    };
    tell({ type: 'call.started', method: call.method, url: shownUrl(call.url) });
    try {
      const response = await next(call);
      attempt.arrive();
      const { status } = response; // the listener must not hold the Response, or it is never given up when it is dropped
      attempt.onSettled((settlement) => settled(settlement, status));
      return response;
    } catch (error) {
      settled(call.signal?.aborted ? { outcome: 'cancelled' } : { outcome: 'failed', error });
      throw error;
    }
  });
}
