/** @module How middlewares become one: the whole algebra is this function. */

import type { Middleware } from './types.ts';

/**
 * Makes one middleware of several; the first is outermost. `compose()` of nothing changes nothing.
 *
 * @throws {TypeError} If something in the list is not a function.
 */
export function compose(...middlewares: Middleware[]): Middleware {
  for (const middleware of middlewares) {
    if (typeof middleware !== 'function') {
      throw new TypeError(
        `Cannot compose middlewares as each must be a function: one is ${String(middleware)}`,
      );
    }
  }
  return (next) => middlewares.reduceRight((inner, middleware) => middleware(inner), next);
}
