/** @module What a call to the service can end with beyond the errors of the middlewares. */

import * as v from 'valibot';
import type { Clock } from '../core/clock.ts';
import {
  BreakwaterError,
  isBreakwaterError as isOfOurs,
  type MiddlewareError,
  type PayloadIssue,
  scrub,
} from '../core/errors.ts';
import { readRetryAfter } from '../core/retry-after.ts';
import { readText } from './read-text.ts';
import { errorBodySchema } from './schemas.ts';
import type { Usage } from './types.ts';

/** The connection failed before an answer came. The runtime's own error is not the cause, because it may hold the key. */
export class ConnectionError extends BreakwaterError<'CONNECTION_FAILED'> {
  constructor(origin: string, error: unknown) {
    const cause = scrub(error);
    super('CONNECTION_FAILED', `Connection to ${origin} failed: ${cause.message}`, undefined, cause);
  }

  override get name(): 'ConnectionError' {
    return 'ConnectionError';
  }
}

interface Said {
  readonly message: string;
  readonly type?: string | undefined;
  readonly traceId?: string | undefined;
  readonly retryAfterMs?: number | undefined;
}

/** The service answered, and not with a 2xx. */
export class DeepSeekError extends BreakwaterError<'API_ERROR'> {
  declare readonly status: number;
  /** The service's own kind of error, such as `rate_limit_error`; undefined where it named none. */
  declare readonly type: string | undefined;
  /** What to quote to the service's support; undefined where it sent none. */
  declare readonly traceId: string | undefined;
  /** The wait that the service asked for, in milliseconds; undefined where it asked for none. */
  declare readonly retryAfterMs: number | undefined;

  constructor(status: number, { message, ...facts }: Said) {
    super('API_ERROR', `DeepSeek answered ${status}: ${message || 'no message'}`, { status, ...facts });
  }

  override get name(): 'DeepSeekError' {
    return 'DeepSeekError';
  }
}

/** What is known of an answer that is none. */
interface AnswerFacts {
  readonly issues?: readonly PayloadIssue[];
  readonly usage?: Usage | undefined;
  readonly finishReason?: string | undefined;
}

/** A 2xx that is not the answer that was asked for: its body is none, or its text is not the JSON that it should be. */
export class AnswerError extends BreakwaterError<
  'ANSWER_EMPTY' | 'ANSWER_CUT' | 'ANSWER_UNPARSABLE' | 'ANSWER_INVALID'
> {
  declare readonly issues: readonly PayloadIssue[];
  /** What the answer cost; undefined where it was not told. */
  declare readonly usage: Usage | undefined;
  /** Why the model ended; undefined where the body itself is no answer. */
  declare readonly finishReason: string | undefined;
  /** What the model said, or the body where that is no answer. Not enumerable, so that no log shows it unasked. */
  declare readonly rawText: string;

  constructor(code: AnswerError['code'], message: string, rawText: string, facts?: AnswerFacts) {
    super(code, message, { issues: [], ...facts });
    Object.defineProperty(this, 'rawText', { value: rawText });
  }

  override get name(): 'AnswerError' {
    return 'AnswerError';
  }
}

/** Everything that a client or a `deepseek()` chain throws of its own: `switch (error.code)` over it is exhaustive. */
export type DeepSeekClientError = MiddlewareError | ConnectionError | DeepSeekError | AnswerError;

/** Tells our errors from all others, also across two installed copies and across realms. */
export const isBreakwaterError: (value: unknown) => value is DeepSeekClientError = isOfOurs;

/** An error's body is read as far as this, and no further. */
const ERROR_LIMITS = { maxBytes: 64 * 1024, maxMs: 5000 };

/** Makes the error of a non-2xx answer. The content type is not believed: the service sends JSON as octet-stream, and gateways send pages. */
export async function readError(
  response: Response,
  clock: Clock,
  signal?: AbortSignal,
): Promise<DeepSeekError> {
  const text = await readText(response.body, ERROR_LIMITS, clock, signal);
  const { headers, status } = response;
  const traceId =
    headers.get('x-ds-trace-id') ?? headers.get('x-request-id') ?? headers.get('x-deepseek-request-id');
  const retryAfterMs = readRetryAfter(headers, () => clock.wall());
  const { message, type } = messageOf(text);
  const facts = { type, traceId: traceId ?? undefined, retryAfterMs };
  return new DeepSeekError(status, { message: maskKeys(message), ...facts });
}

/** What the service says of an error, whatever it wraps it in. */
export function messageOf(text: string): Said {
  const trimmed = text.trim();
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), errorBodySchema), trimmed);
  if (parsed.success) {
    const { message, type } = parsed.output.error;
    return { message, type: type ?? undefined };
  }
  const title = trimmed.startsWith('<') ? /<title>([^<]*)/i.exec(trimmed)?.[1] : undefined;
  return { message: title?.trim() ?? trimmed };
}

/** The service repeats the end of a wrong key, and a gateway may repeat all of it. What merely describes the scheme, as in `Bearer sk-...`, stays. */
function maskKeys(message: string): string {
  return message
    .replace(/\*{3,}[^\s"']*/g, '****')
    .replace(/\b(sk-|bearer\s+(?=[^\s"'.]{8}))(?!\.)[^\s"']+/gi, '$1****');
}
