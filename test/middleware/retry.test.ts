import {
  CircuitOpenError,
  circuitBreaker,
  compose,
  createRetryBudget,
  type FetchLike,
  type RetryFailure,
  type RetryOptions,
  retry,
  streamTimeout,
} from 'breakwater';
import { createFakeClock, createScriptedFetch, type FakeClock, type ScriptedReply } from 'breakwater/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { type Served, serve } from '../../playground/serve.ts';
import {
  createSource,
  post,
  rejectionOf,
  settlesBeforeTimer,
  unhandledIn,
  url,
  type Witness,
  watch,
} from './witness.ts';

const lost = () => new TypeError('fetch failed');
const ranOut = () => new DOMException('The operation timed out', 'TimeoutError');

interface Play extends Pick<Witness, 'of'> {
  readonly clock: FakeClock;
  readonly fetch: ReturnType<typeof createScriptedFetch>;
  readonly chain: FetchLike;
  /** The time from each attempt to the next. */
  readonly waits: number[];
  ask(init?: RequestInit): Promise<Response>;
}

/** A dialogue between one retry, whose jitter is half the ceiling, and a script. */
function play(options: RetryOptions, ...replies: ScriptedReply[]): Play {
  const clock = createFakeClock();
  const fetch = createScriptedFetch(...replies);
  const times: number[] = [];
  const { observed, of } = watch(clock);
  const chain = compose(
    observed,
    retry({ clock, random: () => 0.5, ...options }),
  )((input, init) => {
    times.push(clock.now());
    return fetch(input, init);
  });
  return {
    of,
    clock,
    fetch,
    chain,
    get waits() {
      return times.slice(1).map((at, index) => at - (times[index] ?? 0));
    },
    ask: (init = post) => clock.runUntil(chain(url, init)),
  };
}

function told(headers: Record<string, string>, status = 503): ScriptedReply {
  return { status, headers, body: 'busy' };
}

describe('retry() as a dialogue', () => {
  it('repeats 503, 503 and returns the 200, with both bodies cancelled', async () => {
    const game = play({}, 503, 503, { body: { answer: 42 } });
    const { fetch, clock } = game;
    const response = await game.ask();
    expect(await response.json()).toEqual({ answer: 42 });
    expect(game.waits).toEqual([250, 500]);
    expect(fetch.calls.map(({ text }) => text)).toEqual([post.body, post.body, post.body]);
    expect(fetch.cancelled).toBe(2);
    expect(fetch.active).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });

  it('waits a random share of a ceiling that doubles up to maxDelayMs', async () => {
    const shares = [0.25, 0.5, 0.75, 0.999, 0];
    const game = play(
      { maxRetries: 5, maxDelayMs: 1500, random: () => shares.shift() ?? Number.NaN },
      ...[503, 503, 503, 503, 503, 200],
    );
    expect((await game.ask()).status).toBe(200);
    expect(game.waits).toEqual([125, 500, 1125, 1498.5, 0]);
  });

  it('tells the observer what it waits for and why', async () => {
    const game = play({}, told({ 'retry-after': '2' }, 429), lost(), 200);
    await (await game.ask()).text();
    expect(game.of('attempt.started')).toEqual([{ attempt: 1 }, { attempt: 2 }, { attempt: 3 }]);
    expect(game.of('retry.scheduled')).toEqual([
      { attempt: 1, cause: 429, delayMs: 2500, toldMs: 2000 },
      { attempt: 2, cause: 'TypeError', delayMs: 500 },
    ]);
    expect(game.of('retry.refused')).toEqual([]);
    expect(game.of('call.settled')).toMatchObject([{ outcome: 'complete', status: 200 }]);
  });

  it('returns the last answer as it came when no retry is left', async () => {
    const answers = [503, 503, 503].map((status) => new Response(`busy ${status}`, { status }));
    const given = [...answers];
    const clock = createFakeClock();
    const chain = retry({ clock, maxRetries: 2 })(async () => given.shift() as Response);
    const response = await clock.runUntil(chain(url));
    expect(response).toBe(answers[2]);
    expect(await response.text()).toBe('busy 503');
  });

  it('throws the last error as it came when no retry is left', async () => {
    const errors = [lost(), lost()];
    const { ask, of } = play({ maxRetries: 1 }, ...errors);
    expect(await rejectionOf(ask())).toBe(errors[1]);
    expect(of('retry.refused')).toEqual([{ attempt: 2, cause: 'TypeError', reason: 'limit' }]);
  });

  // It used to be told only when several statuses had used up maxRetries together.
  it.each<[string, RetryOptions, number]>([
    ['503', { maxRetries: 2 }, 503],
    ['500, for which it is the narrower limit', { maxRetries: 1 }, 500],
    ['500 that may have more', { maxRetries: 2, maxRetriesByStatus: { 500: 99 } }, 500],
    ['404 that may have as many', { maxRetries: 2, maxRetriesByStatus: { 404: 2 } }, 404],
  ])('tells when one and the same status has used up maxRetries: %s', async (_what, options, status) => {
    const { ask, fetch, of } = play(options);
    fetch.always(status);
    await ask();
    const attempt = fetch.calls.length;
    expect(attempt).toBe(1 + (options.maxRetries ?? 0));
    expect(of('retry.refused')).toEqual([{ attempt, cause: status, reason: 'limit' }]);
  });

  it.each([400, 500])('tells of no limit for a %i that is worth no more', async (status) => {
    const { ask, fetch, of } = play({});
    fetch.always(status);
    await ask();
    expect(of('retry.refused')).toEqual([]);
  });

  it('makes one attempt with maxRetries 0, and leaves a Request unread', async () => {
    const fetch = createScriptedFetch(503);
    let given: RequestInit | undefined;
    const chain = retry({ maxRetries: 0 })((input, init) => {
      given = init;
      return fetch(input, init);
    });
    const request = new Request(url, post);
    expect((await chain(request)).status).toBe(503);
    expect(given?.body).toBeUndefined();
    expect(fetch.calls).toHaveLength(1);
  });

  it('makes two attempts with maxRetries 1', async () => {
    const { ask, fetch } = play({ maxRetries: 1 }, 503, 503);
    expect((await ask()).status).toBe(503);
    expect(fetch.calls).toHaveLength(2);
  });

  it('sends the body of a Request again, byte by byte', async () => {
    const { chain, clock, fetch } = play({}, 503, 503, 200);
    await clock.runUntil(chain(new Request(url, { method: 'POST', body: 'prompt ✓' })));
    expect(fetch.calls.map(({ text }) => text)).toEqual(['prompt ✓', 'prompt ✓', 'prompt ✓']);
  });

  it('makes one attempt with a stream as body, and says so before it', async () => {
    const body = new ReadableStream({
      pull: (controller) => {
        controller.enqueue(new TextEncoder().encode('once'));
        controller.close();
      },
    });
    const { ask, fetch, of } = play({}, 503, 200);
    const init = { method: 'POST', body, duplex: 'half' };
    expect((await ask(init)).status).toBe(503);
    expect(fetch.calls.map(({ text }) => text)).toEqual(['once']);
    expect(of('body.single-attempt')).toHaveLength(1);
    expect(of('retry.refused')).toMatchObject([{ reason: 'single-attempt', cause: 503 }]);
  });
});

