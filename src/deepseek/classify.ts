/** @module The first question of every failed call: will the same request succeed later? Answered here once, for statuses, Responses and errors of any origin. */

import { isBreakwaterError } from '../core/errors.ts';
import { retriesForStatus } from '../core/failure.ts';

/** Succeeded; may succeed if repeated; will fail again unchanged; was given up by the caller. */
export type Verdict = 'success' | 'transient' | 'persistent' | 'aborted';

/** The errors of ours that time does not heal. An empty answer is none of them: under load the service sends those. */
const persistentCodes = /^(AUTH|PAYLOAD|SPEND|ANSWER(?!_EMPTY))_/;
/** What runtimes and other libraries call a failure of the connection or of a clock. */
const connectionNames = /^(Error|TypeError|FetchError|APIConnection\w*|\w*(Network|Timeout)Error)$/;

/**
 * Tells a transient failure from a persistent one.
 *
 * @param outcome A Response, a status, or anything that was thrown: by a client or chain of ours, by fetch, ky or the OpenAI SDK.
 *
 * @example The statuses
 * ```ts
 * import { classify } from 'breakwater/deepseek';
 *
 * const verdicts = [200, 429, 503, 401, 402].map((status) => classify(status));
 * if (verdicts.join() !== 'success,transient,transient,persistent,persistent') throw new Error(verdicts.join());
 * ```
 */
export function classify(outcome: unknown): Verdict {
  if (typeof outcome === 'number') return classifyStatus(outcome);
  const { name, response, status = response?.status } = (outcome ?? {}) as Partial<Failure>;
  if (typeof status === 'number') return classifyStatus(status);
  if (isBreakwaterError(outcome)) return persistentCodes.test(outcome.code) ? 'persistent' : 'transient';
  if (name === 'AbortError' || name === 'APIUserAbortError') return 'aborted';
  return connectionNames.test(String(name)) ? 'transient' : 'persistent';
}

/** What a client's error may have: the OpenAI SDK puts the status into it, ky the Response. */
interface Failure {
  readonly name: unknown;
  readonly status: unknown;
  readonly response: { readonly status?: unknown } | undefined;
}

function classifyStatus(status: number): Verdict {
  if (status >= 200 && status < 300) return 'success';
  return retriesForStatus(status, 1) > 0 ? 'transient' : 'persistent';
}
