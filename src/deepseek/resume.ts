/**
 * @module How a stream that broke off is continued: the service is given what it has said so far and asked to go on from there (chat prefix
 * completion, a beta feature). What had been thought is lost to it, and so the continuation is asked for without thinking.
 */

import { isBreakwaterError } from '../core/errors.ts';
import { FAILED_FINISHES } from './facts/finish-reasons.ts';
import type { Transcript } from './transcript.ts';
import type { ChatRequest } from './types.ts';

/** Ends in which the service, the connection or a clock is at fault, and the answer so far is good. */
const BREAKS = /^(STREAM_(TRUNCATED|RESET|FAILED)|TIMEOUT_IDLE)$/;

/** Whether an answer that ended like this can be continued. A tool call cannot, because half of one is no text; nor can a thought. */
export function canContinue(error: unknown, { content, toolCalls, finishReason }: Transcript): boolean {
  const isOpen = finishReason === undefined || FAILED_FINISHES.includes(finishReason);
  return isBreakwaterError(error) && BREAKS.test(error.code) && isOpen && content !== '' && !toolCalls.length;
}

/** Whether the rest of an answer is that there is none: it had broken off after its last word. */
export function isNothingMore(error: unknown): boolean {
  return isBreakwaterError(error) && error.code === 'STREAM_EMPTY' && error.finishReason === 'stop';
}

/** The request for the rest of an answer. */
export function continuationOf(request: ChatRequest, said: string): ChatRequest {
  const { reasoning_effort: _, ...rest } = request;
  const last = request.messages.at(-1);
  const isPrefix = last?.role === 'assistant' && last.prefix === true; // the caller's own beginning of the answer
  const messages = isPrefix ? request.messages.slice(0, -1) : request.messages;
  const content = isPrefix ? `${last.content ?? ''}${said}` : said;
  return {
    ...rest,
    thinking: { type: 'disabled' },
    messages: [...messages, { ...(isPrefix && last), role: 'assistant', content, prefix: true }],
  };
}

/** Where answers are continued, as an address of its own: the base of the client may be that of another version. */
export function continuationUrl(base: string): URL {
  return new URL(`${base.replace(/\/(v1|beta)$/, '')}/beta/chat/completions`);
}
