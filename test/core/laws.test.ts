import {
  authCheck,
  circuitBreaker,
  compose,
  createRetryBudget,
  defineMiddleware,
  type FetchLike,
  fallback,
  type Middleware,
  observe,
  payloadSchema,
  retry,
  streamTimeout,
} from 'breakwater';
import { createFakeClock, createScriptedFetch } from 'breakwater/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Served, serve } from '../../playground/serve.ts';
import { key, look, recorder, rejection, url } from './stubs.ts';

const schema = { '~standard': { version: 1, vendor: 'own', validate: () => ({}) } } as const;
let clock = createFakeClock();
beforeEach(() => {
  clock = createFakeClock();
});
const init = { method: 'POST', body: '{"model":"m"}', headers: { authorization: `Bearer ${key}` } };

const alone: [name: string, make: () => Middleware][] = [
  ['authCheck', () => authCheck()],
  ['payloadSchema', () => payloadSchema(schema)],
  ['retry', () => retry({ maxRetries: 0, clock })],
  ['circuitBreaker', () => circuitBreaker({ maxFailures: 1000, clock })],
  ['streamTimeout', () => streamTimeout({ clock })],
  ['streamTimeout, holding nothing,', () => streamTimeout({ clock, hold: 'headers' })],
  ['observe', () => observe(() => undefined, { clock })],
  ['fallback', () => fallback()],
  ['defineMiddleware', () => look()],
];
const every: [name: string, make: () => Middleware][] = [
  ...alone,
  ['compose of nothing', () => compose()],
  ['a chain of all', () => compose(...alone.map(([, make]) => make()))],
  ['a chain of all, the other way round,', () => compose(...alone.map(([, make]) => make()).reverse())],
];

let served: Served;
let elsewhere: Served;
beforeAll(async () => {
  elsewhere = await serve(async () => new Response('there', { headers: { 'x-there': '1' } }));
  served = await serve(answer);
});
afterAll(() => Promise.all([served.close(), elsewhere.close()]));

const payload = Uint8Array.from({ length: 70_000 }, (_, index) => (index * 7) % 256);

async function answer(to: string | URL | Request): Promise<Response> {
  const { pathname } = new URL(String(to));
  const status = Number(pathname.slice(1));
  if (pathname === '/redirect') return new Response(null, { status: 302, headers: { location: '/200' } });
  if (pathname === '/away') return new Response(null, { status: 307, headers: { location: elsewhere.url } });
  if (pathname === '/chunks') return new Response(new Blob([payload, 'x', payload]).stream());
  if (pathname === '/empty') return new Response('');
  const headers = new Headers({ 'x-own': 'ä', 'content-type': 'text/plain; charset=latin1' });
  headers.append('set-cookie', 'a=1');
  headers.append('set-cookie', 'b=2');
  const hasBody = status !== 204 && status !== 304;
  return new Response(hasBody ? payload : null, { status, statusText: `It is ${status}`, headers });
}

interface Seen {
  readonly status: number;
  readonly statusText: string;
  readonly headers: [string, string][];
  readonly cookies: string[];
  readonly url: string;
  readonly redirected: boolean;
  readonly type: string;
  readonly hasBody: boolean;
  readonly bytes: Uint8Array;
  readonly copy: Uint8Array;
}

async function seen(promise: Promise<Response>): Promise<Seen> {
  const response = await promise;
  const { status, statusText, url: from, redirected, type } = response;
  const headers = [...response.headers].filter(([name]) => name !== 'date');
  const copy = response.clone();
  expect([copy.url, copy.redirected, copy.type]).toEqual([from, redirected, type]);
  const [bytes, copied] = await Promise.all([response.arrayBuffer(), copy.arrayBuffer()]);
  return {
    status,
    statusText,
    headers,
    cookies: response.headers.getSetCookie(),
    url: from,
    redirected,
    type,
    hasBody: response.body !== null,
    bytes: new Uint8Array(bytes),
    copy: new Uint8Array(copied),
  };
}

describe('The law of identity', () => {
  it('compose() of nothing gives the fetch itself', () => {
    expect(compose()(fetch)).toBe(fetch);
  });

  it('compose() of one gives that one', () => {
    const made = async () => new Response();
    expect(compose(() => made)(fetch)).toBe(made);
  });
});

