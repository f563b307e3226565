/** @module A Response with another body that is otherwise the one that came. `new Response` forgets where an answer came from, and code above us asks. */

/** Whether a Response has a body whose end is worth watching: nothing is held, rebuilt or judged that is not a 2xx with content. */
export function isGuardable({ ok, body }: Response): boolean {
  return ok && body !== null;
}

/** The Response with `body` in place of its own. */
export function withBody(original: Response, body: ReadableStream): Response {
  return resemble(new Response(body, original), original);
}

/** Own properties, and only where they would differ: they cost more than the Response itself. */
function resemble(response: Response, original: Response): Response {
  const { url, redirected, type } = original;
  if (response.url === url && response.redirected === redirected && response.type === type) return response;
  return Object.defineProperties(response, {
    url: { value: url },
    redirected: { value: redirected },
    type: { value: type },
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