describe('retry() by status', () => {
  it.each([429, 502, 503, 504])('repeats %i with all of maxRetries', async (status) => {
    const { ask, fetch } = play({}, ...Array.from({ length: 5 }, () => status));
    expect((await ask()).status).toBe(status);
    expect(fetch.calls).toHaveLength(5);
    expect(fetch.cancelled).toBe(4);
  });

  it.each([408, 409, 425, 500, 501, 505, 520, 524, 529])('repeats %i twice', async (status) => {
    const { ask, fetch } = play({}, status, status, status);
    expect((await ask()).status).toBe(status);
    expect(fetch.calls).toHaveLength(3);
  });

  it.each([300, 304, 400, 401, 402, 403, 404, 405, 410, 413, 422, 451])(
    'never repeats %i',
    async (status) => {
      const { ask, fetch } = play({}, status);
      expect((await ask()).status).toBe(status);
      expect(fetch.calls).toHaveLength(1);
      expect(fetch.cancelled).toBe(0);
    },
  );

  it('counts 500 apart from 503', async () => {
    const { ask, fetch } = play({}, 500, 503, 500, 503, 500);
    expect((await ask()).status).toBe(500);
    expect(fetch.calls).toHaveLength(5);
  });

  it('never gives 500 more than maxRetries', async () => {
    const { ask, fetch } = play({ maxRetries: 1 }, 500, 500);
    expect((await ask()).status).toBe(500);
    expect(fetch.calls).toHaveLength(2);
  });

  it.each([
    ['raises a count', { 500: 3 }, 500, 4],
    ['adds a status', { 404: 1 }, 404, 2],
    ['forbids a status', { 503: 0 }, 503, 1],
    ['is bounded by maxRetries', { 500: 99 }, 500, 5],
  ])('maxRetriesByStatus %s', async (_does, maxRetriesByStatus, status, calls) => {
    const { ask, fetch } = play({ maxRetriesByStatus }, ...Array.from({ length: calls }, () => status));
    expect((await ask()).status).toBe(status);
    expect(fetch.calls).toHaveLength(calls);
  });

  it.each([
    ['repeats a 400 that says true', 400, 'true', 2],
    ['does not repeat a 503 that says false', 503, 'false', 1],
    ['goes by the status when it says neither', 503, 'perhaps', 2],
    ['goes by the status when it says neither for a 400', 400, 'TRUE', 1],
  ])('x-should-retry: %s', async (_does, status, verdict, calls) => {
    const { ask, fetch } = play({}, { status, headers: { 'x-should-retry': verdict } }, 200);
    await ask();
    expect(fetch.calls).toHaveLength(calls);
  });

  it('x-should-retry is bounded by maxRetries', async () => {
    const { ask, fetch } = play({});
    fetch.always({ status: 400, headers: { 'x-should-retry': 'true' } });
    expect((await ask()).status).toBe(400);
    expect(fetch.calls).toHaveLength(5);
  });
});

