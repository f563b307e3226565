import {
  authCheck,
  type Call,
  circuitBreaker,
  compose,
  type FetchLike,
  fallback,
  type Middleware,
  observe,
  payloadSchema,
  retry,
  type StandardSchema,
  streamTimeout,
} from 'breakwater';
import { createFakeClock, createScriptedFetch, type FakeClock, type ScriptedReply } from 'breakwater/testing';
import ky from 'ky';
import { afterEach, describe, expect, it } from 'vitest';
import { type Served, serve } from '../playground/serve.ts';
import {
  collect,
  collectUntil,
  createSource,
  listenersOf,
  rejectionOf,
  settlesBeforeTimer,
  unhandledIn,
  url,
} from './middleware/witness.ts';

const schema: StandardSchema = { '~standard': { version: 1, vendor: 'own', validate: () => ({}) } };
const nothing = () => undefined;
const ask = { method: 'POST', body: '{"model":"m"}', headers: { authorization: 'Bearer sk-1' } };

/** The five, in the recommended order. */
function five(clock?: FakeClock, baseDelayMs = 0): Middleware {
  return compose(
    authCheck(),
    payloadSchema(schema),
    retry({ clock, baseDelayMs, random: () => 0.5, retryBudget: false }),
    circuitBreaker({ clock, maxFailures: 1_000_000 }),
    streamTimeout({ clock }),
  );
}

const open: Served[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((served) => served.close()));
});

/** A service whose answers begin and never end. */
async function serveEndless(): Promise<{ served: Served; cancelled: Promise<void> }> {
  const { promise: cancelled, resolve } = Promise.withResolvers<void>();
  const served = await serve(async () => {
    const body = new ReadableStream({
      start: (sink) => sink.enqueue(new TextEncoder().encode('data: one\n\n')),
      cancel: () => resolve(),
    });
    return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
  });
  open.push(served);
  return { served, cancelled };
}

describe('An abort in the middle of a body', () => {
  const guarded = five()(fetch);
  const unheld = streamTimeout({ hold: 'headers' })(fetch);

  // On Node the signal of a Request dies with the Request: after a collection such an abort used to be lost.
  it.each<[string, (to: string, signal: AbortSignal) => Promise<Response>]>([
    ['through ky', async (to, signal) => ky(to, { ...ask, signal, fetch: guarded, timeout: false })],
    [
      'through ky, with nothing held',
      async (to, signal) => ky(to, { ...ask, signal, fetch: unheld, timeout: false }),
    ],
    [
      'through an instance of ky',
      async (to, signal) => ky.create({ fetch: guarded, signal, timeout: false })(to, ask),
    ],
    ['of a Request', (to, signal) => guarded(new Request(to, { ...ask, signal }))],
    [
      'of a Request that a fallback sends elsewhere',
      (to, signal) => {
        const chain = compose(fallback({ baseURL: to, apiKey: 'sk-2' }), streamTimeout())(fetch);
        return chain(new Request('http://127.0.0.1:1/', { ...ask, signal }));
      },
    ],
    ['of an init', (to, signal) => guarded(to, { ...ask, signal })],
  ])('reaches the body and the server after collections: %s', async (_how, call) => {
    const { served, cancelled } = await serveEndless();
    const caller = new AbortController();
    const reader = await (async () => {
      const response = await call(served.url, caller.signal);
      return (response.body as ReadableStream<Uint8Array>).getReader();
    })();
    await reader.read();
    for (let round = 0; round < 5; round++) await collect();
    const reading = rejectionOf(reader.read());
    const reason = new Error('enough');
    caller.abort(reason);
    expect(await reading).toBe(reason);
    await cancelled;
    expect(listenersOf(caller.signal)).toBe(0);
  });
});

