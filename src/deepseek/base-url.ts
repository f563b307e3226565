/** @module The address of the service as people write it: with a slash at the end, with the endpoint already on it. */

import { type Call, parseUrl } from '../core/call.ts';

/** The service's own address. */
export const DEEPSEEK_BASE_URL = 'https://api.deepseek.com';

/**
 * The base without its trailing slash, endpoint, query and fragment.
 *
 * @throws {RangeError} When the key must not go there: only https, or http on a loopback address.
 */
export function normalBaseURL(
  subject: string,
  baseURL: string | URL = DEEPSEEK_BASE_URL,
): { origin: string; href: string } {
  const url = parseUrl(String(baseURL));
  const isLoopback = /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/.test(url?.hostname ?? '');
  if (!url || !(url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback))) {
    throw new RangeError(
      `Cannot create ${subject} as "baseURL" must be an https URL, or http on a loopback address: the current one is neither`,
    );
  }
  const path = url.pathname.replace(/\/+$/, '').replace(/\/chat\/completions$/, '');
  return { origin: url.origin, href: url.origin + path };
}

/** Whether a call asks for a chat completion. */
export function isChat({ url }: Call): boolean {
  return /\/chat\/completions\/?(\?|#|$)/.test(url);
}