describe('retry() by what was thrown', () => {
  it.each([
    ['a TypeError', lost],
    ['a plain Error, as workerd throws', () => new Error('Network connection lost.')],
    ['an error with a code, as Bun throws', () => Object.assign(new Error('?'), { code: 'ECONNREFUSED' })],
  ])('repeats %s as a network error, up to maxRetries', async (_what, make) => {
    const { ask, fetch } = play({}, make(), make(), make(), make(), make());
    await rejectionOf(ask());
    expect(fetch.calls).toHaveLength(5);
  });

  it.each([undefined, null, 'lost', 0])('passes a thrown %j on after its retries', async (thrown) => {
    let calls = 0;
    const clock = createFakeClock();
    const chain = retry({ clock, maxRetries: 1 })(() => {
      calls++;
      return Promise.reject(thrown);
    });
    expect(await rejectionOf(clock.runUntil(chain(url)))).toBe(thrown);
    expect(calls).toBe(2);
  });

  it('repeats what a fetch throws before it returns a promise', async () => {
    let calls = 0;
    const clock = createFakeClock();
    const chain = retry({ clock, maxRetries: 1 })(() => {
      calls++;
      throw lost();
    });
    expect(await rejectionOf(clock.runUntil(chain(url)))).toBeInstanceOf(TypeError);
    expect(calls).toBe(2);
  });

  it.each([
    ['a relative URL', '/models', {}],
    ['an unknown scheme', 'deepseek://models', {}],
    ['a GET with a body', url, { method: 'GET', body: 'x' }],
    ['a method that is none', url, { method: 'B AD' }],
  ])('never repeats a request that cannot be built: %s', async (_what, target, init) => {
    let calls = 0;
    const chain = retry()((input, given) => {
      calls++;
      return fetch(input, given);
    });
    expect(await rejectionOf(chain(target, init))).toBeInstanceOf(TypeError);
    expect(calls).toBe(1);
  });

  const nowhere = 'http://127.0.0.1:1/';
  const used = () => {
    const request = new Request(nowhere, post);
    void request.text();
    return request;
  };
  const locked = () => {
    const { body } = new Response('once');
    body?.getReader();
    return { method: 'POST', body, duplex: 'half' };
  };

  // The first three used to be taken for a lost connection: sent five times, or refused a retry as if it had been worth one.
  it.each<[string, () => [to: string | Request, init?: object], refused?: 'single-attempt']>([
    ['a redirect that is none', () => [nowhere, { redirect: 'bogus' }]],
    ['a signal that is none', () => [nowhere, { signal: {} }]],
    ['a stream without duplex', () => [nowhere, { method: 'POST', body: new Response('once').body }]],
    // Once it has failed, these look like what fetch itself has used up.
    ['a Request that was used before', () => [used()], 'single-attempt'],
    ['a used Request under an init', () => [used(), { headers: {} }], 'single-attempt'],
    ['a stream that is locked', () => [nowhere, locked()], 'single-attempt'],
  ])('never repeats a mistake of the caller: %s', async (_what, make, reason) => {
    const clock = createFakeClock();
    const { observed, of } = watch(clock);
    let calls = 0;
    const chain = compose(
      observed,
      retry({ clock }),
    )((input, given) => {
      calls++;
      return fetch(input, given);
    });
    expect(await rejectionOf(clock.runUntil(chain(...make())))).toBeInstanceOf(TypeError);
    expect(calls).toBe(1);
    expect(of('retry.scheduled')).toEqual([]);
    expect(of('retry.refused')).toMatchObject(reason ? [{ attempt: 1, reason }] : []);
  });

  it.each<[string, () => [to: string | Request, init?: object]]>([
    ['a GET', () => [nowhere]],
    ['a POST', () => [nowhere, { ...post, redirect: 'manual', signal: new AbortController().signal }]],
    ['a Request', () => [new Request(nowhere, post)]],
    ['a Request under an init', () => [new Request(nowhere, post), { headers: {}, duplex: 'half' }]],
  ])('repeats a lost connection all the same: %s', async (_what, make) => {
    const clock = createFakeClock();
    let calls = 0;
    const chain = retry({ clock, random: () => 0 })((input, given) => {
      calls++;
      return fetch(input, given);
    });
    expect(await rejectionOf(chain(...make()))).toBeInstanceOf(TypeError);
    expect(calls).toBe(5);
  });

  it('never repeats a foreign AbortError', async () => {
    const error = new DOMException('gone', 'AbortError');
    const { ask, fetch } = play({}, error);
    expect(await rejectionOf(ask())).toBe(error);
    expect(fetch.calls).toHaveLength(1);
  });

  it('repeats a timeout once', async () => {
    const last = ranOut();
    const { ask, fetch } = play({}, ranOut(), last);
    expect(await rejectionOf(ask())).toBe(last);
    expect(fetch.calls).toHaveLength(2);
  });

  it('repeats timeouts maxTimeoutRetries times, and never with 0', async () => {
    const three = play({ maxTimeoutRetries: 3 }, ranOut(), ranOut(), ranOut(), 200);
    expect((await three.ask()).status).toBe(200);
    const none = play({ maxTimeoutRetries: 0 }, ranOut());
    expect(await rejectionOf(none.ask())).toHaveProperty('name', 'TimeoutError');
  });

  it('still repeats a 503 after its one repeated timeout', async () => {
    const { ask, fetch } = play({}, ranOut(), 503, 200);
    expect((await ask()).status).toBe(200);
    expect(fetch.calls).toHaveLength(3);
  });
});

