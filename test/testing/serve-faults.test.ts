import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import { inspect } from 'node:util';
import { createSimulator, type Fault, type Simulator } from 'breakwater/testing';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type Served, serve } from '../../playground/serve.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { FetchLike } from '../../src/core/types.ts';
import { key, ping } from './ask.ts';

const streamed = { ...ping, stream: true };
/** What counts as silence; nothing in these faults pauses for a tenth of it. */
const SILENCE_MS = 200;

/** What a caller sees of a body: how it ended, or that it did not. */
interface Seen {
  readonly status: number;
  readonly contentType: string | null;
  readonly bytes: string;
  readonly end: 'ended' | 'failed' | 'silent';
}

function simulate(fault: Fault): Simulator {
  const simulator = createSimulator({ clock: { ...systemClock, wall: () => 0 } });
  simulator.script(fault);
  return simulator;
}

async function start(handler: FetchLike): Promise<Served> {
  const served = await serve(handler);
  onTestFinished(() => served.close());
  return served;
}

function ask(fetch: FetchLike, url: string, payload: object, init: RequestInit = {}): Promise<Response> {
  const headers = { authorization: key, 'content-type': 'application/json' };
  return fetch(`${url}/chat/completions`, {
    method: 'POST',
    headers,
    body: JSON.stringify(payload),
    ...init,
  });
}

async function see(response: Response): Promise<Seen> {
  const { status, headers } = response;
  const parts: Uint8Array[] = [];
  const reader = response.body!.getReader();
  for (;;) {
    const silence = new AbortController();
    const next = await Promise.race([
      reader.read().catch(() => 'failed' as const),
      // The turn lets a busy process read what has arrived before it calls that silence.
      wait(SILENCE_MS, undefined, { signal: silence.signal })
        .then(() => turn())
        .then(() => 'silent' as const),
    ]);
    silence.abort();
    if (typeof next === 'object' && next.value) parts.push(next.value);
    else {
      const bytes = Buffer.concat(parts).toString('latin1');
      if (next === 'silent') await reader.cancel();
      const end = typeof next === 'string' ? next : 'ended';
      return { status, contentType: headers.get('content-type'), bytes, end };
    }
  }
}

describe('serve() does over real HTTP what the simulator does in the process', () => {
  const rows: [Seen['end'], Fault][] = [
    ['ended', {}],
    ['ended', { answer: 'Ahoy ⚓ 港, 👩‍👩‍👧' }],
    ['ended', { keepAliveMs: 9, everyMs: 3 }],
    ['ended', { keepAliveMs: 6, everyMs: 3, keepAliveAfterChunks: 4 }],
    ['ended', { firstTokenMs: 20 }],
    ['ended', { dripMs: 0, dripBytes: 5 }],
    ['ended', { dripMs: 1, dripBytes: 100, cutAfterChunks: 3 }],
    ['ended', { lineEnds: 'crlf', byteOrderMark: true, keepAliveMs: 3, everyMs: 3 }],
    ['ended', { lineEnds: 'cr' }],
    ['ended', { cutAfterChunks: 0 }],
    ['ended', { cutAfterChunks: 3 }],
    ['ended', { cutAfterChunks: -1 }],
    ['ended', { instead: 'empty' }],
    ['ended', { instead: 'blank-lines' }],
    ['ended', { instead: 'html' }],
    ['ended', { instead: 'error' }],
    ['ended', { instead: 'not-json', insteadAfterChunks: 3 }],
    ['ended', { instead: 'bare-text', insteadAfterChunks: 3 }],
    ['ended', { instead: 'endless-event', cutAfterChunks: 5 }],
    ['ended', { answer: '', finishReason: 'aborted' }],
    ['failed', { resetAfterChunks: 0 }],
    ['failed', { resetAfterChunks: 3 }],
    ['failed', { resetAfterChunks: Number.POSITIVE_INFINITY }],
    ['failed', { dripMs: 0, dripBytes: 7, resetAfterChunks: 2 }],
    ['silent', { stallAfterChunks: 0 }],
    ['silent', { stallAfterChunks: 3 }],
    ['silent', { stallAfterChunks: Number.POSITIVE_INFINITY }],
    ['silent', { instead: 'error', insteadAfterChunks: 3, stallAfterChunks: Number.POSITIVE_INFINITY }],
  ];

  it.each(rows.map(([end, fault]) => ({ end, fault, title: inspect(fault) })))(
    '$title: $end',
    async ({ end, fault }) => {
      const inProcess = simulate(fault);
      const expected = await see(await ask(inProcess.fetch, 'https://api.deepseek.com', streamed));
      const overHttp = simulate(fault);
      const { url } = await start(overHttp.fetch);
      const seen = await see(await ask(fetch, url, streamed));
      expect(seen).toEqual(expected);
      expect(seen.end).toBe(end);
      await vi.waitFor(() => expect([inProcess.active, overHttp.active]).toEqual([0, 0]));
    },
  );

  it('sends each piece of a drip when it is due', async () => {
    const simulator = simulate({ dripMs: 2, dripBytes: 40, cutAfterChunks: 2 });
    const { url } = await start(simulator.fetch);
    const response = await ask(fetch, url, streamed);
    const sizes: number[] = [];
    for await (const { length } of response.body as unknown as AsyncIterable<Uint8Array>) sizes.push(length);
    expect(sizes.length).toBeGreaterThan(3); // the socket may join some of them
    expect(Math.max(...sizes)).toBeLessThan(400);
  });

  it('takes the content type away where the fault does', async () => {
    const body = 'Authentication Fails (governor)';
    const simulator = simulate({ status: 401, body, headers: { 'content-type': null } });
    const { url } = await start(simulator.fetch);
    const response = await ask(fetch, url, ping);
    expect(response.status).toBe(401);
    expect(response.headers.has('content-type')).toBe(false);
    expect(await response.text()).toBe(body);
  });
});

