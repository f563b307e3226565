import { PayloadError, payloadSchema } from 'breakwater';
import {
  type ChatRequest,
  chatAnswerSchema,
  chatChunkSchema,
  chatRequestSchema,
  errorBodySchema,
  MAX_OUTPUT_TOKENS,
  RETIRED_FROM_MS,
  RETIRED_MODELS,
} from 'breakwater/deepseek';
import { createFakeClock, createScriptedFetch, createSimulator } from 'breakwater/testing';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { rejectionOf } from '../middleware/witness.ts';
import { ask } from '../testing/ask.ts';
import { endpoint, ping, pong, watch } from './stage.ts';

const user = { role: 'user', content: 'ping' };
const direct = { thinking: { type: 'disabled' } };
const tool = { type: 'function', function: { name: 'f' } };
const call = { id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } };
const called = { role: 'assistant', content: null, reasoning_content: '', tool_calls: [call] };
const answered = { role: 'tool', tool_call_id: 'c', content: '4' };
const json = { type: 'json_object' };

const accepted: [string, object][] = [
  ['the least', {}],
  ...['deepseek-flash', 'deepseek-v4-pro', 'deepseek-v4-flash', 'deepseek-v4-flash-vision-exp'].map(
    (model): [string, object] => [model, { model }],
  ),
  [
    'every role',
    {
      messages: [
        { role: 'system', content: 's' },
        user,
        called,
        answered,
        { role: 'latest_reminder', content: 'r' },
      ],
    },
  ],
  ['an empty text', { messages: [{ role: 'user', content: '' }] }],
  [
    'parts',
    {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'file', file_id: 'f' },
          ],
        },
      ],
    },
  ],
  [
    'names and reasoning',
    { messages: [{ ...user, name: 'n' }, { role: 'assistant', content: 'a', reasoning_content: 'r' }, user] },
  ],
  ...['enabled', 'disabled', 'adaptive'].map((type): [string, object] => [
    `thinking ${type}`,
    { thinking: { type, budget: 1 } },
  ]),
  ...['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max', 'ultra'].map(
    (reasoning_effort): [string, object] => [`effort ${reasoning_effort}`, { reasoning_effort }],
  ),
  [
    'the lowest numbers',
    {
      max_tokens: 1,
      temperature: 0,
      top_p: 1e-9,
      frequency_penalty: -2,
      presence_penalty: -2,
      top_logprobs: 0,
      logprobs: true,
    },
  ],
  [
    'the highest numbers',
    {
      max_tokens: MAX_OUTPUT_TOKENS,
      temperature: 2,
      top_p: 1,
      frequency_penalty: 2,
      presence_penalty: 2,
      top_logprobs: 20,
      logprobs: true,
    },
  ],
  ['one stop', { stop: 'x' }],
  ['many stops', { stop: ['x', 'y'] }],
  ['a stream with usage', { stream: true, stream_options: { include_usage: true } }],
  ['text', { response_format: { type: 'text' } }],
  [
    'JSON asked for in any case',
    { response_format: json, messages: [user, { role: 'user', content: 'as JsOn' }] },
  ],
  [
    'JSON asked for in a part',
    { response_format: json, messages: [{ role: 'user', content: [{ type: 'text', text: 'json' }] }] },
  ],
  [
    'tools',
    {
      tools: [
        tool,
        { type: 'function', function: { name: 'g', description: 'd', parameters: {}, strict: true } },
      ],
    },
  ],
  ...['none', 'auto'].map((tool_choice): [string, object] => [
    `tool_choice ${tool_choice}`,
    { tools: [tool], tool_choice },
  ]),
  ...['required', tool].map((tool_choice): [string, object] => [
    `tool_choice ${JSON.stringify(tool_choice)} without thinking`,
    { ...direct, tools: [tool], tool_choice },
  ]),
  [
    'tool_choice required at effort none',
    { reasoning_effort: 'none', tools: [tool], tool_choice: 'required' },
  ],
  ['a user id', { user_id: 'u 1' }],
  ['fields that nobody knows', { seed: 1, n: 1, prefix_id: { a: [1] } }],
  [
    'null for whatever may be left out',
    Object.fromEntries(
      [
        'thinking',
        'reasoning_effort',
        'max_tokens',
        'temperature',
        'top_p',
        'frequency_penalty',
        'presence_penalty',
        'stop',
        'stream',
      ]
        .concat([
          'stream_options',
          'response_format',
          'tools',
          'tool_choice',
          'logprobs',
          'top_logprobs',
          'user_id',
        ])
        .map((name) => [name, null]),
    ),
  ],
];

