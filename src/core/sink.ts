/** @module Where the bytes of an answer go, and what is done with those that nobody wants any more. */

import type { Clock } from './clock.ts';

/** What takes the bytes: the controller of the caller's stream, of either kind, or a reader of the whole text. */
export interface Sink {
  enqueue(chunk: Uint8Array): void;
  close(): void;
  error(reason: unknown): void;
  readonly byobRequest?: { respond(bytes: number): void } | null;
}

/** Ends a stream. */
export function close(sink: Sink): void {
  sink.close();
  sink.byobRequest?.respond(0); // a byte stream waits for this answer to a reader's own buffer
}

/** Reads a whole body as text, straight from its source. The sink holds the reader, and so the stream: it must not be collected meanwhile. */
export function textOf(source: { pull(sink: Sink): void }, reader: unknown): Promise<string> {
  return new Promise((resolve, reject) => {
    const decoder = new TextDecoder();
    let text = '';
    let state: 'idle' | 'pulling' | 'fed' = 'idle';
    // What is held comes within the pull: each of many chunks in a call within the call before would be too deep.
    const pull = () => {
      const isWithin = state !== 'idle';
      state = 'fed';
      if (isWithin) return;
      while (state === 'fed') {
        state = 'pulling';
        source.pull(sink);
      }
      state = 'idle';
    };
    const sink: Sink & { reader: unknown } = {
      reader,
      enqueue(chunk) {
        try {
          text += decoder.decode(chunk, { stream: true });
        } catch (error) {
          reject(error); // it is no bytes
          throw error;
        }
        pull();
      },
      close: () => resolve(text + decoder.decode()),
      error: reject,
    };
    pull();
  });
}

/** What of the last bytes of an answer that has failed may be handed out: a client that sees `[DONE]` asks no more, and would never hear of the failure. */
export function beforeDone(chunk: Uint8Array): Uint8Array {
  for (let at = chunk.indexOf(0x5b); at >= 0; at = chunk.indexOf(0x5b, at + 1)) {
    const isDone = new TextDecoder().decode(chunk.subarray(at, at + 6)) === '[DONE]';
    if (isDone) return chunk.slice(0, chunk.lastIndexOf(0x0a, at) + 1);
  }
  return chunk;
}

const DRAIN_MS = 250;
const DRAIN_BYTES = 64 * 1024;

/** Reads for a moment what comes after the end of an answer, because a connection that is read to its end can be used again. */
export async function drain(reader: ReadableStreamDefaultReader<Uint8Array>, clock: Clock): Promise<void> {
  const stop = () => void reader.cancel().catch(() => {}); // ends a pending read too
  const timer = clock.setTimeout(stop, DRAIN_MS);
  try {
    for (let bytes = 0; bytes < DRAIN_BYTES; ) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes += value.byteLength;
    }
  } catch {}
  clock.clearTimeout(timer);
  stop();
}
