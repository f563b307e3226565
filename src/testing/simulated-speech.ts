/** @module What of an answer is said in the end: the request may want no reasoning, offer no tools, begin the answer itself, or allow too few tokens. */

import type { Random } from '../core/clock.ts';
import { hexOf } from './seeded-random.ts';
import { gistOf, type SimulatedText } from './simulated-answer.ts';
import { countTokens, isThinking, LETTERS_PER_TOKEN, messagesOf, textOf } from './simulated-checks.ts';
import type { JsonObject } from './simulated-shapes.ts';

/** What is said in the end. */
export interface Spoken {
  readonly reasoning: string;
  readonly content: string;
  readonly calls: readonly SpokenCall[];
  readonly finishReason: string;
}

/** A call of a tool as the service writes it. */
export interface SpokenCall {
  readonly index: number;
  readonly id: string;
  readonly type: 'function';
  readonly function: { readonly name: string; readonly arguments: string };
}

/** Cuts the text where `max_tokens` is reached; reasoning counts too, and comes first. */
export function speak(
  payload: JsonObject,
  text: SimulatedText,
  { finishReason, random }: { readonly finishReason: string | undefined; readonly random: Random },
): Spoken {
  const reasoning = reasoningOf(payload, text);
  const content = continuationOf(payload, text);
  const limit = payload.max_tokens;
  const length = countTokens(reasoning) + countTokens(content);
  if (typeof limit !== 'number' || length <= limit) {
    const calls = callsOf(payload, text, random);
    const usual = calls.length > 0 ? 'tool_calls' : 'stop';
    return { reasoning, content, calls, finishReason: finishReason ?? usual };
  }
  const reasoningTokens = Math.min(limit, countTokens(reasoning));
  return {
    reasoning: firstTokens(reasoning, reasoningTokens),
    content: firstTokens(content, limit - reasoningTokens),
    calls: [],
    finishReason: finishReason ?? 'length',
  };
}

/** An answer that the request has begun was thought over before. */
function reasoningOf(payload: JsonObject, { reasoningContent }: SimulatedText): string {
  if (!isThinking(payload) || prefixOf(payload) !== '') return '';
  return reasoningContent ?? `The user says "${gistOf(payload)}". A short answer will do.`;
}

function continuationOf(payload: JsonObject, { content }: SimulatedText): string {
  const prefix = prefixOf(payload);
  return content.startsWith(prefix) ? content.slice(prefix.length) : content;
}

/** How the answer begins, if the request says so (chat prefix completion). */
function prefixOf(payload: JsonObject): string {
  const last = messagesOf(payload).at(-1);
  return last?.role === 'assistant' && last.prefix === true ? textOf(last) : '';
}

function callsOf(payload: JsonObject, { toolCalls = [] }: SimulatedText, random: Random): SpokenCall[] {
  const { tools, tool_choice: choice } = payload;
  if (!Array.isArray(tools) || tools.length === 0 || choice === 'none') return [];
  return toolCalls.map(({ name, arguments: given = {} }, index) => ({
    index,
    id: `call_${String(index).padStart(2, '0')}_${hexOf(random, 24)}`,
    type: 'function',
    function: { name, arguments: typeof given === 'string' ? given : JSON.stringify(given) },
  }));
}

function firstTokens(text: string, tokens: number): string {
  return [...text].slice(0, tokens * LETTERS_PER_TOKEN).join('');
}

/** What the answer cost. */
export function usageOf(payload: JsonObject, { reasoning, content, calls }: Spoken): JsonObject {
  const prompt = countTokens(messagesOf(payload).map(textOf).join(''));
  const reasoningTokens = countTokens(reasoning);
  const called = calls.map(({ function: tool }) => tool.name + tool.arguments).join('');
  const completion = reasoningTokens + countTokens(content) + countTokens(called);
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_cache_hit_tokens: 0,
    prompt_cache_miss_tokens: prompt,
    ...(isThinking(payload) && { completion_tokens_details: { reasoning_tokens: reasoningTokens } }),
  };
}