describe('serve() lets the handler see the client go away', () => {
  it.each<[string, Fault]>([
    ['before the headers', { stallBeforeHeaders: true }],
    ['while it is queued', { keepAliveMs: Number.POSITIVE_INFINITY, everyMs: 5 }],
    ['in the middle of an answer', { dripMs: 5 }],
    ['in a stall', { stallAfterChunks: 3 }],
    ['after [DONE]', { stallAfterChunks: Number.POSITIVE_INFINITY }],
  ])('%s', async (_when, fault) => {
    const simulator = simulate(fault);
    let signal: AbortSignal | null | undefined;
    const { url } = await start((input, init) => {
      signal = init?.signal;
      return simulator.fetch(input, init);
    });
    const caller = new AbortController();
    const asking = ask(fetch, url, streamed, { signal: caller.signal });
    const reader = fault.stallBeforeHeaders ? undefined : (await asking).body!.getReader();
    await reader?.read();
    await vi.waitFor(() => expect(simulator.active).toBe(1));
    expect(signal?.aborted).toBe(false);
    const reading = (async () => {
      await asking;
      while (!(await reader?.read())?.done);
    })();
    caller.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
    await vi.waitFor(() => expect(simulator.active).toBe(0));
    expect(signal?.reason).toMatchObject({ message: 'The client went away' });
  });
});

describe('served.unplug()', () => {
  it('breaks every answer off where it is, and lets the next call in', async () => {
    const simulator = createSimulator();
    simulator.script({ stallAfterChunks: 3 }, { dripMs: 5 }, { stallBeforeHeaders: true });
    const served = await start(simulator.fetch);
    const bodies = [await ask(fetch, served.url, streamed), await ask(fetch, served.url, streamed)];
    const readings = bodies.map((response) => response.text());
    const waiting = ask(fetch, served.url, streamed);
    const outcomes = Promise.allSettled([...readings, waiting]);
    await vi.waitFor(() => expect(simulator.active).toBe(3));
    served.unplug();
    expect(
      (await outcomes).map((outcome) => outcome.status === 'rejected' && outcome.reason.message),
    ).toEqual(['terminated', 'terminated', 'fetch failed']);
    await vi.waitFor(() => expect(served.connections).toBe(0));
    expect(simulator.active).toBe(0);
    expect(await (await ask(fetch, served.url, streamed)).text()).toContain('data: [DONE]');
  });
});