const tokens = `must be a whole number from 1 to ${MAX_OUTPUT_TOKENS}`;
const efforts = 'must be one of none, minimal, low, medium, high, xhigh, max, ultra';
const roles = 'must be one of system, user, assistant, tool, latest_reminder';
const choices = 'must be none, auto, required or a function';
const penalty = 'must be a number from -2 to 2';
const content = 'must be set, to an empty string at least';

const refused: [path: string, message: string, patch: object][] = [
  ['model', 'is missing', { model: undefined }],
  ['model', 'must be a string', { model: 7 }],
  ['model', 'must not be empty', { model: '' }],
  ['messages', 'is missing', { messages: undefined }],
  ['messages', 'must be an array', { messages: 'ping' }],
  ['messages', 'must hold at least one message', { messages: [] }],
  ['messages[1]', 'must be an object', { messages: [user, 'ping'] }],
  ['messages[1].role', 'is missing', { messages: [user, { content: 'a' }] }],
  ['messages[0].role', roles, { messages: [{ role: 'developer', content: 'a' }] }],
  ['messages[0].role', roles, { messages: [{ role: 'User', content: 'a' }] }],
  ['messages[0].content', content, { messages: [{ role: 'user' }] }],
  ['messages[1].content', content, { messages: [user, { role: 'assistant', content: null }] }],
  [
    'messages[0].content',
    'must be a string or an array of parts',
    { messages: [{ role: 'user', content: 7 }] },
  ],
  ['thinking', 'must be an object with a "type"', { thinking: 'enabled' }],
  ['thinking', 'must be an object with a "type"', { thinking: true }],
  ['thinking.type', 'is missing', { thinking: {} }],
  ['thinking.type', 'must be one of enabled, disabled, adaptive', { thinking: { type: 'Enabled' } }],
  ['reasoning_effort', efforts, { reasoning_effort: 'huge' }],
  ['reasoning_effort', efforts, { reasoning_effort: 3 }],
  ...[0, -1, MAX_OUTPUT_TOKENS + 1, 1.5, '16'].map((max_tokens): (typeof refused)[number] => [
    'max_tokens',
    tokens,
    { max_tokens },
  ]),
  ...[-0.1, 2.1, '1'].map((temperature): (typeof refused)[number] => [
    'temperature',
    'must be a number from 0 to 2',
    { temperature },
  ]),
  ['top_p', 'must be above 0', { top_p: 0 }],
  ['top_p', 'must be at most 1', { top_p: 1.01 }],
  ['top_p', 'must be a number', { top_p: '1' }],
  ...[-2.1, 2.1, '0'].flatMap((value): (typeof refused)[number][] => [
    ['frequency_penalty', penalty, { frequency_penalty: value }],
    ['presence_penalty', penalty, { presence_penalty: value }],
  ]),
  ['stream', 'must be true or false', { stream: 'true' }],
  ['stream_options', 'needs "stream": true', { stream_options: { include_usage: true } }],
  ['stream_options', 'needs "stream": true', { stream: false, stream_options: {} }],
  ['stream_options', 'must be an object', { stream: true, stream_options: true }],
  [
    'response_format.type',
    'must be one of text, json_object',
    { response_format: { type: 'json_schema' }, messages: [{ role: 'user', content: 'json' }] },
  ],
  ['response_format', 'must be an object', { response_format: 'json_object' }],
  [
    'messages',
    'must contain the word "json" when response_format asks for a JSON object',
    { response_format: json },
  ],
  ['tools', 'must be an array', { tools: tool }],
  ['tool_choice', choices, { tool_choice: 'any' }],
  ['tool_choice', choices, { ...direct, tool_choice: { type: 'function', name: 'f' } }],
  ...['required', tool].map((tool_choice): (typeof refused)[number] => [
    'tool_choice',
    'must be none or auto while thinking is on',
    { tools: [tool], tool_choice },
  ]),
  ['logprobs', 'must be true or false', { logprobs: 1 }],
  ['top_logprobs', 'needs "logprobs": true', { top_logprobs: 2 }],
  ['top_logprobs', 'needs "logprobs": true', { logprobs: false, top_logprobs: 0 }],
  ...[-1, 21, 1.5].map((top_logprobs): (typeof refused)[number] => [
    'top_logprobs',
    'must be a whole number from 0 to 20',
    { logprobs: true, top_logprobs },
  ]),
];

