import { createDeepSeek, DeepSeekError } from 'breakwater/deepseek';
import { createScriptedFetch, type ScriptedFault } from 'breakwater/testing';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createSource, rejectionOf, settlesBeforeTimer } from '../middleware/witness.ts';
import {
  apiKey,
  contentOf,
  endpoint,
  piecesOf,
  ping,
  play,
  pong,
  served,
  simulate,
  type Watched,
  watch,
} from './stage.ts';

const request = { ...ping, thinking: { type: 'disabled' } } as const;

/** The same client before the simulator in the process, on a fake clock, and over real HTTP, on the real one. */
async function stages(
  ...faults: ScriptedFault[]
): Promise<
  (Watched & { requests: readonly { payload: unknown; headers: Readonly<Record<string, string>> }[] })[]
> {
  const inProcess = simulate({}, ...faults);
  const { simulator } = simulate({}, ...faults);
  const { url } = await served(simulator.fetch);
  const overHttp = watch(fetch, { baseURL: url, clock: undefined, random: () => 0.001 });
  return [
    { ...inProcess, requests: inProcess.simulator.requests },
    { ...overHttp, run: (promise) => promise, requests: simulator.requests },
  ];
}

describe('chat()', () => {
  it('gives the whole answer', async () => {
    for (const { ai, run, requests } of await stages()) {
      const answer = await run(ai.chat(ping));
      expect(answer).toMatchObject({
        content: 'You said: ping',
        reasoningContent: 'The user says "ping". A short answer will do.',
        toolCalls: [],
        finishReason: 'stop',
        model: 'deepseek-v4-flash',
        usage: { total_tokens: 17, completion_tokens_details: { reasoning_tokens: 12 } },
      });
      expect(answer.id).toBe(answer.raw.id);
      expect(answer.raw).toMatchObject({ object: 'chat.completion', system_fingerprint: expect.any(String) });
      expect(requests).toMatchObject([
        { payload: ping, headers: { 'content-type': 'application/json', authorization: '[redacted]' } },
      ]);
    }
  });

  it('survives a 429, a 503 and a lost connection', async () => {
    for (const { ai, run, of } of await stages(429, 503, { resetBeforeHeaders: true })) {
      expect(await run(ai.chat(request))).toMatchObject({ content: 'You said: ping', reasoningContent: '' });
      expect(of('retry.scheduled')).toMatchObject([
        { cause: 429 },
        { cause: 503 },
        { cause: 'CONNECTION_FAILED' },
      ]);
      expect(of('balance.low')).toHaveLength(1);
      expect(of('call.settled')).toMatchObject([{ outcome: 'complete', status: 200 }]);
    }
  });

  it.each([400, 401, 402, 404, 422])('ends with a DeepSeekError at %i, after one attempt', async (status) => {
    for (const { ai, run, requests } of await stages(status)) {
      const error = (await rejectionOf(run(ai.chat(request)))) as DeepSeekError;
      expect(error).toBeInstanceOf(DeepSeekError);
      expect(error).toMatchObject({
        code: 'API_ERROR',
        status,
        traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
      });
      expect(requests).toHaveLength(1);
    }
  });

  it('is told by a real server what is wrong with a key', async () => {
    for (const { ai, run } of await stages({
      status: 401,
      headers: { 'x-ds-trace-id': 'trace-1' },
      body: {
        error: {
          message: 'Authentication Fails, Your api key: ****fcc2 is invalid',
          type: 'authentication_error',
        },
      },
    })) {
      expect(await rejectionOf(run(ai.chat(request)))).toMatchObject({
        message: 'DeepSeek answered 401: Authentication Fails, Your api key: **** is invalid',
        type: 'authentication_error',
        traceId: 'trace-1',
      });
    }
  });

  it('sends nothing that the service would refuse', async () => {
    for (const { ai, run, requests } of await stages()) {
      const error = await rejectionOf(run(ai.chat({ ...ping, messages: [{ role: 'user', content: null }] })));
      expect(error).toMatchObject({ issues: [{ path: 'messages[0].content' }] });
      expect(requests).toHaveLength(0);
    }
  });

  it('waits out a queue', async () => {
    const { ai, clock } = simulate({}, { keepAliveMs: 170_000 });
    const chat = ai.chat(request);
    await clock.advance(170_000);
    expect(await chat).toHaveProperty('content', 'You said: ping');
  });

  it.each<[string, object, object]>([
    ['no content', { content: null, reasoning_content: 'r' }, { content: '', reasoningContent: 'r' }],
    ['nothing but a role', { role: 'assistant' }, { content: '', reasoningContent: '', toolCalls: [] }],
    [
      'tool calls',
      {
        content: null,
        tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }],
      },
      { content: '', toolCalls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }] },
    ],
  ])('reads an answer with %s', async (_what, message, told) => {
    const { ai, run } = play({}, { body: { choices: [{ finish_reason: null, message }] } });
    const answer = await run(ai.chat(ping));
    expect(answer).toMatchObject(told);
    expect([answer.finishReason, answer.usage, answer.model, answer.id]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('hands the answer on as it came', async () => {
    const raw = JSON.stringify({
      object: 'o',
      choices: [{ z: 1, message: { content: 'a', y: [] } }],
      id: 'i',
    });
    const { ai, run } = play({}, { body: `\n\n${raw}` });
    expect(JSON.stringify((await run(ai.chat(ping))).raw)).toBe(raw);
  });

  it('asks for no stream, whatever the request says', async () => {
    const { ai, run, fetch } = play({}, { body: pong });
    await run(ai.chat({ ...ping, stream: true }));
    expect(JSON.parse(`${fetch.calls[0]?.text}`)).toEqual(ping);
  });

  it('leaves the request as it is, and what it holds beyond the types', async () => {
    const frozen = Object.freeze({ ...ping, messages: Object.freeze(ping.messages), seed: 7 });
    const { ai, run, fetch } = play({}, { body: pong });
    await run(ai.chat(frozen));
    expect(JSON.parse(`${fetch.calls[0]?.text}`)).toEqual({ ...ping, seed: 7 });
  });

  it('rejects what cannot be written as JSON, and sends nothing', async () => {
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    const { ai, fetch } = play({});
    expect(await rejectionOf(ai.chat({ ...ping, circular }))).toBeInstanceOf(TypeError);
    expect(await rejectionOf(ai.chat(undefined as never))).toBeInstanceOf(TypeError);
    expect(fetch.calls).toHaveLength(0);
  });

  it('sends through the fetch of the runtime as it is at the time of the call', async () => {
    const ai = createDeepSeek({ apiKey });
    const fetch = createScriptedFetch({ body: pong });
    vi.stubGlobal('fetch', fetch);
    onTestFinished(() => void vi.unstubAllGlobals());
    expect(await ai.chat(ping)).toHaveProperty('content', 'pong');
    expect(fetch.calls[0]?.url).toBe(endpoint);
  });

  it('hands its payload past ky, and the fetch never sees how', async () => {
    const { ai, run, fetch } = play({}, { body: pong });
    await run(ai.chat(ping));
    expect(fetch.calls[0]?.init).toMatchObject({
      body: JSON.stringify(ping),
      redirect: 'manual',
      method: 'POST',
    });
    expect(fetch.calls[0]?.init).not.toHaveProperty('breakwater');
  });
});

describe('stream()', () => {
  it('gives the answer in pieces, and ends complete', async () => {
    for (const { ai, run, requests, of, clock } of await stages()) {
      const pieces = await run(piecesOf(ai.stream(ping)));
      expect(contentOf(pieces)).toBe('You said: ping');
      expect(pieces.map(({ reasoningContent }) => reasoningContent).join('')).toBe(
        'The user says "ping". A short answer will do.',
      );
      expect(pieces.at(-1)).toMatchObject({ finishReason: 'stop', usage: { total_tokens: 17 } });
      expect(requests).toMatchObject([{ payload: { ...ping, stream: true } }]);
      await vi.waitFor(() => expect(of('call.settled')).toMatchObject([{ outcome: 'complete' }]), {
        interval: 5,
      });
      expect(clock.pendingTimers).toBe(0);
    }
  });

  it('survives a 429 and a 503 before it begins', async () => {
    for (const { ai, run, of } of await stages(429, 503)) {
      expect(contentOf(await run(piecesOf(ai.stream(request))))).toBe('You said: ping');
      expect(of('retry.scheduled')).toMatchObject([{ cause: 429 }, { cause: 503 }]);
    }
  });

  it('uses one connection for streams in a row', async () => {
    const { simulator } = simulate({});
    const server = await served(simulator.fetch);
    const { ai, of } = watch(fetch, { baseURL: server.url, clock: undefined });
    for (let call = 1; call <= 4; call++) {
      await piecesOf(ai.stream(request));
      await vi.waitFor(() => expect(of('call.settled')).toHaveLength(call), { interval: 5 });
    }
    expect(server.opened).toBeLessThanOrEqual(2);
  });

  it.each<[string, ScriptedFault]>([
    ['STREAM_TRUNCATED', { cutAfterChunks: 3 }],
    ['STREAM_RESET', { resetAfterChunks: 3 }],
    [
      'STREAM_MALFORMED',
      {
        body: 'data: {"choices":[{"delta":{"content":"You"}}]}\n\ndata: oh\n\n',
        headers: { 'content-type': 'text/event-stream' },
      },
    ],
    [
      'STREAM_FAILED',
      { body: 'data: {"choices":[{"delta":{"content":"You"}}]}\n\ndata: {"error":{"message":"m"}}\n\n' },
    ],
  ])('ends with %s where the answer breaks off, after what had arrived', async (code, fault) => {
    for (const { ai, run, requests } of await stages(fault)) {
      const seen: string[] = [];
      const reading = async () => {
        for await (const { content } of ai.stream(request)) seen.push(content);
      };
      expect(await rejectionOf(run(reading()))).toMatchObject({ code, committed: true });
      expect(seen.join('')).toMatch(/^You/);
      expect(requests).toHaveLength(1);
    }
  });

  it('ends with TIMEOUT_IDLE where it stalls', async () => {
    const { ai, run, clock, simulator } = simulate({}, { stallAfterChunks: 3 });
    expect(await rejectionOf(run(piecesOf(ai.stream(request))))).toMatchObject({
      code: 'TIMEOUT_IDLE',
      limitMs: 60_000,
      committed: true,
    });
    expect([simulator.active, clock.pendingTimers]).toEqual([0, 0]);
  });

  it('sends nothing before the first piece is asked for', async () => {
    const { ai, fetch } = play({});
    const stream = ai.stream(ping);
    await stream.return();
    expect(fetch.calls).toHaveLength(0);
  });

  it('aborts upstream when the loop is left', async () => {
    for (const { ai, run, of } of await stages({ stallAfterChunks: 3 })) {
      const first = async () => {
        for await (const { content } of ai.stream(request)) if (content) return content;
        return undefined;
      };
      expect(await run(first())).toBe('You');
      await vi.waitFor(() => expect(of('call.settled')).toMatchObject([{ outcome: 'cancelled' }]), {
        interval: 5,
      });
    }
  });
});

describe("the caller's abort", () => {
  type Stage = Awaited<ReturnType<typeof stages>>[number];
  const asked = ({ requests }: Stage) => requests.length;
  const waits = ({ of }: Stage) => of('retry.scheduled').length;
  const begun = ({ of }: Stage) => of('stream.first-token').length;

  it.each<[string, ScriptedFault, (stage: Stage) => number]>([
    ['before the headers', { stallBeforeHeaders: true }, asked],
    ['before the first token', { stallAfterChunks: 0 }, asked],
    ['in a wait', { status: 503, retryAfter: 30 }, waits],
    ['in the answer', { stallAfterChunks: 3 }, begun],
  ])('ends a stream at once, with its own reason: %s', async (_when, fault, isThere) => {
    for (const stage of await stages(fault)) {
      const caller = new AbortController();
      const reason = { gone: true };
      const rejection = rejectionOf(piecesOf(stage.ai.stream(request, { signal: caller.signal })));
      await vi.waitFor(() => expect(isThere(stage)).toBe(1), { interval: 5 });
      caller.abort(reason);
      expect(await settlesBeforeTimer(rejection)).toBe(true);
      expect(await rejection).toBe(reason);
      expect(stage.clock.pendingTimers).toBe(0);
    }
  });

  it('ends a chat likewise, also one that was aborted before', async () => {
    const { ai, clock, simulator } = simulate({}, { stallAfterChunks: 0 });
    const caller = new AbortController();
    const rejection = rejectionOf(ai.chat(request, { signal: caller.signal }));
    await clock.settle();
    caller.abort('gone');
    expect(await rejection).toBe('gone');
    expect([simulator.active, clock.pendingTimers]).toEqual([0, 0]);
    const late = ai.chat(request, { signal: AbortSignal.abort('gone before') });
    expect(await rejectionOf(late)).toBe('gone before');
  });

  it('reaches an answer that is read to the end without streamTimeout', async () => {
    const source = createSource();
    const { ai, clock } = watch(async () => source.response(), { streamTimeout: false });
    const caller = new AbortController();
    const reading = rejectionOf(piecesOf(ai.stream(ping, { signal: caller.signal })));
    source.push('data: {"choices":[{"delta":{"content":"a"}}]}\n\n');
    await clock.settle();
    caller.abort('gone');
    source.push('data: {"choices":[{"delta":{"content":"b"}}]}\n\n');
    expect(await reading).toBe('gone');
  });
});

describe('http', () => {
  it('reaches every other endpoint with base, key and chain', async () => {
    for (const { ai, run, requests } of await stages(503)) {
      const { data } = await run(ai.http.get('models').json<{ data: { id: string }[] }>());
      expect(data.map(({ id }) => id)).toEqual(['deepseek-flash', 'deepseek-v4-pro']);
      expect(await run(ai.http.get('user/balance').json())).toHaveProperty('is_available');
      expect(requests).toHaveLength(3);
    }
  });

  it('throws no error for a status', async () => {
    for (const { ai, run } of await stages(402)) {
      const response = await run(ai.http.get('models'));
      expect(response.status).toBe(402);
      expect(await response.json()).toHaveProperty('error.message', 'Insufficient Balance');
    }
  });

  it('checks a chat payload that is given to ky', async () => {
    const { ai, run, simulator } = simulate({});
    const bad = ai.http.post('chat/completions', { json: { ...ping, temperature: 3 } });
    expect(await rejectionOf(run(bad))).toMatchObject({ code: 'PAYLOAD_INVALID' });
    const good = run(ai.http.post('chat/completions', { json: ping }));
    expect((await good).status).toBe(200);
    expect(simulator.requests).toMatchObject([{ payload: ping }]);
  });

  it('retries in the chain alone, also a POST whose body came through ky', async () => {
    const { ai, run, fetch } = play({ retry: { maxRetries: 1 } }, 503, 503);
    const response = await run(ai.http.post('chat/completions', { json: ping }));
    expect(response.status).toBe(503);
    expect(fetch.calls.map(({ text }) => text)).toEqual([JSON.stringify(ping), JSON.stringify(ping)]);
  });

  it('has no timeout of its own', async () => {
    const timer = vi.spyOn(globalThis, 'setTimeout');
    onTestFinished(() => timer.mockRestore());
    const { ai, run } = play({}, 200);
    await run(ai.http.get('models'));
    expect(timer.mock.calls.map(([, delayMs]) => delayMs)).not.toContain(10_000); // ky's default
  });

  it('ends with the error of the chain, and not with one of ky around it', async () => {
    const lost = new TypeError('fetch failed');
    const { ai, run } = play({ retry: false }, lost);
    expect(await rejectionOf(run(ai.http.get('models')))).toMatchObject({ code: 'CONNECTION_FAILED' });
    const keyless = play({ apiKey: () => Promise.reject(lost) });
    expect(await rejectionOf(keyless.run(keyless.ai.http.get('models')))).toBe(lost);
  });

  it('can be extended, and keeps all that', async () => {
    const { ai, run, fetch } = play({}, 503, 200);
    const mine = ai.http.extend({ headers: { 'x-team': 'search' }, hooks: { beforeError: [] } });
    await run(mine.get('models'));
    expect(fetch.calls[1]?.headers.get('x-team')).toBe('search');
    expect(fetch.calls[1]?.headers.get('authorization')).toBe(`Bearer ${apiKey}`);
  });
});
