/** @module What a credential is and what cannot be one. Shared, because the key is judged where it is checked, where a route brings another, and where a header cannot even be built. */

import { AuthCheckError } from './errors.ts';
import { CREDENTIAL_HEADERS, LINE_BREAK, malformed, NOT_ASCII } from './headers.ts';

const PLACEHOLDER = 'it is a placeholder, so a variable was not loaded';

/** What cannot be in a key, and what that says. White space around a key is no fault: fetch removes it. */
const PROBLEMS: readonly (readonly [RegExp, string])[] = [
  [/[\r\n]/, LINE_BREAK],
  // Template syntax, names of variables, and the values that stand in documentation.
  [
    /^(sk-)?(undefined|null|nan|change-?me|x{3,}|\.{3}|\*{3,}|(your|insert|enter|replace)[-_ ].*|\[object \w+\]|process\.env.*|.*\.json|%.*%)$|[${}<>]/i,
    PLACEHOLDER,
  ],
  [/^[A-Z][A-Z0-9_]*_(KEY|TOKEN|SECRET)$/, PLACEHOLDER],
  [/\s/, 'it holds white space'],
  [/["'`]/, 'it holds quotes'],
  [/[^\x21-\x7e]/, NOT_ASCII],
];

let soundHeader: string | null = null;

/** Finds what is wrong with the credential of a request, and keeps the credential to itself. */
export function credentialError(headers: Headers): AuthCheckError | undefined {
  const authorization = headers.get('authorization');
  const apiKey = headers.get('x-api-key');
  if (authorization && authorization === soundHeader && !apiKey) return undefined; // most calls bring the key of the call before
  if (!authorization && !apiKey) return missing('send an Authorization or an x-api-key header');
  const error = (authorization && bearerError(authorization)) || (apiKey && keyError('x-api-key', apiKey));
  if (error) return error;
  soundHeader = authorization;
  return undefined;
}

function bearerError(authorization: string): AuthCheckError | undefined {
  const [bearer, key] = /^bearer(?:\s+(.*))?$/is.exec(authorization) ?? [];
  if (!bearer) return malformed('authorization', 'its scheme is not Bearer');
  return key ? keyError('authorization', key) : missing('nothing follows Bearer');
}

/**
 * The headers with another key in place of every credential. It stands where the old one stood: in `x-api-key` if that was the only
 * one, and else as a bearer token.
 *
 * @throws {AuthCheckError} When it cannot be a key.
 */
export function withKey(headers: Headers, key: string | undefined): Headers {
  const changed = new Headers(headers);
  const name = headers.has('x-api-key') && !headers.has('authorization') ? 'x-api-key' : 'authorization';
  for (const credential of CREDENTIAL_HEADERS) changed.delete(credential);
  const trimmed = key?.trim();
  const error = trimmed ? keyError(name, trimmed) : missing('the one to send is empty');
  if (error) throw error;
  changed.set(name, name === 'authorization' ? `Bearer ${trimmed}` : `${trimmed}`);
  return changed;
}

function keyError(header: string, key: string): AuthCheckError | undefined {
  const problem = PROBLEMS.find(([pattern]) => pattern.test(key))?.[1];
  return problem ? malformed(header, problem) : undefined;
}

function missing(why: string): AuthCheckError {
  return new AuthCheckError('AUTH_MISSING', `Request has no key: ${why}`);
}
