import {
  AuthCheckError,
  authCheck,
  CircuitOpenError,
  circuitBreaker,
  compose,
  type FetchLike,
  payloadSchema,
  retry,
  StreamTimeoutError,
  streamTimeout,
} from 'breakwater';
import { type FallbackRoute, fallback } from 'breakwater/fallback';
import {
  createFakeClock,
  createScriptedFetch,
  type ScriptedCall,
  type ScriptedReply,
} from 'breakwater/testing';
import { describe, expect, it, vi } from 'vitest';
import { createSource, printed, rejectionOf, url, watch } from './witness.ts';

const lost = () => new TypeError('fetch failed');
const flash: FallbackRoute = { model: 'deepseek-v4-flash' };
const elsewhere: FallbackRoute = { baseURL: 'https://b.example', apiKey: 'sk-of-b' };
const ask = {
  method: 'POST',
  headers: { authorization: 'Bearer sk-of-a' },
  body: '{"model":"deepseek-v4-pro","stream":true}',
};

/** A dialogue between some routes and a script. */
function play(routes: readonly FallbackRoute[], ...replies: ScriptedReply[]) {
  const clock = createFakeClock();
  const fetch = createScriptedFetch(...replies);
  const { observed, of } = watch(clock);
  const chain = compose(observed, fallback(...routes))(fetch);
  return { clock, fetch, of, chain };
}

/** What the last of several routes was sent. */
async function sentTo(route: FallbackRoute, target: string, init: RequestInit = ask): Promise<ScriptedCall> {
  const { fetch, chain } = play([route], 503, 200);
  await chain(target, init);
  expect(fetch.calls).toHaveLength(2);
  return fetch.calls[1] as ScriptedCall;
}

describe('fallback() goes on', () => {
  it.each([408, 409, 425, 429, 500, 502, 503, 504, 529])(
    'after %i, with its body cancelled',
    async (status) => {
      const { chain, fetch, of } = play([flash], status, { body: 'pong' });
      const response = await chain(url, ask);
      expect(await response.text()).toBe('pong');
      expect([fetch.cancelled, fetch.active]).toEqual([1, 0]);
      expect(of('fallback.advanced')).toEqual([{ route: 'deepseek-v4-flash', cause: status }]);
    },
  );

  it.each<[string, () => unknown, string]>([
    ['a lost connection', lost, 'TypeError'],
    ['an error of no known class', () => new Error('Network connection lost.'), 'Error'],
    ['a timeout of the runtime', () => new DOMException('slow', 'TimeoutError'), 'TimeoutError'],
    [
      'a timeout of streamTimeout',
      () =>
        new StreamTimeoutError('TIMEOUT_HEADERS', 1, { receivedBytes: 0, keepAlives: 0, committed: false }),
      'TIMEOUT_HEADERS',
    ],
    ['an open circuit', () => new CircuitOpenError('key', 1), 'CIRCUIT_OPEN'],
    ['a thrown text', () => 'lost', 'unknown'],
  ])('after %s', async (_what, thrown, cause) => {
    const { chain, of } = play([flash], () => Promise.reject(thrown()), 200);
    expect((await chain(url, ask)).status).toBe(200);
    expect(of('fallback.advanced')).toEqual([{ route: 'deepseek-v4-flash', cause }]);
  });

  it('after a 200 that turned out dead', async () => {
    const clock = createFakeClock();
    const broken = createSource();
    broken.fail(lost());
    const fetch = createScriptedFetch(() => broken.response(), { body: 'pong' });
    const chain = compose(fallback(flash), streamTimeout({ clock }))(fetch);
    expect(await (await chain(url, ask)).text()).toBe('pong');
  });

  it('after the retries of the route before, each route with its own', async () => {
    const clock = createFakeClock();
    const { observed, of } = watch(clock);
    const fetch = createScriptedFetch(...Array.from({ length: 6 }, () => 503)).always(200);
    const retrying = retry({ clock, maxRetries: 2, random: () => 0 });
    await compose(observed, fallback(flash, elsewhere), retrying)(fetch)(url, ask);
    expect(fetch.calls.map((call) => [new URL(call.url).host, JSON.parse(`${call.text}`).model])).toEqual([
      ...Array(3).fill(['api.deepseek.com', 'deepseek-v4-pro']),
      ...Array(3).fill(['api.deepseek.com', 'deepseek-v4-flash']),
      ['b.example', 'deepseek-v4-pro'],
    ]);
    expect(of('fallback.advanced')).toEqual([
      { route: 'deepseek-v4-flash', cause: 503 },
      { route: 'https://b.example', cause: 503 },
    ]);
    expect(fetch.cancelled).toBe(6);
  });

  it('without waiting for a body that cannot be cancelled', async () => {
    const stubborn = new Response(new ReadableStream({ cancel: () => new Promise(() => undefined) }), {
      status: 503,
    });
    const clone = stubborn.clone();
    const answers = [stubborn, new Response('pong')];
    const response = await fallback(flash)(async () => answers.shift() as Response)(url, ask);
    expect(await response.text()).toBe('pong');
    expect(clone.bodyUsed).toBe(false);
  });

  it('until a route answers, and to no further one', async () => {
    const { chain, fetch } = play([flash, elsewhere, flash], 503, 503, 200);
    expect((await chain(url, ask)).status).toBe(200);
    expect(fetch.calls).toHaveLength(3);
  });
});

