import { Attempt, Call, compose, type FetchLike, observe, retry, streamTimeout } from 'breakwater';
import { createFakeClock, createScriptedFetch } from 'breakwater/testing';
import { describe, expect, it, vi } from 'vitest';
import { originOf, parseUrl, shownUrl, toCall } from '../../src/core/call.ts';
import { anotherCopy, key, look, pass, recorder, rejection, requestOf, url } from './stubs.ts';

const clock = createFakeClock();
const noWait = { clock, baseDelayMs: 0 };

describe('Call', () => {
  it('is made once, however many layers there are', async () => {
    const seen: Call[] = [];
    const layers = [1, 2, 3].map(() => look((call) => seen.push(call)));
    await compose(...layers)(recorder())(url, { method: 'POST', body: 'x' });
    expect(new Set(seen).size).toBe(1);
  });

  it('is used as it is when it comes with its own Request', async () => {
    const seen: Call[] = [];
    const layers = [1, 2].map(() => look((call) => seen.push(call)));
    const request = new Request(url, { method: 'POST', body: 'x' });
    const end = recorder();
    await compose(...layers)(end)(request);
    expect(seen[0]).toBe(seen[1]);
    expect(end.sent[0]?.input).toBe(request);
    expect(await requestOf(end.sent[0]!).text()).toBe('x');
  });

  it.each<[does: string, input: string | URL | Request, init: RequestInit | undefined, method: string]>([
    ['takes a string', url, undefined, 'GET'],
    ['takes a URL', new URL(url), undefined, 'GET'],
    ['takes a Request', new Request(url, { method: 'PUT' }), undefined, 'PUT'],
    ['lets the init win over a Request', new Request(url, { method: 'PUT' }), { method: 'PATCH' }, 'PATCH'],
    ['keeps the case of a method that fetch normalises', url, { method: 'post' }, 'post'],
    ['takes a frozen init', url, Object.freeze({ method: 'POST' }), 'POST'],
    [
      'takes an init without a prototype',
      url,
      Object.assign(Object.create(null), { method: 'POST' }),
      'POST',
    ],
    ['takes inherited fields', url, Object.create({ method: 'POST' }) as RequestInit, 'POST'],
  ])('%s', (_, input, init, method) => {
    const call = toCall(input, init);
    expect(call.url).toBe(url);
    expect(call.method).toBe(method);
    expect(call.request).toBe(input instanceof Request ? input : undefined);
    expect(call.attempt.number).toBe(1);
  });

  it('sends a lower-case method as fetch would', async () => {
    const end = recorder();
    await pass(end)(url, { method: 'post', body: 'x' });
    expect(requestOf(end.sent[0]!).method).toBe('POST');
  });

  it('leaves a relative URL to the fetch below', async () => {
    const end = recorder();
    await pass(end)('/v1/ask?q=1');
    expect(end.sent[0]?.input).toBe('/v1/ask?q=1');
  });

  const pairs: [string, string][] = [
    ['X-One', '1'],
    ['x-two', '2'],
  ];
  it.each<[of: string, headers: () => HeadersInit]>([
    ['an array', () => pairs],
    ['a record', () => Object.fromEntries(pairs)],
    ['Headers', () => new Headers(pairs)],
    ['a Map', () => new Map(pairs) as unknown as HeadersInit],
    ['an iterator that can be read once', () => pairs[Symbol.iterator]() as unknown as HeadersInit],
    [
      'a generator',
      () =>
        (function* () {
          yield* pairs;
        })() as unknown as HeadersInit,
    ],
  ])('reads headers given as %s', async (_, headers) => {
    const end = recorder(503, 200);
    await compose(pass, retry(noWait), pass)(end)(url, { headers: headers() });
    expect(end.sent).toHaveLength(2);
    for (const { init } of end.sent)
      expect([...new Headers(init.headers)]).toEqual([
        ['x-one', '1'],
        ['x-two', '2'],
      ]);
  });

  it('is not changed by what the caller does to its init and Headers afterwards', async () => {
    const headers = new Headers({ 'x-own': 'first' });
    const init: RequestInit = { method: 'POST', body: 'first', headers };
    const bodies: unknown[] = [];
    const end: FetchLike = async (_, { headers: sent, body } = {}) => {
      bodies.push([new Headers(sent).get('x-own'), body]);
      headers.set('x-own', 'second');
      init.body = 'second';
      init.method = 'PUT';
      return new Response('', { status: bodies.length === 1 ? 503 : 200 });
    };
    await retry(noWait)(end)(url, init);
    expect(bodies).toEqual([
      ['first', 'first'],
      ['first', 'first'],
    ]);
  });

  it('does not touch the init or the Headers that it was given', async () => {
    const headers = Object.freeze(new Headers({ 'x-own': '1' }));
    const init = Object.freeze({ method: 'POST', body: 'x', headers });
    await compose(
      pass,
      retry(noWait),
      observe(() => undefined),
    )(recorder(503))(url, init);
    expect(Reflect.ownKeys(init)).toEqual(['method', 'body', 'headers']);
  });

  it('keeps unknown fields of the init for the real fetch', async () => {
    const own = {
      dispatcher: {},
      cf: { cacheTtl: 1 },
      next: { revalidate: 3 },
      duplex: 'half',
      window: null,
    };
    const end = recorder(503);
    const chain = compose(pass, retry(noWait), streamTimeout({ clock }))(end);
    await chain(url, own as RequestInit);
    expect(end.sent).toHaveLength(2);
    for (const { init } of end.sent) expect(init).toMatchObject(own);
  });

  it('keeps fields that bear the name of a member of its own out of its way', async () => {
    // Such a field used to throw, because Call has a getter of that name, or to replace with().
    const init = { context: { a: 1 }, attempt: 7, with: 1, constructor: 2, method: 'POST', body: 'x' };
    const end = recorder(503);
    expect((await retry(noWait)(end)(url, init as RequestInit)).status).toBe(200);
    expect(requestOf(end.sent[1]!).method).toBe('POST');
  });

  it('reads an init that is an instance of a class, with getters', async () => {
    // The body used to be lost: for…in does not see the getters of a class.
    class Init {
      get method() {
        return 'POST';
      }
      get headers() {
        return { 'x-own': 'yes' };
      }
      get body() {
        return 'own';
      }
    }
    const end = recorder();
    await pass(end)(url, new Init());
    const request = requestOf(end.sent[0]!);
    expect([request.method, request.headers.get('x-own'), await request.text()]).toEqual([
      'POST',
      'yes',
      'own',
    ]);
  });

  it('reads an init that is a Request', async () => {
    const init = new Request('https://elsewhere.example', {
      method: 'POST',
      body: 'own',
      headers: { 'x-own': 'yes' },
      redirect: 'error',
    });
    const end = recorder();
    await pass(end)(url, init as unknown as RequestInit);
    const request = requestOf(end.sent[0]!);
    expect([request.url, request.method, request.redirect]).toEqual([url, 'POST', 'error']);
    expect([request.headers.get('x-own'), await request.text()]).toEqual(['yes', 'own']);
  });

  it('keeps what a Request carries beyond an init', async () => {
    const request = new Request(url, {
      method: 'POST',
      body: 'x',
      credentials: 'include',
      cache: 'no-store',
      redirect: 'manual',
      integrity: 'sha256-x',
      mode: 'same-origin',
    });
    const end = recorder(503);
    await compose(pass, retry(noWait))(end)(request);
    expect(end.sent).toHaveLength(2);
    for (const sent of end.sent)
      expect(requestOf(sent)).toMatchObject({
        method: 'POST',
        credentials: 'include',
        cache: 'no-store',
        redirect: 'manual',
        integrity: 'sha256-x',
        mode: 'same-origin',
      });
  });

  it.each([
    ['none', undefined, false],
    ['null over the one of the Request', null, false],
    ['one that wins over the one of the Request', AbortSignal.abort('mine'), true],
  ])('takes the signal that the init brings: %s', async (_, signal, aborted) => {
    const request = new Request(url);
    const call = toCall(request, signal === undefined ? {} : { signal });
    expect(call.signal).toBe(signal === undefined ? request.signal : signal);
    expect(call.signal?.aborted ?? false).toBe(aborted);
  });

  it('passes a body of null over a Request on as fetch means it: the Request keeps its body', async () => {
    const end = recorder(503);
    await retry(noWait)(end)(new Request(url, { method: 'POST', body: 'kept' }), { body: null });
    for (const sent of end.sent) expect(await requestOf(sent).text()).toBe('kept');
  });

  it('lets a GET have no body, given as null', async () => {
    const end = recorder();
    await pass(end)(url, { body: null, signal: null });
    expect(requestOf(end.sent[0]!).method).toBe('GET');
  });

  it('strips the handoff of the builder, and takes its payload without parsing', async () => {
    const parse = vi.spyOn(JSON, 'parse');
    const payload = { model: 'm' };
    const seen: unknown[] = [];
    const end = recorder();
    const init = { method: 'POST', breakwater: { payload, body: '{"model":"m"}' } };
    await look(({ body, context }) => seen.push(body, context.payload?.value))(end)(url, init);
    expect(seen).toEqual(['{"model":"m"}', payload]);
    expect(end.sent[0]?.init).not.toHaveProperty('breakwater');
    expect(parse).not.toHaveBeenCalled();
    parse.mockRestore();
  });

  it.each<[of: string, headers: unknown]>([
    ['a string', `authorization: Bearer ${key}`],
    ['a number', 5],
    ['an entry of three', [['authorization', key, 'x']]],
    ['an entry that is no list', [5]],
    ['an entry whose name is a number', [[5, 'a\nb']]],
  ])('rejects headers that are %s as fetch would, without their values', async (_, headers) => {
    const error = await rejection(pass(recorder())(url, { headers } as RequestInit));
    expect(error).toBeInstanceOf(TypeError);
    expect(String((error as Error).stack)).not.toContain(key);
  });

  it('rejects, and does not throw, what fetch would reject', async () => {
    const bad = [null, undefined, Symbol('x')] as unknown as string[];
    for (const input of bad) {
      const promise = pass(async (given) => new Response(String(new Request(given))))(input);
      expect(await rejection(promise)).toBeInstanceOf(TypeError);
    }
  });
});

