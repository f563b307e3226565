import { type ChatCompletion, type ChatStream, chatAnswerSchema } from 'breakwater/deepseek';
import type { ScriptedFault } from 'breakwater/testing';
import * as v from 'valibot';
import { describe, expect, it, vi } from 'vitest';
import {
  bytesOf,
  collectUntil,
  createSource,
  listenersOf,
  printed,
  rejectionOf,
} from '../middleware/witness.ts';
import { contentOf, piecesOf, ping, play, served, simulate, watch } from './stage.ts';

const request = { ...ping, thinking: { type: 'disabled' } } as const;
const whole = 'You said: ping';
const tools = ['wind', 'tide'].map((name) => ({ type: 'function' as const, function: { name } }));
const toolCalls = [
  { name: 'wind', arguments: { port: '神戸' } },
  { name: 'tide', arguments: { at: '03:40' } },
];

/** The pieces up to the first with content. */
async function begin(stream: ChatStream): Promise<string> {
  for (;;) {
    const { done, value } = await stream.next();
    if (done) throw new Error('The stream is over');
    if (value.content) return value.content;
  }
}

/** The same client before the simulator in the process, and over real HTTP. */
async function stages(...faults: ScriptedFault[]) {
  const inProcess = simulate({}, ...faults);
  const { simulator } = simulate({}, ...faults);
  const { url } = await served(simulator.fetch);
  const overHttp = watch(fetch, { baseURL: url, clock: undefined, random: () => 0.001 });
  return [inProcess, { ...overHttp, run: <T>(promise: Promise<T>) => promise, simulator }];
}

describe('final()', () => {
  const comparable = ({ id: _, raw: { choices }, toolCalls: calls, ...same }: ChatCompletion) => ({
    ...same,
    calls: calls.map(({ function: called }) => called),
    fields: Object.keys(choices[0]?.message ?? {}).sort(),
  });

  it.each<[string, object, ScriptedFault]>([
    ['thinking', {}, 'ok'],
    ['without thinking', request, 'ok'],
    ['calling tools', { ...request, tools }, { answer: { content: 'Let me see.', toolCalls } }],
    ['thinking of nothing', { tools }, { answer: { content: 'Aye.', reasoningContent: '' } }],
    ['at its limit', { ...request, max_tokens: 2 }, 'ok'],
    ['with usage in a chunk of its own', request, { usage: 'trailing' }],
    ['with usage here and there', request, { usage: 'scattered' }],
    ['without usage', request, { usage: 'none' }],
  ])('gives what chat() would have: %s', async (_how, more, fault) => {
    const { ai, run } = simulate({}, fault, fault);
    const chat = await run(ai.chat({ ...ping, ...more }));
    const final = await run(ai.stream({ ...ping, ...more }).final());
    expect(comparable(final)).toEqual(comparable(chat));
    expect(Object.keys(final).sort()).toEqual(Object.keys(chat).sort());
    expect(v.is(chatAnswerSchema, final.raw)).toBe(true);
    expect(Object.keys(final.raw).sort()).toEqual(Object.keys(chat.raw).sort());
    expect(final.raw).toMatchObject({ object: 'chat.completion', id: final.id });
  });

  it('gives a message that can be sent back, in a conversation with tools', async () => {
    const { ai, run, simulator } = simulate({}, { answer: { content: '', toolCalls } });
    const { raw } = await run(ai.stream({ ...ping, tools }).final());
    const message = raw.choices[0]!.message as { role: 'assistant' };
    const results = (raw.choices[0]!.message.tool_calls ?? []).map(({ id }) => ({
      role: 'tool' as const,
      content: 'calm',
      tool_call_id: id,
    }));
    await run(ai.chat({ ...ping, tools, messages: [...ping.messages, message, ...results] }));
    expect(simulator.requests[1]?.payload).toMatchObject({
      messages: [
        {},
        { reasoning_content: expect.stringMatching(/^The user says/), tool_calls: [{}, {}] },
        {},
        {},
      ],
    });
  });
});

