import {
  type CircuitBreakerOptions,
  circuitBreaker,
  createRetryBudget,
  type FetchLike,
  type ObservedEvent,
  type RetryFailure,
} from 'breakwater';
import { circuitKey, createDeepSeek, type DeepSeekOptions, deepseek } from 'breakwater/deepseek';
import {
  createFakeClock,
  createScriptedFetch,
  createSimulator,
  type FakeClock,
  type ScriptedFetch,
  type ScriptedReply,
} from 'breakwater/testing';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { createSource, listenersOf, rejectionOf } from '../middleware/witness.ts';
import { apiKey, endpoint, ping, served } from './stage.ts';

interface Chain {
  readonly clock: FakeClock;
  readonly fetch: ScriptedFetch;
  readonly events: readonly ObservedEvent[];
  of(type: ObservedEvent['type']): object[];
  ask(payload?: object | null, init?: RequestInit, url?: string): Promise<Response>;
}

/** The preset alone, as a fetch, in front of a script. */
function chain(options: DeepSeekOptions, ...replies: ScriptedReply[]): Chain {
  const clock = createFakeClock();
  const events: ObservedEvent[] = [];
  const fetch = createScriptedFetch(...replies);
  const onEvent = (event: ObservedEvent) => void events.push(event);
  const send = deepseek({ apiKey, clock, random: () => 0.5, onEvent, ...options })(fetch);
  return {
    clock,
    fetch,
    events,
    of: (type) =>
      events
        .filter((event) => event.type === type)
        .map(({ callId: _callId, at: _at, type: _type, ...rest }) => rest),
    ask: (payload = ping, init = {}, url = endpoint) =>
      clock.runUntil(send(url, { method: 'POST', body: payload && JSON.stringify(payload), ...init })),
  };
}

const answer: ScriptedReply = { body: { choices: [] } };
const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });

describe('deepseek() and the key', () => {
  it('sets the one that it is told', async () => {
    const { ask, fetch } = chain({}, answer);
    await ask();
    expect(fetch.calls[0]?.headers.get('authorization')).toBe(`Bearer ${apiKey}`);
  });

  it.each([
    ['sync', (key: string) => key],
    ['async', async (key: string) => key],
  ])('asks a function once a call, not once an attempt: %s', async (_kind, give) => {
    let asked = 0;
    const { ask, fetch } = chain({ apiKey: () => give(`sk-${++asked}`) }, 503, answer, answer);
    await ask();
    await ask();
    expect(fetch.calls.map(({ headers }) => headers.get('authorization'))).toEqual([
      'Bearer sk-1',
      'Bearer sk-1',
      'Bearer sk-2',
    ]);
  });

  it('removes white space around it, as files have it', async () => {
    const { ask, fetch } = chain({ apiKey: ` ${apiKey}\r\n` }, answer);
    await ask();
    expect(fetch.calls[0]?.headers.get('authorization')).toBe(`Bearer ${apiKey}`);
  });

  it("replaces the call's own, in the header where that stood", async () => {
    const { ask, fetch } = chain({}, answer, answer);
    await ask(ping, bearer('sk-other'));
    await ask(ping, { headers: { 'x-api-key': 'sk-other', cookie: 'session=1' } });
    expect(fetch.calls.map(({ headers }) => Object.fromEntries(headers))).toMatchObject([
      { authorization: `Bearer ${apiKey}` },
      { 'x-api-key': apiKey },
    ]);
    expect(fetch.calls[1]?.headers.has('authorization')).toBe(false);
    expect(fetch.calls[1]?.headers.has('cookie')).toBe(false);
  });

  it("leaves the call's own where it is told none", async () => {
    const { ask, fetch } = chain({ apiKey: undefined }, answer);
    await ask(ping, bearer('sk-own'));
    expect(fetch.calls[0]?.headers.get('authorization')).toBe('Bearer sk-own');
  });

  it.each<[string, string, DeepSeekOptions, RequestInit]>([
    ['AUTH_MISSING', 'none', { apiKey: undefined }, {}],
    ['AUTH_MISSING', 'an empty one', { apiKey: '' }, {}],
    ['AUTH_MISSING', 'a function that gives none', { apiKey: () => undefined as unknown as string }, {}],
    ['AUTH_MALFORMED', 'a variable that was not loaded', { apiKey: 'undefined' }, {}],
    ['AUTH_MALFORMED', 'a line break in it', { apiKey: 'sk-a\nsk-b' }, {}],
    ['AUTH_MALFORMED', 'a letter that is not ASCII', { apiKey: 'sk-é' }, {}],
    ['AUTH_MALFORMED', 'a malformed one without the check', { apiKey: 'sk-a b', authCheck: false }, {}],
    ['AUTH_MALFORMED', "the call's own is malformed", { apiKey: undefined }, bearer('"sk-a"')],
  ])('%s: sends nothing with %s', async (code, _what, options, init) => {
    const { ask, fetch } = chain(options);
    expect(await rejectionOf(ask(ping, init))).toMatchObject({ code });
    expect(fetch.calls).toHaveLength(0);
  });

  it('passes on what the key function throws, and asks it again next time', async () => {
    const failure = new Error('vault is down');
    let asked = 0;
    const { ask } = chain({ apiKey: () => (asked++ ? apiKey : Promise.reject(failure)) }, answer);
    expect(await rejectionOf(ask())).toBe(failure);
    expect((await ask()).status).toBe(200);
  });

  it('waits no longer for a key than the caller does', async () => {
    const { ask, fetch } = chain({ apiKey: () => new Promise<string>(() => {}) });
    const caller = new AbortController();
    const pending = rejectionOf(ask(ping, { signal: caller.signal }));
    expect(listenersOf(caller.signal)).toBe(1);
    caller.abort('gone');
    expect(await pending).toBe('gone');
    expect(await rejectionOf(ask(ping, { signal: caller.signal }))).toBe('gone');
    expect([fetch.calls.length, listenersOf(caller.signal)]).toEqual([0, 0]);
  });

  it('lets the key go elsewhere only where authCheck says so', async () => {
    const elsewhere = 'https://elsewhere.example/models';
    const strict = chain({});
    expect(await rejectionOf(strict.ask(null, {}, elsewhere))).toMatchObject({ code: 'AUTH_ORIGIN' });
    expect(strict.fetch.calls).toHaveLength(0);
    const told = chain({ authCheck: { origins: ['https://elsewhere.example'] } }, answer);
    expect((await told.ask(null, {}, elsewhere)).status).toBe(200);
  });
});

describe('deepseek() and its retries', () => {
  it.each([
    [429, 5],
    [503, 5],
    [502, 5],
    [504, 5],
    [500, 3],
    [408, 3],
    [529, 3],
    [400, 1],
    [401, 1],
    [402, 1],
    [403, 1],
    [404, 1],
    [413, 1],
    [422, 1],
  ])('meets %i with %i attempts', async (status, attempts) => {
    const { ask, fetch } = chain({ circuitBreaker: false }, ...Array.from({ length: 5 }, () => status));
    expect((await ask()).status).toBe(status);
    expect(fetch.calls).toHaveLength(attempts);
    expect(fetch.active).toBe(1); // the last body is the caller's
  });

  it('waits as long as it is told', async () => {
    const { ask, clock } = chain({}, { status: 429, headers: { 'retry-after': '2' } }, answer);
    const before = clock.now();
    await ask();
    expect(clock.now() - before).toBe(2500);
  });

  it('sends the body of a Request again, and nothing twice at a time', async () => {
    const clock = createFakeClock();
    const fetch = createScriptedFetch(503, answer);
    const send = deepseek({ apiKey, clock })(fetch);
    const request = new Request(endpoint, { method: 'POST', body: JSON.stringify(ping) });
    expect((await clock.runUntil(send(request))).status).toBe(200);
    expect(fetch.calls.map(({ text }) => text)).toEqual([JSON.stringify(ping), JSON.stringify(ping)]);
  });

  it('takes options over its own', async () => {
    const retryBudget = createRetryBudget({ maxTokens: 1 });
    const { ask, fetch } = chain({ retry: { maxRetries: 3, retryBudget, clock: undefined } }, 503, 503, 503);
    await ask();
    expect(fetch.calls).toHaveLength(2);
  });
});

