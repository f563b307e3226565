/** @module What may be told with a single call of the client, and how that is checked. */

import { aFunction, aPositiveCount, check, type Rule, readOptions } from '../core/options.ts';
import type { AnswerError } from './errors.ts';
import type { ChatRequest } from './types.ts';

/** What may be told with a single call. */
export interface CallOptions {
  /**
   * Aborts the call, its waits and its answer.
   * @default none
   */
  readonly signal?: AbortSignal | undefined;
}

/** What may be told with a streamed call. */
export interface StreamOptions extends CallOptions {
  /**
   * The largest single event of the stream that is put together, in bytes. Must be a positive integer.
   * @default that of the client
   */
  readonly maxEventBytes?: number | undefined;
  /**
   * Continues an answer that breaks off after its content has begun, up to `maxResumes` times. `maxResumes` must be a positive integer.
   * @default none
   */
  readonly resume?: { readonly maxResumes: number } | undefined;
}

/** An answer that is not the JSON that was asked for, as `onInvalid` sees it. */
export interface InvalidAnswer {
  /** What is wrong: `ANSWER_CUT`, `ANSWER_UNPARSABLE` or `ANSWER_INVALID`. Its `rawText` is what the model said. */
  readonly error: AnswerError;
  /** What was asked. */
  readonly request: ChatRequest;
}

/** What may be told with a call for JSON. */
export interface JsonOptions extends CallOptions {
  /**
   * Makes one other request out of one whose answer was cut, was no JSON or did not fit the schema; that is sent, once. Undefined lets
   * the error stand.
   * @default the error is thrown
   */
  readonly onInvalid?:
    | ((invalid: InvalidAnswer) => ChatRequest | undefined | Promise<ChatRequest | undefined>)
    | undefined;
}

const aSignal: Rule = {
  must: 'an AbortSignal',
  types: 'object',
  test: (signal: object) => 'aborted' in signal && 'addEventListener' in signal,
};
const anObject: Rule = { must: 'an object', types: 'object' };

/** The options of a streamed call, over those of the client. */
export function readStreamOptions(
  given: StreamOptions | undefined,
  maxEventBytes: number,
): { readonly signal: AbortSignal | undefined; readonly maxEventBytes: number; readonly maxResumes: number } {
  const rules = { signal: aSignal, maxEventBytes: aPositiveCount, resume: anObject };
  const { resume, ...options } = readOptions<StreamOptions, { maxEventBytes: number }>(
    'stream',
    given,
    { maxEventBytes },
    rules,
  );
  if (!resume) return { signal: undefined, maxResumes: 0, ...options };
  const { maxResumes } = readOptions('stream', resume, {}, { maxResumes: aPositiveCount });
  check('stream', '"maxResumes"', maxResumes, aPositiveCount); // the one option that has no default
  return { signal: undefined, maxResumes, ...options };
}

/** The options of a call for JSON. */
export function readJsonOptions(given: JsonOptions | undefined): JsonOptions {
  return readOptions('JSON answer', given, {}, { signal: aSignal, onInvalid: aFunction });
}