describe('text() and final()', () => {
  it('give the whole, as often as they are asked', async () => {
    for (const { ai, run, simulator } of await stages()) {
      const stream = ai.stream(request);
      const [text, final, again] = await run(Promise.all([stream.text(), stream.final(), stream.text()]));
      expect([text, final.content, again]).toEqual([whole, whole, whole]);
      expect(await run(stream.text())).toBe(whole);
      expect(simulator.requests).toHaveLength(1);
    }
  });

  it.each<[string, (stream: ChatStream) => Promise<unknown>, string]>([
    ['before a loop, which finds nothing left', (stream) => stream.text(), ''],
    ['after some pieces, which a loop does not get again', begin, ''],
    ['after a loop', async (stream) => void (await piecesOf(stream)), ''],
  ])('give it also %s', async (_when, act, left) => {
    for (const { ai, run } of await stages()) {
      const stream = ai.stream(request);
      await run(act(stream));
      expect(await run(stream.text())).toBe(whole);
      expect(await run(stream.final())).toHaveProperty('content', whole);
      expect(contentOf(await run(piecesOf(stream)))).toBe(left);
    }
  });

  it('give it also within a loop, which then is over', async () => {
    const { ai, run } = simulate({});
    const stream = ai.stream(request);
    const texts: string[] = [];
    const reading = async () => {
      for await (const { content } of stream) texts.push(content, await stream.text());
    };
    await run(reading());
    expect(texts).toEqual(['', whole]);
  });

  it('fail as the stream did, every time, as does every further step', async () => {
    for (const { ai, run } of await stages({ cutAfterChunks: 3 })) {
      const stream = ai.stream(request);
      const error = await rejectionOf(run(stream.text()));
      expect(error).toMatchObject({ code: 'STREAM_TRUNCATED', committed: true });
      for (const ask of [() => stream.text(), () => stream.final(), () => stream.next()])
        expect(await rejectionOf(ask())).toBe(error);
      await stream.return();
      expect(await rejectionOf(stream.text())).toBe(error);
    }
  });

  it('do not pass for the whole what was left in the middle', async () => {
    for (const { ai, run } of await stages()) {
      const stream = ai.stream(request);
      const first = await run(begin(stream));
      await stream.return();
      for (const ask of [() => stream.text(), () => stream.final()]) {
        const error = await rejectionOf(ask());
        expect(error).toMatchObject({ code: 'STREAM_TRUNCATED', partial: { content: first } });
      }
    }
  });

  it('give what was left at its end', async () => {
    for (const { ai, run } of await stages()) {
      const stream = ai.stream(request);
      const reading = async () => {
        for await (const { finishReason } of stream) if (finishReason) break;
      };
      await run(reading());
      expect(await stream.final()).toMatchObject({ content: whole, finishReason: 'stop' });
    }
  });
});

describe('next()', () => {
  it('gives each piece once and in order, to callers that do not wait for each other', async () => {
    for (const fault of ['ok', { dripBytes: 7 }] as const) {
      const alone = simulate({}, fault);
      const inOrder = await alone.run(piecesOf(alone.ai.stream(request)));
      const { ai, run } = simulate({}, fault);
      const stream = ai.stream(request);
      const asked = inOrder.concat(inOrder).map(() => stream.next());
      const given = (await run(Promise.all(asked))).flatMap(({ value }) => value ?? []);
      expect(given.map(({ content }) => content)).toEqual(inOrder.map(({ content }) => content));
    }
  });

  it('shares the pieces between two loops', async () => {
    const { ai, run } = simulate({});
    const stream = ai.stream(request);
    const [one, other] = await run(Promise.all([piecesOf(stream), piecesOf(stream)]));
    expect(one.length + other.length).toBeGreaterThan(5);
    expect(await stream.text()).toBe(whole);
    expect(one.some((piece) => other.includes(piece))).toBe(false);
  });

  it('tells all who wait of the error', async () => {
    const { ai, run } = simulate({}, { instead: 'error', insteadAfterChunks: 2 });
    const stream = ai.stream(request);
    const asked = Array.from({ length: 4 }, () => stream.next());
    const ends = await run(Promise.allSettled(asked));
    const errors = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason] : []));
    expect(errors.length).toBeGreaterThanOrEqual(2);
    expect(new Set(errors).size).toBe(1);
  });
});

