/** @module Waiting that ends at once when the caller aborts, and that no timer is too short for. */

import { type Clock, MAX_TIMER_MS } from './clock.ts';

/**
 * Waits, in as many timers as a long wait needs: beyond 2^31-1 ms those of most runtimes fire at once.
 *
 * @throws The signal's own reason, as soon as it aborts; no timer and no listener is left.
 */
export async function sleep(ms: number, clock: Clock, signal: AbortSignal | null | undefined): Promise<void> {
  for (let left = ms; left > 0; left -= MAX_TIMER_MS) await nap(Math.min(left, MAX_TIMER_MS), clock, signal);
}

function nap(ms: number, clock: Clock, signal: AbortSignal | null | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = () => {
      clock.clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = clock.setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', abort, { once: true });
  });
}
