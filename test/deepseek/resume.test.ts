import { createSimulator, type Fault, type ScriptedFault, type SimulatedRequest } from 'breakwater/testing';
import { describe, expect, it, vi } from 'vitest';
import { continuationOf, continuationUrl } from '../../src/deepseek/resume.ts';
import { listenersOf, rejectionOf } from '../middleware/witness.ts';
import { contentOf, piecesOf, ping, play, served, simulate, watch } from './stage.ts';

const request = { ...ping, thinking: { type: 'disabled' } } as const;
const resume = { maxResumes: 1 };
const whole = 'You said: ping';

/** The events of an answer that says these texts, and more fields. */
function events(texts: readonly string[], ...more: object[]): string {
  const chunks = texts.map((content) => ({ choices: [{ delta: { content } }] }));
  return [...chunks, ...more].map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join('');
}

const done = 'data: [DONE]\n\n';
const stop = { choices: [{ delta: {}, finish_reason: 'stop' }] };
const headers = { 'content-type': 'text/event-stream' };

describe('resume', () => {
  const breaks: [string, ScriptedFault][] = [
    ['STREAM_TRUNCATED', { cutAfterChunks: -4 }],
    ['STREAM_RESET', { resetAfterChunks: -4 }],
    ['STREAM_FAILED', { instead: 'error', insteadAfterChunks: -4 }],
  ];

  it.each<[string, ScriptedFault]>([...breaks, ['TIMEOUT_IDLE', { stallAfterChunks: -4 }]])(
    'goes on with an answer that breaks off: %s',
    async (cause, fault) => {
      const { ai, run, simulator, of, clock } = simulate({}, fault);
      const pieces = await run(piecesOf(ai.stream({ ...ping, reasoning_effort: 'high' }, { resume })));
      expect(contentOf(pieces)).toBe(whole);
      expect(pieces.at(-1)).toMatchObject({ finishReason: 'stop' });
      const [first, second] = simulator.requests as [SimulatedRequest, SimulatedRequest];
      const { messages, ...asked } = second.payload as { messages: { content: string }[] };
      expect([first.url, second.url]).toEqual([
        'https://api.deepseek.com/chat/completions',
        'https://api.deepseek.com/beta/chat/completions',
      ]);
      expect(asked).toEqual({ model: ping.model, thinking: { type: 'disabled' }, stream: true });
      expect(messages).toEqual([
        ...ping.messages,
        { role: 'assistant', content: expect.stringMatching(/^You/), prefix: true },
      ]);
      const receivedChars = messages.at(-1)?.content.length;
      expect(of('stream.resumed')).toEqual([{ attempt: 1, receivedChars, cause }]);
      expect(clock.pendingTimers).toBe(0);
    },
  );

  it.each(breaks)('does so over real HTTP: %s', async (_cause, fault) => {
    const simulator = createSimulator();
    simulator.script(fault);
    const { url } = await served(simulator.fetch);
    const { ai, of } = watch(fetch, { baseURL: url, clock: undefined });
    const stream = ai.stream(request, { resume });
    expect(await stream.text()).toBe(whole);
    expect(await stream.final()).toMatchObject({ content: whole, finishReason: 'stop' });
    expect(of('stream.resumed')).toHaveLength(1);
    expect(simulator.requests.map((each) => new URL(each.url).pathname)).toEqual([
      '/chat/completions',
      '/beta/chat/completions',
    ]);
  });

  it('tells of the seam in the call that goes on', async () => {
    const { ai, run, events: seen } = simulate({}, { cutAfterChunks: -4 });
    await run(ai.stream(request, { resume }).text());
    const told = seen.map(({ callId, type }) => `${callId} ${type}`);
    expect(told.indexOf('2 stream.resumed')).toBeGreaterThan(told.indexOf('2 stream.first-token'));
    expect(told.indexOf('1 call.settled')).toBeLessThan(told.indexOf('2 call.started'));
  });

  it('is not done unasked', async () => {
    const { ai, run, simulator } = simulate({}, { cutAfterChunks: -4 });
    expect(await rejectionOf(run(ai.stream(request).text()))).toMatchObject({ code: 'STREAM_TRUNCATED' });
    expect(simulator.requests).toHaveLength(1);
  });

  it.each<[number, string | undefined]>([
    [1, 'STREAM_RESET'],
    [2, 'TIMEOUT_IDLE'],
    [3, undefined],
    [9, undefined],
  ])('is done up to maxResumes times: %i', async (maxResumes, code) => {
    const faults: Fault[] = [{ cutAfterChunks: 3 }, { resetAfterChunks: 2 }, { stallAfterChunks: 2 }];
    const { ai, run, simulator, of } = simulate({}, ...faults);
    const ending = await run(
      ai
        .stream(request, { resume: { maxResumes } })
        .text()
        .catch((error: unknown) => error),
    );
    if (code) expect(ending).toMatchObject({ code, partial: { content: expect.stringMatching(/^You s/) } });
    else expect(ending).toBe(whole);
    const attempts = Math.min(maxResumes, 3);
    expect(simulator.requests).toHaveLength(1 + attempts);
    expect(of('stream.resumed')).toMatchObject(
      Array.from({ length: attempts }, (_, at) => ({ attempt: at + 1 })),
    );
    const prefixes = simulator.requests.slice(1).map(({ payload }) => {
      const { messages } = payload as { messages: { content: string }[] };
      return messages.at(-1)?.content ?? '';
    });
    for (const [at, prefix] of prefixes.entries())
      expect(prefix.startsWith(prefixes[at - 1] ?? 'You')).toBe(true);
  });

  it('adds up what both parts cost, and keeps the finish of the second', async () => {
    const cost = (tokens: number) => ({
      prompt_tokens: tokens,
      total_tokens: tokens * 2,
      completion_tokens_details: { reasoning_tokens: tokens },
      ...(tokens === 3 && { prompt_cache_hit_tokens: 5, completion_tokens_details: null }),
    });
    const first = events(['a'], { choices: [], usage: cost(7) });
    const second = events(['b'], stop, { id: 'second', usage: cost(3) }) + done;
    const { ai, run } = play({}, { body: first, headers }, { body: second, headers });
    const stream = ai.stream(request, { resume });
    const pieces = await run(piecesOf(stream));
    const usage = {
      prompt_tokens: 10,
      total_tokens: 20,
      completion_tokens_details: { reasoning_tokens: 7 },
      prompt_cache_hit_tokens: 5,
    };
    expect(pieces.flatMap((piece) => piece.usage ?? [])).toEqual([cost(7), usage]);
    expect(pieces.at(-1)?.raw.usage).toEqual(cost(3));
    expect(await stream.final()).toMatchObject({
      content: 'ab',
      finishReason: 'stop',
      usage,
      raw: { usage, choices: [{ message: { content: 'ab' }, finish_reason: 'stop' }] },
    });
  });

  it.each([
    ['the first', { choices: [], usage: { total_tokens: 7 } }, {}, 7],
    ['the second', {}, { choices: [], usage: { total_tokens: 3 } }, 3],
  ])('takes what only %s tells for the cost', async (_which, one, other, total_tokens) => {
    const first = events(['a'], one);
    const second = events(['b'], stop, other) + done;
    const { ai, run } = play({}, { body: first, headers }, { body: second, headers });
    const { usage } = await run(ai.stream(request, { resume }).final());
    expect(usage).toEqual({ total_tokens });
  });

  it('goes on after a finish for want of resources', async () => {
    const failed = { choices: [{ delta: {}, finish_reason: 'insufficient_system_resource' }] };
    const replies = [events(['a'], failed) + done, events(['b'], stop) + done].map((body) => ({
      body,
      headers,
    }));
    for (const streamTimeout of [undefined, false] as const) {
      const { ai, run } = play({ streamTimeout }, ...replies);
      expect(await run(ai.stream(request, { resume }).final())).toMatchObject({
        content: 'ab',
        finishReason: 'stop',
      });
    }
  });

  it('is content when nothing was missing but the end', async () => {
    for (const streamTimeout of [undefined, false] as const) {
      const { ai, run } = simulate({ streamTimeout }, { cutAfterChunks: -2 });
      expect(await run(ai.stream(request, { resume }).final())).toMatchObject({
        content: whole,
        finishReason: 'stop',
      });
    }
  });

  it('goes through all that makes a call survive', async () => {
    const { ai, run, simulator, of } = simulate({}, { cutAfterChunks: -4 }, 503, { instead: 'empty' });
    expect(await run(ai.stream(request, { resume }).text())).toBe(whole);
    expect(of('retry.scheduled')).toMatchObject([{ cause: 503 }, { cause: 'STREAM_EMPTY' }]);
    expect(simulator.requests).toHaveLength(4);
  });

  it.each<[string, ScriptedFault, ScriptedFault[]]>([
    ['is refused', { cutAfterChunks: -4 }, [400]],
    ['fails before its first word', { cutAfterChunks: -4 }, [500, 500, 500]],
    ['is empty', { cutAfterChunks: -4 }, [{ instead: 'empty' }, { instead: 'empty' }, { instead: 'empty' }]],
  ])('ends as without, when the continuation %s', async (_how, fault, more) => {
    const { ai, run, simulator, of } = simulate({}, fault, ...more);
    const error = await rejectionOf(run(ai.stream(request, { resume: { maxResumes: 2 } }).text()));
    expect(error).toMatchObject({
      code: 'STREAM_TRUNCATED',
      committed: true,
      partial: { content: expect.stringMatching(/^You/) },
    });
    expect(simulator.requests).toHaveLength(1 + more.length);
    expect(of('stream.resumed')).toHaveLength(0);
  });
});