describe('retry() and Retry-After', () => {
  const date = 1_767_225_600_000; // the fake clock begins on Thursday, 1 January 2026
  const later = (ms: number) => new Date(date + ms);
  const rfc850 = 'Thursday, 01-Jan-26 00:00:10 GMT';
  const asctime = 'Thu Jan  1 00:00:10 2026';
  const table: [string, Record<string, string>, number | undefined][] = [
    ['seconds', { 'retry-after': '5' }, 5000],
    ['decimals', { 'retry-after': '1.5' }, 1500],
    ['an IMF-fixdate', { 'retry-after': later(10_000).toUTCString() }, 10_000],
    ['an RFC 850 date', { 'retry-after': rfc850 }, 10_000],
    ['an asctime date', { 'retry-after': asctime }, 10_000],
    ['milliseconds', { 'retry-after-ms': '1234' }, 1234],
    ['milliseconds before seconds', { 'retry-after-ms': '1234', 'retry-after': '60' }, 1234],
    ['a list', { 'retry-after': '1, 7, 3' }, 7000],
    ['garbage', { 'retry-after': 'soon' }, undefined],
    ['zero', { 'retry-after': '0' }, undefined],
    ['a negative number', { 'retry-after': '-5' }, undefined],
    ['a date in the past', { 'retry-after': later(-10_000).toUTCString() }, undefined],
  ];

  it.each(table)('reads %s as a floor with a spread above it', async (_form, headers, toldMs) => {
    const game = play({}, told(headers), 200);
    await game.ask();
    const expected = toldMs === undefined ? 250 : toldMs + 0.5 * Math.max(500, toldMs / 2);
    expect(game.waits).toEqual([expected]);
    expect(game.of('retry.scheduled')).toMatchObject([{ delayMs: expected, toldMs }]);
  });

  it.each([429, 500, 502, 503, 408])('heeds it on a %i', async (status) => {
    const game = play({}, told({ 'retry-after': '3' }, status), 200);
    await game.ask();
    expect(game.waits).toEqual([3750]);
  });

  it('spreads a herd that was told one instant over half the told time', async () => {
    const waits: number[] = [];
    for (const share of [0, 0.25, 0.999]) {
      const game = play({ random: () => share }, told({ 'retry-after': '10' }), 200);
      await game.ask();
      waits.push(...game.waits);
    }
    expect(waits).toEqual([10_000, 11_250, 14_995]);
  });

  it('is never shortened by maxDelayMs', async () => {
    const game = play({ maxDelayMs: 1000, random: () => 0 }, told({ 'retry-after': '30' }), 200);
    await game.ask();
    expect(game.waits).toEqual([30_000]);
  });

  it.each([
    ['retry-after', '120'],
    ['retry-after', '99999999'],
    ['retry-after-ms', '9'.repeat(40)],
    ['retry-after', 'Fri, 01 Jan 2077 00:00:00 GMT'],
  ])(
    '%s: %s does not fit the budget: the response is handed over at once, body unread',
    async (name, value) => {
      const source = createSource();
      const response = source.response({ status: 429, headers: { [name]: value } });
      const clock = createFakeClock();
      const { observed, of } = watch(clock);
      const chain = compose(observed, retry({ clock }))(async () => response);
      expect(await chain(url)).toBe(response);
      expect(source.pulls).toBe(0);
      expect(of('retry.refused')).toMatchObject([{ attempt: 1, cause: 429, reason: 'budget' }]);
      source.push('slow down');
      source.close();
      expect(await response.text()).toBe('slow down');
      expect(clock.pendingTimers).toBe(0);
    },
  );

  it('waits when the told time fits, although its spread overruns the budget', async () => {
    const game = play({ budgetMs: 10_000 }, told({ 'retry-after': '10' }), 503);
    expect((await game.ask()).status).toBe(503);
    expect(game.waits).toEqual([12_500]);
    expect(game.of('retry.refused')).toMatchObject([{ attempt: 2, reason: 'budget' }]);
  });

  it('waits beyond 2^31 ms in full', async () => {
    const seconds = 2_500_000;
    const game = play(
      { budgetMs: Number.POSITIVE_INFINITY, random: () => 0 },
      told({ 'retry-after': `${seconds}` }),
      200,
    );
    const call = game.chain(url);
    for (let left = seconds * 1000; left > 0; left -= 1e9) await game.clock.advance(Math.min(left, 1e9));
    expect((await call).status).toBe(200);
    expect(game.waits).toEqual([seconds * 1000]);
    expect(game.clock.pendingTimers).toBe(0);
  });
});

