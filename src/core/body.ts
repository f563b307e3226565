/**
 * @module What a request carries, read so that it can be sent again. A stream is the one kind of body that cannot: that has
 * to be known before the first attempt, because half a stream sent twice is a corrupt request.
 */

import type { Call } from './call.ts';

/** The body of a Request is kept for a repetition up to this size, unless an option says otherwise. */
export const MAX_REPLAY_BYTES: number = 8 * 1024 * 1024;

/** Whether the body can be sent again as it is: anything but a stream, and a Request's that nobody has read yet. */
export function isReplayable(call: Call): boolean {
  const { body, request } = call;
  if (body == null) return !request?.bodyUsed && !hasUnreadBody(call);
  return typeof body !== 'object' || !('getReader' in body || Symbol.asyncIterator in body);
}

/** Firefox does not say what body a Request has, so there any method that may have one is taken to have one. */
function hasUnreadBody({ body, request }: Call): boolean {
  if (body != null || !request || request.bodyUsed || /^(GET|HEAD)$/.test(request.method)) return false;
  return request.body !== null;
}

/**
 * Takes the body out of the Request that was given, so that it can be looked at and sent again. Past `maxBytes` the call goes
 * on with what was read and the rest as one stream, which only works once; browsers cannot send streams, so there
 * it is read whole.
 */
export async function loadBody(call: Call, maxBytes: number = MAX_REPLAY_BYTES): Promise<Call> {
  const { request, signal } = call;
  if (!request || !hasUnreadBody(call)) return call;
  if (!request.body) return call.with({ body: await request.arrayBuffer() });
  const reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>> = request.body.getReader();
  const abort = () => void reader.cancel(signal?.reason).catch(() => {});
  signal?.addEventListener('abort', abort);
  if (signal?.aborted) abort();
  try {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    const limit = typeof location === 'undefined' ? maxBytes : Number.POSITIVE_INFINITY;
    for (let size = 0; size <= limit; ) {
      const { done, value } = await reader.read();
      signal?.throwIfAborted();
      if (done) return call.with({ body: await new Blob(chunks).arrayBuffer() });
      chunks.push(value);
      size += value.byteLength;
    }
    return Object.assign(call.with({ body: restream(chunks, reader) }), { duplex: 'half' });
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

function restream(
  chunks: Uint8Array[],
  reader: ReadableStreamDefaultReader<Uint8Array>,
): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const value = chunks.shift() ?? (await reader.read()).value;
      if (value) controller.enqueue(value);
      else controller.close();
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

/** The body as parsed JSON; undefined where it is no JSON, or of a kind that cannot be looked at. It is parsed once per call, however many layers ask. */
export function payloadOf({ body, context }: Call): unknown {
  for (let known = context.payload; known; known = known.before) if (known.body === body) return known.value;
  const value = parse(textOf(body));
  context.payload = { body, value, before: context.payload };
  return value;
}

function textOf(body: unknown): string | undefined {
  if (typeof body === 'string') return body;
  return body instanceof ArrayBuffer || ArrayBuffer.isView(body) ? new TextDecoder().decode(body) : undefined;
}

function parse(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