describe('The law of association', () => {
  const tagged = (name: string): Middleware =>
    defineMiddleware(name, async (call, next) => {
      const headers = new Headers(call.headers);
      headers.append('x-way', `in ${name}`);
      const response = await next(call.with({ headers }));
      const changed = new Response(response.body, response);
      changed.headers.append('x-way', `out ${name}`);
      return changed;
    });
  const [a, b, c] = [tagged('a'), tagged('b'), tagged('c')] as const;
  const end: FetchLike = async (_, sent) =>
    new Response('', { headers: { 'x-way': new Headers(sent?.headers).get('x-way') ?? '' } });

  it.each([
    ['flat', compose(a, b, c)],
    ['left first', compose(compose(a, b), c)],
    ['right first', compose(a, compose(b, c))],
    ['with nothing in between', compose(a, compose(), b, compose(c))],
    ['by hand', ((next) => a(b(c(next)))) satisfies Middleware],
  ])('holds: %s', async (_, chain) => {
    const response = await chain(end)(url);
    expect(response.headers.get('x-way')).toBe('in a, in b, in c, out c, out b, out a');
  });
});

describe('The law of transparency', () => {
  describe.each(every)('%s', (_, make) => {
    it.each(['200', '201', '204', '304', '400', '401', '404', '418', '429', '500', '503'])(
      'returns a %s over HTTP as it came',
      async (status) => {
        const to = `${served.url}/${status}`;
        const plain = await seen(fetch(to, init));
        const own = await seen(make()(fetch)(to, init));
        expect(own).toStrictEqual(plain);
      },
    );

    it.each(['redirect', 'away', 'chunks', 'empty'])('returns %s over HTTP as it came', async (path) => {
      const to = `${served.url}/${path}`;
      const plain = await seen(fetch(to, init));
      expect(plain.redirected).toBe(path === 'redirect' || path === 'away');
      expect(await seen(make()(fetch)(to, init))).toStrictEqual(plain);
      expect(await seen(make()(fetch)(new Request(to, init)))).toStrictEqual(plain);
      expect(await seen(make()(fetch)(new URL(to), init))).toStrictEqual(plain);
    });

    it.each(['manual', 'follow'] as const)('keeps redirect: %s', async (redirect) => {
      const to = `${served.url}/redirect`;
      const plain = await seen(fetch(to, { ...init, redirect }));
      expect(await seen(make()(fetch)(to, { ...init, redirect }))).toStrictEqual(plain);
      expect(await seen(make()(fetch)(new Request(to, { ...init, redirect })))).toStrictEqual(plain);
    });

    it('returns the answer to a HEAD as it came', async () => {
      const head = { method: 'HEAD', headers: init.headers };
      const plain = await seen(fetch(`${served.url}/200`, head));
      expect(plain.bytes).toHaveLength(0);
      expect(await seen(make()(fetch)(`${served.url}/200`, head))).toStrictEqual(plain);
    });

    it('does not touch a Response that it has not read', async () => {
      for (const response of [
        new Response('busy', { status: 503 }),
        new Response(null),
        new Response(null, { status: 204 }),
        Response.error(),
      ])
        expect(await make()(async () => response)(url, init)).toBe(response);
    });

    it.each([
      ['an Error', new Error('own')],
      ['an error of a class of its own', Object.assign(new TypeError('x'), { code: 'E_OWN' })],
      ['a text', 'own'],
      ['null', null],
      ['undefined', undefined],
    ])('passes on what the fetch below throws: %s', async (_name, thrown) => {
      const failing: FetchLike = () => Promise.reject(thrown);
      expect(await rejection(make()(failing)(url, init))).toBe(thrown);
      expect(clock.pendingTimers).toBe(0);
    });

    it('passes on what the fetch below throws at once', async () => {
      const thrown = new Error('own');
      const failing: FetchLike = () => {
        throw thrown;
      };
      expect(await rejection((async () => make()(failing)(url, init))())).toBe(thrown);
      expect(clock.pendingTimers).toBe(0);
    });

    it.each([
      ['an Error', new Error('enough')],
      ['the default', undefined],
      ['a text', 'enough'],
      ['null', null],
      ['0', 0],
    ])('gives the caller its own reason back: %s', async (_name, reason) => {
      for (const input of [url, new Request(url)]) {
        const caller = new AbortController();
        const scripted = createScriptedFetch('hang');
        const { signal } = caller;
        const failed = rejection(make()(scripted)(input, { ...init, signal }));
        await clock.settle();
        expect(scripted.active).toBe(1);
        caller.abort(reason);
        expect(await failed).toBe(signal.reason);
        expect([scripted.active, clock.pendingTimers]).toEqual([0, 0]);
      }
    });

    it('gives the caller its own reason back when the call was aborted before', async () => {
      const reason = new Error('enough');
      const signal = AbortSignal.abort(reason);
      expect(await rejection(make()(fetch)(`${served.url}/200`, { ...init, signal }))).toBe(reason);
      expect(clock.pendingTimers).toBe(0);
    });

    it('gives the caller its own reason back in the middle of a body over HTTP', async () => {
      const caller = new AbortController();
      const stalling = await serve(
        async () => new Response(new ReadableStream({ start: (sink) => sink.enqueue(payload) })),
      );
      const response = await make()(fetch)(stalling.url, { ...init, signal: caller.signal });
      const reader = response.body!.getReader();
      await reader.read();
      const reason = new Error('enough');
      const failed = rejection(
        (async () => {
          while (!(await reader.read()).done);
        })(),
      );
      caller.abort(reason);
      expect(await failed).toBe(reason);
      await stalling.close();
    });
  });
});

