/**
 * @module Most refused keys were never keys: a variable that was not loaded, a template that was not filled in, a line break
 * from a file. The service answers them with 401 after a round trip and says little; here they are refused before
 * a byte is sent, with what is wrong, and no key leaves for an origin that it was not meant for.
 */

import { originOf, parseUrl } from '../core/call.ts';
import { credentialError } from '../core/credential.ts';
import { defineMiddleware } from '../core/define-middleware.ts';
import { AuthCheckError } from '../core/errors.ts';
import { type Rule, readOptions, refuse } from '../core/options.ts';
import type { Middleware } from '../core/types.ts';

/** What {@link authCheck} is told. */
export interface AuthCheckOptions {
  /**
   * Where the key may go, as origins or as URLs of which only the origin counts. A request to any other origin is
   * refused with `AUTH_ORIGIN`. Must hold http or https URLs.
   * @default any origin
   */
  readonly origins?: readonly (string | URL)[] | undefined;
}

/**
 * Refuses a request whose credential is missing or cannot be right.
 *
 * It looks at `Authorization: Bearer …` and at `x-api-key`, as fetch will send them. The caller sees a rejection, and
 * nothing is sent; a credential that merely might be wrong goes through.
 *
 * @throws {TypeError | RangeError} From the factory, for wrong options.
 * @throws {AuthCheckError} From the fetch: `AUTH_MISSING`, `AUTH_MALFORMED` or `AUTH_ORIGIN`.
 *
 * @example A variable that was never loaded
 * ```ts throws
 * import { authCheck } from 'breakwater';
 *
 * const checked = authCheck()(fetch);
 * const headers = { authorization: `Bearer ${undefined}` };
 * await checked('https://api.deepseek.com/models', { headers }); // AUTH_MALFORMED
 * ```
 */
export function authCheck(options?: AuthCheckOptions): Middleware {
  const { origins } = readOptions('authCheck middleware', options, {}, { origins: someUrls });
  const allowed = origins && new Set(Array.from(origins, httpOrigin));
  return defineMiddleware('authCheck', (call, next) => {
    const origin = allowed && originOf(call.url);
    if (origin && !allowed.has(origin)) {
      throw new AuthCheckError(
        'AUTH_ORIGIN',
        `Key must not go to ${origin}: allowed is ${[...allowed].join(', ')}`,
      );
    }
    const error = credentialError(call.headers);
    if (error) throw error;
    return next(call);
  });
}

const someUrls: Rule = {
  must: 'a non-empty array',
  types: 'array',
  test: (value: unknown[]) => value.length > 0,
};

function httpOrigin(url: string | URL): string {
  const { protocol, origin } = parseUrl(String(url)) ?? {};
  if (!origin || !/^https?:$/.test(protocol ?? '')) {
    refuse('authCheck middleware', '"origins" must hold http or https URLs: one of them is none');
  }
  return origin;
}