/** The issues of a request that is posted through the schema; nothing is sent where there are some. */
async function issuesOf(payload: object): Promise<PayloadError['issues']> {
  const fetch = createScriptedFetch().always(200);
  const sent = payloadSchema(chatRequestSchema)(fetch)(endpoint, {
    method: 'POST',
    body: JSON.stringify(payload),
  });
  const error = await sent.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(fetch.calls).toHaveLength(error ? 0 : 1);
  if (!error) return [];
  if (!(error instanceof PayloadError)) throw error;
  return error.issues;
}

const service = createSimulator();

describe('chatRequestSchema', () => {
  it.each(accepted)('accepts what the service accepts: %s', async (_what, patch) => {
    const payload = { ...ping, ...patch };
    expect(await issuesOf(payload)).toEqual([]);
    expect((await ask(service, payload)).status).toBe(200);
  });

  it.each(refused)('refuses what the service refuses: %s %s: %o', async (path, message, patch) => {
    const payload = { ...ping, ...patch };
    expect(await issuesOf(payload)).toEqual([{ path, message }]);
    expect((await ask(service, payload)).status).toBe(400);
  });

  it.each([
    ['a list', [1], ['model', 'messages']],
    ['a text', 'ping', ['']],
    ['null', null, ['']],
  ])('refuses a body that is %s', async (_what, payload, paths) => {
    expect((await issuesOf(payload as object)).map(({ path }) => path)).toEqual(paths);
  });

  it('tells every mistake at once, and those across fields with them', async () => {
    const payload = { model: 'm', messages: [user], temperature: 9, max_tokens: 0, stream_options: {} };
    const issues = await issuesOf(payload);
    expect(issues.map(({ path }) => path)).toEqual(['max_tokens', 'temperature', 'stream_options']);
  });

  it.each<[string, unknown[], string[]]>([
    [
      'tool calls',
      [{ ...called, tool_calls: [{ function: { name: 'f' } }] }],
      ['messages[0].tool_calls[0].id', 'messages[0].tool_calls[0].function.arguments'],
    ],
    ['tool calls that are no list', [{ ...called, tool_calls: call }], ['messages[0].tool_calls']],
    [
      'reasoning that is no text',
      [{ role: 'assistant', content: 'a', reasoning_content: [] }],
      ['messages[0].reasoning_content'],
    ],
    ['a part without a type', [{ role: 'user', content: [{ text: 'a' }] }], ['messages[0].content']],
  ])('looks into %s', async (_what, messages, paths) => {
    expect((await issuesOf({ ...ping, messages })).map(({ path }) => path)).toEqual(paths);
  });

  it.each<[string, object]>([
    ['tools[1].function', { tools: [tool, { type: 'function' }] }],
    ['tools[0].function.name', { tools: [{ type: 'function', function: {} }] }],
    ['tools[0].type', { tools: [{ ...tool, type: 'web_search' }] }],
    ['stop', { stop: 7 }],
    ['stop', { stop: [7] }],
    ['user_id', { user_id: 7 }],
    ['stream_options.include_usage', { stream: true, stream_options: { include_usage: 1 } }],
  ])('names the place of a wrong type: %s', async (path, patch) => {
    expect((await issuesOf({ ...ping, ...patch })).map((issue) => issue.path)).toEqual([path]);
  });

  it('never repeats what was given', async () => {
    const secret = 'hunter2';
    const patch = {
      thinking: { type: secret },
      tool_choice: secret,
      reasoning_effort: secret,
      stop: [secret, 7],
    };
    const issues = await issuesOf({ ...ping, ...patch, messages: [{ role: secret, content: secret }] });
    expect(issues).toHaveLength(5);
    expect(JSON.stringify(issues)).not.toContain(secret);
  });

  it('knows no model by a name that every object has', async () => {
    expect(await issuesOf({ ...ping, model: 'constructor' })).toEqual([]);
  });
});

