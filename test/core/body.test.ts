import { compose, type FetchLike, fallback, observe, payloadSchema, retry, streamTimeout } from 'breakwater';
import { createFakeClock, createScriptedFetch } from 'breakwater/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Served, serve } from '../../playground/serve.ts';
import { isReplayable, loadBody, MAX_REPLAY_BYTES, payloadOf } from '../../src/core/body.ts';
import { toCall } from '../../src/core/call.ts';
import { recorder, rejection, url } from './stubs.ts';

const clock = createFakeClock();
const noWait = { clock, baseDelayMs: 0 };
const bytes = Uint8Array.from({ length: 300 }, (_, index) => index % 256);
const received: { body: Uint8Array; type: string | null }[] = [];
let served: Served;

beforeAll(async () => {
  served = await serve(async (_, init = {}) => {
    received.push({
      body: new Uint8Array(init.body as Uint8Array),
      type: new Headers(init.headers).get('content-type'),
    });
    return new Response('', { status: received.length % 3 ? 503 : 200 });
  });
});
beforeEach(() => void received.splice(0));
afterAll(() => served.close());

function form(): FormData {
  const data = new FormData();
  data.set('field', 'väl\r\nue');
  data.set('file', new Blob([bytes], { type: 'x/y' }), 'name.bin');
  return data;
}

function streamOf(...chunks: Uint8Array[]): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    pull(controller) {
      const chunk = chunks.shift();
      if (chunk) controller.enqueue(chunk as Uint8Array<ArrayBuffer>);
      else controller.close();
    },
  });
}

const kinds: [kind: string, body: () => BodyInit][] = [
  ['a string', () => 'tëxt \u{1f30a}'],
  ['an empty string', () => ''],
  ['a Uint8Array', () => bytes.slice()],
  ['a view of a part of a buffer', () => bytes.subarray(10, 20)],
  ['a DataView', () => new DataView(bytes.buffer, 5, 100)],
  ['an ArrayBuffer', () => bytes.slice().buffer],
  ['a Blob', () => new Blob([bytes], { type: 'application/x-own' })],
  ['URLSearchParams', () => new URLSearchParams({ a: '1 &', b: 'ü' })],
  ['FormData', form],
];

/** A form has another boundary each time that it is sent. */
function unbound({ body, type }: (typeof received)[number]): [string, string | null] {
  const boundary = /boundary=(.*)$/.exec(type ?? '')?.[1];
  const text = Buffer.from(body).toString('latin1');
  return boundary ? [text.replaceAll(boundary, '(boundary)'), type!.replace(boundary, '')] : [text, type];
}