describe('fallback() gives up', () => {
  it.each([300, 304, 400, 401, 402, 403, 404, 413, 422])('at %i, as it came', async (status) => {
    const answer = new Response(status === 304 ? null : 'no', { status });
    let calls = 0;
    const fetch: FetchLike = async () => {
      calls++;
      return answer;
    };
    expect(await fallback(flash, elsewhere)(fetch)(url, ask)).toBe(answer);
    expect(calls).toBe(1);
    expect(answer.bodyUsed).toBe(false);
  });

  it('not at a status that the next route names in `on`', async () => {
    const { chain, fetch } = play([{ ...elsewhere, on: [402, 404] }, flash], 402, 404, 200);
    const response = await chain(url, ask);
    // The last route does not name 404, so its answer is the end.
    expect(response.status).toBe(404);
    expect(fetch.calls).toHaveLength(2);
  });

  it('with the answer of the last route that was tried', async () => {
    const answers = [503, 500, 429].map((status) => new Response(`busy ${status}`, { status }));
    const given = [...answers];
    const response = await fallback(flash, elsewhere)(async () => given.shift() as Response)(url, ask);
    expect(response).toBe(answers[2]);
    expect(await response.text()).toBe('busy 429');
  });

  it('with the error of the last route that was tried', async () => {
    const errors = [lost(), lost()];
    const { chain } = play([flash], ...errors);
    expect(await rejectionOf(chain(url, ask))).toBe(errors[1]);
  });

  it('when the caller goes away, with the reason of the caller', async () => {
    const { chain, fetch, clock } = play([flash], 'hang', 200);
    const caller = new AbortController();
    const call = chain(url, { ...ask, signal: caller.signal });
    await clock.settle();
    caller.abort('enough');
    expect(await rejectionOf(call)).toBe('enough');
    expect(fetch.calls).toHaveLength(1);
  });

  it.each<[string, () => Promise<Response>]>([
    ['throws', () => Promise.reject(lost())],
    ['answers', async () => new Response('busy', { status: 503 })],
  ])('when the caller is gone, although the fetch %s', async (_what, end) => {
    const caller = new AbortController();
    let calls = 0;
    const chain = fallback(flash)(() => {
      calls++;
      caller.abort('enough');
      return end();
    });
    await chain(url, { ...ask, signal: caller.signal }).catch(() => undefined);
    expect(calls).toBe(1);
  });

  it.each<[string, unknown]>([
    ['a refusal of authCheck', new AuthCheckError('AUTH_MISSING', 'Request has no key')],
    ['a foreign AbortError', new DOMException('gone', 'AbortError')],
    [
      'the end of the time for the whole call',
      new StreamTimeoutError('TIMEOUT_TOTAL', 1, { receivedBytes: 0, keepAlives: 0, committed: false }),
    ],
  ])('at %s', async (_what, thrown) => {
    const { chain, fetch } = play([flash], () => Promise.reject(thrown), 200);
    expect(await rejectionOf(chain(url, ask))).toBe(thrown);
    expect(fetch.calls).toHaveLength(1);
  });

  it('at a request that cannot be built', async () => {
    let calls = 0;
    const chain = fallback(flash)((input, init) => {
      calls++;
      return fetch(input, init);
    });
    expect(await rejectionOf(chain(url, { ...ask, method: 'GET' }))).toBeInstanceOf(TypeError);
    expect(calls).toBe(1);
  });

  it('once the answer has begun', async () => {
    const clock = createFakeClock();
    const source = createSource();
    source.push('one');
    const fetch = createScriptedFetch(() => source.response(), 200);
    const response = await compose(fallback(flash), streamTimeout({ clock }))(fetch)(url, ask);
    const reading = rejectionOf(response.text());
    source.fail(lost());
    expect(await reading).toMatchObject({ code: 'STREAM_RESET', committed: true });
    expect(fetch.calls).toHaveLength(1);
  });

  it('at once without routes', async () => {
    const { chain } = play([], 503);
    expect((await chain(url, ask)).status).toBe(503);
  });
});

