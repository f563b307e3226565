import {
  type Call,
  type ChainEvent,
  circuitBreaker,
  compose,
  defineMiddleware,
  type FetchLike,
  fallback,
  type Listener,
  type ObservedEvent,
  retry,
  streamTimeout,
} from 'breakwater';
import { observe } from 'breakwater/observe';
import { createFakeClock, createScriptedFetch, type ScriptedReply } from 'breakwater/testing';
import { describe, expect, it } from 'vitest';
import { createSource, post, printed, rejectionOf, type Source, url, watch } from './witness.ts';

const lost = () => new TypeError('fetch failed');
const pong: FetchLike = async () => new Response('pong');

/** A layer that only looks at the call. */
const look = (at: (call: Call) => void) =>
  defineMiddleware('look', (call, next) => {
    at(call);
    return next(call);
  });

describe('observe() hears', () => {
  it('a call from its start to the end of its body, in order and with the times', async () => {
    const clock = createFakeClock();
    const startedAt = clock.now();
    const { observed, events } = watch(clock);
    const source = createSource();
    const slow = { status: 503, delayMs: 100, clock };
    const chain = compose(
      observed,
      retry({ clock, random: () => 0.5 }),
      circuitBreaker({ clock }),
      streamTimeout({ clock }),
    )(createScriptedFetch(slow, () => source.response()));
    const call = chain(`${url}?x=1`, post);
    await clock.advance(1000);
    source.push('pong');
    const response = await call;
    await clock.advance(500);
    source.close();
    await response.text();
    const told = events.map(({ at, callId, ...event }) => {
      expect(callId).toBe(1);
      return [at - startedAt, event];
    });
    expect(told).toEqual([
      [0, { type: 'call.started', method: 'POST', url }],
      [0, { type: 'attempt.started', attempt: 1 }],
      [100, { type: 'retry.scheduled', attempt: 1, cause: 503, delayMs: 250, toldMs: undefined }],
      [350, { type: 'attempt.started', attempt: 2 }],
      [1000, { type: 'stream.first-token', afterMs: 650 }],
      [1500, { type: 'call.settled', outcome: 'complete', status: 200, cause: undefined, durationMs: 1500 }],
    ]);
  });

  it('what a layer of your own emits', async () => {
    const clock = createFakeClock();
    const { observed, of } = watch(clock);
    const limiter = look(({ context }) => context.emit?.({ type: 'limit.told', limit: 5, inFlight: 3 }));
    await compose(observed, limiter)(pong)(url);
    expect(of('limit.told')).toEqual([{ limit: 5, inFlight: 3 }]);
  });

  it('each call under a number of its own, in all chains that it is part of', async () => {
    const clock = createFakeClock();
    const { observed, events } = watch(clock);
    const fetches = [observed(createScriptedFetch().always(200)), observed(pong)] as const;
    await Promise.all([fetches[0](url), fetches[1](url), fetches[0](url)]);
    const ids = events.map(({ callId }) => callId);
    expect(ids.toSorted()).toEqual([1, 1, 2, 2, 3, 3]);
    expect(events.filter(({ type }) => type === 'call.started').map(({ callId }) => callId)).toEqual([
      1, 2, 3,
    ]);
  });

  it('a call once, although it stands below a retry', async () => {
    const clock = createFakeClock();
    const witness = watch(clock);
    const repeating = retry({ clock, random: () => 0 });
    await compose(repeating, witness.observed)(createScriptedFetch(503, 503, 200))(url);
    expect(witness.types.filter((type) => type === 'call.started')).toHaveLength(1);
  });

  it('nothing of other calls: without an observer nothing is built', async () => {
    const emits: unknown[] = [];
    await compose(
      look(({ context }) => emits.push(context.emit)),
      retry(),
    )(pong)(url);
    expect(emits).toEqual([undefined]);
  });
});

describe('observe() tells how a call ended', () => {
  interface Ended {
    readonly call: Promise<Response>;
    readonly source: Source;
    abort(): void;
  }
  const stream = 'a stream that has begun';
  const drain = async ({ call }: Ended) => (await call).text();

  it.each<[string, ScriptedReply | typeof stream, (ended: Ended) => unknown, object]>([
    ['read to its end', { body: 'pong' }, drain, { outcome: 'complete', status: 200 }],
    ['answered without a body', 204, drain, { outcome: 'complete', status: 204 }],
    ['refused by the service', 404, ({ call }) => call, { outcome: 'complete', status: 404 }],
    [
      'lost before the headers',
      lost(),
      ({ call }) => rejectionOf(call),
      { outcome: 'failed', cause: 'TypeError', status: undefined },
    ],
    [
      'rejected with what is no error',
      () => Promise.reject('a text'),
      ({ call }) => rejectionOf(call),
      { outcome: 'failed', cause: 'unknown', status: undefined },
    ],
    [
      'lost in the answer',
      stream,
      async ({ call, source }) => {
        const reading = rejectionOf((await call).text());
        source.fail(lost());
        await reading;
      },
      { outcome: 'failed', cause: 'STREAM_RESET', status: 200 },
    ],
    [
      'cancelled by its reader',
      stream,
      async ({ call }) => (await call).body?.cancel(),
      { outcome: 'cancelled', cause: undefined, status: 200 },
    ],
    [
      'aborted before the headers',
      'hang',
      ({ call, abort }) => {
        abort();
        return rejectionOf(call);
      },
      { outcome: 'cancelled', cause: undefined, status: undefined },
    ],
    [
      'aborted in the answer',
      stream,
      async ({ call, abort }) => {
        await call;
        abort();
      },
      { outcome: 'cancelled', cause: undefined, status: 200 },
    ],
  ])('%s', async (_how, reply, use, told) => {
    const clock = createFakeClock();
    const { observed, of } = watch(clock);
    const source = createSource();
    source.push('one');
    const caller = new AbortController();
    const fetch = createScriptedFetch(reply === stream ? () => source.response() : reply);
    const call = compose(observed, streamTimeout({ clock }))(fetch)(url, { signal: caller.signal });
    await use({ call, source, abort: () => caller.abort('enough') });
    await clock.settle();
    expect(of('call.settled')).toMatchObject([told]);
  });

  it('at its headers, when nobody watches its body', async () => {
    const { observed, of } = watch(createFakeClock());
    const response = await observed(async () => createSource().response())(url);
    expect(of('call.settled')).toMatchObject([{ outcome: 'complete', status: 200 }]);
    expect(response.bodyUsed).toBe(false);
  });

  it('by the route that was returned', async () => {
    const { observed, of } = watch(createFakeClock());
    await compose(observed, fallback({ model: 'b' }))(createScriptedFetch(503, 200))(url, post);
    expect(of('call.settled')).toMatchObject([{ outcome: 'complete', status: 200 }]);
  });
});

