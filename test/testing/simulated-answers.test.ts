import { createFakeClock, createSimulator, type Fault, type SimulatorOptions } from 'breakwater/testing';
import { describe, expect, it } from 'vitest';
import { ask, base, chunksOf, key, ping, user } from './ask.ts';

const tool = (name: string) => ({ type: 'function', function: { name, parameters: { type: 'object' } } });
const tools = [tool('tide_at'), tool('wind')];
const quick = { ...ping, thinking: { type: 'disabled' } };
const calling = { ...quick, tools };
const toolCalls = [{ name: 'tide_at', arguments: { port: '神戸', flag: '🚩' } }, { name: 'wind' }];

interface Call {
  readonly index: number;
  readonly id: string;
  readonly type: string;
  readonly function: { readonly name: string; readonly arguments: string };
}

interface Completion {
  readonly choices: readonly {
    readonly message: { readonly content: string; readonly tool_calls?: readonly Call[] };
    readonly finish_reason: string;
  }[];
  readonly usage?: Readonly<Record<string, number>>;
}

async function complete(payload: object, options: SimulatorOptions, fault: Fault = {}): Promise<Completion> {
  const simulator = createSimulator(options);
  simulator.script(fault);
  return (await (await ask(simulator, payload)).json()) as Completion;
}

async function stream(payload: object, options: SimulatorOptions, fault: Fault = {}) {
  const simulator = createSimulator(options);
  simulator.script(fault);
  const text = await (await ask(simulator, { ...payload, stream: true })).text();
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
  return chunksOf(text);
}

/** The calls of a stream, put together by their index. */
function callsOf(chunks: readonly object[]): { calls: Call[]; indexes: number[] } {
  const calls: Call[] = [];
  const indexes: number[] = [];
  for (const { choices } of chunks as { choices: { delta: { tool_calls?: Call[] } }[] }[])
    for (const call of choices[0]?.delta.tool_calls ?? []) {
      indexes.push(call.index);
      const { [call.index]: known } = calls;
      const text = (known?.function.arguments ?? '') + call.function.arguments;
      calls[call.index] = { ...(known ?? call), function: { ...(known ?? call).function, arguments: text } };
    }
  return { calls, indexes };
}

describe('calls of tools', () => {
  const answer = { content: '', toolCalls };
  const expected = [
    {
      index: 0,
      id: expect.stringMatching(/^call_00_[0-9a-f]{24}$/),
      type: 'function',
      function: { name: 'tide_at', arguments: '{"port":"神戸","flag":"🚩"}' },
    },
    {
      index: 1,
      id: expect.stringMatching(/^call_01_[0-9a-f]{24}$/),
      type: 'function',
      function: { name: 'wind', arguments: '{}' },
    },
  ];

  it('are made whole', async () => {
    const { choices, usage } = await complete(calling, { answer });
    expect(choices[0]).toMatchObject({
      message: { content: '', tool_calls: expected },
      finish_reason: 'tool_calls',
    });
    expect(usage?.completion_tokens).toBeGreaterThan(5);
  });

  it('are streamed in deltas of one to three letters, interleaved by index', async () => {
    const chunks = await stream(calling, { answer });
    const { calls, indexes } = callsOf(chunks);
    expect(calls).toEqual(expected);
    expect(indexes.slice(0, 4)).toEqual([0, 1, 0, 1]);
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('tool_calls');
  });

  it('come after the reasoning and the content', async () => {
    const said = { content: 'Let me look.', reasoningContent: 'hm', toolCalls };
    const chunks = await stream({ ...calling, thinking: { type: 'enabled' } }, { answer: said });
    const kinds = chunks.slice(1, -1).map(({ choices: [choice] }) => {
      const { delta } = choice!;
      if ('tool_calls' in delta) return 'calls';
      return delta.reasoning_content ? 'reasoning' : 'content';
    });
    expect(kinds.filter((kind, index) => kind !== kinds[index - 1])).toEqual([
      'reasoning',
      'content',
      'calls',
    ]);
  });

  it('may have arguments that are no JSON', async () => {
    const cut = { content: '', toolCalls: [{ name: 'wind', arguments: '{"a": ' }] };
    const { choices } = await complete(calling, { answer: cut });
    expect(choices[0]?.message.tool_calls?.[0]?.function.arguments).toBe('{"a": ');
  });

  it.each<[string, object]>([
    ['offers none', quick],
    ['offers an empty list', { ...quick, tools: [] }],
    ['wants none', { ...calling, tool_choice: 'none' }],
    ['allows too few tokens', { ...calling, max_tokens: 1 }],
  ])('are not made when the request %s', async (_what, payload) => {
    const { choices } = await complete(payload, { answer: { content: 'No tools.', toolCalls } });
    expect(choices[0]?.message).not.toHaveProperty('tool_calls');
    expect(choices[0]?.finish_reason).toBe('max_tokens' in payload ? 'length' : 'stop');
  });

  it.each<[unknown, string]>([
    ['required', 'tide_at'],
    [{ type: 'function', function: { name: 'wind' } }, 'wind'],
  ])('are made when the request insists: %o', async (tool_choice, name) => {
    const { choices } = await complete({ ...calling, tool_choice }, {});
    expect(choices[0]).toMatchObject({
      message: { content: '', tool_calls: [{ function: { name, arguments: '{}' } }] },
      finish_reason: 'tool_calls',
    });
  });

  it('can be answered, and the conversation goes on', async () => {
    const { choices } = await complete(calling, { answer });
    const results = choices[0]?.message.tool_calls?.map(({ id }) => ({
      role: 'tool',
      tool_call_id: id,
      content: '1.2 m',
    }));
    const messages = [...user('ping'), { role: 'assistant', ...choices[0]?.message }, ...(results ?? [])];
    expect((await complete({ ...calling, messages }, {})).choices[0]?.finish_reason).toBe('stop');
  });
});

