import {
  AuthCheckError,
  authCheck,
  CircuitOpenError,
  type CircuitSnapshot,
  compose,
  type FetchLike,
  retry,
  streamTimeout,
} from 'breakwater';
import { type CircuitBreaker, type CircuitBreakerOptions, circuitBreaker } from 'breakwater/circuit-breaker';
import {
  createFakeClock,
  createScriptedFetch,
  type FakeClock,
  type ScriptedFetch,
  type ScriptedReply,
} from 'breakwater/testing';
import { describe, expect, it } from 'vitest';
import { createSource, post, rejectionOf, type Source, url, type Witness, watch } from './witness.ts';

const origin = 'https://api.deepseek.com';
const lost = () => new TypeError('fetch failed');

interface Play extends Pick<Witness, 'of' | 'types'> {
  readonly clock: FakeClock;
  readonly fetch: ScriptedFetch;
  readonly breaker: CircuitBreaker;
  readonly chain: FetchLike;
  /** How the next call ends: with a status, or with what it throws. */
  next(init?: RequestInit): Promise<unknown>;
  /** How many of so many calls at once reach upstream; the others must be refused. */
  letThrough(calls: number): Promise<number>;
  circuit(): CircuitSnapshot | undefined;
}

/** A dialogue between one breaker, whose probes are spread by nothing, and a script. */
function play(options: CircuitBreakerOptions, ...replies: ScriptedReply[]): Play {
  const clock = createFakeClock();
  const fetch = createScriptedFetch(...replies);
  const breaker = circuitBreaker({ clock, random: () => 0.5, ...options });
  const witness = watch(clock);
  const chain = compose(witness.observed, breaker)(fetch);
  return {
    of: witness.of,
    get types() {
      return witness.types;
    },
    clock,
    fetch,
    breaker,
    chain,
    next: (init = post) =>
      chain(url, init).then(
        ({ status }) => status,
        (error: unknown) => error,
      ),
    letThrough: async (calls) => {
      const before = fetch.calls.length;
      let refused = 0;
      for (let made = 0; made < calls; made++)
        chain(url, post).catch((error: unknown) => {
          if (error instanceof CircuitOpenError) refused++;
        });
      await clock.settle();
      const passed = fetch.calls.length - before;
      expect(refused).toBe(calls - passed);
      return passed;
    },
    circuit: () => breaker.snapshot().find(({ key }) => key === origin),
  };
}

/** A breaker that one failure opens, after that failure. */
async function opened(options: CircuitBreakerOptions = {}, first: ScriptedReply = 503): Promise<Play> {
  const game = play({ maxFailures: 1, ...options }, first);
  await game.next();
  expect(game.breaker.state(origin)).toBe('open');
  return game;
}

/** A reply that a test gives when it likes. */
function later(): { reply: ScriptedReply; give(response: Response): void; fail(error: unknown): void } {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  return { reply: () => promise, give: resolve, fail: reject };
}

