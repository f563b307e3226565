/** @module Headers as fetch makes them, without what the runtimes say of one that they refuse: that holds the whole value, which for a credential must not get into any log. */

import { AuthCheckError } from './errors.ts';

/** The headers that say who is asking: none of them may go to an origin that they were not meant for. */
export const CREDENTIAL_HEADERS: readonly string[] = [
  'authorization',
  'x-api-key',
  'api-key',
  'proxy-authorization',
  'cookie',
];

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
    if (!CREDENTIAL_HEADERS.includes(String(name).toLowerCase()) || /^[^\0\r\n\u0100-\uffff]*$/.test(text))
      continue;
    return malformed(String(name), /[\r\n]/.test(text) ? LINE_BREAK : NOT_ASCII);
  }
  return undefined;
}

export function malformed(header: string, problem: string): AuthCheckError {
  return new AuthCheckError('AUTH_MALFORMED', `Key in the ${header} header is malformed: ${problem}`);
}
