/** @module What a credential is and what cannot be one. Shared, because the key is judged where it is checked, where a route brings another, and where a header cannot even be built. */

import { AuthCheckError } from './errors.ts';

/** The headers that say who is asking: none of them may go to an origin that they were not meant for. */
const CREDENTIAL_HEADERS = [
  'authorization',
  'proxy-authorization',
  'x-api-key',
  'api-key',
  'cookie',
] as const;

/** Template syntax, names of variables, and the values that stand in documentation: a variable that was never loaded. */
const placeholder =
  /^(sk-)?(undefined|null|nan|none|true|false|change-?me|x{3,}|\.{3}|\*{3,}|(your|insert|enter|replace)[-_ ].*|\[object \w+\]|[A-Z][A-Z0-9_]*_(KEY|TOKEN|SECRET)|process\.env.*|.*\.json)$|[${}<>%]/i;

/** Finds what is wrong with the credential of a request, and keeps the credential to itself. */
export function credentialError(headers: Headers): AuthCheckError | undefined {
  const authorization = headers.get('authorization');
  const apiKey = headers.get('x-api-key');
  if (!authorization && !apiKey) {
    return new AuthCheckError(
      'AUTH_MISSING',
      'Request has no key: send an Authorization or an x-api-key header',
    );
  }
  if (authorization) {
    const [bearer, key] = /^bearer(?:[ \t]+(.*))?$/is.exec(authorization) ?? [];
    if (bearer === undefined) return malformed('authorization', 'its scheme is not Bearer');
    if (!key) return new AuthCheckError('AUTH_MISSING', 'Request has no key: nothing follows Bearer');
    const problem = keyProblem(key);
    if (problem) return malformed('authorization', problem);
  }
  const problem = apiKey ? keyProblem(apiKey) : undefined;
  return problem === undefined ? undefined : malformed('x-api-key', problem);
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
  if (!trimmed) throw new AuthCheckError('AUTH_MISSING', 'Request has no key: the one to send is empty');
  const problem = keyProblem(trimmed);
  if (problem) throw malformed(name, problem);
  changed.set(name, name === 'authorization' ? `Bearer ${trimmed}` : trimmed);
  return changed;
}

/** Finds the credential for which the runtime refused to build headers. */
export function malformedCredential(
  headers: Iterable<readonly string[]> | Record<string, string>,
): AuthCheckError | undefined {
  const entries = Symbol.iterator in headers ? headers : Object.entries(headers);
  for (const [name = '', value = ''] of entries as Iterable<readonly string[]>) {
    if (!CREDENTIAL_HEADERS.includes(name.toLowerCase() as 'cookie')) continue;
    try {
      new Headers([[name, value]]);
    } catch {
      return malformed(name.toLowerCase(), keyProblem(value) ?? 'it is not a header value');
    }
  }
  return undefined;
}

/** Says why this cannot be a key, or undefined. White space around it is no fault: fetch removes it. */
function keyProblem(key: string): string | undefined {
  if (/[\r\n]/.test(key)) return 'it holds a line break';
  if (/\s/.test(key)) return 'it holds white space';
  if (/["'`]/.test(key)) return 'it holds quotes';
  if (placeholder.test(key)) return 'it is a placeholder, so a variable was not loaded';
  return /^[\x21-\x7e]+$/.test(key) ? undefined : 'it holds characters that are not printable ASCII';
}

function malformed(header: string, problem: string): AuthCheckError {
  return new AuthCheckError('AUTH_MALFORMED', `Key in the ${header} header is malformed: ${problem}`);
}
