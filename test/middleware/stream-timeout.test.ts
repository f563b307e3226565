import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createSocketServer } from 'node:net';
import {
  type Attempt,
  compose,
  defineMiddleware,
  type FetchLike,
  type ProgressDetector,
  retry,
  StreamBrokenError,
  StreamTimeoutError,
  type StreamTimeoutOptions,
  streamTimeout,
} from 'breakwater';
import { createFakeClock, createScriptedFetch, type FakeClock } from 'breakwater/testing';
import { afterEach, describe, expect, it } from 'vitest';
import {
  bytesOf,
  collect,
  createSource,
  listenersOf,
  post,
  rejectionOf,
  type Source,
  textOf,
  unhandledIn,
  url,
  watch,
} from './witness.ts';

const sse = { headers: { 'content-type': 'text/event-stream' } };
const event = 'data: one\n\n';

interface Guarded {
  readonly clock: FakeClock;
  readonly source: Source;
  readonly chain: FetchLike;
  /** The Response, held or not; `first` is sent before, so that it is not held for ever. */
  open(first?: string): Promise<Response>;
}

/** A 200 whose body the test feeds, under a guard. */
function guard(options: StreamTimeoutOptions = {}, init: ResponseInit = {}, type?: 'bytes'): Guarded {
  const clock = createFakeClock();
  const source = createSource(type);
  const fetch = createScriptedFetch();
  // A scripted body is never a byte stream, so that a test of those has a plain stub.
  const answer: FetchLike = type ? async () => source.response(init) : fetch;
  fetch.reply(() => source.response(init));
  const chain = streamTimeout({ clock, ...options })(answer);
  return {
    clock,
    source,
    chain,
    open: (first) => {
      if (first !== undefined) source.push(first);
      return chain(url, post);
    },
  };
}

function readerOf(response: Response): ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>> {
  return (response.body as ReadableStream<Uint8Array<ArrayBuffer>>).getReader();
}

/** Says when a promise has settled, without waiting for it. */
function look(promise: Promise<unknown>): { readonly isSettled: boolean } {
  const seen = { isSettled: false };
  const note = () => {
    seen.isSettled = true;
  };
  promise.then(note, note);
  return seen;
}

