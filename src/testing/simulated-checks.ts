/** @module What the service refuses, with its own words and content types: the key, then the JSON, then its shape, then what the fields mean. */

import { errorBody, type ServiceReply, UNTYPED } from './service-replies.ts';
import { isObject, type JsonObject, shapeMistake } from './simulated-shapes.ts';

/** The models that the service lists. */
export const MODELS: readonly string[] = ['deepseek-flash', 'deepseek-v4-pro'];
const ACCEPTED_MODELS: readonly unknown[] = [...MODELS, 'deepseek-v4-flash', 'deepseek-v4-flash-vision-exp'];
const MAX_CONTEXT_TOKENS = 1_048_576;
const MAX_OUTPUT_TOKENS = 393_216;

/** Refuses a key as the service does; undefined when it is accepted. */
export function refuseKey(
  authorization: string | null,
  apiKeys: readonly string[] | undefined,
): ServiceReply | undefined {
  if (!authorization) return { status: 401, contentType: null, body: 'Authentication Fails (governor)' };
  const key = /^Bearer +(\S+)$/i.exec(authorization)?.[1];
  if (!key) return keyReply('Authentication Fails (auth header format should be Bearer sk-...)');
  const isAccepted = apiKeys ? apiKeys.includes(key) : /^sk-[\x21-\x7e]+$/.test(key);
  if (isAccepted) return undefined;
  return keyReply(`Authentication Fails, Your api key: ****${key.slice(-4)} is invalid`);
}

function keyReply(message: string): ServiceReply {
  return {
    status: 401,
    contentType: 'application/json',
    body: errorBody(message, 'authentication_error'),
  };
}

/** A payload that can be answered, or what is said against it. */
export type ReadPayload =
  | { readonly refusal: ServiceReply; readonly payload?: undefined }
  | { readonly refusal?: undefined; readonly payload: JsonObject };

/** Refuses the text of a payload as the service does; otherwise hands back what it says. */
export function readPayload(text: string, isBeta: boolean): ReadPayload {
  let payload: unknown;
  try {
    payload = JSON.parse(text);
  } catch {
    const message = `Failed to parse the request body as JSON: expected value ${endOf(text)}`;
    return { refusal: { status: 400, contentType: UNTYPED, body: message } };
  }
  const mistake = shapeMistake(payload);
  if (mistake) {
    const message = `Failed to deserialize the JSON body into the target type: ${mistake} ${endOf(text)}`;
    return { refusal: badRequest(message, 'application/json') };
  }
  const request = payload as JsonObject;
  const rules = isBeta ? RULES : [...RULES, refusePrefix];
  const complaint = rules.map((rule) => rule(request)).find((found) => found !== undefined);
  return complaint ? { refusal: badRequest(complaint, UNTYPED) } : { payload: request };
}

function badRequest(message: string, contentType: string): ServiceReply {
  return { status: 400, contentType, body: errorBody(message, 'invalid_request_error') };
}

function endOf(text: string): string {
  const lines = text.split('\n');
  return `at line ${lines.length} column ${lines.at(-1)?.length}`;
}

/** Whether the model thinks: it does unless it is told not to. */
export function isThinking({ thinking, reasoning_effort: effort }: JsonObject): boolean {
  return !(isObject(thinking) && thinking.type === 'disabled') && effort !== 'none';
}

/** The messages of a payload whose shape has been checked. */
export function messagesOf(payload: JsonObject): readonly JsonObject[] {
  return payload.messages as readonly JsonObject[];
}

/** Everything that a message says, as text. */
export function textOf({ content }: JsonObject): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content.map((part) => (isObject(part) && typeof part.text === 'string' ? part.text : '')).join('\n');
}

/** The service has its own tokenizer; for English this is near it. */
export const LETTERS_PER_TOKEN = 4;

/** A rough count of tokens. */
export function countTokens(text: string): number {
  return Math.ceil(text.length / LETTERS_PER_TOKEN);
}

type Rule = (payload: JsonObject) => string | undefined;

