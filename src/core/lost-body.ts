/** @module What it means that a body broke off on the way: a connection that was lost, or a clock of somebody else. */

import { StreamBrokenError, type StreamProgress, StreamTimeoutError } from './errors.ts';

/**
 * A body that is lost after this much silence was lost to a clock that is not ours: Node ends one at 300 s, proxies at 60 s. It counts as a
 * timeout, which is repeated once, and not as a network error, which would be repeated for as long again and again.
 */
const SILENCE_MS = 60_000;

/** The error of a body that the runtime has lost after a silence; `code` is the clock that was running. The silences of an event stream are no sign of anything: pass 0. */
export function lostBody(
  error: unknown,
  silentMs: number,
  code: 'TIMEOUT_IDLE' | 'TIMEOUT_FIRST_TOKEN',
  progress: StreamProgress,
): StreamBrokenError | StreamTimeoutError {
  return silentMs < SILENCE_MS
    ? new StreamBrokenError('STREAM_RESET', progress, error)
    : new StreamTimeoutError(code, Math.round(silentMs), progress);
}