describe('retry() within its budget of time', () => {
  it('counts the waits', async () => {
    const game = play({ maxRetries: 9, budgetMs: 1500, random: () => 1 }, 503, 503, 503);
    expect((await game.ask()).status).toBe(503);
    expect(game.waits).toEqual([500, 1000]);
    expect(game.of('retry.refused')).toMatchObject([{ attempt: 3, cause: 503, reason: 'budget' }]);
  });

  it('counts failed attempts', async () => {
    const clock = createFakeClock();
    const slow = { status: 503, delayMs: 4000, clock };
    const fetch = createScriptedFetch(slow, slow, slow);
    const chain = retry({ clock, budgetMs: 8000, random: () => 0 })(fetch);
    expect((await clock.runUntil(chain(url))).status).toBe(503);
    expect(fetch.calls).toHaveLength(3);
  });

  it('does not count an attempt that a clock ended', async () => {
    const clock = createFakeClock();
    const fetch = createScriptedFetch('hang', 200);
    const chain = compose(retry({ clock, budgetMs: 1000, random: () => 0 }), streamTimeout({ clock }))(fetch);
    expect((await clock.runUntil(chain(url))).status).toBe(200);
  });

  it('never cuts an answer that is arriving', async () => {
    const clock = createFakeClock();
    const fetch = createScriptedFetch({ status: 200, delayMs: 600_000, clock });
    const chain = retry({ clock, budgetMs: 10 })(fetch);
    expect((await clock.runUntil(chain(url))).status).toBe(200);
  });

  it('does not begin a wait that would pass the deadline', async () => {
    const clock = createFakeClock();
    const fetch = createScriptedFetch().always(503);
    const { observed, of } = watch(clock);
    const limits = streamTimeout({ clock, totalMs: 1200 });
    const chain = compose(observed, retry({ clock, random: () => 1 }), limits)(fetch);
    expect((await clock.runUntil(chain(url))).status).toBe(503);
    expect(fetch.calls).toHaveLength(2);
    expect(of('retry.refused')).toMatchObject([{ attempt: 2, cause: 503, reason: 'deadline' }]);
  });

  it('does not begin a told wait whose spread would pass the deadline', async () => {
    const clock = createFakeClock();
    const fetch = createScriptedFetch().always(told({ 'retry-after': '10' }));
    const chain = compose(
      retry({ clock, random: () => 0.5 }),
      streamTimeout({ clock, totalMs: 11_000 }),
    )(fetch);
    const startedAt = clock.now();
    expect((await clock.runUntil(chain(url))).status).toBe(503);
    expect(clock.now()).toBe(startedAt);
    expect(fetch.calls).toHaveLength(1);
  });
});