const limited =
  'Too many requests. Your current concurrency is 26, which exceeds your concurrency limit of 25 based on your remaining balance. Please top up your balance.';

describe('deepseek() and the body of a 429', () => {
  it('tells the limit and the balance while the wait runs', async () => {
    const { ask, of, fetch } = chain({}, { status: 429, body: { error: { message: limited } } }, answer);
    await ask();
    expect(of('limit.told')).toEqual([{ limit: 25, inFlight: 26 }]);
    expect(of('balance.low')).toHaveLength(1);
    expect(fetch.cancelled).toBe(0);
    expect(fetch.active).toBe(0);
  });

  it.each([
    ['another wording', 429, 'Rate limit reached for TPM'],
    ['another status', 503, limited],
  ])('tells nothing of %s', async (_what, status, message) => {
    const { ask, of } = chain({}, { status, body: { error: { message } } }, answer);
    await ask();
    expect([of('limit.told'), of('balance.low')]).toEqual([[], []]);
  });

  it.each(['limit', 'time'])('reads it within bounds, and delays no retry: %s', async (bound) => {
    const source = createSource();
    const clock = createFakeClock();
    const times: number[] = [];
    const send = deepseek({ apiKey, clock, random: () => 0.999, onEvent: () => {} })(async () => {
      times.push(clock.now());
      return times.length > 1 ? new Response('{}') : source.response({ status: 429 });
    });
    const sent = send(endpoint, { method: 'POST', body: JSON.stringify(ping), headers: {} });
    if (bound === 'limit') source.push(new Uint8Array(64 * 1024));
    await clock.advance(499.5);
    expect((await sent).status).toBe(200);
    expect(times).toEqual([10_000, 10_499.5]);
    expect(source.cancels).toHaveLength(bound === 'limit' ? 1 : 0);
    await clock.advance(500.5);
    expect(source.cancels).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it('lets go of it when the caller aborts the wait', async () => {
    const source = createSource();
    const clock = createFakeClock();
    const caller = new AbortController();
    const { signal } = caller;
    const send = deepseek({ apiKey, clock, onEvent: () => {} })(async () => source.response({ status: 429 }));
    const rejection = rejectionOf(send(endpoint, { method: 'POST', body: JSON.stringify(ping), signal }));
    await clock.settle();
    const reason = { gone: true };
    caller.abort(reason);
    expect(await rejection).toBe(reason);
    await clock.settle();
    expect(source.cancels).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it('does no harm when somebody else is reading it', async () => {
    const shouldRetry = ({ response }: RetryFailure) => void response?.text();
    const { ask, of } = chain({ retry: { shouldRetry } }, { status: 429, body: limited }, answer);
    expect((await ask()).status).toBe(200);
    expect(of('limit.told')).toEqual([]);
  });

  it('is left to the caller when there is no retry, and unread when nobody listens', async () => {
    const last = chain({ retry: { maxRetries: 0 } }, { status: 429, body: limited });
    expect(await (await last.ask()).text()).toBe(limited);
    const deaf = chain({ onEvent: undefined }, { status: 429, body: limited }, answer);
    await deaf.ask();
    expect(deaf.fetch.cancelled).toBe(1);
  });
});

describe('deepseek() and its breaker', () => {
  it('opens after five failures, for one model, and says when to come back', async () => {
    const { ask, fetch, of } = chain({ retry: false }, 500, 502, 503, 504, 429, answer);
    for (let call = 0; call < 5; call++) await ask();
    expect(await rejectionOf(ask())).toMatchObject({
      code: 'CIRCUIT_OPEN',
      key: 'https://api.deepseek.com deepseek-v4-flash',
    });
    expect(fetch.calls).toHaveLength(5);
    expect(of('breaker.opened')).toHaveLength(1);
    expect((await ask({ ...ping, model: 'deepseek-v4-pro' })).status).toBe(200);
  });

  it.each([400, 401, 402, 404, 422])('counts no %i', async (status) => {
    const { ask, of } = chain({ retry: false }, ...Array.from({ length: 6 }, () => status));
    for (let call = 0; call < 6; call++) expect((await ask()).status).toBe(status);
    expect(of('breaker.opened')).toEqual([]);
  });

  it('may be one of your own, whose handle you keep', async () => {
    const breaker = circuitBreaker({ key: circuitKey, maxFailures: 1 });
    const { ask } = chain({ circuitBreaker: breaker, retry: false }, 503);
    await ask();
    expect(breaker.snapshot()).toMatchObject([
      { key: 'https://api.deepseek.com deepseek-v4-flash', state: 'open' },
    ]);
  });

  it('finds the model in the body of a Request, whatever else is left out', async () => {
    const breaker = circuitBreaker({ key: circuitKey, maxFailures: 1 });
    const options = { apiKey, circuitBreaker: breaker, retry: false, payloadSchema: false } as const;
    const request = new Request(endpoint, { method: 'POST', body: JSON.stringify(ping) });
    await deepseek(options)(createScriptedFetch(503))(request);
    expect(breaker.state('https://api.deepseek.com deepseek-v4-flash')).toBe('open');
  });

  it.each<[string, RequestInit]>([
    ['no body', {}],
    ['a body without model', { method: 'POST', body: '{}' }],
    ['a body that is no JSON', { method: 'POST', body: 'ping' }],
    ['a body that is null', { method: 'POST', body: 'null' }],
  ])('goes by the origin alone for %s', async (_what, init) => {
    const breaker = circuitBreaker({ key: circuitKey, maxFailures: 1 });
    const fetch = createScriptedFetch(503);
    const send = deepseek({ apiKey, circuitBreaker: breaker, retry: false, payloadSchema: false })(fetch);
    await send('https://api.deepseek.com/models', init);
    expect(breaker.snapshot().map(({ key }) => key)).toEqual(['https://api.deepseek.com']);
  });
});

describe('deepseek() and its clocks', () => {
  const direct = { thinking: { type: 'disabled' } };
  const max = { reasoning_effort: 'max' };

  it.each<[limitMs: number, what: string, payload: object | null]>([
    [180_000, 'no body', null],
    [180_000, 'thinking off', direct],
    [180_000, 'thinking off, streamed', { ...direct, stream: true }],
    [180_000, 'effort none', { reasoning_effort: 'none' }],
    [180_000, 'effort max with thinking off', { ...direct, ...max }],
    [300_000, 'nothing said of thinking', {}],
    [300_000, 'thinking on, streamed', { thinking: { type: 'enabled' }, stream: true }],
    [300_000, 'effort high', { reasoning_effort: 'high' }],
    [300_000, 'effort max, streamed', { ...max, stream: true }],
    [600_000, 'effort max', max],
    [600_000, 'effort ultra', { reasoning_effort: 'ultra' }],
  ])('waits %i ms for the first token with %s', async (limitMs, _what, patch) => {
    const source = createSource();
    const clock = createFakeClock();
    const send = deepseek({ apiKey, clock, retry: false })(async () => source.response());
    const url = patch ? endpoint : 'https://api.deepseek.com/models';
    const body = patch && JSON.stringify({ ...ping, ...patch });
    const error = await rejectionOf(clock.runUntil(send(url, { method: patch ? 'POST' : 'GET', body })));
    expect(error).toMatchObject({ code: 'TIMEOUT_FIRST_TOKEN', limitMs });
  });

  it.each<[idleMs: number, patch: object]>([
    [60_000, direct],
    [120_000, {}],
    [120_000, max],
  ])('takes %i ms of silence within an answer with %o, streamed or not', async (limitMs, patch) => {
    const ask = (begin: string, more: object) => {
      const source = createSource();
      const clock = createFakeClock();
      const send = deepseek({ apiKey, clock, retry: false })(async () => source.response());
      source.push(begin);
      const body = JSON.stringify({ ...ping, ...patch, ...more });
      const text = send(endpoint, { method: 'POST', body }).then((response) => response.text());
      return rejectionOf(clock.runUntil(text));
    };
    expect(await ask('{', {})).toMatchObject({ code: 'TIMEOUT_IDLE', limitMs, committed: false });
    const piece = 'data: {"choices":[{"delta":{"content":"po"}}]}\n\n';
    expect(await ask(piece, { stream: true })).toMatchObject({
      code: 'TIMEOUT_IDLE',
      limitMs,
      committed: true,
    });
  });

  it('waits 60 s for headers, and repeats a timeout once', async () => {
    const { ask, fetch } = chain({}, 'hang', 'hang');
    expect(await rejectionOf(ask())).toMatchObject({ code: 'TIMEOUT_HEADERS', limitMs: 60_000 });
    expect(fetch.calls).toHaveLength(2);
    expect(fetch.active).toBe(0);
  });

  it.each<[limitMs: number, what: string, streamTimeout: DeepSeekOptions['streamTimeout']]>([
    [1000, 'an option, in every mode', { firstTokenMs: 1000 }],
    [2000, 'limitsFor, over an option', { firstTokenMs: 1000, limitsFor: () => ({ firstTokenMs: 2000 }) }],
    [300_000, 'limitsFor that says nothing', { limitsFor: () => undefined }],
    [300_000, 'an option that is undefined', { firstTokenMs: undefined }],
  ])('takes %i ms from %s', async (limitMs, _what, streamTimeout) => {
    const clock = createFakeClock();
    const source = createSource();
    const send = deepseek({ apiKey, clock, retry: false, streamTimeout })(async () => source.response());
    const sent = send(endpoint, { method: 'POST', body: JSON.stringify(ping) });
    expect(await rejectionOf(clock.runUntil(sent))).toMatchObject({ limitMs });
  });
});

describe('deepseek() and the payload', () => {
  it.each([endpoint, 'https://api.deepseek.com/v1/chat/completions', `${endpoint}/`, `${endpoint}?a=1`])(
    'checks it at %s',
    async (url) => {
      const { ask, fetch } = chain({});
      expect(await rejectionOf(ask({ ...ping, temperature: 2.5 }, {}, url))).toMatchObject({
        code: 'PAYLOAD_INVALID',
        issues: [{ path: 'temperature', message: 'must be a number from 0 to 2' }],
      });
      expect(fetch.calls).toHaveLength(0);
    },
  );

  it.each(['/beta/completions', '/anthropic/v1/messages', '/files', '/chat/completions/x'])(
    'has no schema for %s',
    async (path) => {
      const { ask, fetch } = chain({}, 200);
      await ask({ max_tokens: 'many' }, {}, `https://api.deepseek.com${path}`);
      expect(fetch.calls).toHaveLength(1);
    },
  );

  it('serves the Anthropic-compatible endpoint with x-api-key', async () => {
    const { ask, fetch } = chain({ apiKey: undefined }, 503, { body: { type: 'message' } });
    const url = 'https://api.deepseek.com/anthropic/v1/messages';
    const headers = { 'x-api-key': apiKey, 'anthropic-version': '2023-06-01' };
    const response = await ask({ model: 'claude-opus', max_tokens: 16, messages: [] }, { headers }, url);
    expect(await response.json()).toEqual({ type: 'message' });
    expect(fetch.calls[1]?.headers.get('x-api-key')).toBe(apiKey);
    expect(await rejectionOf(ask({}, { headers: { 'x-api-key': 'null' } }, url))).toMatchObject({
      code: 'AUTH_MALFORMED',
    });
  });

  it.each<[string, object]>([
    ['model', { model: 'deepseek-v5' }],
    ['stream', { reasoning_effort: 'max' }],
  ])('advises on %s, and sends it', async (path, patch) => {
    const { ask, of } = chain({}, answer);
    await ask({ ...ping, ...patch });
    expect(of('payload.advice')).toMatchObject([{ issues: [{ path }] }]);
  });

  it.each<object>([
    {},
    { reasoning_effort: 'high' },
    { reasoning_effort: 'max', stream: true },
    { reasoning_effort: 'max', thinking: { type: 'disabled' } },
  ])('has no advice on %o', async (patch) => {
    const { ask, of } = chain({}, answer);
    await ask({ ...ping, ...patch });
    expect(of('payload.advice')).toEqual([]);
  });

  it('takes a schema of your own, which may let anything through', async () => {
    const strict = chain({ payloadSchema: { schema: v.object({ q: v.string() }) } }, answer);
    expect(await rejectionOf(strict.ask())).toMatchObject({ issues: [{ path: 'q' }] });
    const loose = chain({ payloadSchema: { schema: v.unknown() } }, answer);
    expect((await loose.ask(null, { body: 'null' })).status).toBe(200);
  });
});

describe('deepseek() and what it sends', () => {
  it('hands the init on as it came, with redirects to be told, and without what the client told it', async () => {
    const { ask, fetch } = chain({}, answer);
    const body = JSON.stringify(ping);
    await ask(ping, {
      breakwater: { payload: ping, body },
      dispatcher: 'mine',
      cache: 'no-store',
    } as RequestInit);
    const init = fetch.calls[0]?.init;
    expect(init).toMatchObject({ redirect: 'manual', dispatcher: 'mine', cache: 'no-store', body });
    expect(init).not.toHaveProperty('breakwater');
  });

  it('goes by the payload that the client hands over, and parses nothing', async () => {
    const { ask, fetch, of } = chain({}, answer);
    const breakwater = { payload: { ...ping, model: 'deepseek-v5' }, body: '{not parsed' };
    await ask(null, { breakwater } as RequestInit);
    expect(fetch.calls[0]?.text).toBe('{not parsed');
    expect(of('payload.advice')).toHaveLength(1);
  });

  it('follows no redirect of a real server, prompt and key least of all', async () => {
    const elsewhere = createSimulator();
    const { url: trap } = await served(elsewhere.fetch);
    for (const status of [301, 302, 303, 307, 308]) {
      const headers = { location: `${trap}/chat/completions` };
      const { url } = await served(async () => new Response(null, { status, headers }));
      const send = deepseek({ apiKey, baseURL: url })(fetch);
      const response = await send(`${url}/chat/completions`, { method: 'POST', body: JSON.stringify(ping) });
      expect(response.status).toBe(status);
    }
    expect(elsewhere.requests).toHaveLength(0);
  });

  it('takes another route with its own key, and nothing of ours', async () => {
    const route = { baseURL: 'https://other.example/v1', apiKey: 'sk-other', model: 'big' };
    const { ask, fetch, of } = chain({ fallback: [route], retry: false }, 503, answer);
    await ask(ping, { headers: { 'x-api-key': apiKey } });
    const [, second] = fetch.calls;
    expect(second?.url).toBe('https://other.example/v1/chat/completions');
    expect(JSON.stringify([...(second?.headers ?? [])])).not.toContain(apiKey);
    expect(second?.headers.get('x-api-key')).toBe('sk-other');
    expect(JSON.parse(`${second?.text}`)).toEqual({ ...ping, model: 'big' });
    expect(of('fallback.advanced')).toMatchObject([{ cause: 503 }]);
  });

  it('throws no raw network error', async () => {
    const { ask } = chain({ retry: false }, new TypeError(`fetch failed: ${apiKey}`));
    expect(await rejectionOf(ask())).toMatchObject({
      code: 'CONNECTION_FAILED',
      message: 'Connection to https://api.deepseek.com failed: TypeError',
    });
  });

  it("passes on what fetch says of a request that cannot be, and the caller's abort", async () => {
    const { ask } = chain({ payloadSchema: false, retry: false }, new TypeError('Request has a body'));
    const get = rejectionOf(ask(ping, { method: 'GET' }));
    expect(await get).toBeInstanceOf(TypeError);
    const reason = { gone: true };
    const aborted = chain({ streamTimeout: false }, 'hang');
    expect(await rejectionOf(aborted.ask(ping, { signal: AbortSignal.abort(reason) }))).toBe(reason);
  });
});

describe('deepseek() without one of its layers', () => {
  const none = {
    authCheck: false,
    payloadSchema: false,
    retry: false,
    circuitBreaker: false,
    streamTimeout: false,
    fallback: false,
  } as const;

  it.each([
    ['authCheck', { headers: { authorization: 'Basic abc' } }, 'AUTH_MALFORMED'],
    ['payloadSchema', { ...bearer(apiKey), body: '{}' }, 'PAYLOAD_INVALID'],
  ])('%s refuses nothing', async (layer, init, code) => {
    const whole = chain({ apiKey: undefined });
    expect(await rejectionOf(whole.ask(ping, init))).toMatchObject({ code });
    const { ask } = chain({ apiKey: undefined, [layer]: false }, answer);
    expect((await ask(ping, init)).status).toBe(200);
  });

  it('retry and circuitBreaker make of six failures six answers', async () => {
    const { ask, fetch, of } = chain({ ...none, apiKey }, ...Array.from({ length: 6 }, () => 503));
    for (let call = 0; call < 6; call++) expect((await ask()).status).toBe(503);
    expect(fetch.calls).toHaveLength(6);
    expect([...of('attempt.started'), ...of('breaker.opened')]).toEqual([]);
  });

  it('streamTimeout sets no timer', async () => {
    const { ask, fetch, clock } = chain({ ...none, apiKey }, 'hang');
    const caller = new AbortController();
    const pending = rejectionOf(ask(ping, { signal: caller.signal }));
    await clock.settle();
    expect(clock.pendingTimers).toBe(0);
    caller.abort('gone');
    expect(await pending).toBe('gone');
    expect(fetch.active).toBe(0);
  });

  it("gives the caller's reason where fetch has an error of its own for an abort", async () => {
    const caller = new AbortController();
    const { ask } = chain({ ...none, apiKey }, () => {
      caller.abort('gone');
      throw new DOMException('This operation was aborted', 'AbortError');
    });
    expect(await rejectionOf(ask(ping, { signal: caller.signal }))).toBe('gone');
  });
});

describe('the options of deepseek() and createDeepSeek()', () => {
  const wrong: [name: keyof DeepSeekOptions, value: unknown, must: string][] = [
    ['baseURL', 7, 'a string or a URL'],
    ['apiKey', 7, 'a string or a function'],
    ['apiKey', null, 'a string or a function'],
    ['authCheck', 7, 'an object or false'],
    ['payloadSchema', 'strict', 'an object or false'],
    ['retry', 3, 'an object or false'],
    ['retry', null, 'an object or false'],
    ['circuitBreaker', 'on', 'an object, a breaker or false'],
    ['streamTimeout', 1000, 'an object or false'],
    ['fallback', 'deepseek-v4-pro', 'an array of routes or false'],
    ['onEvent', {}, 'a function'],
    ['clock', 7, 'a clock'],
    ['random', 0.5, 'a function'],
  ];

  it.each(wrong)('refuse "%s" that is %o', (name, value, must) => {
    const options = { [name]: value };
    const problem = `as "${name}" must be ${must}: current value is `;
    expect(() => deepseek(options)).toThrow(TypeError);
    expect(() => deepseek(options)).toThrow(`Cannot create deepseek middleware ${problem}`);
    expect(() => createDeepSeek({ apiKey, ...options })).toThrow(`Cannot create DeepSeek client ${problem}`);
  });

  it.each(['retry', 'circuitBreaker', 'streamTimeout', 'authCheck', 'payloadSchema', 'fallback'])(
    'refuse "%s" that is true',
    (name) => {
      expect(() => deepseek({ [name]: true })).toThrow(`"${name}" must be`);
    },
  );

  it.each([
    ['retrys', 'retry'],
    ['apikey', 'apiKey'],
    ['baseUrl', 'baseURL'],
    ['circuitBraker', 'circuitBreaker'],
    ['streamTimeouts', 'streamTimeout'],
    ['fallbacks', 'fallback'],
  ])('ask whether "%s" was meant to be "%s"', (name, meant) => {
    const hint = `Did you mean "${meant}"?`;
    expect(() => deepseek({ [name]: {} })).toThrow(hint);
    expect(() => createDeepSeek({ apiKey, ...({ [name]: {} } as object) })).toThrow(hint);
  });

  it.each<[DeepSeekOptions, string]>([
    [{ retry: { maxRetries: -1 } }, 'Cannot create retry middleware as "maxRetries" must be'],
    [{ retry: { maxRetry: 1 } as object }, 'Did you mean "maxRetries"?'],
    [{ circuitBreaker: { openMs: 0 } }, 'Cannot create circuitBreaker middleware as "openMs" must be'],
    [{ streamTimeout: { idleMs: Number.NaN } }, 'Cannot create streamTimeout middleware as "idleMs" must be'],
    [{ streamTimeout: { limitsFor: {} as () => object } }, '"limitsFor" must be a function'],
    [{ authCheck: { origins: [] } }, 'Cannot create authCheck middleware as "origins" must'],
    [{ payloadSchema: { schema: {} as never } }, '"schema" must be a Standard Schema'],
    [{ fallback: [{}] }, 'Cannot create fallback middleware as'],
  ])('refuse what a layer refuses: %o', (options, message) => {
    expect(() => deepseek(options)).toThrow(message);
    expect(() => createDeepSeek({ ...options, apiKey })).toThrow(message);
  });

  it('refuse a client without a key, and a fetch that is none', () => {
    expect(() => createDeepSeek({} as { apiKey: string })).toThrow(TypeError);
    expect(() => createDeepSeek({} as { apiKey: string })).toThrow(
      'Cannot create DeepSeek client as "apiKey" must be a string or a function: current value is undefined',
    );
    expect(() => createDeepSeek({ apiKey, fetch: 'fetch' as unknown as FetchLike })).toThrow(
      '"fetch" must be a function',
    );
  });

  it('are never changed', async () => {
    const circuit: CircuitBreakerOptions = Object.freeze({ maxFailures: 2 });
    const options = Object.freeze({ apiKey, circuitBreaker: circuit, retry: Object.freeze({}) });
    expect(() => deepseek(options)).not.toThrow();
    expect(() => createDeepSeek(options)).not.toThrow();
  });

  it('are read without a look at clock, chance or key', () => {
    const never = () => {
      throw new Error('asked too early');
    };
    const clock = { now: never, wall: never, setTimeout: never, clearTimeout: never };
    const options = { apiKey: never, clock, random: never, fetch: never };
    expect(() => createDeepSeek(options)).not.toThrow();
  });
});