describe('return()', () => {
  it('before anything was asked for, sends nothing, ever', async () => {
    const { ai, fetch } = play({});
    const stream = ai.stream(request);
    await stream.return();
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    expect(await rejectionOf(stream.text())).toMatchObject({ code: 'STREAM_TRUNCATED', committed: false });
    expect(fetch.calls).toHaveLength(0);
  });

  it.each<[string, ScriptedFault]>([
    ['before the headers', { stallBeforeHeaders: true }],
    ['while the answer is held', { stallAfterChunks: 1 }],
    ['in a wait', { status: 503, retryAfter: 30 }],
    ['in the answer', { stallAfterChunks: 3 }],
  ])('ends what is under way, and whoever waits for it: %s', async (_when, fault) => {
    for (const { ai, simulator, clock, of } of await stages(fault)) {
      const caller = new AbortController();
      const stream = ai.stream(request, { signal: caller.signal });
      const reading = piecesOf(stream);
      await vi.waitFor(() => expect(simulator.requests).toHaveLength(1), { interval: 5 });
      await clock.settle();
      await stream.return();
      expect((await reading).length).toBeLessThan(4);
      await vi.waitFor(() => expect(of('call.settled')).toMatchObject([{ outcome: 'cancelled' }]), {
        interval: 5,
      });
      await vi.waitFor(() => expect(simulator.active).toBe(0), { interval: 5 });
      expect([clock.pendingTimers, listenersOf(caller.signal)]).toEqual([0, 0]);
    }
  });
});

describe('toReadableStream()', () => {
  const linesOf = (text: string) =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));

  it('gives the chunks as they came, each as a line of JSON', async () => {
    const alone = simulate({});
    const raws = (await alone.run(piecesOf(alone.ai.stream(request)))).map(({ raw }) => raw);
    for (const { ai, run } of await stages()) {
      const text = await run(new Response(ai.stream(request).toReadableStream()).text());
      expect(linesOf(text)).toEqual(raws);
    }
  });

  it('gives what is left', async () => {
    const { ai, run } = simulate({});
    const stream = ai.stream(request);
    const first = await run(begin(stream));
    const lines = linesOf(await run(new Response(stream.toReadableStream()).text()));
    expect(first + lines.map(({ choices }) => choices[0].delta.content).join('')).toBe(whole);
    expect(await stream.text()).toBe(whole);
  });

  it('asks for nothing before somebody reads, and never ahead', async () => {
    const source = createSource();
    const { ai, clock, fetch } = play({ streamTimeout: false }, source.response());
    const reader = ai.stream(request).toReadableStream().getReader();
    await clock.settle();
    expect(fetch.calls).toHaveLength(0);
    source.push('data: {"choices":[{"delta":{"content":"a"}}]}\n\n');
    await reader.read();
    await clock.settle();
    expect(source.pulls).toBeLessThanOrEqual(1);
  });

  it('fails with the error of the stream', async () => {
    const { ai, run } = simulate({}, { cutAfterChunks: 3 });
    const text = new Response(ai.stream(request).toReadableStream()).text();
    expect(await rejectionOf(run(text))).toMatchObject({ code: 'STREAM_TRUNCATED' });
  });

  it.each<[string, ScriptedFault]>([
    ['before the headers', { stallBeforeHeaders: true }],
    ['while the answer is held', { stallAfterChunks: 0 }],
    ['in the answer', { stallAfterChunks: 3 }],
  ])('aborts upstream when it is cancelled: %s', async (_when, fault) => {
    for (const { ai, simulator, clock } of await stages(fault)) {
      const body = ai.stream(request).toReadableStream().getReader();
      const reading = (async () => {
        while (!(await body.read()).done);
      })();
      await vi.waitFor(() => expect(simulator.requests).toHaveLength(1), { interval: 5 });
      await clock.settle();
      await body.cancel();
      await reading;
      await vi.waitFor(() => expect(simulator.active).toBe(0), { interval: 5 });
      expect(clock.pendingTimers).toBe(0);
    }
  });
});

