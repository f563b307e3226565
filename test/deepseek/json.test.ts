import { isBreakwaterError, PayloadError, type StandardSchema } from 'breakwater';
import { AnswerError, type ChatRequest, classify, type InvalidAnswer } from 'breakwater/deepseek';
import { createSimulator, type ScriptedFault } from 'breakwater/testing';
import * as v from 'valibot';
import { describe, expect, it, vi } from 'vitest';
import { readJson } from '../../src/deepseek/json-text.ts';
import { printed, rejectionOf } from '../middleware/witness.ts';
import { ping, play, served, simulate, watch } from './stage.ts';

const request: ChatRequest = {
  model: 'deepseek-v4-flash',
  messages: [{ role: 'user', content: 'When is ebb? Answer in JSON.' }],
  thinking: { type: 'disabled' },
};
const schema = v.object({ at: v.pipe(v.string(), v.regex(/^\d\d:\d\d$/, 'must be a time')) });
const good = '{"at": "03:40"}';
const usage = { total_tokens: 9 };

/** A whole answer that says this. */
function answer(content: string | null, finish_reason = 'stop', message: object = {}): object {
  return {
    id: 'a',
    usage,
    choices: [{ finish_reason, message: { role: 'assistant', content, ...message } }],
  };
}

/** As the chain judges it an answer, but with no text. */
const thought = (finish_reason?: string) => answer('', finish_reason, { reasoning_content: 'hm' });

describe('json()', () => {
  it('gives the value that the schema makes, with the whole answer', async () => {
    const simulator = createSimulator({ answer: good });
    const { url } = await served(simulator.fetch);
    const overHttp = watch(fetch, { baseURL: url, clock: undefined });
    const toMinutes = v.pipe(
      v.object({ at: v.string() }),
      v.transform(({ at }) => Number(at.slice(0, 2)) * 60 + Number(at.slice(3))),
    );
    for (const { ai, run } of [
      simulate({}, { answer: good }),
      { ...overHttp, run: <T>(promise: Promise<T>) => promise },
    ]) {
      const { value, content, finishReason, raw } = await run(ai.json(toMinutes, request));
      expect(value.toFixed(1)).toBe('220.0');
      expect([content, finishReason, raw.choices.length]).toEqual([good, 'stop', 1]);
    }
    expect(simulator.requests[0]?.payload).toEqual({ ...request, response_format: { type: 'json_object' } });
  });

  it('awaits a schema, and passes on what it throws', async () => {
    const { ai, run } = play({}, { body: answer(good) }, { body: answer(good) });
    const slow = v.objectAsync({
      at: v.pipeAsync(
        v.string(),
        v.transformAsync(async (at) => at.length),
      ),
    });
    expect((await run(ai.json(slow, request))).value).toEqual({ at: 5 });
    const own = new Error('own');
    const throwing = v.pipe(
      v.unknown(),
      v.check(() => {
        throw own;
      }),
    );
    expect(await rejectionOf(run(ai.json(throwing, request)))).toBe(own);
  });

  it('takes whatever speaks Standard Schema, functions included', async () => {
    const standard = { version: 1, vendor: 'own', validate: () => ({ value: 7 }) } as const;
    for (const own of [{ '~standard': standard }, Object.assign(() => 1, { '~standard': standard })]) {
      const { ai, run } = play({}, { body: answer('null') });
      expect((await run(ai.json(own, request))).value).toBe(7);
    }
  });

  it.each<[string, string]>([
    ['as it is', good],
    ['white space around it', `\n\t ${good}\r\n `],
    ['a fence', `\`\`\`json\n${good}\n\`\`\``],
    ['a fence of no language', `\`\`\`\n${good}\n\`\`\``],
    ['a fence in capitals, with blanks', ` \`\`\`JSON  \r\n${good}\r\n\`\`\` \n`],
    ['a fence without line breaks', `\`\`\`${good}\`\`\``],
    ['a fence without its end', `\`\`\`json\n${good}`],
  ])('reads JSON with %s', async (_what, text) => {
    const { ai, run } = play({}, { body: answer(text) });
    const { value, content } = await run(ai.json(schema, request));
    expect(value).toEqual({ at: '03:40' });
    expect(content).toBe(text);
  });

  it('sends its own response format, and asks for no stream', async () => {
    const { ai, run, fetch } = play({}, { body: answer(good) });
    const odd = { ...request, stream: true, response_format: { type: 'text' } } as const;
    await run(ai.json(schema, Object.freeze(odd)));
    expect(JSON.parse(`${fetch.calls[0]?.text}`)).toEqual({
      ...request,
      response_format: { type: 'json_object' },
    });
  });
});

