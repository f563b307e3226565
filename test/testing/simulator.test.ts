import { createFakeClock, createSimulator, type SimulatorOptions } from 'breakwater/testing';
import { describe, expect, it } from 'vitest';
import { ask, base, chunksOf, key, ping, user } from './ask.ts';

interface Completion {
  readonly choices: readonly { readonly message: Readonly<Record<string, string>> }[];
  readonly usage: object;
}

async function errorOf(payload: unknown): Promise<{ status: number; type: string | null; message: string }> {
  const response = await ask(createSimulator(), payload);
  const { error } = (await response.json()) as { error: { message: string; code: string } };
  expect(error.code).toBe('invalid_request_error');
  return { status: response.status, type: response.headers.get('content-type'), message: error.message };
}

describe('createSimulator()', () => {
  it('answers whole, with reasoning and usage', async () => {
    const response = await ask(createSimulator({ clock: createFakeClock({ wallMs: 7000 }) }), ping);
    expect(response.status).toBe(200);
    expect(response.url).toBe(`${base}/chat/completions`);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('x-ds-trace-id')).toMatch(/^[0-9a-f]{32}$/);
    expect(await response.json()).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
      object: 'chat.completion',
      created: 7,
      model: 'deepseek-v4-flash',
      system_fingerprint: expect.any(String),
      choices: [
        {
          index: 0,
          message: {
            role: 'assistant',
            content: 'You said: ping',
            reasoning_content: 'The user says "ping". A short answer will do.',
          },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: 1,
        completion_tokens: 16,
        total_tokens: 17,
        prompt_cache_hit_tokens: 0,
        prompt_cache_miss_tokens: 1,
        completion_tokens_details: { reasoning_tokens: 12 },
      },
    });
  });

  it.each([{ thinking: { type: 'disabled' } }, { reasoning_effort: 'none' }])(
    'does not reason with %o',
    async (more) => {
      const response = await ask(createSimulator(), { ...ping, ...more });
      const { choices, usage } = (await response.json()) as Completion;
      expect(choices[0]).toHaveProperty('message', { role: 'assistant', content: 'You said: ping' });
      expect(usage).not.toHaveProperty('completion_tokens_details');
    },
  );

  it('streams a role, the reasoning, the answer, a finish with usage, and [DONE]', async () => {
    const response = await ask(createSimulator(), { ...ping, stream: true });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const text = await response.text();
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
    const chunks = chunksOf(text);
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: 'assistant', content: null, reasoning_content: '' });
    const said = (name: 'content' | 'reasoning_content') =>
      chunks.map(({ choices }) => choices[0]?.delta[name] ?? '').join('');
    expect(said('content')).toBe('You said: ping');
    expect(said('reasoning_content')).toBe('The user says "ping". A short answer will do.');
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    const last = chunks.at(-1);
    expect(last?.choices[0]?.finish_reason).toBe('stop');
    expect(last?.usage).toMatchObject({ total_tokens: 17 });
    expect(
      chunks.slice(0, -1).every(({ usage, choices }) => !usage && choices[0]?.finish_reason === null),
    ).toBe(true);
  });

  it('streams without reasoning when thinking is off', async () => {
    const payload = { ...ping, stream: true, thinking: { type: 'disabled' } };
    const text = await (await ask(createSimulator(), payload)).text();
    expect(text).not.toContain('reasoning');
    expect(chunksOf(text)[0]?.choices[0]?.delta).toEqual({ role: 'assistant', content: '' });
  });

  it('never splits a letter', async () => {
    const answer = '👩‍👩‍👧 naïve 数学 🏳️‍🌈';
    const text = await (await ask(createSimulator({ answer }), { ...ping, stream: true })).text();
    const letters = chunksOf(text).map(({ choices }) => choices[0]?.delta.content ?? '');
    expect(letters.join('')).toBe(answer);
    expect(letters.every((part) => part.isWellFormed())).toBe(true);
  });

  it('answers the same under the same seed, and otherwise under another', async () => {
    const clock = createFakeClock();
    const record = async (options: SimulatorOptions) => {
      const simulator = createSimulator({ clock, ...options });
      const first = await (await ask(simulator, { ...ping, stream: true })).text();
      return first + (await (await ask(simulator, ping)).text());
    };
    expect(await record({})).toBe(await record({ seed: 1 }));
    expect(await record({ seed: 2 })).not.toBe(await record({ seed: 1 }));
  });

  it('says what it is told to, by text, by object or by function', async () => {
    const content = async (answer: SimulatorOptions['answer']) => {
      const response = await ask(createSimulator({ answer }), ping);
      const { choices } = (await response.json()) as Completion;
      return choices[0]?.message;
    };
    expect(await content('pong')).toMatchObject({ content: 'pong' });
    expect(await content({ content: 'pong', reasoningContent: 'hm' })).toMatchObject({
      content: 'pong',
      reasoning_content: 'hm',
    });
    expect(await content(({ payload }) => JSON.stringify(payload))).toMatchObject({
      content: JSON.stringify(ping),
    });
  });

  it('answers JSON in JSON mode, and the gist of a long prompt', async () => {
    const prompt = `say it in json: ${'x'.repeat(100)}`;
    const payload = { ...ping, messages: user(prompt), response_format: { type: 'json_object' } };
    const response = await ask(createSimulator(), payload);
    const { choices } = (await response.json()) as Completion;
    expect(JSON.parse(choices[0]?.message.content ?? '')).toEqual({ answer: `${prompt.slice(0, 60)}…` });
  });

  it.each([
    [1, 'The ', ''],
    [13, 'The user says "ping". A short answer will do.', 'You '],
  ])('stops at max_tokens %i, reasoning first', async (max_tokens, reasoning_content, content) => {
    const response = await ask(createSimulator(), { ...ping, max_tokens });
    const { choices, usage } = (await response.json()) as Completion;
    expect(choices[0]).toMatchObject({ finish_reason: 'length', message: { content, reasoning_content } });
    expect(usage).toMatchObject({ completion_tokens: max_tokens });
  });

  it.each(['/v1/chat/completions', '/beta/chat/completions'])('answers at %s', async (path) => {
    const { fetch } = createSimulator();
    const response = await fetch(`${base}${path}`, {
      method: 'POST',
      headers: { authorization: key },
      body: JSON.stringify(ping),
    });
    expect(response.status).toBe(200);
  });

  it.each(['deepseek-v4-flash', 'deepseek-flash', 'deepseek-v4-pro', 'deepseek-v4-flash-vision-exp'])(
    'accepts %s',
    async (model) => {
      expect((await ask(createSimulator(), { ...ping, model })).status).toBe(200);
    },
  );

  it('lists the models and tells the balance', async () => {
    const { fetch } = createSimulator();
    const headers = { authorization: key };
    const models = (await (await fetch(`${base}/models`, { headers })).json()) as { data: { id: string }[] };
    expect(models.data.map(({ id }) => id)).toEqual(['deepseek-flash', 'deepseek-v4-pro']);
    const balance = await fetch(`${base}/user/balance`, { headers });
    expect(await balance.json()).toMatchObject({
      is_available: true,
      balance_infos: [{ total_balance: '110.00' }],
    });
    expect((await fetch(`${base}/models`)).status).toBe(401);
  });

  it('answers 404 elsewhere', async () => {
    const { fetch } = createSimulator();
    const init = { method: 'POST', headers: { authorization: key }, body: '{}' };
    expect((await fetch(`${base}/chat/completions/chat/completions`, init)).status).toBe(404);
    expect((await fetch(`${base}/chat/completions`)).status).toBe(404);
  });

  it('answers 401 in plain text without a type when the key is missing', async () => {
    for (const headers of [{}, { authorization: '' }]) {
      const response = await ask(createSimulator(), ping, { headers });
      expect(response.status).toBe(401);
      expect(response.headers.has('content-type')).toBe(false);
      expect(response.headers.has('x-ds-trace-id')).toBe(true);
      expect(await response.text()).toBe('Authentication Fails (governor)');
    }
  });

  it.each([
    ['sk-without-scheme', 'Authentication Fails (auth header format should be Bearer sk-...)'],
    ['Bearer two words', 'Authentication Fails (auth header format should be Bearer sk-...)'],
    ['Bearer undefined', 'Authentication Fails, Your api key: ****ined is invalid'],
  ])('answers 401 to %s', async (authorization, message) => {
    const response = await ask(createSimulator(), ping, { headers: { authorization } });
    expect(response.status).toBe(401);
    expect(await response.json()).toEqual({
      error: { message, type: 'authentication_error', param: null, code: 'invalid_request_error' },
    });
  });

  it('accepts only the keys that it is given', async () => {
    const simulator = createSimulator({ apiKeys: ['sk-mine'] });
    const refused = await ask(simulator, ping);
    expect(await refused.text()).toContain('Your api key: ****cdef is invalid');
    expect((await ask(simulator, ping, { headers: { authorization: 'Bearer sk-mine' } })).status).toBe(200);
  });

  it('answers 400 in plain text when the body is no JSON', async () => {
    const response = await ask(createSimulator(), undefined, { body: '{"model": ' });
    expect(response.status).toBe(400);
    expect(response.headers.get('content-type')).toBe('application/octet-stream');
    expect(await response.text()).toBe(
      'Failed to parse the request body as JSON: expected value at line 1 column 10',
    );
  });

  it.each<[object, string]>([
    [{ messages: user('x') }, 'missing field `model`'],
    [{ model: 'deepseek-flash' }, 'missing field `messages`'],
    [{ model: 5, messages: [] }, 'model: invalid type: integer `5`, expected a string'],
    [{ ...ping, messages: 'hi' }, 'messages: invalid type: string "hi", expected a sequence'],
    [{ ...ping, messages: ['hi'] }, 'messages[0]: invalid type: string "hi", expected struct Message'],
    [{ ...ping, messages: [{ content: 'x' }] }, 'messages[0]: missing field `role`'],
    [
      { ...ping, messages: [...user('x'), { role: 'developer', content: 'x' }] },
      'messages[1].role: unknown variant `developer`, expected one of `system`, `user`, `assistant`, `tool`, `latest_reminder`',
    ],
    [{ ...ping, messages: [{ role: 'user' }] }, 'messages[0]: missing field `content`'],
    [
      { ...ping, messages: [{ role: 'system', content: [] }] },
      'messages[0].content: invalid type: sequence, expected a string',
    ],
    [{ ...ping, messages: [{ role: 'tool', content: 'x' }] }, 'messages[0]: missing field `tool_call_id`'],
    [{ ...ping, thinking: true }, 'thinking: invalid type: boolean `true`, expected struct ThinkingOptions'],
    [{ ...ping, thinking: {} }, 'thinking: missing field `type`'],
    [
      { ...ping, thinking: { type: 'Enabled' } },
      'thinking.type: unknown variant `Enabled`, expected one of `adaptive`, `enabled`, `disabled`',
    ],
    [
      { ...ping, reasoning_effort: 'huge' },
      'reasoning_effort: unknown variant `huge`, expected one of `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`, `ultra`',
    ],
    [{ ...ping, temperature: '1' }, 'temperature: invalid type: string "1", expected f32'],
    [{ ...ping, max_tokens: 1.5 }, 'max_tokens: invalid type: floating point `1.5`, expected i64'],
    [{ ...ping, stream: 'yes' }, 'stream: invalid type: string "yes", expected a boolean'],
    [{ ...ping, tool_choice: 'any' }, 'tool_choice: expected one of `none`, `auto`, `required` or a tool'],
    [[], 'invalid type: sequence, expected struct ChatCompletionRequest'],
  ])('refuses to deserialize %o', async (payload, mistake) => {
    const column = JSON.stringify(payload).length;
    expect(await errorOf(payload)).toEqual({
      status: 400,
      type: 'application/json',
      message: `Failed to deserialize the JSON body into the target type: ${mistake} at line 1 column ${column}`,
    });
  });

  const call = { id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } };
  const tools = [{ type: 'function', function: { name: 'f' } }];
  it.each<[object, string]>([
    [
      { model: 'deepseek-chat' },
      'The supported API model names are deepseek-flash, deepseek-v4-pro, but you passed deepseek-chat.',
    ],
    [{ messages: [] }, 'Empty input messages'],
    [{ temperature: 2.5 }, 'Invalid temperature value, the valid range of temperature is [0, 2]'],
    [{ top_p: 0 }, 'Invalid top_p value, the valid range of top_p is (0, 1].'],
    [
      { presence_penalty: 3 },
      'Invalid presence_penalty value, the valid range of presence_penalty is [-2, 2]',
    ],
    [{ max_tokens: 0 }, 'Invalid max_tokens value, the valid range of max_tokens is [1, 393216]'],
    [
      { logprobs: true, top_logprobs: 21 },
      'Invalid top_logprobs value, the valid range of top_logprobs is [0, 20].',
    ],
    [
      { top_logprobs: 2 },
      'Invalid top_logprobs and logprobs value, logprobs must be set to true if top_logprobs is used.',
    ],
    [{ stream_options: { include_usage: true } }, 'stream_options should be set along with stream = true'],
    [
      { response_format: { type: 'json_object' } },
      "Prompt must contain the word 'json' in some form to use 'response_format' of type 'json_object'.",
    ],
    [{ response_format: { type: 'json_schema' } }, 'This response_format type is unavailable now'],
    [{ tools, tool_choice: 'required' }, 'Thinking mode does not support this tool_choice'],
    [
      { tools, tool_choice: { type: 'function', function: { name: 'f' } } },
      'Thinking mode does not support this tool_choice',
    ],
    [
      { messages: [...user('x'), { role: 'assistant', content: null }] },
      'Invalid assistant message: content or tool_calls must be set',
    ],
    [
      { messages: [...user('x'), { role: 'assistant', content: '', tool_calls: [call] }, ...user('y')] },
      "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. (insufficient tool messages following tool_calls message)",
    ],
    [
      { tools, messages: [...user('x'), { role: 'assistant', content: 'y' }, ...user('z')] },
      'The `reasoning_content` in the thinking mode must be passed back to the API.',
    ],
    [
      {
        model: 'deepseek-v4-pro',
        messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }],
      },
      'This model does not support image',
    ],
    [
      { messages: user('x'.repeat(4 * 1_048_576)), max_tokens: 8 },
      "This model's maximum context length is 1048576 tokens. However, you requested 1048584 tokens (1048576 in the messages, 8 in the completion). Please reduce the length of the messages or completion.",
    ],
  ])('refuses case %#', async (more, message) => {
    expect(await errorOf({ ...ping, ...more })).toEqual({
      status: 400,
      type: 'application/octet-stream',
      message,
    });
  });

  it.each<[object]>([
    [{ temperature: null, top_p: 1, max_tokens: null, stream: null, tool_choice: null }],
    [{ thinking: { type: 'disabled' }, tools, tool_choice: 'required' }],
    [{ response_format: { type: 'json_object' }, messages: user('as JSON') }],
    [
      {
        tools,
        messages: [
          ...user('x'),
          { role: 'assistant', content: null, tool_calls: [call], reasoning_content: '' },
          { role: 'tool', content: 'y', tool_call_id: 'a' },
        ],
      },
    ],
    [{ messages: [{ role: 'user', content: [{ type: 'text', text: 'x' }] }] }],
    [{ stream: true, stream_options: { include_usage: true } }],
    [{ unknown: 'members are ignored' }],
  ])('accepts case %#', async (more) => {
    expect((await ask(createSimulator(), { ...ping, ...more })).status).toBe(200);
  });

  it('records requests without their secrets', async () => {
    const clock = createFakeClock();
    const simulator = createSimulator({ clock });
    await ask(simulator, ping, { headers: { authorization: key, 'x-api-key': 'sk-2', 'X-Mine': 'kept' } });
    await clock.advance(100);
    await ask(simulator, undefined, { body: 'no json' });
    const [first, second] = simulator.requests;
    expect(first).toMatchObject({
      method: 'POST',
      url: `${base}/chat/completions`,
      headers: { authorization: '[redacted]', 'x-api-key': '[redacted]', 'x-mine': 'kept' },
      body: JSON.stringify(ping),
      payload: ping,
    });
    expect(second?.payload).toBeUndefined();
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBe(100);
    expect(JSON.stringify(simulator.requests)).not.toContain(key.slice(7));
  });

  it('reads a Request, and a class instance as init', async () => {
    class Init implements RequestInit {
      method = 'POST';
      headers = { authorization: key };
      body = JSON.stringify(ping);
    }
    const { fetch } = createSimulator();
    expect((await fetch(`${base}/chat/completions`, new Init())).status).toBe(200);
    expect((await fetch(new Request(`${base}/chat/completions`, new Init()))).status).toBe(200);
  });

  it.each([
    [
      { tokenMs: -1 },
      RangeError,
      'Cannot create simulator as "tokenMs" must be a non-negative number: current value is -1',
    ],
    [
      { latencyMs: Number.NaN },
      RangeError,
      '"latencyMs" must be a non-negative number: current value is NaN',
    ],
    [{ latencyMs: '1' }, TypeError, '"latencyMs" must be a non-negative number: current value is "1"'],
    [{ seed: Number.NaN }, RangeError, '"seed" must be a finite number'],
    [{ seed: 'x' }, TypeError, '"seed" must be a number'],
    [{ apiKeys: 'sk-1' }, TypeError, '"apiKeys" must be an array of strings'],
    [{ answer: 5 }, TypeError, '"answer" must be a string, an object or a function'],
    [
      { answer: { content: '', toolcalls: [] } },
      TypeError,
      'Cannot create simulator as "toolcalls" is unknown: Did you mean "toolCalls"?',
    ],
    [{ tokenMS: 1 }, TypeError, 'Cannot create simulator as "tokenMS" is unknown: Did you mean "tokenMs"?'],
  ])('refuses the options %o', (options, type, message) => {
    const create = () => createSimulator(options as never);
    expect(create).toThrow(type);
    expect(create).toThrow(message);
  });
});