describe('retry() and its shouldRetry', () => {
  it('repeats what it says true to, within maxRetries', async () => {
    const { ask, fetch } = play({ shouldRetry: () => true, maxRetries: 2 }, 400, 400, 400);
    expect((await ask()).status).toBe(400);
    expect(fetch.calls).toHaveLength(3);
  });

  it('does not repeat what it says false to', async () => {
    const { ask, fetch } = play({ shouldRetry: () => false }, 503);
    expect((await ask()).status).toBe(503);
    expect(fetch.calls).toHaveLength(1);
    expect(fetch.cancelled).toBe(0);
  });

  it('leaves it to the rules with undefined', async () => {
    const { ask, fetch } = play({ shouldRetry: () => undefined }, 503, 400);
    expect((await ask()).status).toBe(400);
    expect(fetch.calls).toHaveLength(2);
  });

  it('has the last word over x-should-retry', async () => {
    const { ask, fetch } = play(
      { shouldRetry: () => false },
      { status: 503, headers: { 'x-should-retry': 'true' } },
    );
    await ask();
    expect(fetch.calls).toHaveLength(1);
  });

  it('is told the attempt and what it brought', async () => {
    const seen: RetryFailure[] = [];
    const error = lost();
    const { ask } = play({ shouldRetry: (failure) => void seen.push(failure) }, 503, error, 200);
    await ask();
    expect(seen).toMatchObject([
      { attempt: 1, error: undefined },
      { attempt: 2, response: undefined, error },
    ]);
    expect(seen[0]?.response?.status).toBe(503);
  });

  it('is not asked about a success, an abort, or a refusal', async () => {
    const asked: RetryFailure[] = [];
    const refusal = new CircuitOpenError('key', 1);
    const options = { shouldRetry: (failure: RetryFailure) => void asked.push(failure) };
    await play(options, 200).ask();
    expect(await rejectionOf(play(options, refusal).ask())).toBe(refusal);
    const signal = AbortSignal.abort('gone');
    expect(await rejectionOf(play(options, 503).ask({ ...post, signal }))).toBe('gone');
    expect(asked).toEqual([]);
  });

  it('leaves no body open when it throws', async () => {
    const mistake = new Error('a mistake in shouldRetry');
    const { ask, fetch } = play(
      {
        shouldRetry: () => {
          throw mistake;
        },
      },
      503,
    );
    expect(await rejectionOf(ask())).toBe(mistake);
    expect(fetch.active).toBe(0);
  });
});

describe('retry() and the bodies it throws away', () => {
  it('cancels them unread', async () => {
    const source = createSource();
    const { ask } = play({}, source.response({ status: 503 }), 200);
    expect((await ask()).status).toBe(200);
    expect(source.cancels).toHaveLength(1);
    expect(source.pulls).toBe(0);
  });

  // openai, anthropic and ai await the cancel: beside an unread clone it never resolves, in no runtime.
  it('does not wait for a cancel that never resolves, beside an unread clone', async () => {
    const busy = new Response('busy', { status: 503 });
    const clone = busy.clone();
    const clock = createFakeClock();
    const answers = [busy, new Response('pong')];
    const chain = retry({ clock, random: () => 0 })(async () => answers.shift() as Response);
    expect(await (await chain(url)).text()).toBe('pong');
    expect(clone.bodyUsed).toBe(false);
  });

  it('does not mind a cancel that fails', async () => {
    const stubborn = new ReadableStream({ cancel: () => Promise.reject(new Error('no')) });
    const { ask } = play({}, () => new Response(stubborn, { status: 503 }), 200);
    expect((await ask()).status).toBe(200);
  });

  it('does not mind a body that is locked', async () => {
    const busy = new Response('busy', { status: 503 });
    busy.body?.getReader();
    const answers = [busy, new Response('pong')];
    const chain = retry({ random: () => 0 })(async () => answers.shift() as Response);
    expect((await chain(url)).status).toBe(200);
  });

  it('gives them to onDiscard, and waits for nothing that it does', async () => {
    const source = createSource();
    const discarded: Promise<string>[] = [];
    const targets: string[] = [];
    const game = play(
      {
        onDiscard: (response, call) => {
          discarded.push(response.text());
          targets.push(call.url);
        },
      },
      () => source.response({ status: 429 }),
      200,
    );
    expect((await game.ask()).status).toBe(200);
    source.push('limit is 500');
    source.close();
    expect(await Promise.all(discarded)).toEqual(['limit is 500']);
    expect(targets).toEqual([url]);
  });

  // What an async function threw used to be an unhandled rejection, which ends a process.
  it('does not mind an onDiscard whose promise rejects', async () => {
    const onDiscard = async (response: Response) => {
      await response.body?.cancel();
      throw new Error('a mistake in onDiscard');
    };
    const { ask, fetch } = play({ onDiscard }, 503, 503, 200);
    const unhandled = await unhandledIn(async () => {
      expect((await ask()).status).toBe(200);
    });
    expect(unhandled).toEqual([]);
    expect(fetch.cancelled).toBe(2);
  });

  it('leaves no body open when onDiscard throws', async () => {
    const mistake = new Error('a mistake in onDiscard');
    const { ask, fetch } = play(
      {
        onDiscard: () => {
          throw mistake;
        },
      },
      503,
      200,
    );
    expect(await rejectionOf(ask())).toBe(mistake);
    expect(fetch.active).toBe(0);
  });
});