describe('circuitBreaker() closed', () => {
  it('opens after five failures in a row and refuses at once', async () => {
    const { next, fetch, clock, breaker } = play({}, 503, 503, 503, 503);
    for (let failures = 0; failures < 4; failures++) expect(await next()).toBe(503);
    expect(breaker.state(origin)).toBe('closed');
    fetch.reply(503);
    expect(await next()).toBe(503);
    expect(breaker.state(origin)).toBe('open');
    const error = await next();
    expect(error).toBeInstanceOf(CircuitOpenError);
    expect(error).toMatchObject({ code: 'CIRCUIT_OPEN', key: origin, retryAfterMs: 5000 });
    expect((error as Error).message).toBe(`Circuit of ${origin} is open: next probe in 5000 ms`);
    expect(fetch.calls).toHaveLength(5);
    expect(clock.pendingTimers).toBe(0);
  });

  it('forgets its failures at a success', async () => {
    const { next, breaker, circuit } = play({ maxFailures: 2 }, 503, 200, 503, 200, 503);
    for (let calls = 0; calls < 5; calls++) await next();
    expect(breaker.state(origin)).toBe('closed');
    expect(circuit()).toMatchObject({ failures: 1 });
  });

  it('hands over the answer that opens it as it came, unread', async () => {
    const source = createSource();
    const response = source.response({ status: 503 });
    const breaker = circuitBreaker({ maxFailures: 1 });
    expect(await breaker(async () => response)(url)).toBe(response);
    expect(source.pulls).toBe(0);
    expect(source.cancels).toHaveLength(0);
  });

  it.each<[string, ScriptedReply]>([
    ['429', 429],
    ['500', 500],
    ['502', 502],
    ['503', 503],
    ['504', 504],
    ['529', 529],
    ['a lost connection', lost()],
    ['an error of no known class', new Error('Network connection lost.')],
    ['a timeout of the runtime', () => Promise.reject(new DOMException('slow', 'TimeoutError'))],
  ])('takes %s for a failure', async (_what, reply) => {
    const { next, circuit } = play({}, reply);
    await next();
    expect(circuit()).toMatchObject({ state: 'closed', failures: 1 });
  });

  it.each([200, 204, 302, 304, 400, 401, 402, 403, 404, 408, 409, 413, 422])(
    'takes %i for a sign that the service is there',
    async (status) => {
      const { next, circuit } = play({ maxFailures: 2 }, 503, status);
      await next();
      await next();
      expect(circuit()).toMatchObject({ state: 'closed', failures: 0 });
    },
  );

  it('goes by isFailure where it is given', async () => {
    const isFailure = ({ status }: Response) => status === 404;
    const { next, circuit } = play({ isFailure }, 404, 503);
    await next();
    expect(circuit()).toMatchObject({ failures: 1 });
    await next();
    expect(circuit()).toMatchObject({ failures: 0 });
  });

  it('passes on what isFailure throws, and leaves no body open', async () => {
    const mistake = new Error('a mistake in isFailure');
    const isFailure = () => {
      throw mistake;
    };
    const { next, fetch } = play({ isFailure }, 200);
    expect(await next()).toBe(mistake);
    expect(fetch.active).toBe(0);
  });

  it('learns nothing from a caller who goes away, nor from what never was a call', async () => {
    const { next, fetch, clock, circuit } = play({ maxFailures: 2 }, 503, 'hang');
    await next();
    const caller = new AbortController();
    const call = next({ signal: caller.signal });
    await clock.settle();
    caller.abort('enough');
    expect(await call).toBe('enough');
    expect(await next({ signal: AbortSignal.abort('never mind') })).toBe('never mind');
    fetch.reply(new DOMException('gone', 'AbortError') as Error);
    await next();
    expect(circuit()).toMatchObject({ state: 'closed', failures: 1 });
  });

  it('learns nothing from a refusal of a layer below it, nor from a request that cannot be built', async () => {
    const breaker = circuitBreaker({ maxFailures: 1 });
    const refused = compose(breaker, authCheck())(createScriptedFetch());
    expect(await rejectionOf(refused(url))).toBeInstanceOf(AuthCheckError);
    expect(await rejectionOf(breaker(fetch)(`${origin}:x/`))).toBeInstanceOf(TypeError);
    expect(await rejectionOf(breaker(fetch)(url, { method: 'GET', body: 'x' }))).toBeInstanceOf(TypeError);
    expect(breaker.snapshot().map(({ state, failures }) => [state, failures])).toEqual([
      ['closed', 0],
      ['closed', 0],
    ]);
  });

  const nowhere = 'http://127.0.0.1:1/';
  const streamed = (text: string) => ({ method: 'POST', body: new Response(text).body, duplex: 'half' });

  // Each used to count as a failure of the service.
  it.each<[string, () => [to: string | Request, init?: object]]>([
    ['a redirect that is none', () => [nowhere, { redirect: 'bogus' }]],
    ['a signal that is none', () => [nowhere, { signal: {} }]],
    ['a stream without duplex', () => [nowhere, { ...post, body: streamed('once').body }]],
  ])('learns nothing from a mistake of the caller: %s', async (_what, make) => {
    const breaker = circuitBreaker({ maxFailures: 1 });
    expect(await rejectionOf(breaker(fetch)(...make()))).toBeInstanceOf(TypeError);
    expect(breaker.snapshot()).toMatchObject([{ state: 'closed', failures: 0 }]);
  });

  // Those that fetch uses up were for a time taken for a mistake of the caller, who had used them before.
  it.each<[string, () => [to: string | Request, init?: object]]>([
    ['a GET', () => [nowhere]],
    ['a POST', () => [nowhere, post]],
    ['a stream', () => [nowhere, streamed('once')]],
    ['a Request', () => [new Request(nowhere)]],
    ['a Request with a body', () => [new Request(nowhere, post)]],
    ['a Request with a stream', () => [new Request(nowhere, streamed('once') as RequestInit)]],
  ])('counts a lost connection: %s', async (_what, make) => {
    const breaker = circuitBreaker({ maxFailures: 1 });
    expect(await rejectionOf(breaker(fetch)(...make()))).toBeInstanceOf(TypeError);
    expect(breaker.snapshot()).toMatchObject([{ state: 'open' }]);
  });

  it('counts the timeouts and the dead answers that streamTimeout finds', async () => {
    const clock = createFakeClock();
    const broken = createSource();
    broken.fail(lost());
    const fetch = createScriptedFetch('hang', () => broken.response());
    const breaker = circuitBreaker({ clock });
    const chain = compose(breaker, streamTimeout({ clock }))(fetch);
    expect(await rejectionOf(clock.runUntil(chain(url)))).toHaveProperty('code', 'TIMEOUT_HEADERS');
    expect(await rejectionOf(chain(url))).toHaveProperty('code', 'STREAM_RESET');
    expect(breaker.snapshot()).toMatchObject([{ failures: 2 }]);
  });

  it('counts for all fetches that it is applied to', async () => {
    const breaker = circuitBreaker({ maxFailures: 2 });
    for (let fetches = 0; fetches < 2; fetches++) await breaker(createScriptedFetch(503))(url);
    expect(breaker.state(origin)).toBe('open');
  });
});