describe('A Response that nobody reads', () => {
  it.each<[string, Middleware, (response: Response) => unknown]>([
    ['not at all', streamTimeout(), () => undefined],
    ['not at all, through the five', five(), () => undefined],
    // The observer used to hold the Response, so that its socket stayed open for ever.
    ['not at all, observed through the five', compose(observe(nothing), five()), () => undefined],
    [
      'beyond its first chunk',
      streamTimeout(),
      async ({ body }) => {
        const reader = (body as ReadableStream<Uint8Array>).getReader();
        await reader.read();
        reader.releaseLock();
      },
    ],
  ])('lets its connection go: %s', async (_how, middleware, use) => {
    const { served } = await serveEndless();
    const caller = new AbortController();
    await (async () => {
      const calls = Array.from({ length: 10 }, () =>
        middleware(fetch)(served.url, { ...ask, signal: caller.signal }),
      );
      for (const response of await Promise.all(calls)) await use(response);
    })();
    expect(served.opened).toBe(10);
    expect(await collectUntil(() => served.connections === 0)).toBe(true);
    expect(listenersOf(caller.signal)).toBe(0);
  });
});

describe('A Response and its clone', () => {
  // On Node 22 a collection used to cancel the body that a clone had taken from the Response that it was made of.
  it.each<[string, Middleware]>([
    ['a guard', streamTimeout()],
    ['the five', five()],
  ])('can both be read after collections, under %s', async (_what, middleware) => {
    const { promise: collected, resolve: goOn } = Promise.withResolvers<void>();
    const bytes = new TextEncoder();
    const served = await serve(async () => {
      const body = new ReadableStream({
        start: (sink) => sink.enqueue(bytes.encode('one ')),
        pull: async (sink) => {
          await collected;
          sink.enqueue(bytes.encode('two'));
          sink.close();
        },
      });
      return new Response(body);
    });
    open.push(served);
    const responses = await (async () => {
      const response = await middleware(fetch)(served.url, ask);
      return [response.clone(), response.clone(), response];
    })();
    responses.push(responses[0]?.clone() as Response);
    for (let round = 0; round < 5; round++) await collect();
    goOn();
    const texts = await Promise.all(responses.map((response) => response.text()));
    expect(texts).toEqual(responses.map(() => 'one two'));
  });
});

describe('Many calls on one signal', () => {
  const drain = (response: Response) => response.text();
  const outcomes: [FetchLike, use: (response: Response) => unknown, how: string][] = [
    [async () => new Response('pong'), drain, 'pong'],
    [async () => new Response('pong'), ({ body }) => body?.cancel(), 'undefined'],
    [async () => new Response(null, { status: 204 }), drain, ''],
    [async () => Promise.reject(new DOMException('gone', 'AbortError')), drain, 'AbortError'],
    [async () => lostInTheAnswer(), drain, 'StreamBrokenError'],
    // Answers with a 503 first, whose body is thrown away.
    [
      async (_to, init) => new Response('pong', { status: (init as Call).attempt.number > 1 ? 200 : 503 }),
      drain,
      'pong',
    ],
  ];

  function lostInTheAnswer(): Response {
    const source = createSource();
    source.push('pong');
    source.fail(new TypeError('terminated'));
    return source.response();
  }

  it('leave no listener on it after 10,000 of every kind', async () => {
    const { signal } = new AbortController();
    const clock = createFakeClock();
    const chains = outcomes.map(([fetch]) => five(clock)(fetch));
    for (let batch = 0; batch < 100; batch++) {
      const calls = Array.from({ length: 100 }, async (_, call) => {
        const [, use, how] = outcomes[call % outcomes.length] as (typeof outcomes)[number];
        const answer = chains[call % outcomes.length]?.(url, { ...ask, signal });
        expect(await answer?.then(use).then(String, ({ name }: Error) => name)).toBe(how);
      });
      await Promise.all(calls);
      expect(listenersOf(signal)).toBe(0);
    }
    expect(clock.pendingTimers).toBe(0);
  });

  it.each<[string, (response: Response) => unknown]>([
    ['nobody reads why', () => undefined],
    ['somebody reads why', drain],
  ])('leave no listener on it when the service refuses them and %s', async (_who, use) => {
    const { signal } = new AbortController();
    const chain = five()(async () => new Response('no', { status: 400 }));
    for (let call = 0; call < 1000; call++) await use(await chain(url, { ...ask, signal }));
    expect(await collectUntil(() => listenersOf(signal) === 0)).toBe(true);
  });

  // The fallback used to throw the answer of a retry away without a word to the guard that followed the signal for it.
  it.each<[string, number]>([
    ['a retry that is used up', 1],
    ['a retry that makes none', 0],
  ])('leave no listener on it when a fallback discards a 503 of %s', async (_which, maxRetries) => {
    const { signal } = new AbortController();
    const clock = createFakeClock();
    const fetch = createScriptedFetch(...Array(maxRetries + 1).fill(503), { body: 'pong' });
    const retrying = retry({ clock, random: () => 0, maxRetries });
    const chain = compose(fallback({ model: 'm2' }), retrying, streamTimeout({ clock }))(fetch);
    const response = await chain(url, { ...ask, signal });
    expect(await response.text()).toBe('pong');
    expect(listenersOf(signal)).toBe(0);
    expect(fetch.cancelled).toBe(maxRetries + 1);
  });
});