describe('Call.with()', () => {
  const request = new Request(url, {
    method: 'POST',
    body: 'x',
    redirect: 'error',
    cache: 'no-store',
    credentials: 'omit',
  });

  it('forks without a change to the original', () => {
    const call = toCall(url, { method: 'POST', body: 'a' });
    const attempt = new Attempt(call.context, 2);
    const fork = call.with({ body: 'b', attempt });
    expect(fork).toBeInstanceOf(Call);
    expect([call.body, fork.body, call.attempt.number, fork.attempt.number]).toEqual(['a', 'b', 1, 2]);
    expect(fork.context).toBe(call.context);
  });

  it('takes over what the Request carried when the URL changes', () => {
    const fork = toCall(request).with({ url: 'https://elsewhere.example' });
    expect(fork.request).toBeUndefined();
    expect(fork).toMatchObject({ method: 'POST', redirect: 'error', cache: 'no-store', credentials: 'omit' });
  });

  it('lets the init win over the Request also when the URL changes', () => {
    // The Request used to win, so a caller that had asked for `manual` followed redirects on the next route.
    const fork = toCall(request, { redirect: 'manual' }).with({ url: 'https://elsewhere.example' });
    expect(fork).toMatchObject({ redirect: 'manual', cache: 'no-store' });
  });

  it('keeps the signal of a Request alive when the URL changes', async () => {
    // On Node the signal of a Request dies with the Request: an abort was lost after a collection.
    const caller = new AbortController();
    const forkOf = () =>
      toCall(new Request(url, { signal: caller.signal })).with({ url: 'https://elsewhere.example' });
    const fork = forkOf();
    await clock.settle();
    globalThis.gc?.();
    await clock.settle();
    globalThis.gc?.();
    caller.abort('gone');
    expect(fork.signal?.aborted).toBe(true);
  });
});