describe('the answer of one call', () => {
  it('comes before that of the simulator, which speaks again after it', async () => {
    const simulator = createSimulator({ answer: 'always' });
    simulator.script({ answer: ({ method }) => `once by ${method}` });
    const contentOf = async () =>
      ((await (await ask(simulator, quick)).json()) as Completion).choices[0]?.message.content;
    expect(await contentOf()).toBe('once by POST');
    expect(await contentOf()).toBe('always');
  });

  it.each<{ what: string; fault: Fault; content?: string; reasoning?: string; finish?: string }>([
    { what: 'a stop with nothing at all', fault: { answer: { content: '', reasoningContent: '' } } },
    {
      what: 'reasoning alone',
      fault: { answer: { content: '', reasoningContent: 'hm' } },
      reasoning: 'hm',
    },
    {
      what: 'a failure before any content',
      fault: { answer: { content: '', reasoningContent: '' }, finishReason: 'insufficient_system_resource' },
      finish: 'insufficient_system_resource',
    },
    {
      what: 'a failure after some content',
      fault: { answer: { content: 'Ah', reasoningContent: '' }, finishReason: 'aborted' },
      content: 'Ah',
      finish: 'aborted',
    },
    {
      what: 'JSON that is cut',
      fault: { answer: { content: '{"a": [1, ', reasoningContent: '' }, finishReason: 'length' },
      content: '{"a": [1, ',
      finish: 'length',
    },
  ])('can be $what', async ({ fault, content = '', reasoning = '', finish = 'stop' }) => {
    const chunks = await stream(ping, {}, fault);
    const said = (name: 'content' | 'reasoning_content') =>
      chunks.map(({ choices }) => choices[0]?.delta[name] ?? '').join('');
    expect([said('content'), said('reasoning_content')]).toEqual([content, reasoning]);
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe(finish);
    const { choices } = await complete(ping, {}, fault);
    expect(choices[0]).toMatchObject({
      message: { content, reasoning_content: reasoning },
      finish_reason: finish,
    });
  });

  it('is empty in JSON mode, if the test says so', async () => {
    const payload = { ...quick, messages: user('json'), response_format: { type: 'json_object' } };
    expect((await complete(payload, {}, { answer: '' })).choices[0]?.message.content).toBe('');
  });
});

