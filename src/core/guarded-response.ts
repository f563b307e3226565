/** @module A Response with another body that is otherwise the one that came. `new Response` forgets where an answer came from, and code above us asks. */

/** Whether a Response has a body whose end is worth watching: nothing is held, rebuilt or judged that is not a 2xx with content. */
export function isGuardable({ ok, body }: Response): boolean {
  return ok && body !== null && !body.locked;
}

/** The Response with `body` in place of its own. */
export function withBody(original: Response, body: ReadableStream): Response {
  return resemble(rebuild(body, original), original);
}

/** A server may send a reason phrase that fetch takes and Response refuses. */
function rebuild(body: ReadableStream, original: Response): Response {
  try {
    return new Response(body, original);
  } catch {
    return new Response(body, { status: original.status, headers: original.headers });
  }
}

/** Own properties, and only where they would differ: they cost more than the Response itself. */
function resemble(response: Response, original: Response): Response {
  const { url, redirected, type, statusText } = original;
  if (response.url === url && response.redirected === redirected && response.type === type) return response;
  return Object.defineProperties(response, {
    url: { value: url },
    redirected: { value: redirected },
    type: { value: type },
    statusText: { value: statusText },
    clone: { value: () => resemble(Response.prototype.clone.call(response), original) },
  });
}

/** Whether a stream can be read into a buffer of the reader's own. */
export function isByteStream(stream: ReadableStream): boolean {
  try {
    stream.getReader({ mode: 'byob' }).releaseLock();
    return true;
  } catch {
    return false;
  }
}

/** Whoever guards a stream. */
interface Guard {
  /** Nobody has the stream any more. */
  abandon(): void;
}

let registry: FinalizationRegistry<Guard> | undefined;

/** Abandons the guard when the stream is collected, where the runtime can tell. Made at the first use: some runtimes allow nothing at module scope. */
export function watchOver(stream: ReadableStream, guard: Guard): void {
  if (typeof FinalizationRegistry === 'undefined') return;
  registry ??= new FinalizationRegistry((dropped) => dropped.abandon());
  registry.register(stream, guard);
}
