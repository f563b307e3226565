/** @module From what the service sends in one piece to what the caller wants. */

import * as v from 'valibot';
import { type PayloadIssue, StreamBrokenError } from '../core/errors.ts';
import { AnswerError } from './errors.ts';
import { chatAnswerSchema } from './schemas.ts';
import type { ChatAnswer, ChatCompletion } from './types.ts';

/**
 * Reads a whole answer.
 *
 * @throws {AnswerError} When the body is blank, is no JSON, or is no answer.
 * @throws {StreamBrokenError} `STREAM_FAILED` when it is an error, as gateways send them with a 200.
 */
export function readAnswer(text: string): ChatCompletion {
  const raw = parseAnswer(text);
  const { message, finish_reason } = raw.choices[0] ?? { message: {} };
  return {
    content: message.content ?? '',
    reasoningContent: message.reasoning_content ?? '',
    toolCalls: message.tool_calls ?? [],
    finishReason: finish_reason ?? undefined,
    usage: raw.usage ?? undefined,
    model: raw.model,
    id: raw.id,
    raw,
  };
}

function parseAnswer(text: string): ChatAnswer {
  if (text.trim() === '')
    throw new AnswerError('ANSWER_EMPTY', 'Answer is empty: the body held no text', text);
  let value: unknown;
  try {
    value = JSON.parse(text); // which tolerates the blank lines that a queued call begins with
  } catch {
    throw new AnswerError(
      'ANSWER_UNPARSABLE',
      `Answer is not JSON: ${text.length} characters had arrived`,
      text,
    );
  }
  const result = v.safeParse(chatAnswerSchema, value);
  if (result.success) return value as ChatAnswer; // as it came: valibot's output is a copy in another order
  if ((value as { error?: unknown } | null)?.error)
    throw new StreamBrokenError('STREAM_FAILED', {
      receivedBytes: text.length,
      keepAlives: 0,
      committed: false,
    });
  const issues = result.issues.map((issue): PayloadIssue => {
    const path = v.getDotPath(issue)?.replaceAll(/\.(\d+)/g, '[$1]') ?? '';
    return { path, message: `expected ${issue.expected}` }; // valibot's own words repeat the value
  });
  throw new AnswerError(
    'ANSWER_INVALID',
    `Answer is not a chat completion: ${issues[0]?.path || 'the body'} is wrong`,
    text,
    { issues },
  );
}