describe('fallback() to another model', () => {
  it.each<[string, BodyInit, string]>([
    ['in its place', '{"a":1,"model":"pro","b":[2]}', '{"a":1,"model":"deepseek-v4-flash","b":[2]}'],
    ['where there was none', '{"a":1}', '{"a":1,"model":"deepseek-v4-flash"}'],
    ['in bytes', new TextEncoder().encode('{"model":"pro ☺"}'), '{"model":"deepseek-v4-flash"}'],
  ])('writes it into the body %s', async (_where, body, text) => {
    const call = await sentTo(flash, url, { ...ask, body });
    expect(call.text).toBe(text);
    expect(call.url).toBe(url);
    expect(call.headers.get('authorization')).toBe('Bearer sk-of-a');
  });

  // It used to keep the length of the body before, with which no fetch sends another.
  it('takes the length of the body before out of the headers', async () => {
    const headers = { ...ask.headers, 'Content-Length': `${ask.body.length}` };
    for (const input of [url, new Request(url, { ...ask, headers })]) {
      const { fetch, chain } = play([flash], 503, 200);
      await chain(input, { ...ask, headers });
      const lengths = fetch.calls.map((call) => call.headers.get('content-length'));
      expect(lengths).toEqual([`${ask.body.length}`, null]);
    }
  });

  it.each<[string, FallbackRoute, BodyInit]>([
    ['is no JSON', flash, 'not { json'],
    ['goes elsewhere as it is', elsewhere, ask.body],
  ])('leaves the length of a body alone that %s', async (_what, route, body) => {
    const headers = { ...ask.headers, 'content-length': `${String(body).length}` };
    const call = await sentTo(route, url, { ...ask, body, headers });
    expect(call.headers.get('content-length')).toBe(headers['content-length']);
  });

  it.each(['not { json', '["model"]', '"model"', 'null', '7', ''])(
    'leaves a body of %j alone',
    async (body) => {
      expect((await sentTo(flash, url, { ...ask, body })).text).toBe(body);
    },
  );

  it('leaves a call without a body alone', async () => {
    expect((await sentTo(flash, url, { headers: ask.headers })).text).toBe(null);
  });

  it('writes it into the body of a Request, and leaves the first attempt as it was', async () => {
    const { fetch, chain } = play([flash, elsewhere], 503, 503, 200);
    await chain(new Request(url, ask));
    expect(fetch.calls.map(({ text, method }) => [text, method])).toEqual([
      [ask.body, 'POST'],
      ['{"model":"deepseek-v4-flash","stream":true}', 'POST'],
      [ask.body, 'POST'],
    ]);
  });

  it('shows each layer below the model of its route, without parsing the body again', async () => {
    const parse = vi.spyOn(JSON, 'parse');
    const seen: unknown[] = [];
    const schema = {
      '~standard': {
        version: 1,
        vendor: 'own',
        validate: (value: unknown) => {
          seen.push((value as { model: string }).model);
          return {};
        },
      },
    } as const;
    const chain = compose(payloadSchema(schema), fallback(flash, { model: 'c' }), payloadSchema(schema));
    await chain(createScriptedFetch(503, 503, 200))(url, ask);
    expect(seen).toEqual(['deepseek-v4-pro', 'deepseek-v4-pro', 'deepseek-v4-flash', 'c']);
    expect(parse).toHaveBeenCalledTimes(1);
    parse.mockRestore();
  });
});