it('observe() shows its name in stack traces', () => {
  expect(observe(() => undefined)(pong).name).toBe('observe');
});

describe('observe() and a listener that fails', () => {
  const mistakes: [string, Listener][] = [
    [
      'throws',
      () => {
        throw new Error('a mistake in the listener');
      },
    ],
    ['rejects', (async () => Promise.reject(new Error('a mistake in the listener'))) as Listener],
    ['never answers', (() => new Promise(() => undefined)) as Listener],
    [
      'changes what it is given',
      (event) => void Object.assign(event, { type: 'call.settled', outcome: 'failed', callId: 0 }),
    ],
  ];

  // Unhandled rejections fail the run.
  it.each(mistakes)('disturbs nothing when it %s', async (_how, listener) => {
    const clock = createFakeClock();
    const witness = watch(clock);
    const answer = new Response('pong');
    const chain = compose(
      witness.observed,
      observe(listener),
      retry({ clock, random: () => 0 }),
    )(createScriptedFetch(503, () => answer));
    const response = await chain(url);
    expect(await response.text()).toBe('pong');
    expect(witness.types).toEqual([
      'call.started',
      'attempt.started',
      'retry.scheduled',
      'attempt.started',
      'call.settled',
    ]);
    expect(witness.events.every(({ callId }) => callId === 1)).toBe(true);
    await clock.settle();
  });

  it.each(mistakes)('leaves the error of a call alone when it %s', async (_how, listener) => {
    const error = lost();
    expect(await rejectionOf(observe(listener)(() => Promise.reject(error))(url))).toBe(error);
  });
});

describe('observe() and what is private', () => {
  const secret = 'sk-0123456789abcdef';
  const target = `${url}?key=${secret}#${secret}`;
  const init = {
    method: 'POST',
    headers: { authorization: `Bearer ${secret}`, 'x-own': secret },
    body: JSON.stringify({ model: 'm', messages: [secret] }),
  };
  const chatty = () => Object.assign(new TypeError(`no way to ${target}`), { url: target, cause: secret });

  it('holds no key, no query, no header and no body in any event', async () => {
    const clock = createFakeClock();
    const witness = watch(clock);
    const broken = createSource();
    const fetch = createScriptedFetch(
      { status: 503, headers: { 'x-echo': secret }, body: secret },
      chatty(),
      { status: 429, headers: { 'retry-after': secret } },
      () => broken.response(),
    ).always(chatty());
    const chain = compose(
      witness.observed,
      fallback({ baseURL: `https://b.example/v1?key=${secret}`, apiKey: secret }),
      retry({ clock, random: () => 0, maxRetries: 3 }),
      circuitBreaker({ clock, key: () => 'all' }),
      streamTimeout({ clock }),
    )(fetch);
    const ended = rejectionOf(chain(target, init));
    await clock.settle();
    broken.fail(chatty());
    await clock.runUntil(ended);
    expect(new Set(witness.types)).toEqual(
      new Set<ObservedEvent['type']>([
        'call.started',
        'attempt.started',
        'retry.scheduled',
        'retry.refused',
        'fallback.advanced',
        'breaker.opened',
        'call.settled',
      ]),
    );
    expect(printed(witness.events)).not.toMatch(/0123456789abcdef|key=|#/);
  });

  it('shows a URL without user info, query and fragment, and no URL that is none', async () => {
    const { observed, of } = watch(createFakeClock());
    const withUser = target.replace('//', `//user:${secret}@`);
    for (const each of [withUser, `not a URL?key=${secret}`]) await observed(pong)(each);
    expect(of('call.started')).toEqual([
      { method: 'GET', url: 'https://api.deepseek.com/chat/completions' },
      { method: 'GET', url: '(not a URL)' },
    ]);
  });

  it('holds the events of others as they were emitted, with a number and a time', async () => {
    const clock = createFakeClock();
    const { observed, events } = watch(clock);
    const event: ChainEvent = Object.freeze({ type: 'balance.low' });
    await compose(
      observed,
      look(({ context }) => context.emit?.(event)),
    )(pong)(url);
    expect(events[1]).toEqual({ type: 'balance.low', callId: 1, at: clock.now() });
  });
});
