/** The streams that the benchmark sends. */
import { chunksOf180, streamEnd } from '../fixtures/transcripts.ts';

/** Sent over and over: bytes that a socket has just brought are in the cache of the processor, and so are these. */
const DIFFERENT = 100;

/**
 * Chunks of which each is one event, and one more with the finish and `[DONE]`: as DeepSeek sends them, and with 13 bytes more, as servers do
 * that name the usage in every chunk.
 */
export const shapes = {
  plain: (count) => repeat(chunksOf180(DIFFERENT), count),
  'with usage: null': (count) => repeat(chunksOf180(DIFFERENT).map(withUsage), count),
};

function repeat(chunks, count) {
  return [...Array.from({ length: count - 1 }, (_, index) => chunks[index % chunks.length]), streamEnd()];
}

function withUsage(chunk) {
  const event = new TextDecoder().decode(chunk);
  return new TextEncoder().encode(event.replace(/\}\n\n$/, ',"usage":null}\n\n'));
}

/** A fetch that answers with these chunks, one for each read, as fast as they are read. */
export function stubOf(chunks) {
  return async () => {
    let next = 0;
    const body = new ReadableStream(
      {
        pull(controller) {
          if (next < chunks.length) controller.enqueue(chunks[next++]);
          else controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
  };
}