describe('resume, where nothing can be continued', () => {
  const tools = [{ type: 'function', function: { name: 'wind' } }] as const;
  const calling = { content: 'Let me see.', toolCalls: [{ name: 'wind', arguments: { port: 'Kobe' } }] };

  it.each<[string, string, object, ScriptedFault]>([
    ['in a tool call', 'STREAM_TRUNCATED', { ...request, tools }, { answer: calling, cutAfterChunks: -4 }],
    ['after tool calls', 'STREAM_RESET', { ...request, tools }, { answer: calling, resetAfterChunks: -2 }],
    ['in the reasoning', 'STREAM_TRUNCATED', ping, { cutAfterChunks: 4 }],
    ['in a stalled reasoning', 'TIMEOUT_IDLE', ping, { stallAfterChunks: 4 }],
    ['at a malformed event', 'STREAM_MALFORMED', request, { instead: 'not-json', insteadAfterChunks: -4 }],
  ])('ends as without: %s', async (_where, code, asked, fault) => {
    const without = simulate({}, fault);
    const expected = await rejectionOf(without.run(without.ai.stream({ ...ping, ...asked }).text()));
    const { ai, run, simulator } = simulate({}, fault);
    const error = await rejectionOf(run(ai.stream({ ...ping, ...asked }, { resume }).text()));
    expect(error).toMatchObject({ code, committed: true });
    expect({ ...(error as object), partial: (error as { partial: object }).partial }).toEqual({
      ...(expected as object),
      partial: (expected as { partial: object }).partial,
    });
    expect(simulator.requests).toHaveLength(1);
  });

  it('ends as without: before the first word', async () => {
    const { ai, run, simulator } = simulate({ retry: false }, { cutAfterChunks: 1 });
    const error = await rejectionOf(run(ai.stream(request, { resume }).text()));
    expect(error).toMatchObject({ code: 'STREAM_TRUNCATED', committed: false });
    expect(simulator.requests).toHaveLength(1);
  });
});