describe('streamTimeout() and its clocks', () => {
  it('ends a wait for headers at headersMs, and aborts what is below with the error', async () => {
    const clock = createFakeClock();
    const fetch = createScriptedFetch('hang');
    const call = streamTimeout({ clock })(fetch)(url);
    const seen = look(call);
    await clock.advance(59_999);
    expect(seen.isSettled).toBe(false);
    await clock.advance(1);
    const error = await rejectionOf(call);
    expect(error).toBeInstanceOf(StreamTimeoutError);
    expect(error).toMatchObject({
      code: 'TIMEOUT_HEADERS',
      limitMs: 60_000,
      receivedBytes: 0,
      committed: false,
    });
    expect(fetch.calls[0]?.signal?.reason).toBe(error);
    expect(fetch.active).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });

  it('ends a wait for headers at firstTokenMs when that is the shorter', async () => {
    const clock = createFakeClock();
    const call = streamTimeout({ clock, firstTokenMs: 500 })(createScriptedFetch('hang'))(url);
    expect(await rejectionOf(clock.runUntil(call))).toMatchObject({
      code: 'TIMEOUT_FIRST_TOKEN',
      limitMs: 500,
    });
  });

  it('counts firstTokenMs from the start of the attempt, not from the headers', async () => {
    const clock = createFakeClock();
    const startedAt = clock.now();
    const source = createSource();
    const late = { body: source.stream, delayMs: 50_000, clock };
    const call = streamTimeout({ clock })(createScriptedFetch(late))(url);
    const error = await rejectionOf(clock.runUntil(call));
    expect(error).toMatchObject({ code: 'TIMEOUT_FIRST_TOKEN', limitMs: 180_000, committed: false });
    expect(clock.now() - startedAt).toBe(180_000);
    expect(source.cancels).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it('ends a silence at idleMs, counted from the last data', async () => {
    const { clock, source, open } = guard();
    const reader = readerOf(await open('one'));
    expect(textOf((await reader.read()).value)).toBe('one');
    let reading = reader.read();
    await clock.advance(59_000);
    source.push('two');
    expect(textOf((await reading).value)).toBe('two');
    reading = reader.read();
    const seen = look(reading);
    await clock.advance(59_999);
    expect(seen.isSettled).toBe(false);
    await clock.advance(1);
    const error = await rejectionOf(reading);
    expect(error).toMatchObject({
      code: 'TIMEOUT_IDLE',
      limitMs: 60_000,
      receivedBytes: 6,
      committed: true,
      message: 'Stream sent no data for 60000 ms: 6 bytes had arrived',
    });
    expect(source.cancels).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it('ends the whole call at totalMs, with data still arriving', async () => {
    const { clock, source, open } = guard({ totalMs: 100_000 });
    const reader = readerOf(await open('0'));
    const run = (async () => {
      for (;;) await reader.read();
    })();
    const seen = look(run);
    for (let second = 0; second < 99; second++) {
      source.push(`${second}`);
      await clock.advance(1000);
    }
    expect(seen.isSettled).toBe(false);
    await clock.advance(1000);
    expect(await rejectionOf(run)).toMatchObject({
      code: 'TIMEOUT_TOTAL',
      limitMs: 100_000,
      committed: true,
    });
    expect(clock.pendingTimers).toBe(0);
  });

  it('counts totalMs over all attempts and waits', async () => {
    const clock = createFakeClock();
    const startedAt = clock.now();
    const fetch = createScriptedFetch(
      { status: 503, delayMs: 20_000, clock },
      { status: 503, delayMs: 20_000, clock },
      'hang',
    );
    const chain = compose(
      retry({ clock, random: () => 0.5 }),
      streamTimeout({ clock, totalMs: 60_000, headersMs: 30_000 }),
    )(fetch);
    const error = await rejectionOf(clock.runUntil(chain(url)));
    expect(error).toMatchObject({ code: 'TIMEOUT_TOTAL', limitMs: 60_000, committed: false });
    expect(clock.now() - startedAt).toBe(60_000);
    expect(fetch.calls).toHaveLength(3);
    expect(clock.pendingTimers).toBe(0);
  });

  it('has no timer while nobody reads, and none at the end', async () => {
    const { clock, source, open } = guard();
    const response = await open('one');
    await clock.settle(); // for a moment it is there for a reader that comes at once
    expect(clock.pendingTimers).toBe(0);
    const text = response.text();
    await clock.settle();
    expect(clock.pendingTimers).toBe(1);
    source.close();
    expect(await text).toBe('one');
    expect(clock.pendingTimers).toBe(0);
  });

  // ffetch, up-fetch and cockatiel kill it: their one timeout is a deadline.
  it('lets a healthy stream go on for 40 minutes', async () => {
    const { clock, source, open } = guard();
    const text = (await open('.')).text();
    for (let minute = 0; minute < 41; minute++) {
      await clock.advance(59_000);
      source.push('.');
    }
    source.close();
    expect(await text).toHaveLength(42);
    expect(clock.pendingTimers).toBe(0);
  });

  it('lets a slow consumer pause for ten minutes, before the first read and after it', async () => {
    const { clock, source, open } = guard();
    const response = await open('one');
    await clock.advance(600_000);
    const reader = readerOf(response);
    expect(textOf((await reader.read()).value)).toBe('one');
    await clock.advance(600_000);
    const reading = reader.read();
    await clock.advance(30_000);
    source.push('two');
    expect(textOf((await reading).value)).toBe('two');
    await clock.advance(600_000);
    expect(clock.pendingTimers).toBe(0);
    source.close();
    expect((await reader.read()).done).toBe(true);
  });

  it('sets one timer for many chunks', async () => {
    const { clock, source, open } = guard();
    let timers = 0;
    const { setTimeout } = clock;
    clock.setTimeout = (...args) => {
      timers++;
      return setTimeout.apply(clock, args);
    };
    const reader = readerOf(await open('0'));
    for (let chunk = 0; chunk < 1000; chunk++) {
      source.push('x');
      await reader.read();
    }
    expect(timers).toBeLessThan(5);
    await reader.cancel();
  });

  it('waits for ever with limits of Infinity', async () => {
    const forever = Number.POSITIVE_INFINITY;
    const { clock, source, open } = guard({
      headersMs: forever,
      firstTokenMs: forever,
      idleMs: forever,
      totalMs: forever,
    });
    const call = open();
    await clock.settle();
    expect(clock.pendingTimers).toBe(0);
    await clock.advance(1e9);
    source.push('late');
    const reader = readerOf(await call);
    await reader.read();
    const reading = reader.read();
    await clock.advance(1e9);
    expect(clock.pendingTimers).toBe(0);
    source.close();
    expect((await reading).done).toBe(true);
  });

  it('keeps limits beyond 2^31 ms', async () => {
    const clock = createFakeClock();
    const long = 3e9;
    const chain = streamTimeout({ clock, headersMs: long, firstTokenMs: long })(createScriptedFetch('hang'));
    const call = chain(url);
    const seen = look(call);
    await clock.advance(2e9);
    await clock.advance(999_999_999);
    expect(seen.isSettled).toBe(false);
    await clock.advance(1);
    expect(await rejectionOf(call)).toHaveProperty('code', 'TIMEOUT_HEADERS');
  });

  it('sets a timer that the runtime fires too early again', async () => {
    const clock = createFakeClock();
    const { setTimeout } = clock;
    clock.setTimeout = (callback, ms) => setTimeout.call(clock, callback, ms > 10 ? ms - 5 : ms);
    const startedAt = clock.now();
    const call = streamTimeout({ clock, headersMs: 10_000 })(createScriptedFetch('hang'))(url);
    expect(await rejectionOf(clock.runUntil(call))).toHaveProperty('code', 'TIMEOUT_HEADERS');
    expect(clock.now() - startedAt).toBe(10_000);
  });

  it('asks limitsFor about each call, and keeps what it leaves out', async () => {
    const clock = createFakeClock();
    const chain = streamTimeout({
      clock,
      headersMs: 1000,
      limitsFor: ({ method }) => (method === 'POST' ? { headersMs: 5000 } : undefined),
    })(createScriptedFetch('hang', 'hang'));
    expect(await rejectionOf(clock.runUntil(chain(url)))).toHaveProperty('limitMs', 1000);
    expect(await rejectionOf(clock.runUntil(chain(url, post)))).toHaveProperty('limitMs', 5000);
  });

  it('cancels an answer that arrives after its timeout', async () => {
    const clock = createFakeClock();
    const source = createSource();
    let arrive: ((response: Response) => void) | undefined;
    const deaf: FetchLike = () =>
      new Promise((resolve) => {
        arrive = resolve;
      });
    const call = streamTimeout({ clock, headersMs: 10 })(deaf)(url);
    expect(await rejectionOf(clock.runUntil(call))).toHaveProperty('code', 'TIMEOUT_HEADERS');
    arrive?.(source.response());
    await clock.settle();
    expect(source.cancels).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it('leaves no timer when the fetch throws, also before it returns a promise', async () => {
    const clock = createFakeClock();
    const caller = new AbortController();
    const error = new TypeError('fetch failed');
    const throwing: FetchLike = () => {
      throw error;
    };
    for (const fetch of [createScriptedFetch(error), throwing]) {
      expect(await rejectionOf(streamTimeout({ clock })(fetch)(url, { signal: caller.signal }))).toBe(error);
      expect(clock.pendingTimers).toBe(0);
    }
  });
});

describe('streamTimeout() and numbers that are not whole', () => {
  // The sum and the difference of such times used to be shown as they were: 1200.0000000000018 ms.
  it('shows totalMs as a whole number', async () => {
    const clock = createFakeClock();
    await clock.advance(0.1);
    const call = streamTimeout({ clock, totalMs: 1200.4 })(createScriptedFetch('hang'))(url);
    const error = await rejectionOf(clock.runUntil(call));
    expect(error).toMatchObject({ code: 'TIMEOUT_TOTAL', limitMs: 1200 });
    expect((error as Error).message).toMatch(/ 1200 ms: 0 bytes had arrived$/);
  });

  it.each([
    ['before the first byte', undefined, 'TIMEOUT_FIRST_TOKEN'],
    ['after it', 'one', 'TIMEOUT_IDLE'],
  ])('shows the silence before a loss as a whole number, %s', async (_when, first, code) => {
    const { clock, source, open } = guard({ idleMs: 100_000 });
    await clock.advance(0.1);
    const call = open(first).then((response) => response.text());
    await clock.advance(70_000.3);
    source.fail(new TypeError('terminated'));
    const error = await rejectionOf(call);
    expect(error).toMatchObject({ code, limitMs: 70_000 });
    expect((error as Error).message).toContain(' 70000 ms: ');
  });
});

describe('streamTimeout() over a fetch that breaks the rules', () => {
  const noStream = { ok: true, status: 200, headers: new Headers(), body: { pipe: () => undefined } };

  // The guard used to throw beside the call: an unhandled rejection, and a caller who waited until a clock ended it.
  it.each<[string, unknown, StreamTimeoutOptions]>([
    ['nothing', undefined, {}],
    ['null', null, {}],
    ['nothing, with nothing held', undefined, { hold: 'headers' }],
    ['a body that is no stream', noStream, {}],
    ['a body that is no stream, with nothing held', noStream, { hold: 'headers' }],
  ])('rejects with a TypeError for %s', async (_what, answer, options) => {
    const clock = createFakeClock();
    const caller = new AbortController();
    const chain = streamTimeout({ clock, ...options })(async () => answer as Response);
    const unhandled = await unhandledIn(async () => {
      expect(await rejectionOf(chain(url, { signal: caller.signal }))).toBeInstanceOf(TypeError);
    });
    expect(unhandled).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
    expect(listenersOf(caller.signal)).toBe(0);
  });

  /** What becomes of the text of a body with these chunks. */
  async function textWith(options: StreamTimeoutOptions, ...chunks: unknown[]): Promise<unknown> {
    const clock = createFakeClock();
    const body = new ReadableStream({
      pull: (sink) => {
        if (chunks.length === 0) sink.close();
        else sink.enqueue(chunks.shift());
      },
    });
    let outcome: unknown;
    const unhandled = await unhandledIn(async () => {
      const call = streamTimeout({ clock, ...options })(async () => new Response(body))(url);
      const reading = call.then((response) => response.text());
      outcome = await clock.runUntil(reading).catch((error: unknown) => error);
    });
    expect(unhandled).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
    return outcome;
  }

  // The same: a throw within the guard, and a text() that nothing ended.
  it.each<[string, unknown]>([
    ['a text', 'two'],
    ['an empty text', ''],
    ['a number', 5],
    ['zero', 0],
    ['an object', {}],
    ['null', null],
    ['undefined', undefined],
  ])('makes text() reject when a chunk is no bytes but %s, wherever it comes', async (_what, chunk) => {
    for (const options of [{}, { hold: 'headers' }] as const) {
      expect(await textWith(options, bytesOf('one'), chunk, bytesOf('three'))).toBeInstanceOf(TypeError);
      expect(await textWith(options, chunk, bytesOf('two'))).toBeInstanceOf(TypeError);
    }
  });
});

describe('streamTimeout() under a listener that throws', () => {
  const mistake = new Error('a mistake in a listener');

  /** A chain whose outermost layer makes a mistake at one of the two moments. */
  async function open(moment: 'onCommitted' | 'onSettled', options: StreamTimeoutOptions, first: string) {
    const clock = createFakeClock();
    const source = createSource();
    if (first) source.push(first);
    const listening = defineMiddleware('listening', (call, next) => {
      call.attempt[moment](() => {
        throw mistake;
      });
      return next(call);
    });
    const chain = compose(listening, streamTimeout({ clock, ...options }))(async () => source.response());
    return { clock, source, reading: chain(url).then((response) => response.text()) };
  }

  const whens: [string, StreamTimeoutOptions, string][] = [
    ['at the first byte', {}, 'one'],
    ['at the first byte, with nothing held', { hold: 'headers' }, 'one'],
    ['at the end of an empty body', {}, ''],
    ['at the end of an empty body, with nothing held', { hold: 'headers' }, ''],
  ];

  // The caller used to hang, and the mistake was an unhandled rejection.
  it.each(whens)('rejects with its mistake %s', async (_when, options, first) => {
    const unhandled = await unhandledIn(async () => {
      const { clock, source, reading } = await open('onCommitted', options, first);
      source.close();
      expect(await rejectionOf(clock.runUntil(reading))).toBe(mistake);
      expect(clock.pendingTimers).toBe(0);
    });
    expect(unhandled).toEqual([]);
  });

  // So it was at the end of the body.
  it.each(whens)(
    'lets nobody hang when it throws at the end of the body that begins %s',
    async (_when, options, first) => {
      const unhandled = await unhandledIn(async () => {
        const { clock, source, reading } = await open('onSettled', options, first);
        source.close();
        expect([first, mistake]).toContain(await clock.runUntil(reading.catch((error: unknown) => error)));
        expect(clock.pendingTimers).toBe(0);
      });
      expect(unhandled).toEqual([]);
    },
  );
});

describe('streamTimeout() holding the Response', () => {
  it('holds a 2xx to its first byte', async () => {
    const { clock, source, open } = guard();
    const call = open();
    const seen = look(call);
    await clock.advance(100_000);
    expect(seen.isSettled).toBe(false);
    source.push('first');
    source.close();
    expect(await (await call).text()).toBe('first');
  });

  it('hands it over at the headers with hold "headers", and begins firstTokenMs with the first read', async () => {
    const { clock, source, open } = guard({ hold: 'headers' });
    const response = await open();
    expect(source.pulls).toBe(0);
    await clock.advance(600_000);
    const reading = readerOf(response).read();
    await clock.advance(179_999);
    expect(look(reading).isSettled).toBe(false);
    await clock.advance(1);
    expect(await rejectionOf(reading)).toMatchObject({ code: 'TIMEOUT_FIRST_TOKEN', committed: false });
    expect(clock.pendingTimers).toBe(0);
  });

  // The clock used to begin anew with the first read, so that slow headers gave an answer more time than firstTokenMs.
  it('counts in firstTokenMs what the headers took, and not the pause before the first read, with hold "headers"', async () => {
    const clock = createFakeClock();
    const late = { body: createSource().stream, delayMs: 50_000, clock };
    const call = streamTimeout({ clock, hold: 'headers' })(createScriptedFetch(late))(url);
    const response = await clock.runUntil(call);
    await clock.advance(600_000);
    const readingSince = clock.now();
    const error = await rejectionOf(clock.runUntil(readerOf(response).read()));
    expect(error).toMatchObject({ code: 'TIMEOUT_FIRST_TOKEN', limitMs: 180_000, committed: false });
    expect(clock.now() - readingSince).toBe(130_000);
  });

  it('rejects, so that a retry can act, when the body breaks before its first byte', async () => {
    const clock = createFakeClock();
    const broken = createSource();
    broken.fail(new TypeError('terminated'));
    const fetch = createScriptedFetch(() => broken.response(), { body: 'pong' });
    const chain = compose(retry({ clock, random: () => 0 }), streamTimeout({ clock }))(fetch);
    expect(await (await chain(url)).text()).toBe('pong');
    expect(fetch.calls).toHaveLength(2);
  });

  it('commits at the first byte, once', async () => {
    const clock = createFakeClock();
    const witness = watch(clock);
    const source = createSource();
    const chain = compose(witness.observed, streamTimeout({ clock }))(async () => source.response());
    const call = chain(url);
    await clock.advance(1500);
    expect(witness.types).toEqual(['call.started']);
    source.push('a');
    const response = await call;
    source.push('b');
    source.close();
    await response.text();
    expect(witness.of('stream.first-token')).toEqual([{ afterMs: 1500 }]);
    expect(witness.of('call.settled')).toMatchObject([
      { outcome: 'complete', status: 200, durationMs: 1500 },
    ]);
  });

  it('takes a chunk of no bytes for nothing', async () => {
    const { clock, source, open } = guard();
    const call = open();
    const seen = look(call);
    source.push('', '');
    await clock.settle();
    expect(seen.isSettled).toBe(false);
    source.push('data', '', 'more', '');
    source.close();
    expect(await (await call).text()).toBe('datamore');
  });

  it('lets chunks of no bytes put off no clock', async () => {
    const { clock, source, open } = guard();
    const call = open();
    const seen = look(call);
    for (let minute = 0; minute < 3; minute++) {
      source.push('');
      await clock.advance(60_000);
    }
    expect(seen.isSettled).toBe(true);
    expect(await rejectionOf(call)).toHaveProperty('code', 'TIMEOUT_FIRST_TOKEN');
  });

  it('lets chunks of no bytes put off no idle clock either', async () => {
    const { clock, source, open } = guard();
    const reader = readerOf(await open('one'));
    await reader.read();
    const reading = reader.read();
    look(reading);
    await clock.advance(40_000);
    source.push('');
    await clock.advance(20_000);
    expect(clock.pendingTimers).toBe(0);
    expect(await rejectionOf(reading)).toHaveProperty('code', 'TIMEOUT_IDLE');
  });

  it('returns an empty 2xx body as an empty body', async () => {
    const { clock, source, open } = guard();
    source.close();
    const response = await open();
    expect(response.body).not.toBe(null);
    expect(await response.text()).toBe('');
    expect(clock.pendingTimers).toBe(0);
  });

  const untouched: [string, string, () => Response][] = [
    ['a 204', 'POST', () => new Response(null, { status: 204 })],
    ['a 205', 'POST', () => new Response(null, { status: 205 })],
    ['a 304', 'GET', () => new Response(null, { status: 304 })],
    ['a 200 without a body', 'GET', () => new Response(null)],
    ['the answer to a HEAD', 'HEAD', () => new Response(new ReadableStream())],
    ['a 400', 'POST', () => new Response('bad', { status: 400 })],
    ['a 503 whose body stalls', 'POST', () => new Response(new ReadableStream(), { status: 503 })],
    ['an opaque answer', 'GET', () => Response.error()],
  ];

  it.each(untouched)('returns %s as the very same object, at once', async (_what, method, make) => {
    const clock = createFakeClock();
    const response = make();
    expect(await streamTimeout({ clock, totalMs: 1000 })(async () => response)(url, { method })).toBe(
      response,
    );
    expect(clock.pendingTimers).toBe(0);
    expect(response.bodyUsed).toBe(false);
  });
});

describe('streamTimeout() keeps the Response as it came', () => {
  const closers: (() => Promise<unknown>)[] = [];

  afterEach(async () => {
    await Promise.all(closers.splice(0).map((close) => close()));
  });

  async function listen(server: ReturnType<typeof createSocketServer>): Promise<string> {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closers.push(() => {
      const closed = once(server, 'close');
      server.close();
      if ('closeAllConnections' in server) (server.closeAllConnections as () => void)();
      return closed;
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  it('keeps url, redirected, type, status, headers and a clone with all of them, over a redirect', async () => {
    const base = await listen(
      createServer((request, response) => {
        if (request.url === '/old') response.writeHead(302, { location: '/new' }).end();
        else response.writeHead(201, 'Made', { 'x-id': '7', 'set-cookie': ['a=1', 'b=2'] }).end('pong');
      }),
    );
    const response = await streamTimeout()(fetch)(`${base}/old`);
    const clone = response.clone();
    for (const each of [response, clone, clone.clone()]) {
      const { url: address, redirected, type, status, statusText, ok } = each;
      expect({ address, redirected, type, status, statusText, ok }).toEqual({
        address: `${base}/new`,
        redirected: true,
        type: 'basic',
        status: 201,
        statusText: 'Made',
        ok: true,
      });
      expect(each.headers.get('x-id')).toBe('7');
      expect(each.headers.getSetCookie()).toEqual(['a=1', 'b=2']);
      expect(each).toBeInstanceOf(Response);
      expect(each.bodyUsed).toBe(false);
    }
    expect([await response.text(), await clone.text()]).toEqual(['pong', 'pong']);
    expect(response.bodyUsed).toBe(true);
  });

  it('passes an answer on whose reason phrase no Response can be made with', async () => {
    const base = await listen(
      createSocketServer((socket) => {
        socket.on('data', () => socket.end('HTTP/1.1 200 成功\r\nconnection: close\r\n\r\npong'));
        socket.on('error', () => undefined);
      }),
    );
    const plain = await fetch(base);
    const guarded = await streamTimeout()(fetch)(base);
    expect(guarded.status).toBe(200);
    expect(guarded.statusText).toBe(plain.statusText);
    expect(await guarded.text()).toBe(await plain.text());
  });

  it('passes an answer on whose body somebody has read already', async () => {
    const read = new Response('pong');
    await read.text();
    expect((await streamTimeout()(async () => read)(url)).bodyUsed).toBe(true);
  });
});

describe('streamTimeout() and the bytes', () => {
  it('is a byte stream where the original is, to the end', async () => {
    const { source, open } = guard({}, {}, 'bytes');
    const response = await open('abcdef');
    const reader = (response.body as ReadableStream<Uint8Array>).getReader({ mode: 'byob' });
    const read = async (size: number) => {
      const { done, value } = await reader.read(new Uint8Array(size));
      return done ? `end of ${value?.byteLength}` : textOf(value);
    };
    expect(await read(4)).toBe('abcd');
    expect(await read(4)).toBe('ef');
    const pending = read(4);
    source.push('gh');
    expect(await pending).toBe('gh');
    const last = read(4);
    source.close();
    expect(await last).toBe('end of 0');
    await reader.closed;
  });

  it('ends a pending read into a buffer when the stream is empty', async () => {
    const { source, open } = guard({ hold: 'headers' }, {}, 'bytes');
    const reader = ((await open()).body as ReadableStream<Uint8Array>).getReader({ mode: 'byob' });
    const reading = reader.read(new Uint8Array(8));
    source.close();
    expect(await reading).toMatchObject({ done: true, value: new Uint8Array(0) });
  });

  it('fails a pending read into a buffer at a timeout', async () => {
    const { clock, open } = guard({}, {}, 'bytes');
    const reader = ((await open('x')).body as ReadableStream<Uint8Array>).getReader({ mode: 'byob' });
    await reader.read(new Uint8Array(8));
    const reading = reader.read(new Uint8Array(8));
    expect(await rejectionOf(clock.runUntil<unknown>(reading))).toHaveProperty('code', 'TIMEOUT_IDLE');
  });

  it('is a default stream where the original is, and leaves the pool of the chunks alone', async () => {
    const pool = Buffer.from('one and two, all of one pool');
    const chunks = [pool.subarray(0, 3), pool.subarray(8, 11)] as Uint8Array<ArrayBuffer>[];
    const { source, open } = guard();
    source.push(...chunks);
    const response = await open();
    expect(() => (response.body as ReadableStream).getReader({ mode: 'byob' })).toThrow(TypeError);
    const reader = readerOf(response);
    expect((await reader.read()).value).toBe(chunks[0]);
    expect((await reader.read()).value).toBe(chunks[1]);
    expect(pool.toString()).toBe('one and two, all of one pool');
    source.close();
    expect((await reader.read()).done).toBe(true);
  });

  it.each(['bytes', undefined] as const)('reads nothing ahead, of a stream of type %s', async (type) => {
    const clock = createFakeClock();
    let pulls = 0;
    const pull = (controller: ReadableByteStreamController) => {
      pulls++;
      controller.enqueue(bytesOf(`${pulls}`));
    };
    const stream = new ReadableStream({ ...(type && { type }), pull } as UnderlyingByteSource, {
      highWaterMark: 0,
    });
    const response = await streamTimeout({ clock })(async () => new Response(stream))(url);
    expect(pulls).toBe(1); // held
    const reader = readerOf(response);
    await reader.read();
    await clock.settle();
    expect(pulls).toBe(1);
    await reader.read();
    await clock.settle();
    expect(pulls).toBe(2);
    await reader.cancel();
  });

  it.each(['bytes', undefined] as const)('loses nothing to reads side by side, of type %s', async (type) => {
    const { source, open } = guard({}, {}, type);
    const reader = readerOf(await open('0'));
    expect(textOf((await reader.read()).value)).toBe('0');
    const reads = Array.from({ length: 5 }, () => reader.read());
    await Promise.resolve();
    source.push('1', '2', '3', '4', '5', '6', '7');
    source.close();
    const values = (await Promise.all(reads)).map(({ value }) => textOf(value));
    expect(values).toEqual(['1', '2', '3', '4', '5']);
    const rest = [await reader.read(), await reader.read(), await reader.read()];
    expect(rest.map(({ value, done }) => (done ? 'end' : textOf(value)))).toEqual(['6', '7', 'end']);
  });

  it('loses nothing when a reader lets go in the middle of a read', async () => {
    const { source, open } = guard();
    const response = await open('1');
    const first = readerOf(response);
    await first.read();
    const reading = first.read();
    await Promise.resolve();
    first.releaseLock();
    expect(await rejectionOf(reading)).toBeInstanceOf(TypeError);
    source.push('2', '3');
    source.close();
    const second = readerOf(response);
    const rest = [await second.read(), await second.read(), await second.read()];
    expect(rest.map(({ value, done }) => (done ? 'end' : textOf(value)))).toEqual(['2', '3', 'end']);
  });

  const bytes = Uint8Array.from({ length: 5000 }, (_, index) => (index * 7) % 256);
  const consumers: [string, (response: Response) => Promise<Uint8Array>][] = [
    ['arrayBuffer()', async (response) => new Uint8Array(await response.arrayBuffer())],
    ['bytes()', (response) => response.bytes()],
    ['blob()', async (response) => new Uint8Array(await (await response.blob()).arrayBuffer())],
    ['new Response(body)', async ({ body }) => new Uint8Array(await new Response(body).arrayBuffer())],
    [
      'for await',
      async ({ body }) => joined(await Array.fromAsync(body as unknown as AsyncIterable<Uint8Array>)),
    ],
    [
      'pipeTo',
      async ({ body }) => {
        const chunks: Uint8Array[] = [];
        await body?.pipeTo(new WritableStream({ write: (chunk: Uint8Array) => void chunks.push(chunk) }));
        return joined(chunks);
      },
    ],
    [
      'pipeThrough',
      async ({ body }) =>
        new Uint8Array(
          await new Response(
            (body as ReadableStream<Uint8Array>).pipeThrough(new TransformStream()),
          ).arrayBuffer(),
        ),
    ],
    [
      'tee',
      async ({ body }) => {
        const branches = (body as ReadableStream).tee();
        const [one, two] = await Promise.all(branches.map((branch) => new Response(branch).bytes()));
        expect(one).toEqual(two);
        return one as Uint8Array;
      },
    ],
    [
      'clone()',
      async (response) => {
        const [one, two] = await Promise.all([response.clone().bytes(), response.bytes()]);
        expect(one).toEqual(two);
        return one;
      },
    ],
  ];

  it.each(consumers)('gives every byte to %s', async (_name, consume) => {
    for (const type of ['bytes', undefined] as const) {
      for (const size of [1, 7, 1024, 5000]) {
        const { clock, source, open } = guard({}, {}, type);
        for (let at = 0; at < bytes.length; at += size) source.push(bytes.slice(at, at + size));
        source.close();
        expect(await consume(await open())).toEqual(bytes);
        expect(clock.pendingTimers).toBe(0);
      }
    }
  });

  it('gives text() and json() what came', async () => {
    const text = guard();
    const response = text.open('{"smile":');
    text.source.push('"☺"}');
    text.source.close();
    expect(await (await response).json()).toEqual({ smile: '☺' });
  });
});

describe('streamTimeout() and endings', () => {
  it.each(['bytes', undefined] as const)('passes a cancel on, with its reason, of type %s', async (type) => {
    const { clock, source, open } = guard({}, {}, type);
    const response = await open('one');
    await response.body?.cancel('seen enough');
    expect(source.cancels).toEqual(['seen enough']);
    expect(clock.pendingTimers).toBe(0);
  });

  it('passes a cancel in the middle of a read on', async () => {
    const { clock, source, open } = guard();
    const reader = readerOf(await open('one'));
    await reader.read();
    const reading = reader.read();
    await reader.cancel('bored');
    expect((await reading).done).toBe(true);
    expect(source.cancels).toEqual(['bored']);
    expect(clock.pendingTimers).toBe(0);
  });

  it('passes a break of for await on', async () => {
    const { clock, source, open } = guard();
    const { body } = await open('one');
    for await (const _chunk of body as unknown as AsyncIterable<Uint8Array>) break;
    expect(source.cancels).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it.each(['hold', 'read'])('cancels a body whose fetch is deaf to aborts, during the %s', async (when) => {
    const clock = createFakeClock();
    const source = createSource();
    const chain = streamTimeout({ clock })(async () => source.response());
    if (when === 'read') source.push('one');
    const call = chain(url);
    const reading = when === 'read' ? call.then((response) => response.text()) : call;
    expect(await rejectionOf(clock.runUntil<unknown>(reading))).toBeInstanceOf(StreamTimeoutError);
    expect(source.cancels).toHaveLength(1);
  });

  it('turns a loss in the answer into STREAM_RESET, with a cause that holds no address', async () => {
    const { clock, source, open } = guard({}, sse);
    const response = await open(event);
    const reader = readerOf(response);
    await reader.read();
    const reading = reader.read();
    const secret = 'https://api.deepseek.com/chat?key=sk-secret';
    const cause = Object.assign(new Error(`read ECONNRESET ${secret}`), { code: 'ECONNRESET' });
    source.fail(new TypeError(`terminated ${secret}`, { cause }));
    const error = await rejectionOf(reading);
    expect(error).toBeInstanceOf(StreamBrokenError);
    expect(error).toMatchObject({ code: 'STREAM_RESET', receivedBytes: event.length, committed: true });
    expect((error as Error).cause).toMatchObject({ message: 'TypeError: Error ECONNRESET' });
    const { inspect } = await import('node:util');
    expect(inspect(error, { depth: 9, showHidden: true }) + JSON.stringify(error)).not.toMatch(
      /secret|https/,
    );
    expect(clock.pendingTimers).toBe(0);
  });

  it.each([
    ['a loss after a minute of silence of a body that is no stream is a timeout', {}, 60_000, 'TIMEOUT_IDLE'],
    ['a loss a moment earlier is a reset', {}, 59_999, 'STREAM_RESET'],
    ['a loss of an event stream is a reset, whatever the silence', sse, 100_000, 'STREAM_RESET'],
  ])('%s', async (_what, init, silentMs, code) => {
    const { clock, source, open } = guard({ idleMs: 200_000 }, init);
    const reader = readerOf(await open(event));
    await reader.read();
    const reading = reader.read();
    await clock.advance(silentMs);
    source.fail(new TypeError('terminated'));
    expect(await rejectionOf(reading)).toMatchObject({ code, committed: true, receivedBytes: event.length });
  });

  it('takes a loss after a minute of silence before the first byte for a timeout', async () => {
    const { clock, source, open } = guard();
    const call = open();
    await clock.advance(70_000);
    source.fail(new TypeError('terminated'));
    expect(await rejectionOf(call)).toMatchObject({
      code: 'TIMEOUT_FIRST_TOKEN',
      limitMs: 70_000,
      committed: false,
    });
  });

  it('tells how each attempt ended', async () => {
    const outcomes: string[] = [];
    const attempts: Attempt[] = [];
    const spy = defineMiddleware('spy', (call, next) => {
      attempts.push(call.attempt);
      call.attempt.onSettled(({ outcome }) => void outcomes.push(outcome));
      return next(call);
    });
    const start = async (first?: string) => {
      const clock = createFakeClock();
      const source = createSource();
      const caller = new AbortController();
      if (first) source.push(first);
      const chain = compose(spy, streamTimeout({ clock }))(async () => source.response());
      return { clock, source, caller, response: await chain(url, { signal: caller.signal }) };
    };
    const complete = await start('a');
    complete.source.close();
    await complete.response.text();
    const failed = await start('b');
    failed.source.fail(new Error('gone'));
    await rejectionOf(failed.response.text());
    const cancelled = await start('c');
    await cancelled.response.body?.cancel();
    const aborted = await start('d');
    aborted.caller.abort();
    const idle = await start('e');
    await rejectionOf(idle.clock.runUntil(idle.response.text()));
    expect(outcomes).toEqual(['complete', 'failed', 'cancelled', 'cancelled', 'failed']);
    expect(attempts.every(({ claimed, committed }) => claimed && committed)).toBe(true);
  });

  it('guards a second attempt with the same call as it did the first', async () => {
    const clock = createFakeClock();
    const source = createSource();
    const fetch = createScriptedFetch({ body: 'first' }, () => source.response());
    const twice = defineMiddleware('twice', async (call, next) => {
      await (await next(call)).body?.cancel();
      return next(call);
    });
    const chain = compose(twice, streamTimeout({ clock }))(fetch);
    const startedAt = clock.now();
    expect(await rejectionOf(clock.runUntil(chain(url)))).toHaveProperty('code', 'TIMEOUT_FIRST_TOKEN');
    expect(clock.now() - startedAt).toBe(180_000);
  });

  it('settles a read of which nothing but the promise is kept', async () => {
    const { clock, source, open } = guard();
    const reading = await (async () => {
      const reader = readerOf(await open('one'));
      await reader.read();
      return { promise: reader.read() };
    })();
    for (let turn = 0; turn < 10; turn++) await collect();
    expect(source.cancels).toEqual([]);
    source.push('two');
    expect(textOf((await reading.promise).value)).toBe('two');
    expect(clock.pendingTimers).toBeLessThanOrEqual(1);
  });

  it('runs out for a read of which nothing but the promise is kept', async () => {
    const { clock, open } = guard();
    const reading = { promise: (await open('one')).text() };
    for (let turn = 0; turn < 10; turn++) await collect();
    expect(await rejectionOf(clock.runUntil(reading.promise))).toHaveProperty('code', 'TIMEOUT_IDLE');
  });
});

describe('streamTimeout() and event streams', () => {
  const keepAlive = ': keep-alive\n\n';
  const delta = 'data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n';
  const finish = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n';
  const done = 'data: [DONE]\n\n';

  /** All that a reader gets, and what ends it. */
  async function drained(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<unknown[]> {
    const seen: unknown[] = [];
    try {
      for (;;) {
        const { done: isOver, value } = await reader.read();
        if (isOver) return seen;
        seen.push(textOf(value));
      }
    } catch (error) {
      return [...seen, (error as { code?: unknown }).code];
    }
  }

  it('holds one to its first event, and passes on what came before it as it came', async () => {
    const { clock, source, open } = guard({}, sse);
    const call = open();
    const seen = look(call);
    const before = [keepAlive, ': ke', 'ep-alive\r', '\n\r\n', 'retry: 1\n\n', 'data: o', 'ne\n'];
    for (const text of before) {
      source.push(text);
      await clock.settle();
      expect(seen.isSettled).toBe(false);
    }
    source.push('\n', 'data: two\n\n');
    source.close();
    expect(await drained(readerOf(await call))).toEqual([...before, '\n', 'data: two\n\n']);
    expect(clock.pendingTimers).toBe(0);
  });

  it('lets no keep-alive put off the clock of the first event, and tells of each', async () => {
    const clock = createFakeClock();
    const witness = watch(clock);
    const source = createSource();
    const chain = compose(witness.observed, streamTimeout({ clock }))(async () => source.response(sse));
    const rejection = rejectionOf(chain(url));
    for (let count = 0; count < 3; count++) {
      await clock.advance(50_000);
      source.push(keepAlive);
    }
    await clock.advance(30_000);
    expect(await rejection).toMatchObject({
      code: 'TIMEOUT_FIRST_TOKEN',
      limitMs: 180_000,
      receivedBytes: 3 * keepAlive.length,
      keepAlives: 3,
      committed: false,
      message: 'Response brought no content within 180000 ms: 42 bytes and 3 keep-alives had arrived',
    });
    expect(witness.of('call.queued')).toEqual([{}]);
    expect(witness.of('stream.keep-alive')).toEqual([
      { keepAlives: 1, afterMs: 50_000 },
      { keepAlives: 2, afterMs: 100_000 },
      { keepAlives: 3, afterMs: 150_000 },
    ]);
  });

  it('tells of keep-alives in the middle of an answer, and not that it is queued', async () => {
    const clock = createFakeClock();
    const witness = watch(clock);
    const source = createSource();
    const chain = compose(witness.observed, streamTimeout({ clock }))(async () => source.response(sse));
    source.push(event);
    const reader = readerOf(await chain(url));
    source.push(keepAlive, keepAlive + keepAlive);
    for (let read = 0; read < 3; read++) await reader.read();
    expect(witness.of('call.queued')).toEqual([]);
    expect(witness.of('stream.keep-alive')).toMatchObject([{ keepAlives: 1 }, { keepAlives: 3 }]);
    await reader.cancel();
  });

  it.each([
    ['STREAM_EMPTY', 'no byte', ''],
    ['STREAM_EMPTY', 'blank lines', '\n\n\n'],
    ['STREAM_EMPTY', 'keep-alives alone', keepAlive],
    ['STREAM_EMPTY', '[DONE] alone', done],
    ['STREAM_TRUNCATED', 'half an event', 'data: on'],
    ['STREAM_FAILED', 'an error', 'data: {"error":{"message":"busy"}}\n\n'],
  ])('is %s for %s, so that a retry can act', async (code, _what, text) => {
    const clock = createFakeClock();
    const fetch = createScriptedFetch();
    fetch.always(() => new Response(text, sse));
    const alone = streamTimeout({ clock })(fetch);
    expect(await rejectionOf(alone(url))).toMatchObject({
      code,
      committed: false,
      receivedBytes: text.length,
    });
    const twice = createScriptedFetch(
      () => new Response(text, sse),
      () => new Response(event, sse),
    );
    const chain = compose(retry({ clock, random: () => 0 }), streamTimeout({ clock }))(twice);
    expect(await (await chain(url)).text()).toBe(event);
    expect(clock.pendingTimers).toBe(0);
  });

  it.each([
    ['a chat completion that is finished', delta + finish + done, undefined],
    ['one that lacks [DONE]', delta + finish, undefined],
    ['one that lacks the finish', delta + done, undefined],
    ['one that lacks both', delta, 'STREAM_TRUNCATED'],
    ['events of another kind', event, undefined],
    ['an error in the middle', `${event}data: {"error":"busy"}\n\n`, 'STREAM_FAILED'],
  ])('judges the end of %s', async (_what, text, code) => {
    for (const pieces of [[text], text.split(/(?<=\n\n)/), [...text]]) {
      const { source, open, clock } = guard({}, sse);
      source.push(...pieces);
      source.close();
      const seen = await drained(readerOf(await open()));
      const told = code === undefined ? seen : seen.slice(0, -1);
      expect(told.join('')).toBe(text);
      if (code !== undefined) expect(seen.at(-1)).toBe(code);
      expect(clock.pendingTimers).toBe(0);
    }
  });

  it('ends at [DONE], though the body goes on, and reads on for a moment', async () => {
    const { clock, source, open } = guard({}, sse);
    const reader = readerOf(await open(delta + finish));
    source.push(`${done}: bye\n\n`);
    expect(await drained(reader)).toEqual([delta + finish, `${done}: bye\n\n`]);
    source.push('more');
    await clock.advance(249);
    expect(source.cancels).toEqual([]);
    await clock.advance(1);
    expect(source.cancels).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it('reads no more than 64 KiB after [DONE]', async () => {
    const { clock, source, open } = guard({}, sse);
    const text = open(delta + finish + done).then((response) => response.text());
    for (let kib = 0; kib < 80; kib++) source.push(new Uint8Array(1024));
    expect(await text).toBe(delta + finish + done);
    await clock.settle();
    expect(source.cancels).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it.each(['close', 'fail'] as const)('lets go after [DONE] when the body does: %s', async (how) => {
    const { clock, source, open } = guard({}, sse);
    const text = open(delta + finish + done).then((response) => response.text());
    expect(await text).toContain('[DONE]');
    source[how](new TypeError('terminated'));
    await clock.settle();
    expect(source.cancels).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
  });

  // The rest of the chunk, behind a buffer of the reader's own, was thrown away with the error.
  it.each(['bytes', undefined] as const)('gives all that came before the error, of type %s', async (type) => {
    const failure = 'data: {"error":"busy"}\n\n';
    for (const pieces of [[event, failure], [event + failure]]) {
      const { source, open } = guard({}, sse, type);
      source.push(...pieces);
      const { body } = await open();
      let text = '';
      let error: unknown;
      if (type) {
        const reader = (body as ReadableStream<Uint8Array>).getReader({ mode: 'byob' });
        try {
          for (;;) text += textOf((await reader.read(new Uint8Array(4))).value);
        } catch (thrown) {
          error = thrown;
        }
      } else {
        const seen = await drained((body as ReadableStream<Uint8Array>).getReader());
        error = { code: seen.pop() };
        text = seen.join('');
      }
      expect(text).toBe(event + failure);
      expect(error).toHaveProperty('code', 'STREAM_FAILED');
    }
  });

  it.each(['text', 'json', 'arrayBuffer', 'clone'] as const)(
    'fails %s() of an answer that failed',
    async (method) => {
      const { source, open } = guard({}, sse);
      source.push(`${event}data: {"error":"busy"}\n\n`);
      const response = await open();
      const reading = method === 'clone' ? response.clone().text() : response[method]();
      expect(await rejectionOf(reading)).toHaveProperty('code', 'STREAM_FAILED');
    },
  );

  it('fails a read beside that of the last chunk', async () => {
    const { source, open } = guard({}, sse);
    const reader = readerOf(await open(event));
    await reader.read();
    const reads = [reader.read(), reader.read()];
    const rejection = rejectionOf(reads[1] as Promise<unknown>);
    source.push('data: {"error":"busy"}\n\n');
    expect(textOf((await reads[0])?.value)).toContain('busy');
    expect(await rejection).toMatchObject({ code: 'STREAM_FAILED', committed: true });
    expect(await rejectionOf(reader.closed)).toHaveProperty('code', 'STREAM_FAILED');
  });

  it('hands one over that is held too long, with an event', async () => {
    const clock = createFakeClock();
    const witness = watch(clock);
    const source = createSource();
    const guarded = streamTimeout({ clock, maxHoldBytes: 100 });
    const chain = compose(witness.observed, guarded)(async () => source.response(sse));
    const call = chain(url);
    const seen = look(call);
    source.push(`: ${'x'.repeat(96)}\n\n`); // one hundred in all
    await clock.settle();
    expect(seen.isSettled).toBe(false);
    source.push(':');
    const response = await call;
    expect(witness.of('stream.unheld')).toEqual([{ heldBytes: 101 }]);
    expect(witness.of('stream.first-token')).toHaveLength(1);
    const text = rejectionOf(response.text());
    await clock.advance(60_000);
    expect(await text).toMatchObject({ code: 'TIMEOUT_IDLE', committed: true });
  });

  // Each chunk that was held came in a call within the call for the one before.
  it('gives the text of very many chunks that were held', async () => {
    const { source, open } = guard({}, sse);
    const call = open();
    for (let count = 0; count < 20_000; count++) source.push(':\n\n');
    source.push(event);
    const text = (await call).text();
    source.close();
    expect(await text).toHaveLength(60_000 + event.length);
  });

  it('takes no silence for one that keep-alives broke', async () => {
    const { clock, source, open } = guard();
    const rejection = rejectionOf(open());
    for (let count = 0; count < 4; count++) {
      await clock.advance(30_000);
      source.push('\n');
    }
    await clock.settle();
    source.fail(new TypeError('terminated'));
    expect(await rejection).toMatchObject({ code: 'STREAM_RESET', keepAlives: 4, committed: false });
  });
});

describe('streamTimeout() and a detector of one’s own', () => {
  /** Content begins with "a", the caller may have it with "b", "!" is the end and "?" a failure. */
  function letters(): ProgressDetector {
    const seen = { text: '' };
    return {
      get isCommitted() {
        return seen.text.includes('b');
      },
      get hasContent() {
        return seen.text.includes('a');
      },
      get isDone() {
        return seen.text.endsWith('!');
      },
      get fault() {
        return seen.text.endsWith('?') ? ('STREAM_MALFORMED' as const) : undefined;
      },
      get keepAlives() {
        return seen.text.split('.').length - 1;
      },
      push(chunk) {
        seen.text += textOf(chunk);
        return textOf(chunk) !== '.';
      },
      end: () => (seen.text.endsWith('!') ? undefined : 'STREAM_TRUNCATED'),
    };
  }

  it('is given the Response and the call', () => {
    const given: unknown[] = [];
    const response = createSource().response(sse);
    const detect = (...args: unknown[]) => {
      given.push(...args);
      return letters();
    };
    void streamTimeout({ clock: createFakeClock(), detect })(async () => response)(url, post);
    return Promise.resolve().then(() => {
      expect(given[0]).toBe(response);
      expect(given[1]).toMatchObject({ url, method: 'POST' });
    });
  });

  it('holds as long as it says, by the silences of what has begun', async () => {
    const { clock, source, open } = guard({ detect: letters });
    const call = open();
    source.push('x');
    await clock.advance(179_999);
    source.push('a');
    for (let minute = 0; minute < 10; minute++) {
      await clock.advance(59_999);
      source.push('x');
    }
    await clock.advance(59_999);
    source.push('b');
    const response = await call;
    source.push('!');
    expect(await response.text()).toBe(`xa${'x'.repeat(10)}b!`);
    await clock.advance(250);
    expect(clock.pendingTimers).toBe(0);
  });

  it.each([
    ['TIMEOUT_FIRST_TOKEN', 'nothing has begun', '.', 180_000],
    ['TIMEOUT_IDLE', 'it has begun', 'a', 60_000],
  ])('is %s before commit when %s', async (code, _what, text, limitMs) => {
    const { clock, source, open } = guard({ detect: letters });
    const startedAt = clock.now();
    source.push(text);
    expect(await rejectionOf(clock.runUntil(open()))).toMatchObject({ code, limitMs, committed: false });
    expect(clock.now() - startedAt).toBe(limitMs);
    expect(clock.pendingTimers).toBe(0);
  });

  it('lets keep-alives put off no clock of what has begun', async () => {
    const { clock, source, open } = guard({ detect: letters });
    const rejection = rejectionOf(open('a'));
    await clock.advance(40_000);
    source.push('.');
    await clock.advance(20_000);
    expect(await rejection).toMatchObject({ code: 'TIMEOUT_IDLE', keepAlives: 1, committed: false });
  });

  it.each([
    ['b?', true],
    ['a?', false],
  ])('fails "%s" after commit: %s', async (text, committed) => {
    const { source, open } = guard({ detect: letters });
    source.push(text);
    const failing = open().then((response) => {
      expect(committed).toBe(true);
      return response.text();
    });
    expect(await rejectionOf(failing)).toMatchObject({ code: 'STREAM_MALFORMED', committed });
  });

  it('is TIMEOUT_IDLE when what has begun is lost after a minute of silence', async () => {
    const { clock, source, open } = guard({ detect: letters, idleMs: 100_000 });
    const rejection = rejectionOf(open('a'));
    await clock.advance(70_000);
    source.fail(new TypeError('terminated'));
    expect(await rejection).toMatchObject({ code: 'TIMEOUT_IDLE', limitMs: 70_000, committed: false });
  });
});

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(chunks.flatMap((chunk) => [...chunk]));
}

// A reader reads past the guarded stream where it can. It used to do so beside other reads, and over what lay in the stream's queue.
describe('streamTimeout() and readers of the guarded stream', () => {
  const events = Array.from({ length: 12 }, (_, index) => `data: ${index}\n\n`);

  it.each([1, 2, 3, 4])('keeps the order of chunks for %i that read side by side', async (workers) => {
    const { source, open } = guard({}, sse);
    source.push(': k\n\n');
    const reader = readerOf(await open(events[0]));
    const seen: string[] = [];
    const work = async () => {
      for (let part = await reader.read(); !part.done; part = await reader.read())
        seen.push(textOf(part.value));
    };
    const all = Promise.all(Array.from({ length: workers }, work));
    source.push(...events.slice(1));
    source.close();
    await all;
    expect(seen.join('')).toBe(`: k\n\n${events.join('')}`);
  });

  it('gives a default reader what a reader with a buffer has left', async () => {
    const { source, open } = guard({}, sse, 'bytes');
    const body = (await open('data: 0123456789\n\n')).body as ReadableStream<Uint8Array<ArrayBuffer>>;
    const first = body.getReader({ mode: 'byob' });
    await first.read(new Uint8Array(5));
    first.releaseLock();
    source.push('data: next\n\n');
    const second = body.getReader();
    expect(textOf((await second.read()).value)).toBe(' 0123456789\n\n');
    expect(textOf((await second.read()).value)).toBe('data: next\n\n');
  });

  it('bounds the second of two reads too', async () => {
    const { clock, source, open } = guard({}, sse);
    const reader = readerOf(await open(event));
    await reader.read();
    const [one, two] = [reader.read(), reader.read()];
    source.push(event);
    await one;
    expect(await rejectionOf(clock.runUntil(two))).toHaveProperty('code', 'TIMEOUT_IDLE');
  });

  it('lets a pause be as long as it likes after a reader has let go in a read', async () => {
    const { clock, source, open } = guard({}, sse);
    const body = (await open(event)).body as ReadableStream<Uint8Array<ArrayBuffer>>;
    const first = body.getReader();
    await first.read();
    const left = rejectionOf(first.read());
    first.releaseLock();
    await left;
    await clock.advance(600_000);
    source.push('data: b\n\n');
    expect(textOf((await body.getReader().read()).value)).toBe('data: b\n\n');
  });

  it('tells that a body was used by a single read', async () => {
    const { open } = guard({ hold: 'headers' }, sse);
    const response = await open(event);
    const reader = readerOf(response);
    await reader.read();
    reader.releaseLock();
    expect(response.bodyUsed).toBe(true);
    expect(await rejectionOf(response.text())).toBeInstanceOf(TypeError);
  });
});