describe('retry() over HTTP', () => {
  it.each(kinds)('sends %s three times byte for byte', async (_, body) => {
    const init = { method: 'POST', body: body() };
    expect((await retry(noWait)(fetch)(served.url, init)).status).toBe(200);
    await fetch(served.url, { method: 'POST', body: body() });
    const [first, second, third, plain] = received.map(unbound);
    expect(received).toHaveLength(4);
    expect(first).toEqual(plain);
    expect(second).toEqual(plain);
    expect(third).toEqual(plain);
  });

  it.each(kinds)('sends a Request with %s three times byte for byte', async (_, body) => {
    const events: string[] = [];
    const chain = compose(
      observe(({ type }) => events.push(type)),
      payloadSchema({ '~standard': { version: 1, vendor: 'own', validate: () => ({}) } }),
      fallback(),
      retry(noWait),
    );
    const response = await chain(fetch)(new Request(served.url, { method: 'POST', body: body() }));
    expect(response.status).toBe(200);
    await fetch(served.url, { method: 'POST', body: body() });
    const [first, second, third, plain] = received.map(unbound);
    expect(first).toEqual(plain);
    expect(second).toEqual(plain);
    expect(third).toEqual(plain);
    expect(received[1]).toEqual(received[0]);
    expect(received[2]).toEqual(received[0]);
    expect(events).not.toContain('body.single-attempt');
  });

  it('sends a Request of any kind of body that an init replaces', async () => {
    const request = new Request(served.url, { method: 'POST', body: 'not this' });
    await retry(noWait)(fetch)(request, { body: 'this' });
    expect(received.map(({ body }) => new TextDecoder().decode(body))).toEqual(['this', 'this', 'this']);
    expect(request.bodyUsed).toBe(false);
  });

  it('sends a Request past maxReplayBytes as prefix and rest: once, and byte for byte', async () => {
    const parts = [bytes, bytes.subarray(0, 1), bytes, bytes];
    const events: unknown[] = [];
    const chain = compose(
      observe((event) => events.push(event)),
      retry({ ...noWait, maxReplayBytes: 300 }),
    );
    const body = streamOf(...parts);
    const response = await chain(fetch)(
      new Request(served.url, { method: 'POST', body, duplex: 'half' } as RequestInit),
    );
    expect(response.status).toBe(503);
    expect(received).toHaveLength(1);
    expect(Buffer.from(received[0]!.body)).toEqual(Buffer.concat(parts));
    expect(events).toContainEqual(expect.objectContaining({ type: 'body.single-attempt' }));
    expect(events).toContainEqual(
      expect.objectContaining({ type: 'retry.refused', reason: 'single-attempt', cause: 503 }),
    );
  });

  it('keeps a Request of exactly maxReplayBytes', async () => {
    const request = new Request(served.url, { method: 'POST', body: bytes });
    const response = await retry({ ...noWait, maxReplayBytes: bytes.length })(fetch)(request);
    expect(response.status).toBe(200);
    expect(received).toHaveLength(3);
  });

  it.each<[of: string, body: () => unknown]>([
    ['a stream', () => streamOf(bytes)],
    [
      'an async generator',
      () =>
        (async function* () {
          yield bytes;
        })(),
    ],
  ])('sends %s once, and says so before it does', async (_, body) => {
    const events: string[] = [];
    const end: FetchLike = (input, init) => {
      events.push('(sent)');
      return fetch(input, init);
    };
    const chain = compose(
      observe(({ type }) => events.push(type)),
      retry(noWait),
    )(end);
    const init = { method: 'POST', body: body(), duplex: 'half' } as RequestInit;
    expect((await chain(served.url, init)).status).toBe(503);
    expect(received).toEqual([{ body: bytes, type: null }]);
    expect(events).toEqual([
      'call.started',
      'body.single-attempt',
      'attempt.started',
      '(sent)',
      'retry.refused',
      'call.settled',
    ]);
  });

  it('passes on what fetch says of a Request that was used', async () => {
    const request = new Request(served.url, { method: 'POST', body: 'x' });
    await request.text();
    const plain = (await rejection(fetch(request))) as Error;
    const chain = compose(
      payloadSchema({ '~standard': { version: 1, vendor: 'own', validate: () => ({}) } }),
      fallback({ model: 'm' }),
      retry(noWait),
      streamTimeout({ clock }),
    );
    const error = await rejection(chain(fetch)(request));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toBe(plain.message);
    expect([received.length, clock.pendingTimers]).toEqual([0, 0]);
  });

  it('passes on what fetch says of a Request whose body is being read', async () => {
    const request = new Request(served.url, { method: 'POST', body: 'x' });
    request.body?.getReader();
    expect(await rejection(retry(noWait)(fetch)(request))).toBeInstanceOf(TypeError);
    expect(received).toHaveLength(0);
  });
});

