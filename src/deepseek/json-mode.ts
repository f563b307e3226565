/**
 * @module Answers that are JSON. JSON mode promises less than it seems to: the answer may be empty, may be cut where the tokens end, and nobody
 * has shown the model the schema. Each of these is told apart, because each is to be met in another way.
 */

import type { Clock } from '../core/clock.ts';
import { isBreakwaterError, PayloadError, type PayloadIssue, StreamBrokenError } from '../core/errors.ts';
import { check, type Rule } from '../core/options.ts';
import { isSchema, type StandardSchema, shownIssue } from '../core/standard-schema.ts';
import type { JsonOptions } from './call-options.ts';
import { AnswerError } from './errors.ts';
import { FAILED_FINISHES } from './facts/finish-reasons.ts';
import { readJson } from './json-text.ts';
import { mentionsJson, NO_MENTION } from './schemas.ts';
import type { ChatCompletion, ChatRequest, JsonCompletion } from './types.ts';

/** What asks, and how often. */
export interface JsonSettings {
  readonly chat: (request: ChatRequest) => Promise<ChatCompletion>;
  readonly clock: Clock;
  /** How often an empty answer is asked for again, and until how long after the beginning. */
  readonly maxRetries: number;
  readonly budgetMs: number;
}

const aSchema: Rule = { must: 'a Standard Schema', types: 'object function', test: isSchema };

/** Asks until there is an answer that fits the schema, or a reason to stop. */
export async function askForJson<Output>(
  schema: StandardSchema<Output>,
  request: ChatRequest,
  { onInvalid }: JsonOptions,
  { chat, clock, maxRetries, budgetMs }: JsonSettings,
): Promise<JsonCompletion<Output>> {
  check('JSON answer', 'its schema', schema, aSchema);
  const startedAt = clock.now();
  let asked = request;
  let retries = 0;
  let repair = onInvalid;
  for (;;) {
    const asJson: ChatRequest = { ...asked, response_format: { type: 'json_object' } };
    if (!mentionsJson(asJson)) throw new PayloadError([{ path: 'messages', message: NO_MENTION }]);
    const read = await chat(asJson).then((answer) => readValue(schema, answer), emptyOrThrow);
    if (!(read instanceof AnswerError)) return read;
    if (isPassing(read) && retries < maxRetries && clock.now() - startedAt <= budgetMs) {
      retries++;
      continue;
    }
    const repaired =
      read.code === 'ANSWER_EMPTY' ? undefined : await repair?.({ error: read, request: asked });
    if (!repaired) throw read;
    repair = undefined;
    asked = repaired;
  }
}

/** What the service gives now and then, and not twice: nothing. Where a filter or the end of the tokens is the reason, it would be nothing again. */
function isPassing({ code, finishReason = 'stop' }: AnswerError): boolean {
  return code === 'ANSWER_EMPTY' && finishReason === 'stop';
}

/** A body with nothing in it is an empty answer too. Where the chain has found that out, it has asked again already. */
function emptyOrThrow(thrown: unknown): AnswerError {
  if (thrown instanceof AnswerError && thrown.code === 'ANSWER_EMPTY') return thrown;
  if (isBreakwaterError(thrown) && thrown.code === 'STREAM_EMPTY')
    throw new AnswerError('ANSWER_EMPTY', thrown.message, '', { finishReason: thrown.finishReason });
  throw thrown;
}

async function readValue<Output>(
  schema: StandardSchema<Output>,
  answer: ChatCompletion,
): Promise<JsonCompletion<Output> | AnswerError> {
  const { content, finishReason, usage } = answer;
  const { length } = content;
  if (FAILED_FINISHES.includes(finishReason))
    throw new StreamBrokenError('STREAM_FAILED', {
      receivedBytes: length,
      keepAlives: 0,
      committed: false,
      finishReason,
    });
  const failure = (code: AnswerError['code'], message: string, issues: readonly PayloadIssue[] = []) =>
    new AnswerError(code, `Answer ${message}`, content, { issues, usage, finishReason });
  const reading = finishReason === 'length' ? 'cut' : readJson(content);
  if (reading === 'cut') return failure('ANSWER_CUT', `is cut: ${length} characters had arrived`);
  if (content.trim() === '') return failure('ANSWER_EMPTY', 'is empty: the model said nothing');
  if (reading === 'unparsable')
    return failure('ANSWER_UNPARSABLE', `is not JSON: ${length} characters had arrived`);
  const result = await schema['~standard'].validate(reading.value);
  if (!result.issues) return { ...answer, value: result.value as Output };
  const issues = result.issues.map((issue) => shownIssue(issue, reading.value));
  const [first] = issues;
  const more = issues.length > 1 ? `; and ${issues.length - 1} more` : '';
  const what = first?.path ? `${first.path}: ${first.message}` : first?.message;
  return failure('ANSWER_INVALID', `does not fit the schema: ${what}${more}`, issues);
}