const RULES: readonly Rule[] = [
  ({ model }) =>
    ACCEPTED_MODELS.includes(model)
      ? undefined
      : `The supported API model names are ${MODELS.join(', ')}, but you passed ${model}.`,
  (payload) => (messagesOf(payload).length === 0 ? 'Empty input messages' : undefined),
  range('temperature', '[0, 2]', (value) => value >= 0 && value <= 2),
  range('top_p', '(0, 1].', (value) => value > 0 && value <= 1),
  range('presence_penalty', '[-2, 2]', (value) => value >= -2 && value <= 2),
  range('frequency_penalty', '[-2, 2]', (value) => value >= -2 && value <= 2),
  range('max_tokens', `[1, ${MAX_OUTPUT_TOKENS}]`, (value) => value >= 1 && value <= MAX_OUTPUT_TOKENS),
  range('top_logprobs', '[0, 20].', (value) => value >= 0 && value <= 20),
  ({ top_logprobs: count, logprobs }) =>
    typeof count === 'number' && logprobs !== true
      ? 'Invalid top_logprobs and logprobs value, logprobs must be set to true if top_logprobs is used.'
      : undefined,
  ({ stream, stream_options: options }) =>
    isObject(options) && stream !== true
      ? 'stream_options should be set along with stream = true'
      : undefined,
  refuseFormat,
  (payload) => {
    const choice = payload.tool_choice;
    return isThinking(payload) && (choice === 'required' || isObject(choice))
      ? 'Thinking mode does not support this tool_choice'
      : undefined;
  },
  (payload) => messagesOf(payload).map(refuseMessage(payload)).find(Boolean),
  refuseLength,
];

function range(name: string, allowed: string, isInside: (value: number) => boolean): Rule {
  return ({ [name]: value }) =>
    typeof value !== 'number' || isInside(value)
      ? undefined
      : `Invalid ${name} value, the valid range of ${name} is ${allowed}`;
}

function refuseFormat(payload: JsonObject): string | undefined {
  const format = payload.response_format;
  if (!isObject(format) || format.type === 'text') return undefined;
  if (format.type !== 'json_object') return 'This response_format type is unavailable now';
  if (messagesOf(payload).some((message) => /json/i.test(textOf(message)))) return undefined;
  return "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'.";
}

function refuseMessage(payload: JsonObject): (message: JsonObject, index: number) => string | undefined {
  const needsReasoning = isThinking(payload) && Array.isArray(payload.tools) && payload.tools.length > 0;
  return (message, index) => {
    const { role, content, tool_calls: calls } = message;
    const hasImage =
      Array.isArray(content) && content.some((part) => isObject(part) && part.type === 'image_url');
    if (hasImage && payload.model === 'deepseek-v4-pro') return 'This model does not support image';
    if (role !== 'assistant') return undefined;
    if (typeof content !== 'string' && !Array.isArray(calls))
      return 'Invalid assistant message: content or tool_calls must be set';
    if (needsReasoning && typeof message.reasoning_content !== 'string')
      return 'The `reasoning_content` in the thinking mode must be passed back to the API.';
    return Array.isArray(calls) ? refuseToolCalls(calls, messagesOf(payload).slice(index + 1)) : undefined;
  };
}

/** Every tool call must be answered by a tool message before anything else is said. */
function refuseToolCalls(calls: readonly unknown[], after: readonly JsonObject[]): string | undefined {
  const end = after.findIndex(({ role }) => role !== 'tool');
  const answered = (end === -1 ? after : after.slice(0, end)).map(({ tool_call_id: id }) => id);
  if (calls.every((call) => isObject(call) && answered.includes(call.id))) return undefined;
  return "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. (insufficient tool messages following tool_calls message)";
}

/** The words are from QuantumNous/new-api#999. */
function refusePrefix(payload: JsonObject): string | undefined {
  if (!messagesOf(payload).some(({ prefix }) => prefix === true)) return undefined;
  return 'prefix is only available when using beta api (set base_url="https://api.deepseek.com/beta")';
}

function refuseLength(payload: JsonObject): string | undefined {
  const prompt = countTokens(messagesOf(payload).map(textOf).join(''));
  const output = typeof payload.max_tokens === 'number' ? payload.max_tokens : 0;
  if (prompt + output <= MAX_CONTEXT_TOKENS) return undefined;
  return `This model's maximum context length is ${MAX_CONTEXT_TOKENS} tokens. However, you requested ${prompt + output} tokens (${prompt} in the messages, ${output} in the completion). Please reduce the length of the messages or completion.`;
}
