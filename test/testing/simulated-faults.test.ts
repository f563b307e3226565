import { getEventListeners } from 'node:events';
import { createFakeClock, createSimulator, type ScriptedFault } from 'breakwater/testing';
import { describe, expect, it } from 'vitest';
import { ask, chunksOf, ping } from './ask.ts';

const streamed = { ...ping, stream: true };

function simulate(...faults: ScriptedFault[]) {
  const clock = createFakeClock();
  const simulator = createSimulator({ clock });
  simulator.script(...faults);
  return { clock, simulator };
}

/** Reads to the end, and notes each chunk with the time of its arrival. */
async function listen(response: Response, now: () => number): Promise<[text: string, atMs: number][]> {
  const heard: [string, number][] = [];
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  for (let chunk = await reader?.read(); chunk && !chunk.done; chunk = await reader?.read())
    heard.push([decoder.decode(chunk.value, { stream: true }), now()]);
  return heard;
}

describe('simulator.script()', () => {
  it('spends one fault on each call, in order, and then answers normally', async () => {
    const { simulator } = simulate(503, 'ok', {}, { status: 429 });
    const statuses: number[] = [];
    for (let call = 0; call < 5; call++) {
      const response = await ask(simulator, ping);
      statuses.push(response.status);
      await response.text();
    }
    expect(statuses).toEqual([503, 200, 200, 429, 200]);
    expect(simulator.active).toBe(0);
  });

  it.each<[number, string | null, RegExp]>([
    [400, 'application/json', /Content Exists Risk/],
    [402, 'application/json', /"Insufficient Balance","type":"unknown_error"/],
    [404, null, /^$/],
    [413, 'text/html', /<title>413 Request Entity Too Large<\/title>/],
    [422, 'application/octet-stream', /^Failed to deserialize the JSON body/],
    [429, 'application/json', /Your current concurrency is 26.*"rate_limit_error"/],
    [500, 'text/html', /500 Internal Server Error[\s\S]*<center>openresty<\/center>/],
    [502, 'text/html', /502 Bad Gateway[\s\S]*nginx\/1\.26\.0/],
    [503, 'application/json', /Service is too busy.*"service_unavailable_error"/],
    [504, 'text/html', /504 Gateway Time-out[\s\S]*nginx\/1\.26\.0/],
    [520, 'text/html', /520 Error/],
  ])('answers %i as the service does, whatever the request', async (status, type, body) => {
    const response = await ask(simulate(status).simulator, undefined, { headers: {} });
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toBe(type);
    expect(response.headers.has('x-ds-trace-id')).toBe(true);
    expect(await response.text()).toMatch(body);
  });

  it('sends Retry-After, further headers and a body of the test', async () => {
    const { simulator } = simulate(
      { status: 429, retryAfter: 7, retryAfterMs: 6500, headers: { 'X-Own': 'yes' }, body: { error: 1 } },
      { status: 503, retryAfter: 'Wed, 21 Oct 2026 07:28:00 GMT', body: 'busy' },
    );
    const first = await ask(simulator, ping);
    expect(first.headers.get('retry-after')).toBe('7');
    expect(first.headers.get('retry-after-ms')).toBe('6500');
    expect(first.headers.get('x-own')).toBe('yes');
    expect(await first.json()).toEqual({ error: 1 });
    const second = await ask(simulator, ping);
    expect(second.headers.get('retry-after')).toBe('Wed, 21 Oct 2026 07:28:00 GMT');
    expect(await second.text()).toBe('busy');
  });

  it('takes a header away', async () => {
    const headers = { 'content-type': null, 'X-DS-Trace-Id': null };
    const { simulator } = simulate({ status: 401, body: 'Authentication Fails (governor)', headers });
    const response = await ask(simulator, ping);
    expect([...response.headers.keys()]).toEqual([]);
    expect(await response.text()).toBe('Authentication Fails (governor)');
  });

  it('gives no body to a status that has none', async () => {
    const { simulator } = simulate(204, 304);
    expect((await ask(simulator, ping)).body).toBeNull();
    expect((await ask(simulator, ping)).body).toBeNull();
    expect(simulator.active).toBe(0);
  });

  it.each([
    ['empty', 'text/event-stream; charset=utf-8', /^$/],
    ['blank-lines', 'text/event-stream; charset=utf-8', /^\n+$/],
    ['html', 'text/html', /502 Bad Gateway/],
  ] as const)('puts %s in the place of an answer', async (instead, type, body) => {
    const response = await ask(simulate({ instead }).simulator, streamed);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe(type);
    expect(await response.text()).toMatch(body);
  });

  it('queues a stream with comments every twelve seconds, then answers', async () => {
    const { clock, simulator } = simulate({ keepAliveMs: 30_000 });
    const startMs = clock.now();
    const response = await ask(simulator, streamed);
    const heard = await clock.runUntil(listen(response, () => clock.now() - startMs));
    expect(heard.slice(0, 2)).toEqual([
      [': keep-alive\n\n', 12_000],
      [': keep-alive\n\n', 24_000],
    ]);
    expect(heard[2]?.[0]).toMatch(/^data: /);
    expect(heard[2]?.[1]).toBe(30_000);
  });

  it('queues an answer that is not streamed with blank lines, which are JSON all the same', async () => {
    const { clock, simulator } = simulate({ keepAliveMs: 10_000, everyMs: 5000, firstTokenMs: 2000 });
    const startMs = clock.now();
    const text = await clock.runUntil(ask(simulator, ping).then((response) => response.text()));
    expect(text).toMatch(/^\n\n\{/);
    expect(JSON.parse(text)).toHaveProperty('object', 'chat.completion');
    expect(clock.now() - startMs).toBe(12_000);
  });

  it('queues for ever', async () => {
    const { clock, simulator } = simulate({ keepAliveMs: Number.POSITIVE_INFINITY });
    const response = await ask(simulator, streamed);
    const reader = response.body!.getReader();
    for (let count = 0; count < 100; count++)
      expect((await clock.runUntil(reader.read())).value).toEqual(
        new TextEncoder().encode(': keep-alive\n\n'),
      );
    await reader.cancel();
    expect(simulator.active).toBe(0);
  });

  it.each([
    ['the first token', { firstTokenMs: 5000 }, 5000],
    ['the headers', { latencyMs: 3000 }, 3000],
  ])('delays %s', async (_, fault, expectedMs) => {
    const { clock, simulator } = simulate(fault);
    const startMs = clock.now();
    await clock.runUntil(ask(simulator, streamed).then((response) => response.text()));
    expect(clock.now() - startMs).toBe(expectedMs);
  });

  it('paces chunks by tokenMs, and makes an answer that is not streamed wait as long before its first byte', async () => {
    const clock = createFakeClock();
    const simulator = createSimulator({ clock, latencyMs: 50, tokenMs: 10, answer: 'one two three' });
    const startMs = clock.now();
    const response = await clock.runUntil(ask(simulator, streamed));
    expect(clock.now() - startMs).toBe(50);
    const heard = await clock.runUntil(listen(response, () => clock.now() - startMs));
    expect(heard.map(([, atMs]) => atMs)).toEqual(heard.map((_, index) => 50 + 10 * index));
    const wholeMs = clock.now();
    const whole = await clock.runUntil(ask(simulator, ping));
    const pieces = await clock.runUntil(listen(whole, () => clock.now()));
    expect(new Set(pieces.map(([, atMs]) => atMs)).size).toBe(1);
    expect(clock.now() - wholeMs).toBeGreaterThan(60);
  });

  it('resets before the headers as a runtime does', async () => {
    const { simulator } = simulate({ resetBeforeHeaders: true });
    const error = await ask(simulator, ping).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({ message: 'fetch failed', cause: { code: 'ECONNRESET' } });
    expect(simulator.active).toBe(0);
  });

  it.each([0, 2])('resets after %i chunks', async (resetAfterChunks) => {
    const { simulator } = simulate({ resetAfterChunks });
    const response = await ask(simulator, streamed);
    expect(response.status).toBe(200);
    const reader = response.body!.getReader();
    for (let chunk = 0; chunk < resetAfterChunks; chunk++) expect((await reader.read()).done).toBe(false);
    await expect(reader.read()).rejects.toThrow(new TypeError('terminated'));
    expect(simulator.active).toBe(0);
  });

  it.each([
    [0, 0, undefined],
    [3, 3, undefined],
    [-1, 'all', 'stop'],
    [-2, 'all but the finish', undefined],
    [-10_000, 0, undefined],
    [10_000, 'all', 'stop'],
  ])('cuts cleanly after %i chunks', async (cutAfterChunks, expected, finish) => {
    const full = chunksOf(await (await ask(simulate().simulator, streamed)).text());
    const { simulator } = simulate({ cutAfterChunks });
    const text = await (await ask(simulator, streamed)).text();
    const chunks = chunksOf(text);
    const counts = { all: full.length, 'all but the finish': full.length - 1 };
    expect(chunks).toHaveLength(typeof expected === 'number' ? expected : counts[expected as 'all']);
    expect(chunks.at(-1)?.choices[0]?.finish_reason ?? undefined).toBe(finish);
    expect(text.includes('[DONE]')).toBe(cutAfterChunks === 10_000);
  });

  it.each([
    [2, 2],
    [Number.POSITIVE_INFINITY, undefined],
  ])('stalls after %d chunks until the caller aborts', async (stallAfterChunks, expected) => {
    const { clock, simulator } = simulate({ stallAfterChunks });
    const caller = new AbortController();
    const response = await ask(simulator, streamed, { signal: caller.signal });
    let text = '';
    const reading = (async () => {
      const decoder = new TextDecoder();
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>)
        text += decoder.decode(chunk);
    })();
    await clock.advance(600_000);
    expect(simulator.active).toBe(1);
    expect(clock.pendingTimers).toBe(0);
    if (expected === undefined) expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
    else expect(chunksOf(text)).toHaveLength(expected);
    const reason = new Error('too long');
    caller.abort(reason);
    await expect(reading).rejects.toBe(reason);
    expect(simulator.active).toBe(0);
  });

  it('never sends headers until the caller aborts', async () => {
    const { clock, simulator } = simulate({ stallBeforeHeaders: true });
    const caller = new AbortController();
    const answer = ask(simulator, ping, { signal: caller.signal });
    await clock.advance(600_000);
    caller.abort('reason');
    await expect(answer).rejects.toBe('reason');
    expect(simulator.active).toBe(0);
  });

  it('drips byte by byte', async () => {
    const { clock, simulator } = simulate({ dripMs: 5, body: 'drip', firstTokenMs: 100 });
    const startMs = clock.now();
    const response = await ask(simulator, ping);
    const heard = await clock.runUntil(listen(response, () => clock.now() - startMs));
    expect(heard).toEqual([
      ['d', 105],
      ['r', 110],
      ['i', 115],
      ['p', 120],
    ]);
  });

  it.each([{ dripMs: 0, dripBytes: 3 }, { dripBytes: 3 }])('drips without a timer: %o', async (drip) => {
    const { clock, simulator } = simulate({ ...drip, body: 'drip drip' });
    const heard = await listen(await ask(simulator, ping), () => clock.now());
    expect(heard.map(([text]) => text)).toEqual(['dri', 'p d', 'rip']);
  });

  it('ends with another finish reason', async () => {
    const finishReason = 'insufficient_system_resource';
    const { simulator } = simulate({ finishReason }, { finishReason });
    const chunks = chunksOf(await (await ask(simulator, streamed)).text());
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe(finishReason);
    expect(await (await ask(simulator, ping)).json()).toHaveProperty('choices.0.finish_reason', finishReason);
  });

  it('composes: queued, late, then broken off', async () => {
    const { clock, simulator } = simulate({ keepAliveMs: 12_000, firstTokenMs: 1000, cutAfterChunks: 1 });
    const startMs = clock.now();
    const response = await ask(simulator, streamed);
    const heard = await clock.runUntil(listen(response, () => clock.now() - startMs));
    expect(heard).toEqual([
      [': keep-alive\n\n', 12_000],
      [expect.stringMatching(/^data: /), 13_000],
    ]);
  });

  it('shapes a refusal too', async () => {
    const { simulator } = simulate({ cutAfterChunks: 0 });
    const response = await ask(simulator, { ...ping, messages: [] });
    expect(response.status).toBe(400);
    expect(await response.text()).toBe('');
  });

  it('produces nothing before it is asked for', async () => {
    const { clock, simulator } = simulate({ keepAliveMs: 30_000 });
    const response = await ask(simulator, streamed);
    await clock.advance(60_000);
    expect(clock.pendingTimers).toBe(0);
    await response.body?.cancel();
    expect(simulator.active).toBe(0);
  });

  it.each<[string, ScriptedFault]>([
    ['is on its way', { latencyMs: 1000 }],
    ['is queued', { keepAliveMs: 30_000 }],
    ['is late', { firstTokenMs: 1000 }],
    ['drips', { dripMs: 1000 }],
  ])('leaves no timer and no listener when the caller aborts a call that %s', async (_, fault) => {
    const { clock, simulator } = simulate(fault);
    const caller = new AbortController();
    const reason = new Error('mine');
    const answer = ask(simulator, streamed, { signal: caller.signal }).then((response) => response.text());
    await clock.settle();
    expect(clock.pendingTimers).toBe(1);
    caller.abort(reason);
    await expect(answer).rejects.toBe(reason);
    expect(clock.pendingTimers).toBe(0);
    expect(simulator.active).toBe(0);
    expect(getEventListeners(caller.signal, 'abort')).toHaveLength(0);
  });

  it('leaves no timer when a body is cancelled in the middle of a pause', async () => {
    const { clock, simulator } = simulate({ firstTokenMs: 1000 });
    const response = await ask(simulator, streamed);
    const reader = response.body!.getReader();
    const reading = reader.read();
    await clock.settle();
    expect(clock.pendingTimers).toBe(1);
    await reader.cancel();
    expect((await reading).done).toBe(true);
    expect(clock.pendingTimers).toBe(0);
    expect(simulator.active).toBe(0);
  });

  it('neither records nor spends a fault on a call that was aborted before', async () => {
    const { simulator } = simulate(503);
    const signal = AbortSignal.abort('before');
    await expect(ask(simulator, ping, { signal })).rejects.toBe('before');
    expect(simulator.requests).toHaveLength(0);
    expect((await ask(simulator, ping)).status).toBe(503);
  });

  it.each([
    [{ stallAfter: 3 }, TypeError, 'Cannot script fault as "stallAfter" is unknown'],
    [
      { retryAftr: 3 },
      TypeError,
      'Cannot script fault as "retryAftr" is unknown: Did you mean "retryAfter"?',
    ],
    [
      700,
      RangeError,
      'Cannot script fault as "status" must be an integer from 200 to 599: current value is 700',
    ],
    [{ dripMs: -1 }, RangeError, '"dripMs" must be a non-negative number: current value is -1'],
    [{ keepAliveMs: Number.NaN }, RangeError, '"keepAliveMs" must be a non-negative number'],
    [{ everyMs: 0 }, RangeError, '"everyMs" must be a positive number: current value is 0'],
    [{ dripBytes: 0 }, RangeError, '"dripBytes" must be a positive integer'],
    [
      { cutAfterChunks: 1.5 },
      RangeError,
      '"cutAfterChunks" must be an integer or Infinity: current value is 1.5',
    ],
    [{ cutAfterChunks: '1' }, TypeError, '"cutAfterChunks" must be a number: current value is "1"'],
    [{ resetBeforeHeaders: 1 }, TypeError, '"resetBeforeHeaders" must be a boolean'],
    [{ instead: 'nothing' }, TypeError, '"bare-text" or "endless-event": current value is "nothing"'],
    [{ instead: 'html', body: 'x' }, TypeError, '"instead" must be left out when "body" is set'],
    [
      { insteadAfterChunks: 3 },
      TypeError,
      '"insteadAfterChunks" must be left out without "instead" or "body": current value is 3',
    ],
    [{ instead: 'error', insteadAfterChunks: 0.5 }, RangeError, '"insteadAfterChunks" must be an integer'],
    [{ keepAliveAfterChunks: 3 }, TypeError, '"keepAliveAfterChunks" must be left out without "keepAliveMs"'],
    [
      { usage: 'last' },
      TypeError,
      '"usage" must be "on-finish", "trailing", "scattered" or "none": current value is "last"',
    ],
    [{ lineEnds: '\r\n' }, TypeError, '"lineEnds" must be "lf", "crlf" or "cr"'],
    [{ byteOrderMark: 1 }, TypeError, '"byteOrderMark" must be a boolean'],
    [{ answer: 5 }, TypeError, 'Cannot script fault as "answer" must be a string, an object or a function'],
    [{ answer: { contents: '' } }, TypeError, '"contents" is unknown: Did you mean "content"?'],
    ['okay', TypeError, 'Cannot script fault from "okay": an object is needed'],
  ])('refuses the fault %o', (fault, type, message) => {
    const script = () => createSimulator().script(fault as never);
    expect(script).toThrow(type);
    expect(script).toThrow(message);
  });
});
