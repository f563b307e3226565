/**
 * @module What of DeepSeek's answers is content, and which 200 is none. The service says 200 before it knows: the call may then queue for
 * minutes, come to nothing, or end for want of resources, and all of that can still be tried again as long as nobody has seen a word.
 */

import { payloadOf } from '../core/body.ts';
import type { Call } from '../core/call.ts';
import {
  BodyDetector,
  detectProgress,
  EventStreamDetector,
  isEventStream,
  type ProgressDetector,
  type StreamFault,
} from '../core/progress.ts';
import { isChat } from './base-url.ts';
import { FAILED_FINISHES } from './facts/finish-reasons.ts';

/** What commits an answer: its first content of any kind, or the first piece of the answer itself, after the reasoning. */
export type CommitOn = 'content' | 'answer';

/** Watches an answer of the service; those of other endpoints are watched as any answer is. */
export function detectAnswer(commitOn: CommitOn): (response: Response, call: Call) => ProgressDetector {
  return (response, call) => {
    if (!isChat(call)) return detectProgress(response);
    const type = response.headers.get('content-type') ?? '';
    const { stream } = (payloadOf(call) ?? {}) as { stream?: unknown };
    const isStream = isEventStream(response.headers) || (stream === true && !/json|html/i.test(type));
    return isStream ? new ChatStreamDetector(commitOn) : new ChatAnswerDetector();
  };
}

/** The parts of an answer, or of a piece of one, that decide about it. */
interface Judged {
  readonly error?: unknown;
  readonly choices?: unknown;
}

interface Choice {
  readonly finish_reason?: unknown;
  readonly delta?: Said | null;
  readonly message?: Said | null;
}

interface Said {
  readonly content?: unknown;
  readonly reasoning_content?: unknown;
  readonly tool_calls?: readonly unknown[] | null;
}

function parse(text: string): Judged | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The choices, of which nothing is sure: gateways send `null`, or anything, for each part. */
function choicesOf({ choices }: Judged): readonly Choice[] {
  return Array.isArray(choices) ? choices.map((choice): Choice => choice ?? {}) : [];
}

function isError(judged: Judged): boolean {
  return judged.error != null && choicesOf(judged).length === 0;
}

/** What the model has said; a role, an empty text or a usage alone is nothing. */
function hasAnswer(said: Said | null | undefined): boolean {
  return Boolean(said?.content) || Boolean(said?.tool_calls?.length);
}

/** Whether a text looks like an object, and so like a piece; one that is cut does not. */
function isObject(text: string): boolean {
  return text.startsWith('{') && text.endsWith('}');
}

/** An event stream of pieces. */
class ChatStreamDetector extends EventStreamDetector {
  readonly #commitOn: CommitOn;
  hasContent = false;
  #hasEvents = false;

  constructor(commitOn: CommitOn) {
    super();
    this.#commitOn = commitOn;
  }

  protected override onEvent(data: string): void {
    this.#hasEvents = true;
    if (data === '[DONE]') this.isDone = true;
    // What has begun is only asked for its end: most of its pieces need not be parsed here.
    else if (!this.isCommitted || !isObject(data) || /"(finish_reason":\s*"|error")/.test(data))
      this.#judge(parse(data));
  }

  #judge(piece: Judged | undefined): void {
    if (!piece || isError(piece)) {
      this.fault = piece ? 'STREAM_FAILED' : 'STREAM_MALFORMED';
      return;
    }
    for (const { delta, finish_reason } of choicesOf(piece)) {
      const isAnswer = hasAnswer(delta);
      if (isAnswer || delta?.reasoning_content) this.hasContent = true;
      if (isAnswer || (this.hasContent && this.#commitOn === 'content')) this.isCommitted = true;
      if (typeof finish_reason === 'string') this.finishReason = finish_reason;
      if (FAILED_FINISHES.includes(finish_reason)) this.fault = 'STREAM_FAILED';
    }
  }

  override end(): StreamFault | undefined {
    super.end(); // which sees a `[DONE]` without its line break
    const isFinished = this.isDone || this.finishReason !== undefined;
    if (!isFinished) return this.#hasEvents || this.isBegun ? 'STREAM_TRUNCATED' : 'STREAM_EMPTY';
    return this.hasContent || (this.finishReason ?? 'stop') !== 'stop' ? undefined : 'STREAM_EMPTY';
  }
}

function notAnAnswer(text: string): StreamFault {
  if (text.startsWith('{')) return 'STREAM_TRUNCATED';
  return text.startsWith('<') ? 'STREAM_FAILED' : 'STREAM_MALFORMED'; // the page of a gateway, or what is no answer of anything
}

/** An answer in one piece, which is held to its end: until then nobody can tell whether it is one. */
class ChatAnswerDetector extends BodyDetector {
  finishReason: string | undefined;
  readonly #decoder = new TextDecoder();
  #text: string | undefined = '';

  override push(chunk: Uint8Array): boolean {
    if (this.#text === undefined) return super.push(chunk);
    this.#text += this.#decoder.decode(chunk, { stream: true });
    return this.look(chunk);
  }

  get hasContent(): boolean {
    return this.isBegun;
  }

  release(): void {
    this.#text = undefined;
    this.isCommitted = true;
  }

  override end(): StreamFault | undefined {
    if (this.#text === undefined) return undefined;
    const text = this.#text.trim();
    if (text === '') return 'STREAM_EMPTY';
    const answer = parse(text);
    if (!answer) return notAnAnswer(text);
    if (isError(answer)) return 'STREAM_FAILED';
    const { finish_reason, message } = choicesOf(answer)[0] ?? {};
    if (typeof finish_reason === 'string') this.finishReason = finish_reason;
    if (FAILED_FINISHES.includes(finish_reason)) return 'STREAM_FAILED';
    const isEmpty = finish_reason === 'stop' && !hasAnswer(message) && !message?.reasoning_content;
    return isEmpty ? 'STREAM_EMPTY' : undefined;
  }
}