describe('The law of inertness', () => {
  const globals = [
    'setTimeout',
    'setInterval',
    'setImmediate',
    'clearTimeout',
    'queueMicrotask',
    'AbortController',
    'AbortSignal',
    'performance',
    'crypto',
    'fetch',
    'Request',
    'Response',
    'Headers',
    'ReadableStream',
    'TransformStream',
    'FinalizationRegistry',
    'WeakRef',
    'Promise',
  ];

  afterEach(() => {
    vi.restoreAllMocks();
    vi.unstubAllGlobals();
  });

  const forbid = (): void => {
    const forbidden = (): never => {
      throw new Error('not at module scope');
    };
    for (const name of globals)
      vi.stubGlobal(name, new Proxy(class {}, { construct: forbidden, apply: forbidden, get: forbidden }));
    vi.spyOn(Math, 'random').mockImplementation(forbidden);
    vi.spyOn(Date, 'now').mockImplementation(forbidden);
    vi.stubGlobal('Date', new Proxy(Date, { construct: forbidden, apply: forbidden }));
  };

  it('nothing happens when a chain is built', () => {
    const end: FetchLike = () => Promise.reject(new Error('sent'));
    let made: unknown;
    let failure: unknown;
    forbid();
    try {
      made = compose(
        observe(() => undefined),
        authCheck({ origins: ['https://api.example', new URL('https://other.example')] }),
        payloadSchema({ schema, shouldValidate: () => true, advise: () => [] }),
        fallback({ model: 'm' }, { baseURL: 'https://other.example/v1', apiKey: key }),
        retry(),
        retry({ retryBudget: createRetryBudget(), maxRetriesByStatus: { 500: 1 } }),
        circuitBreaker(),
        streamTimeout({ totalMs: 1000 }),
        defineMiddleware('own', (call, next) => next(call)),
      )(end);
    } catch (error) {
      failure = error;
    }
    vi.restoreAllMocks();
    vi.unstubAllGlobals();
    expect(failure).toBeUndefined();
    expect(made).toBeTypeOf('function');
  });

  it('the clock and the chance of the runtime are looked up when they are used', async () => {
    const chain = compose(
      observe(() => undefined),
      retry(),
      circuitBreaker(),
      streamTimeout(),
    );
    const end = recorder(503, 200);
    const built = chain(end);
    const delays: unknown[] = [];
    vi.stubGlobal('setTimeout', (callback: () => void, ms: number) => {
      delays.push(ms);
      if (ms === 375) queueMicrotask(callback);
      return delays.length;
    });
    vi.stubGlobal('clearTimeout', () => undefined);
    vi.spyOn(Math, 'random').mockReturnValue(0.75);
    vi.spyOn(performance, 'now').mockReturnValue(1000);
    const response = await built(url);
    expect(response.status).toBe(200);
    expect(await response.text()).toBe('pong');
    expect(delays).toContain(375);
  });
});