describe('the text so far', () => {
  it.each<[string, ScriptedFault]>([
    ['TIMEOUT_IDLE', { stallAfterChunks: -6 }],
    ['STREAM_TRUNCATED', { cutAfterChunks: -6 }],
    ['STREAM_RESET', { resetAfterChunks: -6 }],
    ['STREAM_FAILED', { instead: 'error', insteadAfterChunks: -6 }],
    ['STREAM_MALFORMED', { instead: 'not-json', insteadAfterChunks: -6 }],
  ])('is on the error: %s', async (code, fault) => {
    const { ai, run } = simulate({}, fault);
    const heard = { content: '', reasoningContent: '' };
    const reading = async () => {
      for await (const { content, reasoningContent } of ai.stream(ping)) {
        heard.content += content;
        heard.reasoningContent += reasoningContent;
      }
    };
    const error = (await rejectionOf(run(reading()))) as { partial: object };
    expect(error).toMatchObject({ code, committed: true, partial: heard });
    expect(heard.content).not.toBe('');
    expect(heard.reasoningContent).toBe('The user says "ping". A short answer will do.');
    expect(Object.keys(error)).not.toContain('partial');
    expect(JSON.stringify(error)).not.toContain('A short answer');
  });

  it('is empty on an error before it', async () => {
    const { ai, run } = simulate({}, { stallAfterChunks: 0 }, { stallAfterChunks: 0 });
    const error = await rejectionOf(run(ai.stream(request).text()));
    const partial = { content: '', reasoningContent: '' };
    expect(error).toMatchObject({ code: 'TIMEOUT_FIRST_TOKEN', committed: false, partial });
  });

  it('is on no error of another kind', async () => {
    const { ai, run } = simulate({}, 402);
    const error = await rejectionOf(run(ai.stream(request).text()));
    expect(error).toMatchObject({ code: 'API_ERROR', status: 402 });
    expect(error).not.toHaveProperty('partial');
  });
});