describe('A Call', () => {
  it('is adopted from an init that a foreign wrapper has spread', async () => {
    const events: string[] = [];
    const contexts: unknown[] = [];
    const foreign =
      (next: FetchLike): FetchLike =>
      (input, init) =>
        next(input, {
          ...init,
          headers: { ...Object.fromEntries(new Headers(init?.headers)), 'x-foreign': '1' },
        });
    const chain = compose(
      observe(({ type }) => events.push(type)),
      look(({ context }) => contexts.push(context)),
      foreign,
      look(({ context }) => contexts.push(context)),
      retry(noWait),
    );
    const end = recorder(503);
    const response = await chain(end)(url, { headers: { 'x-own': '1' } });
    expect(response.status).toBe(200);
    expect(contexts[0]).toBe(contexts[1]);
    expect(events).toContain('retry.scheduled');
    expect(requestOf(end.sent[1]!).headers.get('x-foreign')).toBe('1');
    expect(requestOf(end.sent[1]!).headers.get('x-own')).toBe('1');
  });

  it('loses cooperation, and nothing else, to a wrapper that builds a Request', async () => {
    const events: string[] = [];
    const foreign =
      (next: FetchLike): FetchLike =>
      (input, init) =>
        next(new Request(input, init));
    const scripted = createScriptedFetch(503, { body: 'pong' });
    const chain = compose(
      observe(({ type }) => events.push(type)),
      foreign,
      retry(noWait),
      foreign,
      streamTimeout({ clock }),
    )(scripted);
    const response = await chain(url, { method: 'POST', body: 'ping', headers: { 'x-own': '1' } });
    expect(await response.text()).toBe('pong');
    expect(events).toEqual(['call.started', 'call.settled']);
    expect(scripted.calls.map(({ text, method }) => [text, method])).toEqual([
      ['ping', 'POST'],
      ['ping', 'POST'],
    ]);
    expect(scripted.calls[1]?.headers.get('x-own')).toBe('1');
    expect([scripted.active, clock.pendingTimers]).toEqual([0, 0]);
  });

  it('passes an abort through a wrapper that builds a Request', async () => {
    const foreign =
      (next: FetchLike): FetchLike =>
      (input, init) =>
        next(new Request(input, init));
    const scripted = createScriptedFetch('hang');
    const caller = new AbortController();
    const chain = compose(retry(noWait), foreign, streamTimeout({ clock }))(scripted);
    const failed = rejection(chain(url, { signal: caller.signal }));
    await clock.settle();
    const reason = new Error('enough');
    caller.abort(reason);
    expect(await failed).toBe(reason);
    expect([scripted.active, clock.pendingTimers]).toEqual([0, 0]);
  });

  it('is no answer to another call when its fields are used for another address', async () => {
    const seen: string[] = [];
    const rewrite =
      (next: FetchLike): FetchLike =>
      (_, init) =>
        next('https://other.example/', init);
    await compose(
      pass,
      rewrite,
      look(({ url: to }) => seen.push(to)),
    )(recorder())(url, { method: 'POST' });
    expect(seen).toEqual(['https://other.example/']);
  });

  it.each(['outside', 'inside'])('is understood by a second copy of the package: %s', async (where) => {
    const copy = await anotherCopy();
    const own = { compose, observe, retry, streamTimeout };
    const [outer, inner] = where === 'outside' ? [copy, own] : [own, copy];
    const events: unknown[] = [];
    const scripted = createScriptedFetch(503, { body: 'pong' });
    const chain = compose(
      outer.observe((event) => events.push(event), { clock }),
      inner.retry({ ...noWait, random: () => 0 }),
      outer.retry({ maxRetries: 0, clock }),
      inner.streamTimeout({ clock }),
    )(scripted);
    const response = await chain(url, { method: 'POST', body: 'ping' });
    const before = events.map((event) => (event as { type: string }).type);
    expect(before).toEqual([
      'call.started',
      'attempt.started',
      'attempt.started',
      'retry.scheduled',
      'attempt.started',
      'attempt.started',
      'stream.first-token',
    ]);
    expect(await response.text()).toBe('pong');
    expect(events.at(-1)).toMatchObject({ type: 'call.settled', outcome: 'complete', status: 200 });
    expect(events).toHaveLength(before.length + 1);
  });

  it.each(['outside', 'inside'])('carries its attempt between two copies: %s', async (where) => {
    const copy = await anotherCopy();
    const outer = where === 'outside' ? copy.defineMiddleware : (await import('breakwater')).defineMiddleware;
    const inner = where === 'outside' ? (await import('breakwater')).defineMiddleware : copy.defineMiddleware;
    const seen: unknown[] = [];
    const noted = (call: Call) => seen.push(call.attempt, call.context);
    await compose(
      outer('outer', (call, next) => {
        noted(call);
        call.attempt.onSettled(({ outcome }) => seen.push(outcome));
        return next(call);
      }),
      inner('inner', async (call, next) => {
        noted(call);
        const response = await next(call);
        call.attempt.arrive();
        return response;
      }),
    )(recorder())(new Request(url));
    expect(seen[2]).toBe(seen[0]);
    expect(seen[3]).toBe(seen[1]);
    expect(seen[4]).toBe('complete');
  });
});

describe('originOf()', () => {
  it.each([
    ['https://api.example/a?b#c', 'https://api.example'],
    ['https://user:pass@api.example:8443/a', 'https://api.example:8443'],
    ['HTTP://API.example:80', 'http://api.example'],
    ['/relative', '(no origin)'],
    ['', '(no origin)'],
  ])('reads %j', (given, origin) => {
    expect(originOf(given)).toBe(origin);
    expect(originOf(given)).toBe(origin);
  });

  it('reads a relative URL in a browser', () => {
    vi.stubGlobal('location', { href: 'https://page.example/dir/page' });
    expect(originOf('/in-a-browser')).toBe('https://page.example');
    expect(parseUrl('other')?.href).toBe('https://page.example/dir/other');
    vi.unstubAllGlobals();
  });
});

describe('shownUrl()', () => {
  it.each([
    ['https://user:pass@api.example/a/b?key=sk-1#frag', 'https://api.example/a/b'],
    ['not a url?key=sk-1', '(not a URL)'],
  ])('shows %s without what is private', (given, shown) => {
    expect(shownUrl(given)).toBe(shown);
  });
});
