/** @module The events of a streamed answer, as objects. */

import { createParser, type EventSourceMessage } from 'eventsource-parser';
import * as v from 'valibot';
import type { Clock } from '../core/clock.ts';
import { StreamBrokenError } from '../core/errors.ts';
import { readChunk } from './answer.ts';
import { readText } from './read-text.ts';
import { chatChunkSchema } from './schemas.ts';
import type { ChatChunk } from './types.ts';

/** The largest single event that is put together, in characters: a line that never ends must not fill the memory. */
const MAX_EVENT_LENGTH = 8 * 1024 * 1024;
/** What still follows the last event is read, so that the connection can be used again, but not for long. */
const REST_LIMITS = { maxBytes: 64 * 1024, maxMs: 250 };

/**
 * Reads a streamed answer piece by piece. Leaving the loop cancels the stream.
 *
 * @throws {StreamBrokenError} `STREAM_TRUNCATED` when it ends without `[DONE]` and without a finish reason, `STREAM_MALFORMED`
 * when an event is no piece of an answer, `STREAM_FAILED` when it is an error.
 */
export async function* readEvents(
  body: ReadableStream<Uint8Array> | null,
  clock: Clock,
  signal?: AbortSignal,
): AsyncGenerator<ChatChunk, void, undefined> {
  const reader = body?.getReader();
  const events: EventSourceMessage[] = [];
  const progress = { receivedBytes: 0, committed: false };
  const fail = (code: StreamBrokenError['code'], cause?: unknown) =>
    new StreamBrokenError(code, progress, cause);
  let parserError: unknown;
  const parser = createParser({
    onEvent: (event) => void events.push(event),
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded') parserError = error;
    },
    maxBufferSize: MAX_EVENT_LENGTH,
  });
  const decoder = new TextDecoder();
  let finished = false;
  try {
    while (reader) {
      const { done, value } = await reader.read();
      if (done) break;
      progress.receivedBytes += value.byteLength;
      parser.feed(decoder.decode(value, { stream: true }));
      if (parserError) throw fail('STREAM_MALFORMED', parserError);
      for (const { data } of events.splice(0)) {
        signal?.throwIfAborted(); // what had arrived before the abort is of no more use
        if (data === '[DONE]') {
          reader.releaseLock();
          return void readText(body, REST_LIMITS, clock, signal);
        }
        const chunk = parseChunk(data, fail);
        finished ||= chunk.finishReason !== undefined;
        progress.committed = true;
        yield chunk;
      }
    }
    if (!finished) throw fail('STREAM_TRUNCATED');
  } finally {
    reader?.cancel().catch(() => {});
  }
}

function parseChunk(data: string, fail: (code: StreamBrokenError['code']) => Error): ChatChunk {
  let raw: unknown;
  try {
    raw = JSON.parse(data);
  } catch {}
  if (!v.is(chatChunkSchema, raw)) throw fail('STREAM_MALFORMED');
  if (raw.error != null && !raw.choices?.length) throw fail('STREAM_FAILED');
  return readChunk(raw);
}