describe('fallback() to another service', () => {
  it.each([
    ['https://b.example', '/chat/completions?key=sk-1', 'https://b.example/chat/completions'],
    ['https://b.example/?v=2', '/chat/completions?key=sk-1', 'https://b.example/chat/completions?v=2'],
    [
      'https://api.deepseek.com/x',
      '/chat/completions?a=1',
      'https://api.deepseek.com/x/chat/completions?a=1',
    ],
    ['https://b.example/', '/chat/completions', 'https://b.example/chat/completions'],
    ['https://b.example/v1', '/chat/completions', 'https://b.example/v1/chat/completions'],
    ['https://b.example/v1//', '/v1/chat/completions', 'https://b.example/v1/chat/completions'],
    ['https://b.example/v1', '/beta/chat/completions', 'https://b.example/v1/chat/completions'],
    ['https://b.example:8443/x/y', '/v1', 'https://b.example:8443/x/y/v1'],
    ['https://b.example', '/v10/chat', 'https://b.example/v10/chat'],
    ['https://b.example', '/x/v1/chat', 'https://b.example/x/v1/chat'],
  ])('with the base %s asks for %s at %s', async (baseURL, path, expected) => {
    const target = `https://api.deepseek.com${path}`;
    expect((await sentTo({ baseURL, apiKey: 'sk-1' }, target)).url).toBe(expected);
    expect((await sentTo({ baseURL: new URL(baseURL), apiKey: 'sk-1' }, target)).url).toBe(expected);
  });

  it('asks for a relative URL there', async () => {
    const asked: string[] = [];
    const chain = fallback({ baseURL: 'https://b.example/v1', apiKey: 'sk-1' })(async (input) => {
      asked.push(String(input));
      return new Response('', { status: asked.length === 1 ? 503 : 200 });
    });
    await chain('/chat', ask);
    expect(asked).toEqual(['/chat', 'https://b.example/v1/chat']);
  });

  const credentials = {
    Authorization: 'Bearer sk-of-a',
    'Proxy-Authorization': 'Basic sk-of-a',
    'X-Api-Key': 'sk-of-a',
    'API-Key': 'sk-of-a',
    Cookie: 'session=sk-of-a',
  };
  const inputs: [string, (headers: HeadersInit) => [string | URL | Request, RequestInit?]][] = [
    ['a record', (headers) => [url, { ...ask, headers }]],
    ['Headers', (headers) => [url, { ...ask, headers: new Headers(headers) }]],
    ['pairs', (headers) => [new URL(url), { ...ask, headers: Object.entries(headers) }]],
    ['a Request', (headers) => [new Request(url, { ...ask, headers })]],
    ['a Request under an init', (headers) => [new Request(url, { ...ask, headers }), { headers }]],
  ];

  it.each(inputs)('carries no credential of the first there, given as %s', async (_form, inputOf) => {
    const headers = { ...credentials, 'content-type': 'application/json', 'x-own': '1' };
    const { chain, fetch } = play([elsewhere], 503, 200);
    await chain(...inputOf(headers));
    const [first, second] = fetch.calls;
    expect([...(first?.headers ?? [])]).toEqual([...new Headers(headers)]);
    expect(Object.fromEntries(second?.headers ?? [])).toEqual({
      authorization: 'Bearer sk-of-b',
      'content-type': 'application/json',
      'x-own': '1',
    });
  });

  // A list of five names used to be all that was taken out, and each service has a name of its own.
  it('carries no header there whose name speaks of a secret', async () => {
    const secrets = {
      'x-goog-api-key': 'sk-of-a',
      'X-Auth-Token': 'sk-of-a',
      'Ocp-Apim-Subscription-Key': 'sk-of-a',
      'OpenAI-Organization': 'org-of-a',
      'x-amz-security-token': 'sk-of-a',
      'x-client-secret': 'sk-of-a',
      'X-Session-Id': 'sk-of-a',
      cookie2: 'sk-of-a',
    };
    const headers = { ...ask.headers, ...secrets, 'x-team': 'search' };
    for (const inputOf of inputs.map(([, each]) => each)) {
      const { chain, fetch } = play([elsewhere, { ...flash, apiKey: 'sk-2-of-a' }], 503, 503, 200);
      await chain(...inputOf(headers));
      expect(Object.fromEntries(fetch.calls[1]?.headers ?? [])).toEqual({
        ...(fetch.calls[1]?.headers.has('content-type') && { 'content-type': 'text/plain;charset=UTF-8' }),
        authorization: 'Bearer sk-of-b',
        'x-team': 'search',
      });
      // At the origin that they were meant for they stay.
      expect(Object.fromEntries(fetch.calls[2]?.headers ?? [])).toMatchObject({
        ...Object.fromEntries(new Headers(secrets)),
        'x-team': 'search',
      });
    }
  });

  it('carries no credential of the second to the third', async () => {
    const third = { baseURL: 'https://c.example', apiKey: () => 'sk-of-c' };
    const { chain, fetch } = play([elsewhere, third], 503, 503, 200);
    await chain(url, { ...ask, headers: credentials });
    expect(fetch.calls.map(({ headers }) => headers.get('authorization'))).toEqual([
      'Bearer sk-of-a',
      'Bearer sk-of-b',
      'Bearer sk-of-c',
    ]);
    expect(printed([...(fetch.calls[2]?.headers ?? [])])).not.toMatch(/sk-of-[ab]/);
  });

  it('comes back to the first with the credential of the first', async () => {
    const { chain, fetch } = play([elsewhere, flash], 503, 503, 200);
    await chain(url, ask);
    expect(fetch.calls[2]).toMatchObject({ url, text: '{"model":"deepseek-v4-flash","stream":true}' });
    expect(fetch.calls[2]?.headers.get('authorization')).toBe('Bearer sk-of-a');
  });

  it('puts the key where the key of the call stood', async () => {
    const { headers } = await sentTo(elsewhere, url, { ...ask, headers: { 'x-api-key': 'sk-of-a' } });
    expect([headers.get('x-api-key'), headers.get('authorization')]).toEqual(['sk-of-b', null]);
  });

  it('puts another key in the place of that of the call also at the same origin', async () => {
    const { headers } = await sentTo({ ...flash, apiKey: 'sk-of-b' }, url);
    expect(headers.get('authorization')).toBe('Bearer sk-of-b');
  });

  it('asks a function for the key when the route is tried, and on every call', async () => {
    const keys = ['sk-1', ' sk-2\n'];
    const { chain, fetch } = play(
      [{ baseURL: 'https://b.example', apiKey: async () => keys.shift() ?? '' }],
      ...[200, 503, 200, 503, 200],
    );
    await chain(url, ask);
    expect(keys).toHaveLength(2);
    await chain(url, ask);
    await chain(url, ask);
    expect([fetch.calls[2], fetch.calls[4]].map((call) => call?.headers.get('authorization'))).toEqual([
      'Bearer sk-1',
      'Bearer sk-2',
    ]);
  });

  it.each<[string, string | undefined, string]>([
    ['an empty key', ' ', 'AUTH_MISSING'],
    ['no key', undefined, 'AUTH_MISSING'],
    ['a placeholder', 'undefined', 'AUTH_MALFORMED'],
    ['a line break', 'sk-0123456789\nsk-0123456789', 'AUTH_MALFORMED'],
    ['quotes', '"sk-0123456789"', 'AUTH_MALFORMED'],
    ['a letter beyond Latin-1', 'sk-0123456789ключ', 'AUTH_MALFORMED'],
  ])('refuses %s before it is sent, without showing it, and tries no further', async (_what, key, code) => {
    const { chain, fetch } = play([{ ...elsewhere, apiKey: () => key as string }, flash], 503, 200);
    const error = await rejectionOf(chain(url, ask));
    expect(error).toBeInstanceOf(AuthCheckError);
    expect(error).toMatchObject({ code });
    expect(printed(error)).not.toContain('0123');
    expect(fetch.calls).toHaveLength(1);
    expect(fetch.active).toBe(0);
  });

  it('keeps what a Request carries besides', async () => {
    const call = await sentTo(elsewhere, url, { ...ask, redirect: 'manual' });
    expect(call.init?.redirect).toBe('manual');
    const { chain, fetch } = play([elsewhere], 503, 200);
    await chain(new Request(url, { ...ask, redirect: 'error', cache: 'no-store' }));
    expect(fetch.calls[1]?.init).toMatchObject({ redirect: 'error', cache: 'no-store', method: 'POST' });
  });

  it('passes authCheck with the origins of both', async () => {
    const origins = [url, 'https://b.example'];
    const fetch = createScriptedFetch(503, 200);
    const chain = compose(fallback(elsewhere), authCheck({ origins }))(fetch);
    expect((await chain(url, ask)).status).toBe(200);
    const narrow = compose(fallback(elsewhere), authCheck({ origins: [url] }))(createScriptedFetch(503));
    expect(await rejectionOf(narrow(url, ask))).toHaveProperty('code', 'AUTH_ORIGIN');
  });
});

