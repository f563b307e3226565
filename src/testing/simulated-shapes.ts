/** @module The first half of the payload check: whether the JSON has the shape that the service deserializes. Its messages name the path and stop at the first mistake. */

/** A JSON object whose members are not known yet. */
export interface JsonObject {
  readonly [name: string]: unknown;
}

const ROLES = ['system', 'user', 'assistant', 'tool', 'latest_reminder'];
const EFFORTS = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max', 'ultra'];

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What does not deserialize, in the words of the service, without the place in the text; undefined when all does. */
export function shapeMistake(payload: unknown): string | undefined {
  if (!isObject(payload)) return `invalid type: ${kind(payload)}, expected struct ChatCompletionRequest`;
  return (
    missing(payload, 'model') ??
    missing(payload, 'messages') ??
    typeMistake(payload) ??
    thinkingMistake(payload.thinking) ??
    variantMistake('reasoning_effort', payload.reasoning_effort, EFFORTS) ??
    toolChoiceMistake(payload.tool_choice) ??
    messagesMistake(payload.messages)
  );
}

interface TypeRule {
  readonly names: readonly string[];
  readonly expected: string;
  readonly isValid: (value: unknown) => boolean;
}

const TYPE_RULES: readonly TypeRule[] = [
  { names: ['model'], expected: 'a string', isValid: (value) => typeof value === 'string' },
  { names: ['messages'], expected: 'a sequence', isValid: Array.isArray },
  { names: ['tools'], expected: 'a sequence', isValid: orNull(Array.isArray) },
  {
    names: ['temperature', 'top_p', 'presence_penalty', 'frequency_penalty'],
    expected: 'f32',
    isValid: orNull((value) => typeof value === 'number'),
  },
  { names: ['max_tokens', 'top_logprobs'], expected: 'i64', isValid: orNull(Number.isInteger) },
  {
    names: ['stream', 'logprobs'],
    expected: 'a boolean',
    isValid: orNull((value) => typeof value === 'boolean'),
  },
  { names: ['stream_options'], expected: 'struct StreamOptions', isValid: orNull(isObject) },
  { names: ['response_format'], expected: 'struct ResponseFormat', isValid: orNull(isObject) },
];

function orNull(isValid: (value: unknown) => boolean): (value: unknown) => boolean {
  return (value) => value === null || value === undefined || isValid(value);
}

function typeMistake(payload: JsonObject): string | undefined {
  for (const { names, expected, isValid } of TYPE_RULES) {
    const name = names.find((candidate) => !isValid(payload[candidate]));
    if (name) return `${name}: invalid type: ${kind(payload[name])}, expected ${expected}`;
  }
  return undefined;
}

function thinkingMistake(thinking: unknown): string | undefined {
  if (thinking === undefined || thinking === null) return undefined;
  if (!isObject(thinking))
    return `thinking: invalid type: ${kind(thinking)}, expected struct ThinkingOptions`;
  return (
    missing(thinking, 'type', 'thinking: ') ??
    variantMistake('thinking.type', thinking.type, ['adaptive', 'enabled', 'disabled'])
  );
}

function toolChoiceMistake(choice: unknown): string | undefined {
  const isNamed = isObject(choice) && isObject(choice.function);
  const isKnown =
    choice === undefined || choice === null || ['none', 'auto', 'required'].includes(`${choice}`);
  if (isNamed || isKnown) return undefined;
  return 'tool_choice: expected one of `none`, `auto`, `required` or a tool';
}

function messagesMistake(messages: unknown): string | undefined {
  for (const [index, message] of (messages as unknown[]).entries()) {
    const mistake = messageMistake(message, `messages[${index}]`);
    if (mistake) return mistake;
  }
  return undefined;
}

function messageMistake(message: unknown, path: string): string | undefined {
  if (!isObject(message)) return `${path}: invalid type: ${kind(message)}, expected struct Message`;
  const { role, content } = message;
  const mistake = missing(message, 'role', `${path}: `) ?? variantMistake(`${path}.role`, role, ROLES);
  if (mistake) return mistake;
  if (role === 'tool' && typeof message.tool_call_id !== 'string')
    return `${path}: missing field \`tool_call_id\``;
  if (content === undefined && role !== 'assistant') return `${path}: missing field \`content\``;
  const isAllowed =
    typeof content === 'string' ||
    (role === 'assistant' && (content === null || content === undefined)) ||
    (role === 'user' && Array.isArray(content));
  return isAllowed ? undefined : `${path}.content: invalid type: ${kind(content)}, expected a string`;
}

function missing(object: JsonObject, name: string, prefix = ''): string | undefined {
  return object[name] === undefined ? `${prefix}missing field \`${name}\`` : undefined;
}

function variantMistake(path: string, value: unknown, variants: readonly string[]): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') return `${path}: invalid type: ${kind(value)}, expected a string`;
  if (variants.includes(value)) return undefined;
  const expected = variants.map((variant) => `\`${variant}\``).join(', ');
  return `${path}: unknown variant \`${value}\`, expected one of ${expected}`;
}

/** A value in the words of the deserializer. */
function kind(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'string') return `string ${JSON.stringify(value)}`;
  if (typeof value === 'boolean') return `boolean \`${value}\``;
  if (typeof value === 'number')
    return `${Number.isInteger(value) ? 'integer' : 'floating point'} \`${value}\``;
  return Array.isArray(value) ? 'sequence' : 'map';
}
