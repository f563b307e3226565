/** @module What a call to the service can end with beyond the errors of the middlewares. */

import * as v from 'valibot';
import type { Clock } from '../core/clock.ts';
import { BreakwaterError, type MiddlewareError, type PayloadIssue, scrub } from '../core/errors.ts';
import { readRetryAfter } from '../core/retry-after.ts';
import { readText } from './read-text.ts';
import { errorBodySchema } from './schemas.ts';
import type { Usage } from './types.ts';

/** The connection failed before an answer came. The runtime's own error is not the cause, because it may hold the key. */
export class ConnectionError extends BreakwaterError<'CONNECTION_FAILED'> {
  constructor(origin: string, error: unknown) {
    const cause = scrub(error);
    super('CONNECTION_FAILED', `Connection to ${origin} failed: ${cause.message}`, cause);
  }

  override get name(): 'ConnectionError' {
    return 'ConnectionError';
  }
}

/** The service answered, and not with a 2xx. */
export class DeepSeekError extends BreakwaterError<'API_ERROR'> {
  readonly status: number;
  /** The service's own kind of error, such as `rate_limit_error`; undefined where it named none. */
  readonly type: string | undefined;
  /** What to quote to the service's support; undefined where it sent none. */
  readonly traceId: string | undefined;
  /** The wait that the service asked for, in milliseconds; undefined where it asked for none. */
  readonly retryAfterMs: number | undefined;

  constructor(
    status: number,
    said: { message: string; type?: string; traceId?: string | undefined; retryAfterMs?: number | undefined },
  ) {
    super('API_ERROR', `DeepSeek answered ${status}: ${said.message || 'no message'}`);
    this.status = status;
    this.type = said.type;
    this.traceId = said.traceId;
    this.retryAfterMs = said.retryAfterMs;
  }

  override get name(): 'DeepSeekError' {
    return 'DeepSeekError';
  }
}

/** A 2xx whose body is not an answer. */
export class AnswerError extends BreakwaterError<'ANSWER_EMPTY' | 'ANSWER_UNPARSABLE' | 'ANSWER_INVALID'> {
  readonly issues: readonly PayloadIssue[];
  readonly usage: Usage | undefined;
  readonly finishReason: string | undefined;
  /** The body as it came. Not enumerable, so that no log shows it unasked. */
  declare readonly rawText: string;

  constructor(
    code: AnswerError['code'],
    message: string,
    rawText: string,
    issues: readonly PayloadIssue[] = [],
  ) {
    super(code, message);
    this.issues = issues;
    Object.defineProperty(this, 'rawText', { value: rawText });
  }

  override get name(): 'AnswerError' {
    return 'AnswerError';
  }
}

/** Everything that a client or a `deepseek()` chain throws of its own: `switch (error.code)` over it is exhaustive. */
export type DeepSeekClientError = MiddlewareError | ConnectionError | DeepSeekError | AnswerError;

/** An error's body is read as far as this, and no further. */
const ERROR_LIMITS = { maxBytes: 64 * 1024, maxMs: 5000 };

/** Makes the error of a non-2xx answer. The content type is not believed: the service sends JSON as octet-stream, and gateways send pages. */
export async function readError(response: Response, clock: Clock): Promise<DeepSeekError> {
  const text = await readText(response, ERROR_LIMITS, clock);
  const { headers, status } = response;
  const traceId =
    headers.get('x-ds-trace-id') ?? headers.get('x-request-id') ?? headers.get('x-deepseek-request-id');
  const retryAfterMs = readRetryAfter(headers, () => clock.wall());
  const said = { ...messageOf(text), traceId: traceId ?? undefined, retryAfterMs };
  return new DeepSeekError(status, { ...said, message: maskKeys(said.message) });
}

/** What the service says of an error, whatever it wraps it in. */
export function messageOf(text: string): { message: string; type?: string } {
  const trimmed = text.trim();
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), errorBodySchema), trimmed);
  if (parsed.success) {
    const { message, type } = parsed.output.error;
    return type ? { message, type } : { message };
  }
  const title = trimmed.startsWith('<') ? /<title>([^<]*)/i.exec(trimmed)?.[1] : undefined;
  return { message: title?.trim() ?? trimmed };
}

/** The service repeats the end of a wrong key, and a gateway may repeat all of it. */
function maskKeys(message: string): string {
  return message.replace(/\*{2,}[^\s"']*/g, '****').replace(/\b(sk-|bearer\s+)[^\s"']+/gi, '$1****');
}