describe('circuitBreaker() with failureRatio', () => {
  const options = { failureRatio: 0.5, minCalls: 4, windowMs: 10_000, maxFailures: 100 };

  async function after(...replies: [status: number, laterMs?: number][]): Promise<string> {
    const { next, clock, fetch, breaker } = play(options);
    for (const [status, laterMs = 0] of replies) {
      await clock.advance(laterMs);
      fetch.reply(status);
      await next();
    }
    return breaker.state(origin);
  }

  it.each<[string, [number, number?][], string]>([
    ['half of the calls', [[200], [503], [200], [503]], 'open'],
    ['fewer than half', [[200], [503], [200], [200], [503]], 'closed'],
    ['all, but of too few calls', [[503], [503], [503]], 'closed'],
    [
      'failures of which the last successes are out of the window',
      [[200], [503, 10_000], [503], [503], [503]],
      'open',
    ],
    ['failures that are out of the window', [[503], [503], [503], [200, 10_001], [200], [200]], 'closed'],
    ['a success that reaches the number of calls', [[503], [503], [503], [200]], 'open'],
  ])('goes by %s', async (_what, replies, state) => {
    expect(await after(...replies)).toBe(state);
  });

  it('opens by maxFailures all the same', async () => {
    const game = play({ ...options, minCalls: 1000, maxFailures: 2 }, 503, 503);
    await game.next();
    await game.next();
    expect(game.breaker.state(origin)).toBe('open');
  });
});

