/** @module Reading the body of an error, within bounds: an error page can be endless, and a body can stall after the headers of a 400. */

import type { Clock } from '../core/clock.ts';

/** How much is read, and for how long. */
export interface ReadLimits {
  readonly maxBytes: number;
  readonly maxMs: number;
}

/**
 * The text of a body as far as it comes within the limits and before an abort; the rest is cancelled. It never throws: what arrived
 * before a connection broke is as good as there is.
 */
export async function readText(
  body: ReadableStream<Uint8Array> | null,
  { maxBytes, maxMs }: ReadLimits,
  clock: Clock,
  signal?: AbortSignal | null,
): Promise<string> {
  if (!body || body.locked) return ''; // somebody else reads it
  const reader = body.getReader();
  const stop = () => void reader.cancel().catch(() => {}); // which ends a pending read
  const timer = clock.setTimeout(stop, maxMs);
  signal?.addEventListener('abort', stop);
  if (signal?.aborted) stop();
  const decoder = new TextDecoder();
  let text = '';
  try {
    for (let left = maxBytes; left > 0; ) {
      const { done, value } = await reader.read();
      if (done) break;
      text += decoder.decode(value.subarray(0, left), { stream: true });
      left -= value.byteLength;
    }
  } catch {}
  clock.clearTimeout(timer);
  signal?.removeEventListener('abort', stop);
  stop();
  return text;
}
