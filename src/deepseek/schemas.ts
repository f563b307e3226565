/**
 * @module The shapes of the service: what a request must look like, and what an answer does. All are loose, because the service adds
 * fields, and a field that is stripped from a conversation can itself cause a 400. A request is only called wrong where the
 * service has been seen to refuse it; the messages say what is allowed and never repeat what was given.
 */

import * as v from 'valibot';
import { systemClock } from '../core/clock.ts';
import { MAX_OUTPUT_TOKENS, RETIRED_FROM_MS, replacementOf } from './facts/models.ts';
import { isThinking } from './mode.ts';
import type { ChatAnswer, ChatAnswerChunk, ChatRequest, ErrorBody } from './types.ts';

const text = v.nullish(v.string('must be a string'));
const flag = v.nullish(v.boolean('must be true or false'));

type Numeric = v.GenericSchema<number | null | undefined>;

function between(min: number, max: number): Numeric {
  const message = `must be a number from ${min} to ${max}`;
  return v.nullish(v.pipe(v.number(message), v.minValue(min, message), v.maxValue(max, message)));
}

function wholeBetween(min: number, max: number): Numeric {
  const message = `must be a whole number from ${min} to ${max}`;
  return v.nullish(
    v.pipe(v.number(message), v.integer(message), v.minValue(min, message), v.maxValue(max, message)),
  );
}

function variant<const Values extends readonly string[]>(values: Values): v.GenericSchema<Values[number]> {
  return v.picklist(values, `must be one of ${values.join(', ')}`);
}

/** An object; valibot gives a missing field the message of the whole, which would call the field no object. */
function object<const Entries extends v.ObjectEntries>(
  entries: Entries,
  message = 'must be an object',
): v.LooseObjectSchema<Entries, v.ErrorMessage<v.LooseObjectIssue>> {
  return v.looseObject(entries, ({ expected }) => (expected === 'Object' ? message : 'is missing'));
}

const name = v.string('must be a string');

const toolCall = object({
  id: v.string('must be a string'),
  function: object({ name, arguments: v.string('must be a string of JSON') }),
});

const content = v.nullish(
  v.union(
    [v.string(), v.array(v.looseObject({ type: v.string() }))],
    'must be a string or an array of parts',
  ),
);

const message = v.pipe(
  object({
    role: variant(['system', 'user', 'assistant', 'tool', 'latest_reminder']),
    content,
    reasoning_content: text,
    tool_calls: v.nullish(v.array(toolCall, 'must be an array')),
  }),
  v.forward(
    v.check(
      ({ role, content, tool_calls }) => content != null || (role === 'assistant' && tool_calls != null),
      'must be set, to an empty string at least',
    ),
    ['content'],
  ),
);