describe('a retired model', () => {
  const old = Object.entries(RETIRED_MODELS);

  function at(wallMs: number) {
    return watch(createScriptedFetch().always({ body: pong }), {}, createFakeClock({ wallMs }));
  }

  it('has its instant from the announcement', () => {
    expect(new Date(RETIRED_FROM_MS).toISOString()).toBe('2026-07-24T15:59:00.000Z');
    expect(old.map(([model]) => model)).toEqual(['deepseek-chat', 'deepseek-reasoner', 'deepseek-coder']);
  });

  it.each(old)('%s is refused from that instant on, with %s in its place', async (model, replacement) => {
    const { ai, run } = at(RETIRED_FROM_MS);
    const error = await rejectionOf(run(ai.chat({ ...ping, model })));
    expect(error).toMatchObject({
      code: 'PAYLOAD_INVALID',
      message: `Request body is invalid: model: is retired: use ${replacement}`,
    });
  });

  it.each(old)('%s is sent before, with the advice to use %s', async (model, replacement) => {
    const { ai, run, of } = at(RETIRED_FROM_MS - 1);
    expect(await run(ai.chat({ ...ping, model }))).toHaveProperty('content', 'pong');
    expect(of('payload.advice')).toEqual([
      { issues: [{ path: 'model', message: `retires on 2026-07-24 at 15:59 UTC: use ${replacement}` }] },
    ]);
  });

  it('is refused by the exported schema, whose clock is that of the runtime', () => {
    expect(v.is(chatRequestSchema, { ...ping, model: 'deepseek-chat' })).toBe(false);
    expect(v.is(chatRequestSchema, ping)).toBe(true);
  });
});

describe('the schemas of what comes back', () => {
  it.each<[string, v.GenericSchema, unknown]>([
    ['an answer', chatAnswerSchema, pong],
    [
      'an answer of nulls',
      chatAnswerSchema,
      {
        usage: null,
        choices: [
          { finish_reason: null, message: { content: null, reasoning_content: null, tool_calls: null } },
        ],
      },
    ],
    [
      'an answer with fields of its own',
      chatAnswerSchema,
      { ...pong, z: 1, choices: [{ message: { content: '', z: 1 }, logprobs: {} }] },
    ],
    ['an answer that calls a tool', chatAnswerSchema, { choices: [{ message: { tool_calls: [call] } }] }],
    [
      'an answer with usage',
      chatAnswerSchema,
      { ...pong, usage: { total_tokens: 1, completion_tokens_details: { reasoning_tokens: 1 }, z: 1 } },
    ],
    ['a chunk', chatChunkSchema, { choices: [{ delta: { content: 'a' } }] }],
    ['a chunk of nulls', chatChunkSchema, { usage: null, choices: [{ delta: null, finish_reason: null }] }],
    ['a chunk without choices', chatChunkSchema, { usage: { total_tokens: 1 } }],
    [
      'a chunk of a tool call',
      chatChunkSchema,
      { choices: [{ delta: { tool_calls: [{ index: 0, id: null, function: { arguments: '{' } }] } }] },
    ],
    ['an error', errorBodySchema, { error: { message: 'm', type: 't', param: null, code: 502 } }],
    ['an error without type', errorBodySchema, { error: { message: 'm' }, z: 1 }],
  ])('accept %s, and keep all of it', (_what, schema, value) => {
    expect(v.parse(schema, value)).toEqual(value);
  });

  it.each<[string, v.GenericSchema, unknown]>([
    ['an answer without choices', chatAnswerSchema, { id: 'a' }],
    ['an answer without a choice', chatAnswerSchema, { choices: [] }],
    ['an answer without a message', chatAnswerSchema, { choices: [{}] }],
    ['an answer whose content is a number', chatAnswerSchema, { choices: [{ message: { content: 1 } }] }],
    ['a chunk whose delta is a text', chatChunkSchema, { choices: [{ delta: 'a' }] }],
    ['a text', chatChunkSchema, 'a'],
    ['an error that is a text', errorBodySchema, { error: 'm' }],
    ['an error without message', errorBodySchema, { error: { type: 't' } }],
  ])('refuse %s', (_what, schema, value) => {
    expect(v.is(schema, value)).toBe(false);
  });

  it('take the request type for what the schema lets through', () => {
    const request: ChatRequest = v.parse(chatRequestSchema, { ...ping, seed: 1 });
    expect(request).toEqual({ ...ping, seed: 1 });
  });
});