describe('An abort through the five', () => {
  interface Moment {
    readonly clock: FakeClock;
    readonly call: Promise<Response>;
    begin(): void;
  }
  const moments: [string, ScriptedReply | 'stream', (moment: Moment) => Promise<unknown>][] = [
    ['the wait for a retry', 503, async ({ call }) => call],
    ['a told wait', { status: 429, headers: { 'retry-after': '20' } }, async ({ call }) => call],
    ['the wait for the headers', 'hang', async ({ call }) => call],
    ['the wait for the first byte', 'stream', async ({ call }) => call],
    [
      'the body',
      'stream',
      async ({ call, begin }) => {
        begin();
        return (await call).text();
      },
    ],
    [
      'a pause in the body',
      'stream',
      async ({ call, begin, clock }) => {
        begin();
        const reader = ((await call).body as ReadableStream<Uint8Array>).getReader();
        await reader.read();
        await clock.settle();
        return reader.closed;
      },
    ],
  ];

  it.each(moments)(
    'during %s settles at once, with its own reason, and leaves nothing',
    async (_when, reply, wait) => {
      for (const isRequest of [false, true]) {
        const clock = createFakeClock();
        const source = createSource();
        const fetch = createScriptedFetch(reply === 'stream' ? () => source.response() : reply);
        const caller = new AbortController();
        const init = { ...ask, signal: caller.signal };
        const chain = five(clock, 500)(fetch);
        const call = isRequest ? chain(new Request(url, init)) : chain(url, init);
        const waiting = wait({ clock, call, begin: () => source.push('one') });
        waiting.catch(() => undefined);
        await clock.settle();
        const reason = { why: 'the tab was closed' };
        caller.abort(reason);
        expect(await settlesBeforeTimer(waiting)).toBe(true);
        expect(await rejectionOf(waiting)).toBe(reason);
        expect(listenersOf(caller.signal)).toBe(0);
        expect([fetch.active, clock.pendingTimers]).toEqual([0, 0]);
        expect(fetch.calls).toHaveLength(1);
      }
    },
  );

  // The reply of a scripted fetch that came too late used to be an unhandled rejection.
  it('from within the reply of a scripted fetch leaves no rejection unhandled', async () => {
    const reason = { why: 'the tab was closed' };
    for (const middleware of [five(createFakeClock()), (next: FetchLike) => next]) {
      const caller = new AbortController();
      const fetch = createScriptedFetch(() => {
        caller.abort(reason);
        return Promise.reject(new TypeError('fetch failed'));
      });
      const unhandled = await unhandledIn(async () => {
        expect(await rejectionOf(middleware(fetch)(url, { ...ask, signal: caller.signal }))).toBe(reason);
      });
      expect(unhandled).toEqual([]);
      expect(fetch.active).toBe(0);
    }
  });
});