const fields: v.GenericSchema<ChatRequest> = object({
  model: v.pipe(v.string('must be a string'), v.nonEmpty('must not be empty')),
  messages: v.pipe(v.array(message, 'must be an array'), v.nonEmpty('must hold at least one message')),
  thinking: v.nullish(
    object({ type: variant(['enabled', 'disabled', 'adaptive']) }, 'must be an object with a "type"'),
  ),
  reasoning_effort: v.nullish(variant(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max', 'ultra'])),
  max_tokens: wholeBetween(1, MAX_OUTPUT_TOKENS),
  temperature: between(0, 2),
  top_p: v.nullish(
    v.pipe(v.number('must be a number'), v.gtValue(0, 'must be above 0'), v.maxValue(1, 'must be at most 1')),
  ),
  frequency_penalty: between(-2, 2),
  presence_penalty: between(-2, 2),
  stop: v.nullish(v.union([v.string(), v.array(v.string())], 'must be a string or an array of strings')),
  stream: flag,
  stream_options: v.nullish(object({ include_usage: flag })),
  response_format: v.nullish(object({ type: variant(['text', 'json_object']) })),
  tools: v.nullish(
    v.array(object({ type: variant(['function']), function: object({ name }) }), 'must be an array'),
  ),
  tool_choice: v.nullish(
    v.union(
      [
        v.picklist(['none', 'auto', 'required']),
        v.looseObject({ type: v.literal('function'), function: v.looseObject({ name: v.string() }) }),
      ],
      'must be none, auto, required or a function',
    ),
  ),
  logprobs: flag,
  top_logprobs: wholeBetween(0, 20),
  user_id: text,
});

/** A condition across fields, whose issue is told at one of them. */
function rule(
  field: keyof ChatRequest & string,
  holds: (request: ChatRequest) => boolean,
  message: v.ErrorMessage<v.CheckIssue<ChatRequest>>,
): v.BaseValidation<ChatRequest, ChatRequest, v.CheckIssue<ChatRequest>> {
  return v.forward(v.check(holds, message), [field]);
}

/** What is wrong with a request that asks for JSON without a word of it. */
export const NO_MENTION = 'must contain the word "json" when response_format asks for a JSON object';

/** Whether a request that asks for JSON says so in its messages, as the service demands. */
export function mentionsJson({ messages, response_format }: ChatRequest): boolean {
  return response_format?.type !== 'json_object' || /json/i.test(JSON.stringify(messages));
}

/** The schema of requests at a time of day that `wall` tells, in milliseconds since 1970. */
export function createChatRequestSchema(wall: () => number): v.GenericSchema<ChatRequest> {
  return v.pipe(
    fields,
    rule(
      'model',
      ({ model }) => replacementOf(model) === undefined || wall() < RETIRED_FROM_MS,
      ({ input }) => `is retired: use ${replacementOf(input.model)}`,
    ),
    rule('messages', mentionsJson, NO_MENTION),
    rule(
      'stream_options',
      ({ stream, stream_options }) => stream_options == null || stream === true,
      'needs "stream": true',
    ),
    rule(
      'top_logprobs',
      ({ logprobs, top_logprobs }) => top_logprobs == null || logprobs === true,
      'needs "logprobs": true',
    ),
    rule(
      'tool_choice',
      (request) =>
        request.tool_choice == null ||
        /^(none|auto)$/.test(String(request.tool_choice)) ||
        !isThinking(request),
      'must be none or auto while thinking is on',
    ),
  );
}

/** What the service takes as a request for a chat completion. */
export const chatRequestSchema: v.GenericSchema<ChatRequest> = createChatRequestSchema(() =>
  systemClock.wall(),
);

const usage = v.looseObject({
  prompt_tokens: v.optional(v.number()),
  completion_tokens: v.optional(v.number()),
  total_tokens: v.optional(v.number()),
  prompt_cache_hit_tokens: v.optional(v.number()),
  prompt_cache_miss_tokens: v.optional(v.number()),
  completion_tokens_details: v.nullish(v.looseObject({ reasoning_tokens: v.optional(v.number()) })),
});
const answered = { id: v.optional(v.string()), model: v.optional(v.string()), usage: v.nullish(usage) };
const texts = { content: v.nullish(v.string()), reasoning_content: v.nullish(v.string()) };
const finish_reason = v.nullish(v.string());

/** A whole answer. */
export const chatAnswerSchema: v.GenericSchema<ChatAnswer> = v.looseObject({
  ...answered,
  choices: v.pipe(
    v.array(
      v.looseObject({
        finish_reason,
        message: v.looseObject({ ...texts, tool_calls: v.nullish(v.array(toolCall)) }),
      }),
    ),
    v.nonEmpty('must hold a choice'),
  ),
});

const toolCallDelta = v.looseObject({
  index: v.optional(v.number()),
  id: v.nullish(v.string()),
  function: v.nullish(v.looseObject({ name: v.nullish(v.string()), arguments: v.nullish(v.string()) })),
});

/** One event of a streamed answer. */
export const chatChunkSchema: v.GenericSchema<ChatAnswerChunk> = v.looseObject({
  ...answered,
  choices: v.nullish(
    v.array(
      v.looseObject({
        finish_reason,
        delta: v.nullish(v.looseObject({ ...texts, tool_calls: v.nullish(v.array(toolCallDelta)) })),
      }),
    ),
  ),
});

/** The body of an error, which gateways do not all send in this shape. */
export const errorBodySchema: v.GenericSchema<ErrorBody> = v.looseObject({
  error: v.looseObject({ message: v.string(), type: v.nullish(v.string()) }),
});