describe('json() before it asks', () => {
  it.each<[string, object]>([
    ['by the schema of the preset', {}],
    ['also without it', { payloadSchema: false }],
  ])('refuses messages without the word: %s', async (_how, options) => {
    const { ai, fetch } = play(options);
    const error = await rejectionOf(ai.json(schema, ping));
    expect(error).toBeInstanceOf(PayloadError);
    expect(error).toMatchObject({
      issues: [{ path: 'messages', message: expect.stringContaining('"json"') }],
    });
    expect(fetch.calls).toHaveLength(0);
  });

  it.each(['json', 'JSON', 'Json'])('takes %s for the word, also in a part of a message', async (word) => {
    const { ai, run } = play({}, { body: answer(good) });
    const messages = [{ role: 'user', content: [{ type: 'text', text: `as ${word}` }] }] as const;
    await run(ai.json(schema, { ...request, messages }));
  });

  it.each<[string, unknown, object | undefined, string]>([
    [
      'a schema that is none',
      {},
      undefined,
      'its schema must be a Standard Schema: current value is an object',
    ],
    ['no schema', undefined, undefined, 'its schema must be a Standard Schema: current value is undefined'],
    ['onInvalid', schema, { onInvalid: 1 }, '"onInvalid" must be a function: current value is 1'],
    ['a signal', schema, { signal: 1 }, '"signal" must be an AbortSignal: current value is 1'],
    [
      'an unknown option',
      schema,
      { onInvald: 1 },
      '"onInvald" is not one of its options. Did you mean "onInvalid"?',
    ],
  ])('refuses what it was told wrong: %s', async (_what, given, options, message) => {
    const { ai, fetch } = play({});
    const error = await rejectionOf(ai.json(given as typeof schema, request, options));
    expect([TypeError, RangeError]).toContain((error as Error).constructor);
    expect(error).toHaveProperty('message', `Cannot create JSON answer as ${message}`);
    expect(fetch.calls).toHaveLength(0);
  });
});