describe('retry() over real HTTP', () => {
  const open: Served[] = [];

  afterEach(async () => {
    await Promise.all(open.splice(0).map((served) => served.close()));
  });

  // ky, ofetch, undici, got, axios, ai and misina read it first: a stalled error body blocks their retry.
  it('is not delayed by an error body that stalls, and lets its connection go', async () => {
    let calls = 0;
    let isFreed: (() => void) | undefined;
    const freed = new Promise<void>((resolve) => {
      isFreed = resolve;
    });
    const served = await serve(async () => {
      calls++;
      if (calls > 1) return new Response('pong');
      return new Response(new ReadableStream({ cancel: () => isFreed?.() }), { status: 503 });
    });
    open.push(served);
    const response = await retry({ random: () => 0 })(fetch)(served.url);
    expect(await response.text()).toBe('pong');
    await freed;
  });
});

describe('retry() and what all calls pay from', () => {
  const always503 = () => createScriptedFetch().always(503);

  it('lets a single caller use all of its retries, also with many', async () => {
    const clock = createFakeClock();
    const fetch = always503();
    await clock.runUntil(retry({ clock, maxRetries: 30, random: () => 0 })(fetch)(url));
    expect(fetch.calls).toHaveLength(31);
  });

  it('holds ten tokens for all calls of the instance', async () => {
    const clock = createFakeClock();
    const fetch = always503();
    const { observed, of } = watch(clock);
    const chain = compose(observed, retry({ clock, random: () => 0 }))(fetch);
    for (let call = 0; call < 5; call++) expect((await chain(url)).status).toBe(503);
    expect(fetch.calls).toHaveLength(5 + 10);
    expect(of('retry.refused').at(-1)).toMatchObject({ attempt: 1, cause: 503, reason: 'retry-budget' });
  });

  it('gives a token back every ten seconds', async () => {
    const clock = createFakeClock();
    const fetch = always503();
    const chain = retry({ clock, random: () => 0 })(fetch);
    for (let call = 0; call < 3; call++) await chain(url);
    const before = fetch.calls.length;
    await clock.advance(19_999);
    await chain(url);
    expect(fetch.calls.length - before).toBe(2);
    await clock.advance(1);
    await chain(url);
    expect(fetch.calls.length - before).toBe(4);
  });

  it('gives a tenth of a token for each committed call', async () => {
    const clock = createFakeClock();
    const budget = createRetryBudget({ clock });
    expect(budget.take(10)).toBe(true);
    const chain = retry({ clock, retryBudget: budget, random: () => 0 })(createScriptedFetch().always(200));
    for (let call = 0; call < 9; call++) await chain(url);
    expect(budget.take(1)).toBe(false);
    await chain(url);
    expect(budget.take(1)).toBe(true);
    expect(budget.tokens).toBeCloseTo(0);
  });

  it('gives nothing for a call that failed', async () => {
    const clock = createFakeClock();
    const budget = createRetryBudget({ clock });
    budget.take(10);
    await retry({ clock, retryBudget: budget })(createScriptedFetch(400))(url);
    expect(budget.tokens).toBe(0);
  });

  it('takes two tokens after a timeout', async () => {
    const clock = createFakeClock();
    const budget = createRetryBudget({ clock });
    const chain = retry({ clock, retryBudget: budget, random: () => 0 })(createScriptedFetch(ranOut(), 400));
    await chain(url);
    expect(budget.tokens).toBe(8);
  });

  it('does not repeat a timeout when one token is left', async () => {
    const clock = createFakeClock();
    const budget = createRetryBudget({ clock });
    budget.take(9);
    const fetch = createScriptedFetch(ranOut());
    await rejectionOf(retry({ clock, retryBudget: budget })(fetch)(url));
    expect(budget.tokens).toBe(1);
  });

  it('gives the tokens back when the caller aborts the wait', async () => {
    const clock = createFakeClock();
    const budget = createRetryBudget({ clock });
    const caller = new AbortController();
    const chain = retry({ clock, retryBudget: budget, random: () => 0.5 })(createScriptedFetch(503));
    const call = chain(url, { signal: caller.signal });
    await clock.settle();
    expect(budget.tokens).toBe(9);
    caller.abort('enough');
    expect(await rejectionOf(call)).toBe('enough');
    expect(budget.tokens).toBe(10);
  });

  it('can be shared by several instances', async () => {
    const clock = createFakeClock();
    const retryBudget = createRetryBudget({ clock, maxTokens: 5 });
    const fetch = always503();
    for (let each = 0; each < 3; each++) await retry({ clock, retryBudget, random: () => 0 })(fetch)(url);
    expect(fetch.calls).toHaveLength(3 + 5);
  });

  it('is no bound with false', async () => {
    const clock = createFakeClock();
    const fetch = always503();
    const chain = retry({ clock, retryBudget: false, random: () => 0 })(fetch);
    for (let call = 0; call < 10; call++) await chain(url);
    expect(fetch.calls).toHaveLength(50);
  });

  it('leaves the response readable when it has run dry', async () => {
    const clock = createFakeClock();
    const budget = createRetryBudget({ clock });
    budget.take(10);
    const fetch = createScriptedFetch({ status: 503, body: 'busy' });
    const response = await retry({ clock, retryBudget: budget })(fetch)(url);
    expect(await response.text()).toBe('busy');
  });

  it('tells of pressure above 50 retries a minute, once a minute', async () => {
    const clock = createFakeClock();
    const { observed, of } = watch(clock);
    const chain = compose(observed, retry({ clock, retryBudget: false, random: () => 0 }))(always503());
    const pressure = async (calls: number) => {
      for (let call = 0; call < calls; call++) await chain(url);
      return of('retry.pressure');
    };
    expect(await pressure(12)).toEqual([]);
    await clock.advance(30_000);
    expect(await pressure(20)).toEqual([{ retriesPerMinute: 51 }]);
    await clock.advance(60_000);
    expect(await pressure(12)).toHaveLength(1); // the earlier ones are out of the minute
    expect(await pressure(1)).toEqual([{ retriesPerMinute: 51 }, { retriesPerMinute: 51 }]);
  });
});