describe('the options of stream()', () => {
  const { ai } = play({});
  it.each<[string, object, string]>([
    ...[0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY].map((maxEventBytes): [string, object, string] => [
      'RangeError',
      { maxEventBytes },
      `"maxEventBytes" must be a positive integer: current value is ${maxEventBytes}`,
    ]),
    [
      'TypeError',
      { maxEventBytes: '8' },
      '"maxEventBytes" must be a positive integer: current value is a string',
    ],
    ['TypeError', { resume: true }, '"resume" must be an object: current value is true'],
    ['TypeError', { resume: {} }, '"maxResumes" must be a positive integer: current value is undefined'],
    [
      'RangeError',
      { resume: { maxResumes: 0 } },
      '"maxResumes" must be a positive integer: current value is 0',
    ],
    ['TypeError', { resume: { max: 1 } }, '"max" is not one of its options. Known are maxResumes'],
    [
      'TypeError',
      { maxEventByte: 1 },
      '"maxEventByte" is not one of its options. Did you mean "maxEventBytes"?',
    ],
    ['RangeError', { signal: {} }, '"signal" must be an AbortSignal: current value is an object'],
    ['TypeError', { signal: 'x' }, '"signal" must be an AbortSignal: current value is a string'],
  ])('are checked at once: %s for %o', (name, options, message) => {
    const ask = () => ai.stream(ping, options);
    expect(ask).toThrow(name === 'TypeError' ? TypeError : RangeError);
    expect(ask).toThrow(`Cannot create stream as ${message}`);
  });

  it('may all be undefined', () => {
    expect(() =>
      ai.stream(ping, { signal: undefined, maxEventBytes: undefined, resume: undefined }),
    ).not.toThrow();
  });

  it.each<[string, object, object | undefined, string | undefined]>([
    ['of the client', { maxEventBytes: 5000 }, undefined, 'STREAM_OVERFLOW'],
    ['of the call', {}, { maxEventBytes: 5000 }, 'STREAM_OVERFLOW'],
    ['of the call before that of the client', { maxEventBytes: 5000 }, { maxEventBytes: 50_000 }, undefined],
  ])('bound a single event: %s', async (_whose, ofClient, ofCall, code) => {
    const body = `data: ${JSON.stringify({ choices: [{ delta: { content: 'x'.repeat(9000) } }] })}\n\ndata: [DONE]\n\n`;
    const { ai, run } = play(ofClient, { body, headers: { 'content-type': 'text/event-stream' } });
    const ending = await run(
      ai
        .stream(request, ofCall)
        .text()
        .catch((error: unknown) => error),
    );
    if (code) expect(ending).toMatchObject({ code });
    else expect(ending).toHaveLength(9000);
  });

  it('bound it at 8 MiB where nothing is said', async () => {
    let sent = 0;
    const chunk = bytesOf('x'.repeat(64 * 1024));
    const body = new ReadableStream<Uint8Array>({
      pull: (sink) => sink.enqueue(sent++ === 0 ? bytesOf('data: ') : chunk.slice()),
    });
    const { ai, run } = play({ streamTimeout: false, retry: false }, { body });
    const error = await rejectionOf(run(ai.stream(request).text()));
    expect(error).toMatchObject({ code: 'STREAM_OVERFLOW' });
    expect(sent).toBeGreaterThanOrEqual(128);
    expect(sent).toBeLessThan(132);
  });
});

describe('the signal of the caller', () => {
  it.each<[string, ScriptedFault, (stream: ChatStream) => Promise<unknown>]>([
    ['the end', 'ok', (stream) => stream.text()],
    ['an error', { cutAfterChunks: 3 }, (stream) => stream.text().catch(() => {})],
    ['a refusal', 402, (stream) => stream.text().catch(() => {})],
    ['leaving it', 'ok', async (stream) => void ((await begin(stream)) && (await stream.return()))],
  ])('has no listener after %s', async (_what, fault, act) => {
    for (const { ai, run } of await stages(fault)) {
      const caller = new AbortController();
      await run(act(ai.stream(request, { signal: caller.signal })));
      await vi.waitFor(() => expect(listenersOf(caller.signal)).toBe(0), { interval: 5 });
    }
  });

  it('does not keep a stream that everybody has dropped, nor its connection', async () => {
    for (const { ai, run, simulator, clock } of await stages({ stallAfterChunks: 3 })) {
      const caller = new AbortController();
      await run(begin(ai.stream(request, { signal: caller.signal })));
      expect(simulator.active).toBe(1);
      expect(await collectUntil(() => simulator.active === 0)).toBe(true);
      expect(clock.pendingTimers).toBe(0);
      expect(caller.signal.aborted).toBe(false);
    }
  });

  it('has none either when nothing was asked for', () => {
    const caller = new AbortController();
    play({}).ai.stream(request, { signal: caller.signal });
    expect(listenersOf(caller.signal)).toBe(0);
  });

  it('ends it with its own reason when it was aborted before', async () => {
    const { ai, fetch } = play({});
    const stream = ai.stream(request, { signal: AbortSignal.abort('gone') });
    expect(await rejectionOf(stream.text())).toBe('gone');
    expect(await rejectionOf(stream.next())).toBe('gone');
    expect(fetch.calls).toHaveLength(0);
  });
});

it('a stream shows nothing of what it holds', async () => {
  const { ai, run } = simulate({}, { cutAfterChunks: 4 });
  const stream = ai.stream(request);
  await rejectionOf(run(stream.text()));
  expect(printed(stream)).not.toMatch(/You|sk-/);
});