describe('loadBody()', () => {
  const stalled = (signal: AbortSignal, cancel: (reason: unknown) => void = () => undefined) =>
    new Request(url, {
      method: 'POST',
      body: new ReadableStream({ cancel }),
      duplex: 'half',
      signal,
    } as RequestInit);

  it('ends when the caller aborts while the body is read', async () => {
    const caller = new AbortController();
    const cancelled: unknown[] = [];
    const failed = rejection(
      retry(noWait)(recorder())(stalled(caller.signal, (reason) => cancelled.push(reason))),
    );
    await clock.settle();
    const reason = new Error('enough');
    caller.abort(reason);
    expect(await failed).toBe(reason);
    expect(cancelled).toEqual([reason]);
  });

  it('ends at once when the caller has aborted before', async () => {
    // It used to wait for the body: an event that has passed never comes.
    const end = recorder();
    const reason = new Error('enough');
    const call = loadBody(toCall(stalled(AbortSignal.abort(reason))));
    expect(await rejection(call)).toBe(reason);
    expect(end.sent).toHaveLength(0);
  });

  it('passes on the error of a body that breaks', async () => {
    const broken = new Error('broken');
    const body = new ReadableStream({ pull: (controller) => controller.error(broken) });
    const request = new Request(url, { method: 'POST', body, duplex: 'half' } as RequestInit);
    expect(await rejection(retry(noWait)(recorder())(request))).toBe(broken);
  });

  it('leaves everything else as it is', async () => {
    const calls = [
      toCall(url, { method: 'POST', body: 'x' }),
      toCall(new Request(url)),
      toCall(new Request(url, { method: 'POST' })),
      toCall(new Request(url, { method: 'POST', body: 'x' }), { body: 'y' }),
    ];
    for (const call of calls) expect(await loadBody(call)).toBe(call);
  });

  it('reads whole what cannot be sent as a stream', async () => {
    vi.stubGlobal('location', { href: 'https://page.example/' });
    const call = await loadBody(toCall(new Request(url, { method: 'POST', body: bytes })), 1);
    vi.unstubAllGlobals();
    expect(new Uint8Array(call.body as ArrayBuffer)).toEqual(bytes);
    expect(isReplayable(call)).toBe(true);
  });

  it('reads whole where a Request does not say what body it has', async () => {
    const request = new Request(url, { method: 'POST', body: bytes });
    Object.defineProperty(request, 'body', { value: undefined });
    const call = await loadBody(toCall(request), 1);
    expect(new Uint8Array(call.body as ArrayBuffer)).toEqual(bytes);
  });

  it('cancels the rest when the prefix is given up', async () => {
    const cancelled: unknown[] = [];
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue(bytes.slice()),
      cancel: (reason) => void cancelled.push(reason),
    });
    const request = new Request(url, { method: 'POST', body, duplex: 'half' } as RequestInit);
    const call = await loadBody(toCall(request), 1);
    expect(isReplayable(call)).toBe(false);
    await (call.body as ReadableStream).cancel('given up');
    expect(cancelled).toEqual(['given up']);
  });
});

describe('isReplayable()', () => {
  it.each(kinds)('says yes to %s', (_, body) => {
    expect(isReplayable(toCall(url, { method: 'POST', body: body() }))).toBe(true);
  });

  it('says no to a Request that has not been read, and to one that was used', async () => {
    const request = new Request(url, { method: 'POST', body: 'x' });
    expect(isReplayable(toCall(request))).toBe(false);
    await request.text();
    expect(isReplayable(toCall(request))).toBe(false);
    expect(isReplayable(toCall(request, { body: 'y' }))).toBe(true);
    expect(isReplayable(toCall(new Request(url)))).toBe(true);
  });

  it('keeps 8 MiB', () => {
    expect(MAX_REPLAY_BYTES).toBe(8_388_608);
  });
});

describe('payloadOf()', () => {
  it.each<[of: string, body: BodyInit | null, payload: unknown]>([
    ['a string', '{"a":1}', { a: 1 }],
    ['bytes', new TextEncoder().encode('{"ä":1}'), { ä: 1 }],
    ['a buffer', new TextEncoder().encode('[1]').buffer, [1]],
    ['a view of a part', new TextEncoder().encode('xx[1]').subarray(2), [1]],
    ['a byte order mark', new TextEncoder().encode('\ufeff[1]'), [1]],
    ['null', 'null', null],
    ['no JSON', 'ping', undefined],
    ['cut JSON', '{"a":', undefined],
    ['an empty string', '', undefined],
    ['a Blob', new Blob(['{}']), undefined],
    ['a form', new FormData(), undefined],
    ['nothing', null, undefined],
  ])('reads %s', (_, body, payload) => {
    expect(payloadOf(toCall(url, { method: 'POST', body }))).toEqual(payload);
  });

  it.each(['{"a":1}', 'ping'])('parses %s once per call, however many layers ask', async (body) => {
    const parse = vi.spyOn(JSON, 'parse');
    const asks = payloadSchema({ '~standard': { version: 1, vendor: 'own', validate: () => ({}) } });
    const chain = compose(asks, asks, retry(noWait), asks, fallback({ model: 'b' }, { model: 'c' }));
    const scripted = createScriptedFetch(503, 503, 503, 503, 503, 200);
    await chain(scripted)(url, { method: 'POST', body });
    expect(scripted.calls).toHaveLength(6);
    expect(parse.mock.calls).toHaveLength(1);
    parse.mockRestore();
  });

  it('parses another body anew', () => {
    const call = toCall(url, { method: 'POST', body: '[1]' });
    expect(payloadOf(call)).toEqual([1]);
    expect(payloadOf(call.with({ body: '[2]' }))).toEqual([2]);
    expect(payloadOf(call)).toEqual([1]);
  });
});
