/** @module What a fetch is called with, read as the runtime's own fetch reads it: bad URLs, headers and bodies are refused by the same rules. */

/** The signal that ends this call: the one of `init` if there is one, also when it is null, else that of the Request. */
export function signalOf(input: string | URL | Request, init: RequestInit | undefined): AbortSignal | null {
  if (init?.signal !== undefined) return init.signal;
  return input instanceof Request ? input.signal : null;
}

/**
 * The request that a fetch would send. It has no signal: a Request that follows a signal puts a listener on it that
 * only a garbage collection takes away, and a test that counts listeners would find it.
 *
 * @throws {TypeError} Whatever the runtime refuses.
 */
export function requestOf(input: string | URL | Request, init: RequestInit | undefined): Request {
  const own: RequestInit & { duplex?: unknown } = { signal: null };
  if (init?.method !== undefined) own.method = init.method;
  if (init?.headers !== undefined) own.headers = init.headers;
  if (init?.body !== undefined) own.body = init.body;
  if (init && 'duplex' in init) own.duplex = init.duplex;
  return new Request(input instanceof Request ? input : String(input), own);
}