describe('resume and the caller', () => {
  it.each<[string, (leave: () => unknown, abort: () => void) => unknown]>([
    ['leaves', (leave) => leave()],
    ['aborts', (_leave, abort) => abort()],
  ])('ends the continuation when the caller %s', async (_how, act) => {
    const { ai, simulator, clock } = simulate({}, { cutAfterChunks: -4 }, { stallBeforeHeaders: true });
    const caller = new AbortController();
    const stream = ai.stream(request, { resume, signal: caller.signal });
    const reading = stream.text().catch((error: unknown) => error);
    await vi.waitFor(() => expect(simulator.requests).toHaveLength(2), { interval: 5 });
    act(
      () => void stream.return(),
      () => caller.abort('gone'),
    );
    const ending = await reading;
    if (ending !== 'gone')
      expect(ending).toMatchObject({
        code: 'STREAM_TRUNCATED',
        partial: { content: expect.stringMatching(/^You/) },
      });
    await clock.settle();
    expect([simulator.active, clock.pendingTimers, listenersOf(caller.signal)]).toEqual([0, 0, 0]);
  });
});

describe('continuationOf()', () => {
  it('asks for the rest, and for nothing else that was not asked before', () => {
    const asked = Object.freeze({
      ...ping,
      max_tokens: 9,
      stop: 'x',
      reasoning_effort: 'max' as const,
      seed: 7,
    });
    expect(continuationOf(asked, 'so far')).toEqual({
      model: ping.model,
      max_tokens: 9,
      stop: 'x',
      seed: 7,
      thinking: { type: 'disabled' },
      messages: [...ping.messages, { role: 'assistant', content: 'so far', prefix: true }],
    });
  });

  it("adds to the caller's own beginning of the answer", () => {
    const prefix = { role: 'assistant', content: 'Once ', prefix: true, name: 'n' } as const;
    const { messages } = continuationOf({ ...ping, messages: [...ping.messages, prefix] }, 'upon');
    expect(messages).toEqual([...ping.messages, { ...prefix, content: 'Once upon' }]);
  });
});

describe('continuationUrl()', () => {
  it.each([
    ['https://api.deepseek.com', 'https://api.deepseek.com/beta/chat/completions'],
    ['https://api.deepseek.com/v1', 'https://api.deepseek.com/beta/chat/completions'],
    ['https://api.deepseek.com/beta', 'https://api.deepseek.com/beta/chat/completions'],
    ['http://localhost:1/deepseek/v1', 'http://localhost:1/deepseek/beta/chat/completions'],
  ])('is for %s %s', (base, url) => {
    expect(continuationUrl(base).href).toBe(url);
  });
});