describe('circuitBreaker() open', () => {
  it.each([
    ['the first probe', 5000],
    ['the end of the open time', 60_000],
    ['much later', 3_600_000],
  ])('lets exactly one of twenty calls through at the time of %s', async (_what, ms) => {
    const { clock, fetch, letThrough } = await opened();
    await clock.advance(ms - 1);
    if (ms === 5000) expect(await letThrough(20)).toBe(0);
    await clock.advance(1);
    fetch.always('hang');
    expect(await letThrough(20)).toBe(1);
  });

  it('refuses the others with the time to the next probe', async () => {
    const { clock, fetch, next } = await opened();
    await clock.advance(5000);
    fetch.reply('hang');
    void next();
    await clock.advance(1500);
    expect(await next()).toMatchObject({ code: 'CIRCUIT_OPEN', retryAfterMs: 3500 });
    expect(fetch.calls).toHaveLength(2);
  });

  it('closes at the success of a probe, and then lets all through', async () => {
    const { clock, fetch, next, breaker, letThrough, circuit } = await opened();
    await clock.advance(5000);
    fetch.always(200);
    expect(await next()).toBe(200);
    expect(breaker.state(origin)).toBe('closed');
    expect(circuit()).toMatchObject({ failures: 0, retryAfterMs: undefined });
    expect(await letThrough(20)).toBe(20);
  });

  it('stays open at the failure of a probe, until the next probe time', async () => {
    const { clock, fetch, next, letThrough } = await opened();
    for (let probes = 0; probes < 3; probes++) {
      await clock.advance(5000);
      fetch.reply(503);
      expect(await next()).toBe(503);
      expect(await letThrough(5)).toBe(0);
    }
    expect(await next()).toMatchObject({ retryAfterMs: 5000 });
  });

  it('opens for another openMs when the probe at the end of the open time fails', async () => {
    const { clock, fetch, next } = await opened({ openMs: 10_000, probeEveryMs: 60_000 });
    expect(await next()).toMatchObject({ retryAfterMs: 10_000 });
    await clock.advance(10_000);
    fetch.reply(503);
    expect(await next()).toBe(503);
    expect(await next()).toMatchObject({ retryAfterMs: 10_000 });
    await clock.advance(10_000);
    fetch.reply(200);
    expect(await next()).toBe(200);
  });

  it.each([
    [0, 4000],
    [0.25, 4500],
    [0.75, 5500],
    [0.999, 5998],
  ])('spreads its probes by 20 %%: with %d after %i ms', async (share, ms) => {
    const { clock, next, fetch } = await opened({ random: () => share });
    await clock.advance(ms - 1);
    expect(await next()).toBeInstanceOf(CircuitOpenError);
    await clock.advance(1);
    fetch.reply(200);
    expect(await next()).toBe(200);
  });

  it('has at most three undecided probes, and replaces each when its lease is over', async () => {
    const { clock, fetch, next, letThrough } = await opened({ probeLeaseMs: 40_000 });
    fetch.always('hang'); // whoever began them is never heard of again
    for (const expected of [1, 1, 1, 0, 0]) {
      await clock.advance(5000);
      expect(await letThrough(20)).toBe(expected);
    }
    expect(await next()).toMatchObject({ retryAfterMs: 20_000 });
    await clock.advance(19_999);
    expect(await letThrough(20)).toBe(0);
    await clock.advance(1);
    expect(await letThrough(20)).toBe(1);
    await clock.advance(5000);
    expect(await letThrough(20)).toBe(1);
  });

  it('closes at the success of a probe whose lease was over', async () => {
    const { clock, fetch, chain, breaker } = await opened();
    const slow = later();
    await clock.advance(5000);
    fetch.reply(slow.reply);
    const probe = chain(url);
    await clock.advance(600_000);
    slow.give(new Response('pong'));
    expect((await probe).status).toBe(200);
    expect(breaker.state(origin)).toBe('closed');
  });

  it.each<[string, (game: Play, caller: AbortController) => Promise<unknown>]>([
    [
      'during the call',
      async ({ fetch, clock, next }, caller) => {
        fetch.reply('hang');
        const probe = next({ signal: caller.signal });
        await clock.settle();
        caller.abort('enough');
        return probe;
      },
    ],
    [
      'before it',
      async ({ next }, caller) => {
        caller.abort('enough');
        return next({ signal: caller.signal });
      },
    ],
  ])('gives the place of a probe that the caller aborts %s to the next call', async (_when, abort) => {
    const game = await opened();
    await game.clock.advance(5000);
    expect(await abort(game, new AbortController())).toBe('enough');
    game.fetch.always('hang');
    expect(await game.letThrough(20)).toBe(1);
  });

  it('gives the place of a probe that a layer below refuses to the next call', async () => {
    const clock = createFakeClock();
    const breaker = circuitBreaker({ clock, maxFailures: 1 });
    const headers = { authorization: 'Bearer sk-1' };
    const fetch = createScriptedFetch(503, 200);
    const chain = compose(breaker, authCheck())(fetch);
    await chain(url, { headers });
    await clock.advance(6000);
    expect(await rejectionOf(chain(url))).toBeInstanceOf(AuthCheckError);
    expect((await chain(url, { headers })).status).toBe(200);
    expect(breaker.state(origin)).toBe('closed');
  });

  it('refuses the retry of a failed probe, with the last status', async () => {
    const { clock, fetch, breaker } = await opened();
    await clock.advance(5000);
    fetch.reply(503);
    const chain = compose(retry({ clock, random: () => 0 }), breaker)(fetch);
    expect(await rejectionOf(chain(url))).toMatchObject({ code: 'CIRCUIT_OPEN', lastStatus: 503 });
  });

  it('sets no timer', async () => {
    const { clock, letThrough, fetch } = await opened();
    fetch.always('hang');
    await clock.advance(5000);
    await letThrough(3);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('circuitBreaker() and Retry-After', () => {
  const told = (headers: Record<string, string>): ScriptedReply => ({ status: 503, headers, body: 'busy' });

  it.each<[string, Record<string, string>, number]>([
    ['seconds', { 'retry-after': '30' }, 30_000],
    ['less than a probe interval', { 'retry-after': '1' }, 5000],
    ['more than openMs', { 'retry-after': '300' }, 300_000],
    ['more than maxOpenMs', { 'retry-after': '86400' }, 600_000],
    ['milliseconds', { 'retry-after-ms': '12345.5' }, 12_346],
    ['a date', { 'retry-after': 'Thu, 01 Jan 2026 00:01:30 GMT' }, 90_000],
    ['garbage', { 'retry-after': 'soon' }, 5000],
  ])('sends no probe before the told time: %s', async (_form, headers, ms) => {
    const { clock, fetch, next, letThrough } = await opened({}, told(headers));
    expect(await next()).toMatchObject({ retryAfterMs: ms });
    await clock.advance(ms - 1);
    expect(await letThrough(5)).toBe(0);
    await clock.advance(1);
    fetch.always('hang');
    expect(await letThrough(5)).toBe(1);
  });

  it('heeds what a probe is told', async () => {
    const { clock, fetch, next, letThrough } = await opened();
    await clock.advance(5000);
    fetch.reply(told({ 'retry-after': '120' }));
    await next();
    await clock.advance(119_999);
    expect(await letThrough(5)).toBe(0);
    await clock.advance(1);
    fetch.reply('hang');
    expect(await letThrough(5)).toBe(1);
  });

  it('heeds it although the caller aborts a probe that began before', async () => {
    const { clock, fetch, next, letThrough } = await opened();
    const caller = new AbortController();
    fetch.reply('hang', told({ 'retry-after': '50' }));
    await clock.advance(5000);
    void next({ signal: caller.signal });
    await clock.advance(5000);
    await next();
    caller.abort();
    await clock.advance(49_999);
    expect(await letThrough(5)).toBe(0);
    await clock.advance(1);
    fetch.reply('hang');
    expect(await letThrough(5)).toBe(1);
  });

  it('is bounded by an openMs of its own above the default bound', async () => {
    const { next } = await opened({ openMs: 3_600_000 }, told({ 'retry-after': '999999' }));
    expect(await next()).toMatchObject({ retryAfterMs: 3_600_000 });
  });
});

describe('circuitBreaker() and outcomes from before the last change', () => {
  const endings: [string, (slow: ReturnType<typeof later>) => void][] = [
    ['failure', ({ fail }) => fail(lost())],
    [
      'failed answer',
      ({ give }) => give(new Response('busy', { status: 503, headers: { 'retry-after': '500' } })),
    ],
    ['success', ({ give }) => give(new Response('pong'))],
  ];

  /** Runs a call that begins before the circuit opens and ends after `between`. */
  async function late(end: (slow: ReturnType<typeof later>) => void, between: (game: Play) => Promise<void>) {
    const slow = later();
    const game = play({ maxFailures: 1 }, slow.reply, 503);
    const call = game.next();
    await game.clock.settle();
    await game.next();
    await between(game);
    const before = game.breaker.snapshot();
    end(slow);
    await call;
    expect(game.breaker.snapshot()).toEqual(before);
    return game;
  }

  it.each(endings)('ignores a %s while open', async (_what, end) => {
    const { breaker, types } = await late(end, async () => {});
    expect(breaker.state(origin)).toBe('open');
    expect(types.filter((type) => type === 'breaker.opened')).toHaveLength(1);
  });

  it.each(endings)('ignores a %s after a probe has closed it', async (_what, end) => {
    const { breaker } = await late(end, async ({ clock, fetch, next }) => {
      await clock.advance(5000);
      fetch.reply(200);
      await next();
    });
    expect(breaker.state(origin)).toBe('closed');
  });

  it.each(endings)('ignores a %s after reset()', async (_what, end) => {
    const { breaker } = await late(end, async ({ breaker }) => breaker.reset());
    expect(breaker.state(origin)).toBe('closed');
  });

  it.each(endings)('ignores a %s while isolated', async (_what, end) => {
    const { breaker } = await late(end, async ({ breaker }) => breaker.isolate());
    expect(breaker.state(origin)).toBe('isolated');
  });

  it('ignores a probe of an earlier opening', async () => {
    const slow = later();
    const { clock, fetch, next, breaker } = await opened();
    await clock.advance(5000);
    fetch.reply(slow.reply, 200, 503);
    const probe = next();
    await clock.advance(5000);
    await next();
    expect(breaker.state(origin)).toBe('closed');
    await next();
    slow.give(new Response('pong'));
    expect(await probe).toBe(200);
    expect(breaker.state(origin)).toBe('open');
  });
});

describe('circuitBreaker() and streamed answers', () => {
  /** A breaker over streams that are handed over at their headers, so that they commit at the first read. */
  function streams(options: CircuitBreakerOptions = {}) {
    const clock = createFakeClock();
    const sources: Source[] = [];
    const breaker = circuitBreaker({ clock, random: () => 0.5, maxFailures: 1, ...options });
    const answers: FetchLike = async () => {
      const source = createSource();
      sources.push(source);
      return source.response();
    };
    const chain = compose(breaker, streamTimeout({ clock, hold: 'headers' }))(answers);
    const failing = breaker(async () => new Response('down', { status: 503 }));
    return { clock, sources, breaker, chain, failing };
  }

  /** Reads a stream to its first chunk. */
  async function begin(response: Response, source: Source | undefined) {
    source?.push('first');
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    return reader;
  }

  it('close it at the first content, and not at the headers', async () => {
    const { clock, sources, breaker, chain, failing } = streams();
    await failing(url);
    await clock.advance(5000);
    const response = await chain(url);
    expect(breaker.state(origin)).toBe('open');
    await begin(response, sources[0]);
    expect(breaker.state(origin)).toBe('closed');
  });

  it('count as a failure when they break after it, also the one that closed it', async () => {
    const { clock, sources, breaker, chain, failing } = streams();
    await failing(url);
    await clock.advance(5000);
    const reader = await begin(await chain(url), sources[0]);
    const reading = rejectionOf(reader.read());
    sources[0]?.fail(lost());
    expect(await reading).toMatchObject({ code: 'STREAM_RESET', committed: true });
    expect(breaker.state(origin)).toBe('open');
  });

  it('open it when as many as maxFailures break one after the other', async () => {
    const { sources, breaker, chain } = streams({ maxFailures: 3 });
    const readers: ReadableStreamDefaultReader<Uint8Array>[] = [];
    for (let count = 0; count < 3; count++) readers.push(await begin(await chain(url), sources[count]));
    for (const [index, reader] of readers.entries()) {
      expect(breaker.state(origin)).toBe('closed');
      const reading = rejectionOf(reader.read());
      sources[index]?.fail(lost());
      await reading;
    }
    expect(breaker.state(origin)).toBe('open');
  });

  // They used to count as a success and a failure each, so that no number of them opened the circuit.
  it.each([{ maxFailures: 2 }, { maxFailures: 100, failureRatio: 0.5, minCalls: 2 }])(
    'open the circuit when each begins and breaks off: %j',
    async (rules) => {
      const { sources, breaker, chain } = streams(rules);
      for (let count = 0; count < 2; count++) {
        expect(breaker.state(origin)).toBe('closed');
        const reader = await begin(await chain(url), sources[count]);
        const reading = rejectionOf(reader.read());
        sources[count]?.fail(lost());
        await reading;
      }
      expect(breaker.state(origin)).toBe('open');
    },
  );

  it.each([{ maxFailures: 2 }, { maxFailures: 100, failureRatio: 0.7, minCalls: 2 }])(
    'leave it closed when one in between is complete: %j',
    async (rules) => {
      const { sources, breaker, chain } = streams(rules);
      for (const [count, ending] of ['breaks', 'ends', 'breaks'].entries()) {
        const reader = await begin(await chain(url), sources[count]);
        const reading = reader.read().catch(() => undefined);
        if (ending === 'ends') sources[count]?.close();
        else sources[count]?.fail(lost());
        await reading;
      }
      expect(breaker.snapshot()).toMatchObject([{ state: 'closed', failures: 1 }]);
    },
  );

  // The success of those that begin used to forgive the failures of those that had broken off before.
  it('forget nothing at the beginning of one that has not ended', async () => {
    const { sources, breaker, chain } = streams({ maxFailures: 2 });
    const first = await begin(await chain(url), sources[0]);
    const reading = rejectionOf(first.read());
    sources[0]?.fail(lost());
    await reading;
    const second = await begin(await chain(url), sources[1]);
    expect(breaker.snapshot()).toMatchObject([{ failures: 1 }]);
    const ending = second.read();
    sources[1]?.close();
    await ending;
    expect(breaker.snapshot()).toMatchObject([{ failures: 0 }]);
  });

  it('count as nothing more when they are cancelled after it', async () => {
    const { sources, breaker, chain } = streams();
    const reader = await begin(await chain(url), sources[0]);
    await reader.cancel();
    expect(breaker.snapshot()).toMatchObject([{ state: 'closed', failures: 0 }]);
  });

  it('count as a failure when they break before it', async () => {
    const { sources, breaker, chain } = streams();
    const response = await chain(url);
    sources[0]?.fail(lost());
    expect(await rejectionOf(response.text())).toMatchObject({ code: 'STREAM_RESET', committed: false });
    expect(breaker.state(origin)).toBe('open');
  });

  it.each<[string, (response: Response, caller: AbortController) => unknown]>([
    ['cancelled', ({ body }) => body?.cancel()],
    ['aborted', (_response, caller) => caller.abort('enough')],
  ])('give up their place as a probe when they are %s before it', async (_how, end) => {
    const { clock, sources, breaker, chain, failing } = streams();
    await failing(url);
    await clock.advance(5000);
    const caller = new AbortController();
    await end(await chain(url, { signal: caller.signal }), caller);
    expect(breaker.state(origin)).toBe('open');
    await begin(await chain(url), sources[1]);
    expect(breaker.state(origin)).toBe('closed');
  });

  it('let another probe start every probeEveryMs while they have not begun', async () => {
    const { clock, sources, breaker, chain, failing } = streams();
    await failing(url);
    const responses: Response[] = [];
    for (let probes = 0; probes < 3; probes++) {
      await clock.advance(5000);
      responses.push(await chain(url));
      expect(await rejectionOf(chain(url))).toBeInstanceOf(CircuitOpenError);
    }
    await begin(responses[1] as Response, sources[1]);
    expect(breaker.state(origin)).toBe('closed');
  });
});

describe('circuitBreaker() and its keys', () => {
  it('goes by the origin of the URL', async () => {
    const breaker = circuitBreaker({ maxFailures: 1 });
    const chain = breaker(createScriptedFetch(503).always(200));
    await chain(`${origin}/models?x=1`);
    expect(await rejectionOf(chain(new Request(`${origin}:443/chat#top`)))).toBeInstanceOf(CircuitOpenError);
    for (const other of ['https://api.deepseek.com:8443/', 'http://api.deepseek.com/', 'https://b.example/'])
      expect((await chain(other)).status).toBe(200);
  });

  it('goes by key where it is given', async () => {
    const breaker = circuitBreaker({ maxFailures: 1, key: ({ url: to, method }) => `${method} ${to}` });
    const chain = breaker(createScriptedFetch(503, 200));
    await chain(url, post);
    expect((await chain(url)).status).toBe(200);
    expect(await rejectionOf(chain(url, post))).toMatchObject({ key: `POST ${url}` });
    expect(breaker.snapshot()).toMatchObject([
      { key: `POST ${url}`, state: 'open' },
      { key: `GET ${url}`, state: 'closed' },
    ]);
  });

  it('passes on what key throws, and calls nothing', async () => {
    const mistake = new Error('a mistake in key');
    const key = () => {
      throw mistake;
    };
    const fetch = createScriptedFetch();
    expect(await rejectionOf(circuitBreaker({ key })(fetch)(url))).toBe(mistake);
    expect(fetch.calls).toHaveLength(0);
  });

  it('remembers a bounded number of circuits, and open ones before closed ones', async () => {
    const breaker = circuitBreaker({ maxFailures: 1, key: (call) => call.url });
    const chain = breaker(async (input) => new Response('', { status: String(input) === 'bad' ? 503 : 200 }));
    await chain('bad');
    for (let keys = 0; keys < 1100; keys++) await chain(`good/${keys}`);
    expect(breaker.snapshot().length).toBeLessThanOrEqual(1000);
    expect(breaker.state('bad')).toBe('open');
    expect(breaker.snapshot().at(-1)?.key).toBe('good/1099');
    const bad = breaker(async () => new Response('', { status: 503 }));
    for (let keys = 0; keys < 1100; keys++) await bad(`bad/${keys}`);
    expect(breaker.snapshot().length).toBeLessThanOrEqual(1000);
    expect(breaker.state('bad/1099')).toBe('open');
  });
});

describe('circuitBreaker() as a handle', () => {
  it('shows its name in stack traces', () => {
    expect(circuitBreaker()(createScriptedFetch()).name).toBe('circuitBreaker');
  });

  it('state() of a key that was never seen is closed', () => {
    expect(circuitBreaker().state('nowhere')).toBe('closed');
    expect(circuitBreaker().snapshot()).toEqual([]);
  });

  it('snapshot() shows each circuit as JSON can carry it', async () => {
    const game = await opened();
    await game.clock.advance(2000);
    const snapshot = game.breaker.snapshot();
    expect(snapshot).toEqual([{ key: origin, state: 'open', failures: 0, retryAfterMs: 3000 }]);
    expect(JSON.parse(JSON.stringify(snapshot))).toEqual(snapshot);
  });

  it('isolate() of one key refuses its calls without a time, until reset()', async () => {
    const { breaker, clock, fetch, next } = play({});
    breaker.isolate(origin);
    expect([breaker.state(origin), breaker.state('https://b.example')]).toEqual(['isolated', 'closed']);
    await clock.advance(3_600_000);
    const error = await next();
    expect(error).toMatchObject({ code: 'CIRCUIT_OPEN', key: origin, retryAfterMs: undefined });
    expect((error as Error).message).toBe(`Circuit of ${origin} is open: it was isolated`);
    expect(fetch.calls).toHaveLength(0);
    breaker.reset(origin);
    fetch.reply(200);
    expect(await next()).toBe(200);
  });

  it('isolate() refuses the calls of all keys, also of those that come later, until reset()', async () => {
    const { breaker, fetch, next } = play({}, 200);
    await next();
    breaker.isolate();
    breaker.isolate();
    expect([breaker.state(origin), breaker.state('https://b.example')]).toEqual(['isolated', 'isolated']);
    expect(await next()).toBeInstanceOf(CircuitOpenError);
    breaker.reset();
    expect([breaker.state(origin), breaker.state('https://b.example')]).toEqual(['closed', 'closed']);
    fetch.reply(200);
    expect(await next()).toBe(200);
  });

  it('reset() closes an open circuit and forgets what was counted', async () => {
    const { breaker, next, circuit } = play({ maxFailures: 2 }, 503, 503, 503, 503);
    await next();
    await next();
    expect(circuit()).toMatchObject({ state: 'open' });
    breaker.reset(origin);
    expect(await next()).toBe(503);
    expect(circuit()).toMatchObject({ state: 'closed', failures: 1 });
    breaker.reset(origin);
    expect(await next()).toBe(503);
    expect(circuit()).toMatchObject({ state: 'closed', failures: 1 });
  });

  it('reset() of one key leaves the others alone', async () => {
    const game = await opened();
    game.breaker.reset('https://b.example');
    expect(game.breaker.state(origin)).toBe('open');
  });
});

describe('circuitBreaker() tells', () => {
  it('when it opens, probes and closes, in this order', async () => {
    const game = await opened();
    const { clock, fetch, next, of } = game;
    await next();
    await clock.advance(5000);
    fetch.reply(503);
    await next();
    await clock.advance(5000);
    fetch.reply(200);
    await next();
    expect(of('breaker.opened')).toEqual([{ key: origin, retryAfterMs: 5000 }]);
    expect(of('breaker.probed')).toEqual([{ key: origin }, { key: origin }]);
    expect(of('breaker.closed')).toEqual([{ key: origin }]);
    expect(game.types).toEqual([
      ...['call.started', 'breaker.opened', 'call.settled'],
      ...['call.started', 'call.settled'],
      ...['call.started', 'breaker.probed', 'call.settled'],
      ...['call.started', 'breaker.probed', 'breaker.closed', 'call.settled'],
    ]);
  });

  it('the told time when it opens for longer', async () => {
    const { of } = await opened({}, { status: 429, headers: { 'retry-after': '90' } });
    expect(of('breaker.opened')).toEqual([{ key: origin, retryAfterMs: 90_000 }]);
  });

  it('a refused call with its code', async () => {
    const { next, of } = await opened();
    await next();
    expect(of('call.settled').at(-1)).toMatchObject({ outcome: 'failed', cause: 'CIRCUIT_OPEN' });
  });
});