describe('json() and an answer that is none', () => {
  const cut = '{"at": "03:';
  it.each<[AnswerError['code'], string, object, number]>([
    ['ANSWER_EMPTY', 'blanks', answer(' \n'), 3],
    ['ANSWER_EMPTY', 'reasoning alone', thought(), 3],
    ['ANSWER_EMPTY', 'nothing, by a filter', thought('content_filter'), 1],
    [
      'ANSWER_EMPTY',
      'calls of tools',
      answer(null, 'tool_calls', { tool_calls: [{ id: 'c', function: { name: 'f', arguments: '{}' } }] }),
      1,
    ],
    ['ANSWER_CUT', 'a text that ends where the tokens end', answer(cut, 'length'), 1],
    ['ANSWER_CUT', 'a text that is whole, where the tokens end', answer(good, 'length'), 1],
    ['ANSWER_CUT', 'nothing, where the tokens end', thought('length'), 1],
    ['ANSWER_CUT', 'a text that ends inside', answer(cut), 1],
    ['ANSWER_CUT', 'a fence that ends inside', answer(`\`\`\`json\n${cut}`), 1],
    ['ANSWER_UNPARSABLE', 'prose', answer(`Here you are: ${good}`), 1],
    ['ANSWER_UNPARSABLE', 'JSON with a comma too many', answer('{"at": "03:40",}'), 1],
    ['ANSWER_INVALID', 'other JSON', answer('{"at": "soon"}'), 1],
    ['ANSWER_INVALID', 'JSON of another kind', answer('["03:40"]'), 1],
  ])('ends with %s for %s', async (code, _what, body, requests) => {
    const { ai, run, fetch } = play({});
    fetch.always({ body });
    const error = (await rejectionOf(run(ai.json(schema, request)))) as AnswerError;
    const { choices } = body as { choices: { finish_reason: string; message: { content: string | null } }[] };
    expect(error).toBeInstanceOf(AnswerError);
    expect(error).toMatchObject({ code, usage, finishReason: choices[0]?.finish_reason });
    expect(error.rawText).toBe(choices[0]?.message.content ?? '');
    expect(Object.keys(error)).not.toContain('rawText');
    expect(fetch.calls).toHaveLength(requests);
    expect(classify(error)).toBe(code === 'ANSWER_EMPTY' ? 'transient' : 'persistent');
  });

  it('names what is wrong by its path, and says nothing of the values', async () => {
    const secret = 'a secret of the answer';
    const strict = v.object({
      list: v.array(v.object({ at: v.number() })),
      a: v.literal('x'),
      b: v.boolean(),
    });
    const text = JSON.stringify({ list: [{ at: 1 }, { at: secret }], a: secret, b: secret });
    const { ai, run } = play({}, { body: answer(text) });
    const error = (await rejectionOf(run(ai.json(strict, request)))) as AnswerError;
    expect(error.issues.map(({ path }) => path)).toEqual(['list[1].at', 'a', 'b']);
    expect(error.message).toMatch(/^Answer does not fit the schema: list\[1\]\.at: .*; and 2 more$/);
    const { stack, message } = error;
    expect([stack, message, JSON.stringify(error)].join()).not.toContain(secret);
    expect(error.rawText).toBe(text);
  });

  it('says in one sentence what is wrong with the whole', async () => {
    const { ai, run } = play({}, { body: answer('7') });
    const whole: StandardSchema = {
      '~standard': { version: 1, vendor: 'own', validate: () => ({ issues: [{ message: 'must be more' }] }) },
    };
    const error = (await rejectionOf(run(ai.json(whole, request)))) as AnswerError;
    expect(error.message).toBe('Answer does not fit the schema: must be more');
    expect(error.issues).toEqual([{ path: '', message: 'must be more' }]);
  });

  it.each(['insufficient_system_resource', 'aborted'])('leaves %s to STREAM_FAILED', async (finishReason) => {
    for (const streamTimeout of [undefined, false] as const) {
      const { ai, run } = play({ streamTimeout, retry: false }, { body: answer(cutOff, finishReason) });
      const error = await rejectionOf(run(ai.json(schema, request)));
      expect(error).toMatchObject({ code: 'STREAM_FAILED', finishReason, committed: false });
      expect(classify(error)).toBe('transient');
    }
  });
  const cutOff = '{"at"';

  it('leaves what is no answer at all as chat() does', async () => {
    const onInvalid = vi.fn();
    for (const body of ['<html>', '{}', '{"choices":[{"mess']) {
      const chat = play({ streamTimeout: false }, { body });
      const expected = await rejectionOf(chat.run(chat.ai.chat(request)));
      const { ai, run } = play({ streamTimeout: false }, { body });
      const error = await rejectionOf(run(ai.json(schema, request, { onInvalid })));
      expect(error).toMatchObject({ ...(expected as object) });
      expect(classify(error)).toBe(body === '{}' ? 'persistent' : 'transient');
    }
    expect(onInvalid).not.toHaveBeenCalled();
  });
});