describe('retry() over a breaker', () => {
  it('ends the call that trips the breaker by itself with its own outcome', async () => {
    const clock = createFakeClock();
    const fetch = createScriptedFetch().always({ status: 503, body: 'down' });
    const breaker = circuitBreaker({ clock, maxFailures: 3 });
    const chain = compose(retry({ clock, random: () => 0 }), breaker)(fetch);
    const response = await chain(url);
    expect(response.status).toBe(503);
    expect(await response.text()).toBe('down');
    expect(fetch.calls).toHaveLength(3);
    expect(breaker.state('https://api.deepseek.com')).toBe('open');
  });

  it('ends the call that trips the breaker with an error with that very error', async () => {
    const clock = createFakeClock();
    const errors = [lost(), lost()];
    const breaker = circuitBreaker({ clock, maxFailures: 2 });
    const chain = compose(retry({ clock, random: () => 0 }), breaker)(createScriptedFetch(...errors));
    expect(await rejectionOf(chain(url))).toBe(errors[1]);
  });

  it('throws CIRCUIT_OPEN with the last status when another call opened the circuit in between', async () => {
    const clock = createFakeClock();
    const fetch = createScriptedFetch().always(503);
    const breaker = circuitBreaker({ clock, maxFailures: 2 });
    const guarded = breaker(fetch);
    const call = retry({ clock })(guarded)(url);
    await clock.settle();
    await guarded(url);
    const error = await rejectionOf(clock.runUntil(call));
    expect(error).toBeInstanceOf(CircuitOpenError);
    expect(error).toMatchObject({ code: 'CIRCUIT_OPEN', lastStatus: 503, key: 'https://api.deepseek.com' });
    expect((error as CircuitOpenError).retryAfterMs).toBeGreaterThan(0);
    expect(fetch.calls).toHaveLength(2);
  });

  it('passes a refusal of the first attempt on as it is, without a status and without a retry', async () => {
    const clock = createFakeClock();
    const breaker = circuitBreaker({ clock });
    breaker.isolate();
    const fetch = createScriptedFetch();
    const error = await rejectionOf(compose(retry({ clock }), breaker)(fetch)(url));
    expect(error).toMatchObject({ code: 'CIRCUIT_OPEN', lastStatus: undefined, retryAfterMs: undefined });
    expect(fetch.calls).toHaveLength(0);
  });
});

describe('retry() and the caller who goes away', () => {
  it('ends a wait at once, with the reason of the caller', async () => {
    const { chain, clock, fetch } = play({}, 503);
    const caller = new AbortController();
    const call = chain(url, { ...post, signal: caller.signal });
    await clock.settle();
    const reason = { why: 'the tab was closed' };
    caller.abort(reason);
    expect(await settlesBeforeTimer(call)).toBe(true);
    expect(await rejectionOf(call)).toBe(reason);
    expect(clock.pendingTimers).toBe(0);
    expect(fetch.calls).toHaveLength(1);
    expect(fetch.active).toBe(0);
  });

  it('makes no attempt more for a caller who left during the attempt', async () => {
    const { chain, clock, fetch } = play({}, 'hang');
    const caller = new AbortController();
    const call = chain(url, { signal: caller.signal });
    await clock.settle();
    caller.abort(null);
    expect(await rejectionOf(call)).toBe(null);
    expect(fetch.calls).toHaveLength(1);
  });

  it('gives the reason of the caller where the runtime throws an error of its own', async () => {
    const caller = new AbortController();
    const chain = retry()(async () => {
      caller.abort('mine');
      throw new DOMException('Fetch is aborted', 'AbortError');
    });
    expect(await rejectionOf(chain(url, { signal: caller.signal }))).toBe('mine');
  });
});
