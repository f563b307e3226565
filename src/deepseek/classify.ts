/** @module The first question of every failed call: will the same request succeed later? Answered here once, for statuses, Responses and errors of any origin. */

import { isBreakwaterError } from '../core/errors.ts';
import { retriesForStatus } from '../core/failure.ts';
import { FAILED_FINISHES } from './facts/finish-reasons.ts';

/** Succeeded; may succeed if repeated; will fail again unchanged; was given up by the caller. */
export type Verdict = 'success' | 'transient' | 'persistent' | 'aborted';

/** The errors of ours that time does not heal. Empty and broken answers are none of them: under load the service sends those. */
const persistentCodes = /^(AUTH|PAYLOAD|SPEND|STREAM_OVERFLOW|ANSWER_CUT|ANSWER_INVALID)/;
/** What runtimes and other libraries call a failure of the connection or of a clock; workerd and the OpenAI SDK call theirs plainly "Error". */
const connectionNames = /^(Error|TypeError|FetchError|APIConnection\w*|\w*(Network|Timeout)Error)$/;

/**
 * Tells a transient failure from a persistent one.
 *
 * @param outcome A Response, a status, an answer, or anything that was thrown: by a client or chain of ours, by fetch, ky or the
 * OpenAI SDK.
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
  const failure = (outcome ?? {}) as Partial<Outcome>;
  const { name, message, cause, response, choices, status = response?.status } = failure;
  const { finishReason = choices?.[0]?.finish_reason } = failure;
  // Told in words alone, and by gateways under any status.
  if (/maximum context length/i.test(String(message))) return 'persistent';
  if (typeof status === 'number') return classifyStatus(status);
  if (isBreakwaterError(cause)) return classify(cause); // the OpenAI SDK calls whatever its fetch throws a lost connection
  // A body that is no JSON is a gateway's; a text that is none, of an answer that has ended, is the model's, and asking it the same is no cure.
  if (failure.code === 'ANSWER_UNPARSABLE' && finishReason !== undefined) return 'persistent';
  if (isBreakwaterError(outcome)) return persistentCodes.test(outcome.code) ? 'persistent' : 'transient';
  if (typeof finishReason === 'string')
    return FAILED_FINISHES.includes(finishReason) ? 'transient' : 'success';
  if (name === 'AbortError' || failure.constructor?.name === 'APIUserAbortError') return 'aborted';
  return connectionNames.test(String(name)) ? 'transient' : 'persistent';
}

/** What an outcome may have: the OpenAI SDK puts the status into its error, ky the Response; an answer as it came has choices. */
interface Outcome {
  readonly code: unknown;
  readonly name: unknown;
  readonly message: unknown;
  readonly cause: unknown;
  readonly constructor: { readonly name?: unknown };
  readonly status: unknown;
  readonly response: { readonly status?: unknown } | null;
  readonly finishReason: unknown;
  readonly choices: readonly { readonly finish_reason?: unknown }[] | null;
}

function classifyStatus(status: number): Verdict {
  if (status >= 200 && status < 300) return 'success';
  return retriesForStatus(status, 1) > 0 ? 'transient' : 'persistent';
}
