/** @module How long to wait between two calls. Full jitter, because callers that failed together must not come back together: a narrower spread, or none, keeps the herd. */
import type { Random } from './clock.ts';

/** The longest wait after the call number `attempt`, counted from 0. An attempt beyond the range of numbers gives `maxDelayMs`, not NaN. */
export function backoffCeiling(attempt: number, baseDelayMs: number, maxDelayMs: number): number {
  return Math.min(maxDelayMs, baseDelayMs * 2 ** attempt || 0); // 0 * Infinity is NaN
}

/** A wait anywhere between nothing and the ceiling. */
export function fullJitter(ceilingMs: number, random: Random): number {
  return random() * ceilingMs;
}

/**
 * The wait when the service named one: all of it, and a spread on top. Everybody was told the same instant, so the spread grows with
 * the told time, and nothing ever shortens the sum: a cap would gather the herd again.
 */
export function toldDelay(toldMs: number, ceilingMs: number, random: Random): number {
  return toldMs + fullJitter(Math.max(ceilingMs, toldMs / 2), random);
}