describe('json() and empty answers', () => {
  it.each<[string, object[], object, string]>([
    ['two, then an answer', [thought(), thought(), answer(good)], {}, 'answered by 3'],
    ['three', [thought(), thought(), thought(), answer(good)], {}, 'empty after 3'],
    ['without retries', [thought(), answer(good)], { retry: false }, 'empty after 1'],
    ['with no retries allowed', [thought(), answer(good)], { retry: { maxRetries: 0 } }, 'empty after 1'],
    [
      'with one retry allowed',
      [thought(), thought(), answer(good)],
      { retry: { maxRetries: 1 } },
      'empty after 2',
    ],
  ])('asks again, twice at most: %s', async (_what, bodies, options, expected) => {
    const { ai, run, fetch } = play(options, ...bodies.map((body) => ({ body })));
    const outcome = await run(
      ai.json(schema, request).then(
        () => 'answered by',
        ({ code }: AnswerError) => (code === 'ANSWER_EMPTY' ? 'empty after' : code),
      ),
    );
    expect(`${outcome} ${fetch.calls.length}`).toBe(expected);
    expect(new Set(fetch.calls.map(({ text }) => text)).size).toBe(1);
  });

  it.each<[string, number, object, number]>([
    ['within the budget', 30_000, {}, 3],
    ['up to the budget', 45_000, {}, 3],
    ['past it', 45_001, {}, 2],
    ['past it at once', 90_001, {}, 1],
    ['within a budget of its own', 60_000, { retry: { budgetMs: 120_000 } }, 3],
    ['past a budget of its own', 10_000, { retry: { budgetMs: 5000 } }, 1],
  ])('asks again as long as there is time: %s', async (_what, latencyMs, options, requests) => {
    const empty: ScriptedFault = { latencyMs, answer: { content: ' ', reasoningContent: 'hm' } };
    const { ai, run, simulator } = simulate(
      { ...options, streamTimeout: { headersMs: 200_000 } },
      empty,
      empty,
      empty,
      empty,
    );
    const error = await rejectionOf(run(ai.json(schema, { ...request, thinking: null })));
    expect(error).toMatchObject({ code: 'ANSWER_EMPTY' });
    expect(simulator.requests).toHaveLength(requests);
  });

  it('counts those that the chain has found out', async () => {
    const body = answer('');
    const { ai, run, fetch, of } = play({});
    fetch.always({ body });
    const error = (await rejectionOf(run(ai.json(schema, request)))) as AnswerError;
    expect(error).toMatchObject({ code: 'ANSWER_EMPTY', finishReason: 'stop', rawText: '' });
    expect(fetch.calls).toHaveLength(3);
    expect(of('retry.scheduled')).toMatchObject([{ cause: 'STREAM_EMPTY' }, { cause: 'STREAM_EMPTY' }]);
  });

  it('takes a body of nothing for one, with and without the chain', async () => {
    for (const streamTimeout of [undefined, false] as const) {
      const { ai, run, fetch } = play({ streamTimeout });
      fetch.always({ body: '\n\n' });
      expect(await rejectionOf(run(ai.json(schema, request)))).toMatchObject({ code: 'ANSWER_EMPTY' });
      expect(fetch.calls).toHaveLength(3);
    }
  });

  it('stops when the caller aborts', async () => {
    const caller = new AbortController();
    const { ai, run, fetch } = play({}, () => {
      caller.abort('gone');
      return Response.json(thought());
    });
    expect(await rejectionOf(run(ai.json(schema, request, { signal: caller.signal })))).toBe('gone');
    expect(fetch.calls).toHaveLength(1);
  });
});