describe('usage', () => {
  const places = async (usage: Fault['usage']) => {
    const chunks = await stream(quick, { clock: createFakeClock() }, { usage });
    return chunks.map(({ choices: [choice], usage: told }) => ({
      kind: choice ? (choice.finish_reason ?? 'delta') : 'bare',
      told,
    }));
  };
  const told = expect.objectContaining({ total_tokens: 5, completion_tokens: 4 });

  it('stands on the chunk that finishes the answer', async () => {
    const chunks = await places(undefined);
    expect(chunks.filter((chunk) => chunk.told)).toEqual([{ kind: 'stop', told }]);
    expect(chunks.at(-1)?.kind).toBe('stop');
    expect(await places('on-finish')).toEqual(chunks);
  });

  it('stands in a trailing chunk', async () => {
    const chunks = await places('trailing');
    expect(chunks.filter((chunk) => chunk.told)).toEqual([{ kind: 'bare', told }]);
    expect(chunks.slice(-2).map(({ kind }) => kind)).toEqual(['stop', 'bare']);
  });

  it('stands in three chunks without choices', async () => {
    const chunks = await places('scattered');
    expect(chunks.filter((chunk) => chunk.told)).toEqual(Array(3).fill({ kind: 'bare', told }));
    const at = chunks.flatMap((chunk, index) => (chunk.told ? [index] : []));
    expect(at).toEqual([1, expect.any(Number), chunks.length - 1]);
    expect(chunks[at[1]! - 1]?.kind).toBe('delta');
    expect(chunks[at[1]! + 1]?.kind).toBe('delta');
  });

  it('stands nowhere', async () => {
    expect((await places('none')).some((chunk) => chunk.told)).toBe(false);
    expect(await complete(quick, {}, { usage: 'none' })).not.toHaveProperty('usage');
    expect(await complete(quick, {}, { usage: 'trailing' })).toHaveProperty('usage.total_tokens', 5);
  });
});

describe('an answer that the request begins', () => {
  const answer = 'The tide turns at noon.';
  const begun = (content: string) => ({
    ...ping,
    messages: [...user('ping'), { role: 'assistant', content, prefix: true }],
  });
  const post = (path: string, payload: object, simulator = createSimulator({ answer })) =>
    simulator.fetch(`${base}${path}`, {
      method: 'POST',
      headers: { authorization: key },
      body: JSON.stringify(payload),
    });

  it('is continued, without more thought', async () => {
    const response = await post('/beta/chat/completions', begun('The tide turns '));
    const { choices, usage } = (await response.json()) as Completion;
    expect(choices[0]).toMatchObject({
      message: { content: 'at noon.', reasoning_content: '' },
      finish_reason: 'stop',
    });
    expect(usage?.completion_tokens).toBe(2);
  });

  it('is answered as ever when it begins otherwise', async () => {
    const response = await post('/beta/chat/completions', begun('Nobody '));
    expect(((await response.json()) as Completion).choices[0]?.message.content).toBe(answer);
  });

  it.each(['/chat/completions', '/v1/chat/completions'])('is refused at %s', async (path) => {
    const response = await post(path, begun('The'));
    expect(response.status).toBe(400);
    expect(response.headers.get('content-type')).toBe('application/octet-stream');
    expect(await response.json()).toHaveProperty(
      'error.message',
      'prefix is only available when using beta api (set base_url="https://api.deepseek.com/beta")',
    );
  });

  it('makes a whole of an answer that was cut', async () => {
    const simulator = createSimulator({ answer });
    simulator.script({ cutAfterChunks: 30 });
    const contentOf = async (path: string, payload: object) => {
      const text = await (await post(path, { ...payload, stream: true }, simulator)).text();
      return chunksOf(text)
        .map(({ choices }) => choices[0]?.delta.content ?? '')
        .join('');
    };
    const first = await contentOf('/chat/completions', ping);
    expect(first).not.toBe('');
    expect(first).not.toBe(answer);
    expect(first + (await contentOf('/beta/chat/completions', begun(first)))).toBe(answer);
  });
});
