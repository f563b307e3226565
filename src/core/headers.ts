/** @module Headers as fetch makes them, without what the runtimes say of one that they refuse: that holds the whole value, which for a credential must not get into any log. */

import { AuthCheckError } from './errors.ts';

/** The headers that say who is asking, in which a new key replaces the old. */
export const CREDENTIAL_HEADERS: readonly string[] = [
  'authorization',
  'x-api-key',
  'api-key',
  'proxy-authorization',
  'cookie',
];

/** Whatever else may hold a secret: each service has a name of its own for it. */
const SECRET = /auth|key|token|secret|cookie|session|organization/i;

/** The headers that may go to another origin, once a key of its own has replaced the credentials. */
export function withoutOtherSecrets(headers: Headers): Headers {
  return new Headers(
    [...headers].filter(([name]) => CREDENTIAL_HEADERS.includes(name) || !SECRET.test(name)),
  );
}

export const LINE_BREAK = 'it holds a line break';
export const NOT_ASCII = 'it holds characters that are not printable ASCII';

/** A copy of what a request was given as headers. */
export function copyHeaders(given: HeadersInit | undefined): Headers {
  if (typeof given !== 'object' || given instanceof Headers) return new Headers(given);
  const isList = Symbol.iterator in given;
  const entries = isList ? [...given] : Object.entries(given); // an iterable can be read only once
  try {
    if (isList) return new Headers(entries);
    const headers = new Headers();
    for (const [name, value] of entries) headers.append(name as string, value as string); // half the time of handing over the record
    return headers;
  } catch (error) {
    throw refusedCredential(entries) ?? error;
  }
}

function refusedCredential(entries: readonly (readonly unknown[])[]): AuthCheckError | undefined {
  for (const [name, value] of entries) {
    const text = String(value).trim();
    if (!SECRET.test(String(name)) || /^[^\0\r\n\u0100-\uffff]*$/.test(text)) continue;
    return malformed(String(name), /[\r\n]/.test(text) ? LINE_BREAK : NOT_ASCII);
  }
  return undefined;
}

export function malformed(header: string, problem: string): AuthCheckError {
  return new AuthCheckError('AUTH_MALFORMED', `Key in the ${header} header is malformed: ${problem}`);
}