describe('onInvalid', () => {
  const repaired: ChatRequest = { ...request, temperature: 0, max_tokens: 99 };

  it.each<[AnswerError['code'], object]>([
    ['ANSWER_CUT', answer('{"at"', 'length')],
    ['ANSWER_UNPARSABLE', answer('at 03:40')],
    ['ANSWER_INVALID', answer('{}')],
  ])('may repair the request once: %s', async (code, body) => {
    const { ai, run, fetch } = play({}, { body }, { body: answer(good) });
    const seen: InvalidAnswer[] = [];
    const onInvalid = async (invalid: InvalidAnswer) => {
      seen.push(invalid);
      return repaired;
    };
    expect((await run(ai.json(schema, request, { onInvalid }))).value).toEqual({ at: '03:40' });
    expect(seen).toEqual([{ error: expect.objectContaining({ code }), request }]);
    expect(seen[0]?.request).toBe(request);
    expect(fetch.calls.map(({ text }) => JSON.parse(`${text}`))).toEqual(
      [request, repaired].map((asked) => ({ ...asked, response_format: { type: 'json_object' } })),
    );
  });

  it('is not asked a second time', async () => {
    const { ai, run, fetch } = play(
      {},
      { body: answer('{}') },
      { body: answer('[]') },
      { body: answer(good) },
    );
    const onInvalid = vi.fn(() => repaired);
    const error = await rejectionOf(run(ai.json(schema, request, { onInvalid })));
    expect(error).toMatchObject({ code: 'ANSWER_INVALID', rawText: '[]' });
    expect(onInvalid).toHaveBeenCalledTimes(1);
    expect(fetch.calls).toHaveLength(2);
  });

  it('lets the error stand when it returns nothing, and passes on what it throws', async () => {
    const { ai, run, fetch } = play({}, { body: answer('{}') }, { body: answer('{}') });
    const stands = await rejectionOf(run(ai.json(schema, request, { onInvalid: () => undefined })));
    expect(stands).toMatchObject({ code: 'ANSWER_INVALID' });
    const own = new Error('own');
    const onInvalid = () => Promise.reject(own);
    expect(await rejectionOf(run(ai.json(schema, request, { onInvalid })))).toBe(own);
    expect(fetch.calls).toHaveLength(2);
  });

  it('is not asked about an empty answer, but about one after it; and the repaired may be empty too', async () => {
    const bodies = [thought(), answer('{}'), thought(), answer(good)].map((body) => ({ body }));
    const { ai, run, fetch } = play({}, ...bodies);
    const onInvalid = vi.fn(() => repaired);
    expect((await run(ai.json(schema, request, { onInvalid }))).value).toEqual({ at: '03:40' });
    expect(onInvalid).toHaveBeenCalledTimes(1);
    expect(fetch.calls).toHaveLength(4);
  });

  it('must keep the word', async () => {
    const { ai, run } = play({}, { body: answer('{}') });
    const error = await rejectionOf(run(ai.json(schema, request, { onInvalid: () => ping })));
    expect(error).toBeInstanceOf(PayloadError);
  });
});

describe('readJson()', () => {
  const whole = ' {"a": [1, {"b": "x\\"y\\\\"}, "}]"], "ü": {"": null}, "t": true, "n": -1.5e3} ';
  it('takes every beginning of JSON for cut, and none for JSON', () => {
    expect(readJson(whole)).toEqual({ value: JSON.parse(whole) });
    for (let at = 2; at < whole.trim().length; at++) expect(readJson(whole.trim().slice(0, at))).toBe('cut');
    for (let at = 2; at < whole.trim().length; at++)
      expect(readJson(`\`\`\`json\n${whole.trim().slice(0, at)}`)).toBe('cut');
  });

  it.each([
    '',
    ' ',
    'x',
    'tru',
    '-',
    '{]',
    '[}',
    '{"a": 1}}',
    '{"a": 1} x',
    "{'a': 1}",
    '{a: 1}',
    'so: {"a"',
    '}',
    '"a" "b"',
    '``` x',
  ])('takes %j for no JSON', (text) => {
    expect(readJson(text)).toBe('unparsable');
  });

  it.each(['7', '"x"', 'null', '[]', '{}', '```\n[]\n```', '{"a": "```"}', '```\n{"a": "```"}\n```'])(
    'takes %j for JSON',
    (text) => {
      expect(readJson(text)).toHaveProperty('value');
    },
  );

  it('is quick about a flood of blanks, brackets or quotes, however it ends', () => {
    const size = 300_000;
    for (const flood of [' ', '\n', '[', '{"a":', '"', '\\', '`', '"x",'])
      for (const [before, after] of [
        ['{', ''],
        ['{"a": 1', '}'],
        ['```json\n{', '```'],
        ['{"', '"}x'],
      ])
        expect(readJson(`${before}${flood.repeat(size)}${after}`)).toBeDefined();
  });
});

it('an AnswerError prints no word of the answer', async () => {
  const { ai, run } = play({}, { body: answer('{"at": "never ever"}') });
  const error = await rejectionOf(run(ai.json(schema, request)));
  expect(isBreakwaterError(error)).toBe(true);
  expect(printed({ ...(error as object) })).not.toContain('never');
});
