/** @module What the model says to a payload, and how the service writes it down: as one JSON object, or as the chunks of a stream. */

import type { Random } from '../core/clock.ts';
import { countTokens, isThinking, LETTERS_PER_TOKEN, messagesOf, textOf } from './simulated-checks.ts';
import { isObject, type JsonObject } from './simulated-shapes.ts';

/** What a simulated model says. */
export interface SimulatedText {
  /** The answer itself. */
  readonly content: string;
  /**
   * The reasoning before it, which is said only in thinking mode.
   * @default a sentence about the prompt
   */
  readonly reasoningContent?: string | undefined;
}

/** What an answer is written down with. */
export interface AnswerFrame {
  readonly id: string;
  /** The time of day, in seconds since 1970. */
  readonly createdSeconds: number;
  readonly finishReason: string | undefined;
  readonly random: Random;
}

/** An answer as it goes out: its pieces in order, and how many tokens long the model takes to say it. */
export interface WrittenAnswer {
  readonly contentType: string;
  readonly pieces: readonly string[];
  readonly deltas: number;
}

interface Spoken {
  readonly reasoning: string;
  readonly content: string;
  readonly finishReason: string;
}

const FINGERPRINT = 'fp_simulated';
const GIST_LENGTH = 60;
/** The letters in a delta: the real ones are as short. */
const MAX_DELTA_LETTERS = 3;
const JSON_PIECE_LETTERS = 48;

/** What the model says when the test does not care: the gist of the prompt, so that answers can be told apart. */
export function defaultAnswer(payload: JsonObject): SimulatedText {
  const gist = gistOf(payload);
  const format = payload.response_format;
  const isJson = isObject(format) && format.type === 'json_object';
  return { content: isJson ? JSON.stringify({ answer: gist }) : `You said: ${gist}` };
}

function gistOf(payload: JsonObject): string {
  const last = messagesOf(payload).findLast(({ role }) => role === 'user');
  const letters = [
    ...textOf(last ?? {})
      .trim()
      .replaceAll(/\s+/g, ' '),
  ];
  return letters.length > GIST_LENGTH ? `${letters.slice(0, GIST_LENGTH).join('')}…` : letters.join('');
}

/** Writes down what the model says. */
export function writeAnswer(payload: JsonObject, text: SimulatedText, frame: AnswerFrame): WrittenAnswer {
  const spoken = speak(payload, text, frame.finishReason);
  const usage = usageOf(payload, spoken);
  const deltas = [
    ...deltasOf(spoken.reasoning, frame.random).map((letters) => ({
      content: null,
      reasoning_content: letters,
    })),
    ...deltasOf(spoken.content, frame.random).map((letters) =>
      isThinking(payload) ? { content: letters, reasoning_content: null } : { content: letters },
    ),
  ];
  const pieces =
    payload.stream === true
      ? eventsOf(payload, { deltas, spoken, usage, frame })
      : piecesOf(JSON.stringify(completionOf(payload, spoken, usage, frame)));
  const contentType = payload.stream === true ? 'text/event-stream; charset=utf-8' : 'application/json';
  return { contentType, pieces, deltas: deltas.length };
}

/** Cuts the text where `max_tokens` is reached; reasoning counts too, and comes first. */
function speak(payload: JsonObject, text: SimulatedText, finishReason: string | undefined): Spoken {
  const { content, reasoningContent = `The user says "${gistOf(payload)}". A short answer will do.` } = text;
  const reasoning = isThinking(payload) ? reasoningContent : '';
  const limit = payload.max_tokens;
  const length = countTokens(reasoning) + countTokens(content);
  if (typeof limit !== 'number' || length <= limit)
    return { reasoning, content, finishReason: finishReason ?? 'stop' };
  const reasoningTokens = Math.min(limit, countTokens(reasoning));
  return {
    reasoning: firstTokens(reasoning, reasoningTokens),
    content: firstTokens(content, limit - reasoningTokens),
    finishReason: finishReason ?? 'length',
  };
}

function firstTokens(text: string, tokens: number): string {
  return [...text].slice(0, tokens * LETTERS_PER_TOKEN).join('');
}

function usageOf(payload: JsonObject, { reasoning, content }: Spoken): JsonObject {
  const prompt = countTokens(messagesOf(payload).map(textOf).join(''));
  const reasoningTokens = countTokens(reasoning);
  const completion = reasoningTokens + countTokens(content);
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_cache_hit_tokens: 0,
    prompt_cache_miss_tokens: prompt,
    ...(isThinking(payload) && { completion_tokens_details: { reasoning_tokens: reasoningTokens } }),
  };
}

interface StreamParts {
  readonly deltas: readonly JsonObject[];
  readonly spoken: Spoken;
  readonly usage: JsonObject;
  readonly frame: AnswerFrame;
}

function eventsOf(payload: JsonObject, { deltas, spoken, usage, frame }: StreamParts): string[] {
  const head = headOf(payload, 'chat.completion.chunk', frame);
  const event = (delta: JsonObject, finishReason: string | null, more: JsonObject = {}): string => {
    const choice = { index: 0, delta, logprobs: null, finish_reason: finishReason };
    return `data: ${JSON.stringify({ ...head, choices: [choice], ...more })}\n\n`;
  };
  const first = isThinking(payload) ? { content: null, reasoning_content: '' } : { content: '' };
  const last = isThinking(payload) ? { content: '', reasoning_content: null } : { content: '' };
  return [
    event({ role: 'assistant', ...first }, null),
    ...deltas.map((delta) => event(delta, null)),
    event(last, spoken.finishReason, { usage }),
    'data: [DONE]\n\n',
  ];
}

function completionOf(
  payload: JsonObject,
  spoken: Spoken,
  usage: JsonObject,
  frame: AnswerFrame,
): JsonObject {
  const reasoning = isThinking(payload) && { reasoning_content: spoken.reasoning };
  const message = { role: 'assistant', content: spoken.content, ...reasoning };
  const choice = { index: 0, message, logprobs: null, finish_reason: spoken.finishReason };
  return { ...headOf(payload, 'chat.completion', frame), choices: [choice], usage };
}

function headOf(payload: JsonObject, object: string, { id, createdSeconds }: AnswerFrame): JsonObject {
  return { id, object, created: createdSeconds, model: payload.model, system_fingerprint: FINGERPRINT };
}

/** The text in deltas of one to three letters. */
function deltasOf(text: string, random: Random): string[] {
  return split(text, () => 1 + Math.floor(random() * MAX_DELTA_LETTERS));
}

/** The pieces in which a text that is not a stream of events goes out. */
export function piecesOf(text: string): string[] {
  return split(text, () => JSON_PIECE_LETTERS);
}

/** Splits between letters, never inside one, however many code units it has. */
function split(text: string, nextLength: () => number): string[] {
  const letters = [...text];
  const parts: string[] = [];
  for (let start = 0; start < letters.length; ) {
    const end = start + nextLength();
    parts.push(letters.slice(start, end).join(''));
    start = end;
  }
  return parts;
}

/** Chance under a seed (mulberry32): small, quick, and the same in every runtime. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d_2b_79_f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Random hexadecimal digits. */
export function hexOf(random: Random, digits: number): string {
  return Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join('');
}
