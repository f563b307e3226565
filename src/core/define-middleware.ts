/** @module How a middleware is written: as a function of a call and of what comes next. Here alone is a fetch's input turned into a Call. */

import { type Call, toCall } from './call.ts';
import type { FetchLike, Middleware } from './types.ts';

/**
 * Makes a middleware of a function. Use it for your own: what `run` returns is what the caller gets, and what it throws
 * is what the caller catches.
 *
 * @param name The name of the inner function, as stack traces show it.
 * @param run Is given the call and the rest of the chain, which it may call never, once or often: with the same call,
 * or with a fork that `call.with()` made.
 * @throws {TypeError} When the middleware is applied to something that is not a function.
 *
 * @example A middleware that marks each request
 * ```ts
 * import { defineMiddleware } from 'breakwater';
 *
 * const tagged = defineMiddleware('tagged', (call, next) => {
 *   const headers = new Headers(call.headers);
 *   headers.set('x-team', 'search');
 *   return next(call.with({ headers }));
 * });
 * const response = await tagged(async (_url, init) => Response.json([...new Headers(init?.headers)]))('https://example.com');
 * if (JSON.stringify(await response.json()) !== '[["x-team","search"]]') throw new Error('not marked');
 * ```
 */
export function defineMiddleware(
  name: string,
  run: (call: Call, next: (call: Call) => Promise<Response>) => Promise<Response>,
): Middleware {
  return (next) => {
    if (typeof next !== 'function') {
      throw new TypeError(
        `Cannot apply ${name} middleware as the next fetch must be a function: current value is ${typeof next}`,
      );
    }
    const forward = (call: Call) => next(call.request ?? call.url, call);
    // A computed name, so that stack traces show the middleware's own.
    const named: Record<string, FetchLike> = {
      [name](input, init) {
        try {
          return run(toCall(input, init), forward);
        } catch (error) {
          return Promise.reject(error);
        }
      },
    };
    return named[name] as FetchLike;
  };
}
