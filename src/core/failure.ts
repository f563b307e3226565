/**
 * @module What kind of failure a call met, told by where it was thrown and never by a runtime's words: those differ from
 * runtime to runtime and from version to version, and whoever matches them misses the next one.
 */

import type { Call } from './call.ts';
import { isBreakwaterError } from './errors.ts';
import type { Cause } from './events.ts';

/** `timeout`: one of our clocks, or the runtime's. `deadline`: the time for the whole call is over. `network`: everything else that a fetch throws. */
export type FailureKind = 'timeout' | 'deadline' | 'network';

/** Tells the failures of a fetch apart; undefined when it was none: the caller went away, a layer of ours did not send it, or there is no such request. */
export function failureKind(error: unknown, call: Call): FailureKind | undefined {
  if (call.signal?.aborted) return undefined;
  const { name, code } = Object(error) as { name: unknown; code: unknown };
  // An answer that is too large will be so again. By the beginning of the code, because the connection errors of a preset are network failures too.
  if (isBreakwaterError(error) && !/^(STREAM_(?!OVER)|CONN)/.test(String(code)))
    return code === 'TIMEOUT_TOTAL' ? 'deadline' : /^TIMEOUT/.test(String(code)) ? 'timeout' : undefined;
  if (name === 'TimeoutError') return 'timeout';
  return name === 'AbortError' || (error instanceof TypeError && isInvalid(call)) ? undefined : 'network';
}

/** fetch throws the same TypeError for a lost connection and for a request that cannot be built: only the latter can be tried out. */
function isInvalid(call: Call): boolean {
  const { url, body, signal } = call;
  // Not whether the body was used up: by now fetch itself has done that.
  if (typeof body === 'object' && body !== null && 'getReader' in body && !('duplex' in call)) return true;
  try {
    const tried = new Request(url, { ...call, signal: null, body: body == null ? null : '' });
    return !/^(https?|data|blob):/.test(tried.url) || !(signal == null || 'aborted' in signal);
  } catch {
    return true;
  }
}

/** How often a status is worth a repetition: `maxRetries` for those that say "later", two for those that may mean a fault, none for those that will be the same next time. */
export function retriesForStatus(status: number, maxRetries: number): number {
  if (status === 429 || (status >= 502 && status <= 504)) return maxRetries;
  return status >= 500 || status === 408 || status === 409 || status === 425 ? Math.min(2, maxRetries) : 0;
}

/** What an event says about a failure: a status, a code of ours, or the name of a foreign error. */
export function causeOf(failure: unknown): Cause {
  if (failure instanceof Response) return failure.status;
  if (isBreakwaterError(failure)) return failure.code;
  return failure instanceof Error ? failure.name : 'unknown';
}