describe('fallback() over streamTimeout', () => {
  it('tells the end of the route that it returned, and of no other', async () => {
    const clock = createFakeClock();
    const { observed, of } = watch(clock);
    const [dead, alive] = [createSource(), createSource()];
    dead.fail(lost());
    alive.push('pong');
    const fetch = createScriptedFetch(
      () => dead.response(),
      () => alive.response(),
    );
    const response = await compose(observed, fallback(flash), streamTimeout({ clock }))(fetch)(url, ask);
    expect(of('call.settled')).toEqual([]);
    await clock.advance(100);
    alive.close();
    expect(await response.text()).toBe('pong');
    expect(of('call.settled')).toMatchObject([{ outcome: 'complete', status: 200, durationMs: 100 }]);
  });

  it('shows its name in stack traces', () => {
    expect(fallback(flash)(createScriptedFetch()).name).toBe('fallback');
  });
});

describe('fallback() over a breaker', () => {
  it('has a circuit for each service', async () => {
    const clock = createFakeClock();
    const breaker = circuitBreaker({ clock, maxFailures: 2 });
    const fetch = createScriptedFetch(503, 200, 503).always(200);
    const chain = compose(fallback(elsewhere), breaker)(fetch);
    for (let calls = 0; calls < 4; calls++) expect((await chain(url, ask)).status).toBe(200);
    expect(breaker.snapshot()).toMatchObject([
      { key: 'https://api.deepseek.com', state: 'open' },
      { key: 'https://b.example', state: 'closed' },
    ]);
    expect(fetch.calls.map((call) => new URL(call.url).host)).toEqual([
      ...['api.deepseek.com', 'b.example', 'api.deepseek.com', 'b.example'],
      ...['b.example', 'b.example'],
    ]);
  });

  it('goes on after the call that opened the circuit, with its retries left', async () => {
    const clock = createFakeClock();
    const breaker = circuitBreaker({ clock, maxFailures: 2 });
    const fetch = createScriptedFetch(503, 503, 200);
    const chain = compose(fallback(elsewhere), retry({ clock, random: () => 0 }), breaker)(fetch);
    expect((await chain(url, ask)).status).toBe(200);
    expect(fetch.calls.map((call) => new URL(call.url).host)).toEqual([
      ...['api.deepseek.com', 'api.deepseek.com', 'b.example'],
    ]);
  });

  it('retries on a route although the one before opened its circuit', async () => {
    const clock = createFakeClock();
    const breaker = circuitBreaker({ clock, maxFailures: 2 });
    const fetch = createScriptedFetch(503, 503, 503, 200);
    const chain = compose(fallback(elsewhere), retry({ clock, random: () => 0 }), breaker)(fetch);
    expect((await chain(url, ask)).status).toBe(200);
    expect(fetch.calls).toHaveLength(4);
  });
});

describe('fallback() and a body that can be sent only once', () => {
  const streamed = () => ({ ...ask, body: new Blob([ask.body]).stream(), duplex: 'half' });

  it.each<[string, ScriptedReply]>([
    ['an answer', 503],
    ['an error', lost()],
  ])('ends with %s', async (_what, reply) => {
    const { chain, fetch } = play([elsewhere], reply, 200);
    const outcome = await chain(url, streamed()).then(
      ({ status }) => status,
      (error: unknown) => error,
    );
    expect(outcome).toBe(reply);
    expect(fetch.calls).toHaveLength(1);
    expect(fetch.calls[0]?.text).toBe(ask.body);
  });

  it('goes on when the breaker refused it, because then it was not sent', async () => {
    const clock = createFakeClock();
    const breaker = circuitBreaker({ clock, key: (call) => new URL(call.url).host });
    breaker.isolate('api.deepseek.com');
    const fetch = createScriptedFetch(200);
    const response = await compose(fallback(elsewhere), breaker)(fetch)(url, streamed());
    expect(response.status).toBe(200);
    expect(fetch.calls.map((call) => [new URL(call.url).host, call.text])).toEqual([['b.example', ask.body]]);
  });
});
