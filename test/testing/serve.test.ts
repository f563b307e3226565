import { createSimulator, type ScriptedFault, type Simulator } from 'breakwater/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Served, serve } from '../../playground/serve.ts';
import type { FetchLike } from '../../src/core/types.ts';
import { chunksOf, key, ping } from './ask.ts';

const streamed = { ...ping, stream: true };
const open: Served[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((served) => served.close()));
});

async function start(handler: FetchLike): Promise<Served> {
  const served = await serve(handler);
  open.push(served);
  return served;
}

async function simulate(...faults: ScriptedFault[]): Promise<{ simulator: Simulator; served: Served }> {
  const simulator = createSimulator();
  simulator.script(...faults);
  return { simulator, served: await start(simulator.fetch) };
}

function ask({ url }: Served, payload: unknown, init: RequestInit = {}): Promise<Response> {
  const headers = { authorization: key, 'content-type': 'application/json' };
  return fetch(`${url}/chat/completions`, {
    method: 'POST',
    headers,
    body: JSON.stringify(payload),
    ...init,
  });
}

describe('serve()', () => {
  it('passes status, headers and body on', async () => {
    const { served, simulator } = await simulate({ status: 429, retryAfter: 2 });
    const refused = await ask(served, ping);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('2');
    expect(refused.headers.get('x-ds-trace-id')).toMatch(/^[0-9a-f]{32}$/);
    expect(await refused.json()).toHaveProperty('error.type', 'rate_limit_error');
    expect(simulator.requests[0]).toMatchObject({ method: 'POST', payload: ping });
    const answered = await ask(served, streamed);
    const text = await answered.text();
    expect(chunksOf(text).length).toBeGreaterThan(5);
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
    expect(simulator.active).toBe(0);
  });

  it('keeps a missing content type missing', async () => {
    const { served } = await simulate();
    const response = await ask(served, ping, { headers: {} });
    expect(response.status).toBe(401);
    expect(response.headers.has('content-type')).toBe(false);
  });

  it('resets a connection in the place of headers', async () => {
    const { served } = await simulate({ resetBeforeHeaders: true });
    await expect(ask(served, ping)).rejects.toMatchObject({
      message: 'fetch failed',
      cause: { code: 'ECONNRESET' },
    });
  });

  it.each([0, 3])('resets a connection after the headers and %i chunks', async (resetAfterChunks) => {
    const { served } = await simulate({ resetAfterChunks });
    const response = await ask(served, streamed);
    expect(response.status).toBe(200);
    let text = '';
    const decoder = new TextDecoder();
    const reading = (async () => {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>)
        text += decoder.decode(chunk, { stream: true });
    })();
    await expect(reading).rejects.toThrow(TypeError);
    expect(chunksOf(text)).toHaveLength(resetAfterChunks);
  });

  it('ends a cut stream cleanly', async () => {
    const { served } = await simulate({ cutAfterChunks: 3 });
    expect(chunksOf(await (await ask(served, streamed)).text())).toHaveLength(3);
  });

  it('sends keep-alives while they last', async () => {
    const { served } = await simulate({ keepAliveMs: 3, everyMs: 1 });
    expect(await (await ask(served, streamed)).text()).toMatch(/^(: keep-alive\n\n){3}data: /);
  });

  it.each(['empty', 'blank-lines', 'html'] as const)('sends %s', async (instead) => {
    const { served } = await simulate({ instead });
    const response = await ask(served, streamed);
    expect(response.status).toBe(200);
    const text = await response.text();
    expect(text).toMatch({ empty: /^$/, 'blank-lines': /^\n+$/, html: /^<html>/ }[instead]);
  });

  it('aborts the handler when the client goes away from a stall', async () => {
    const { served, simulator } = await simulate({ stallAfterChunks: 2 }, { stallBeforeHeaders: true });
    const caller = new AbortController();
    const response = await ask(served, streamed, { signal: caller.signal });
    const reader = response.body!.getReader();
    expect((await reader.read()).done).toBe(false);
    expect(simulator.active).toBe(1);
    const waiting = ask(served, ping, { signal: caller.signal });
    await vi.waitFor(() => expect(simulator.active).toBe(2));
    caller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await vi.waitFor(() => expect(simulator.active).toBe(0));
    await vi.waitFor(() => expect(served.connections).toBe(0));
  });

  it('cancels the body of a handler that minds no signal', async () => {
    const cancelled = Promise.withResolvers<unknown>();
    const served = await start(
      async () => new Response(new ReadableStream({ cancel: (reason) => cancelled.resolve(reason) })),
    );
    const caller = new AbortController();
    await fetch(served.url, { signal: caller.signal });
    caller.abort();
    expect(await cancelled.promise).toMatchObject({ message: 'The client went away' });
  });

  it('reads no faster than the client does', async () => {
    let pulled = 0;
    const piece = new Uint8Array(65_536);
    const served = await start(
      async () =>
        new Response(
          new ReadableStream({
            pull(controller) {
              pulled++;
              controller.enqueue(piece);
              if (pulled === 2000) controller.close();
            },
          }),
        ),
    );
    const response = await fetch(served.url);
    let before = -1;
    await vi.waitFor(() => {
      const isQuiet = pulled > 0 && pulled === before;
      before = pulled;
      expect(isQuiet).toBe(true);
    });
    expect(pulled).toBeLessThan(1000);
    expect((await response.arrayBuffer()).byteLength).toBe(2000 * piece.length);
  });

  it('lets a page of any origin call, with its own headers', async () => {
    const { served } = await simulate();
    const preflight = await fetch(`${served.url}/chat/completions`, {
      method: 'OPTIONS',
      headers: { 'access-control-request-headers': 'authorization,x-own' },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-headers')).toBe('authorization,x-own');
    const response = await ask(served, ping);
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
    expect(response.headers.get('access-control-expose-headers')).toContain('x-ds-trace-id');
  });

  it('keeps every header of its name, and sends the body chunked', async () => {
    const served = await start(async () => {
      const headers = new Headers({ 'content-length': '99' });
      headers.append('set-cookie', 'a=1');
      headers.append('set-cookie', 'b=2');
      return new Response('short', { headers });
    });
    const response = await fetch(served.url);
    expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2']);
    expect(response.headers.has('content-length')).toBe(false);
    expect(await response.text()).toBe('short');
  });

  it('counts connections, and uses one again', async () => {
    const { served } = await simulate();
    for (let call = 0; call < 5; call++) await (await ask(served, ping)).text();
    // The client may open a second one when it asks again before the first is free.
    expect(served.opened).toBeLessThanOrEqual(2);
    expect(served.connections).toBe(served.opened);
  });

  it('ends everything at once when it is closed', async () => {
    const { served, simulator } = await simulate({ stallAfterChunks: 1 });
    const response = await ask(served, streamed);
    const reading = expect(response.text()).rejects.toThrow(TypeError);
    await served.close();
    await served.close();
    await reading;
    await vi.waitFor(() => expect(simulator.active).toBe(0));
    await expect(ask(served, ping)).rejects.toThrow('fetch failed');
  });

  it('rejects when the port is taken', async () => {
    const { served } = await simulate();
    const port = Number(new URL(served.url).port);
    await expect(serve(async () => new Response(), { port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });
});
