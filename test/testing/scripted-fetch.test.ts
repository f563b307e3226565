import { getEventListeners } from 'node:events';
import { createFakeClock, createScriptedFetch, type ScriptedReply } from 'breakwater/testing';
import { describe, expect, it } from 'vitest';

const url = 'https://api.example/ask';
const post = (body: BodyInit, init: RequestInit = {}): RequestInit => ({ method: 'POST', body, ...init });

class Init implements RequestInit {
  method = 'POST';
  headers = new Headers({ 'x-own': 'yes' });
  body = 'own';
}

describe('createScriptedFetch()', () => {
  it('replies 503, 503, 200, and counts the two bodies that were cancelled', async () => {
    const fetch = createScriptedFetch(503, 503, 200);
    const statuses: number[] = [];
    for (let call = 0; call < 3; call++) {
      const response = await fetch(url);
      statuses.push(response.status);
      if (response.ok) expect(await response.json()).toEqual({ ok: true });
      else await response.body?.cancel();
    }
    expect(statuses).toEqual([503, 503, 200]);
    expect(fetch.cancelled).toBe(2);
    expect(fetch.active).toBe(0);
  });

  it('counts a body as open until it has been read', async () => {
    const fetch = createScriptedFetch(200);
    const response = await fetch(url);
    expect(fetch.active).toBe(1);
    await response.text();
    expect(fetch.active).toBe(0);
    expect(fetch.cancelled).toBe(0);
  });

  it('gives errors in the shape of the service', async () => {
    const fetch = createScriptedFetch(401, 418, 500, 503);
    for (const status of [401, 418, 500, 503]) {
      const response = await fetch(url);
      expect(response.status).toBe(status);
      expect(response.headers.get('content-type')).toBe('application/json');
      expect(await response.json()).toMatchObject({
        error: { message: expect.any(String), type: expect.any(String) },
      });
    }
  });

  it('records a call with text, and reads what was given as bytes or in a Request', async () => {
    const fetch = createScriptedFetch().always(204);
    await fetch(new URL(url), post('text', { headers: { 'X-One': '1' } }));
    await fetch(url, post(new TextEncoder().encode('bytes')));
    await fetch(new Request(url, { method: 'PUT', body: 'inside' }));
    await fetch(new Request(url, post('inside')), { body: 'outside' });
    await fetch(url, new Init());
    await fetch(url);
    expect(fetch.calls.map(({ method, text }) => [method, text])).toEqual([
      ['POST', 'text'],
      ['POST', 'bytes'],
      ['PUT', 'inside'],
      ['POST', 'outside'],
      ['POST', 'own'],
      ['GET', null],
    ]);
    expect(fetch.calls[0]?.url).toBe(url);
    expect(fetch.calls[0]?.headers.get('x-one')).toBe('1');
    expect(fetch.calls[4]?.headers.get('x-own')).toBe('yes');
    expect(fetch.calls[4]?.init).toBeInstanceOf(Init);
    expect(fetch.calls[1]?.body).toBeInstanceOf(Uint8Array);
  });

  it('gives parts: text as it is, objects as JSON, bytes and streams as they are', async () => {
    const stream = new Response('streamed').body as ReadableStream<Uint8Array>;
    const fetch = createScriptedFetch(
      { status: 202, headers: { 'x-a': 'b' }, body: 'text' },
      { body: { a: 1 } },
      { body: new TextEncoder().encode('bytes') },
      { body: stream },
      { body: null },
    );
    const first = await fetch(url);
    expect([first.status, first.url, first.headers.get('x-a'), first.headers.get('content-type')]).toEqual([
      202,
      url,
      'b',
      null,
    ]);
    expect(await first.text()).toBe('text');
    const json = await fetch(url);
    expect(json.headers.get('content-type')).toBe('application/json');
    expect(await json.json()).toEqual({ a: 1 });
    expect(await (await fetch(url)).text()).toBe('bytes');
    expect(await (await fetch(url)).text()).toBe('streamed');
    expect((await fetch(url)).body).toBeNull();
    expect(fetch.active).toBe(0);
  });

  it('rejects with a scripted error as it is', async () => {
    const error = new TypeError('fetch failed');
    const fetch = createScriptedFetch(error);
    await expect(fetch(url)).rejects.toBe(error);
    expect(fetch.active).toBe(0);
  });

  it('gives a Response once, and says so the second time', async () => {
    const fetch = createScriptedFetch().always(new Response('one'));
    expect(await (await fetch(url)).text()).toBe('one');
    await expect(fetch(url)).rejects.toThrow('Scripted Response was given before');
  });

  it('cancels the body of a Response that was scripted', async () => {
    let reason: unknown;
    const body = new ReadableStream<Uint8Array>({
      cancel: (given) => {
        reason = given;
      },
    });
    const fetch = createScriptedFetch(() => new Response(body));
    const response = await fetch(url);
    await response.body?.cancel('enough');
    expect(reason).toBe('enough');
    expect(fetch.cancelled).toBe(1);
  });

  it('asks a function, and gives it the call', async () => {
    const fetch = createScriptedFetch(async ({ text }) => Response.json({ heard: text }));
    expect(await (await fetch(url, post('hello'))).json()).toEqual({ heard: 'hello' });
  });

  it('delays the headers by the clock that it is given', async () => {
    const clock = createFakeClock();
    const fetch = createScriptedFetch({ delayMs: 500, clock });
    let status = 0;
    void fetch(url).then((response) => (status = response.status));
    await clock.advance(499);
    expect(status).toBe(0);
    await clock.advance(1);
    expect(status).toBe(200);
  });

  it('says in a sentence that the script is at its end', async () => {
    const fetch = createScriptedFetch(204);
    await fetch(url);
    await expect(fetch(`${url}?key=secret`, post('x'))).rejects.toThrow(
      new Error(
        'Scripted fetch has no reply left: 1 were scripted, and call 2 is POST https://api.example/ask',
      ),
    );
    fetch.reply(204);
    await expect(fetch(url)).resolves.toHaveProperty('status', 204);
    expect(fetch.active).toBe(0);
  });

  it('refuses what fetch refuses', async () => {
    const fetch = createScriptedFetch(200);
    await expect(fetch('no url')).rejects.toThrow(TypeError);
    await expect(fetch(url, { body: 'GET with a body' })).rejects.toThrow(TypeError);
    await expect(fetch(url, { headers: { 'bad\nname': '1' } })).rejects.toThrow(TypeError);
  });

  it('takes no reply for a call that was aborted before', async () => {
    const fetch = createScriptedFetch(204);
    const reason = new Error('before');
    await expect(fetch(url, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(fetch.calls).toHaveLength(1);
    await expect(fetch(url)).resolves.toHaveProperty('status', 204);
  });

  it.each<[string, ScriptedReply]>([
    ['hangs', 'hang'],
    ['is delayed', { delayMs: 1000, clock: createFakeClock() }],
    ['waits for a function', () => new Promise(() => undefined)],
  ])('rejects with the reason when the caller aborts a call that %s', async (_, reply) => {
    const fetch = createScriptedFetch(reply);
    const caller = new AbortController();
    const reason = { mine: true };
    const answer = fetch(url, { signal: caller.signal });
    expect(fetch.active).toBe(1);
    caller.abort(reason);
    await expect(answer).rejects.toBe(reason);
    expect(fetch.active).toBe(0);
    expect(getEventListeners(caller.signal, 'abort')).toHaveLength(0);
  });

  it('clears its timer when the caller aborts', async () => {
    const clock = createFakeClock();
    const fetch = createScriptedFetch({ delayMs: 1000, clock });
    const caller = new AbortController();
    const answer = fetch(url, { signal: caller.signal });
    await clock.settle();
    expect(clock.pendingTimers).toBe(1);
    caller.abort();
    await expect(answer).rejects.toBe(caller.signal.reason);
    expect(clock.pendingTimers).toBe(0);
  });

  it('breaks the body with the reason when the caller aborts after the headers', async () => {
    const fetch = createScriptedFetch(() => new Response(new ReadableStream<Uint8Array>()));
    const caller = new AbortController();
    const response = await fetch(new Request(url, { signal: caller.signal }));
    const reading = response.text();
    const reason = new Error('enough');
    caller.abort(reason);
    await expect(reading).rejects.toBe(reason);
    expect(fetch.active).toBe(0);
    expect(fetch.cancelled).toBe(0);
  });

  it('follows no signal when init says null', async () => {
    const fetch = createScriptedFetch(204);
    const request = new Request(url, { signal: AbortSignal.abort() });
    await expect(fetch(request, { signal: null })).resolves.toHaveProperty('status', 204);
  });

  it('leaves no listener on a signal that many calls share', async () => {
    const { signal } = new AbortController();
    const fetch = createScriptedFetch().always(200);
    for (let call = 0; call < 100; call++) await (await fetch(url, { signal })).text();
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  it.each([
    [
      99,
      RangeError,
      'Cannot script reply as "status" must be an integer from 200 to 599: current value is 99',
    ],
    [{ delayMs: -1 }, RangeError, 'Cannot script reply as "delayMs" must be a non-negative number'],
    [{ delayMs: 2 ** 31 }, RangeError, 'at most 2147483647 milliseconds'],
    [{ state: 200 }, TypeError, 'Cannot script reply as "state" is unknown: Did you mean "status"?'],
    [{ status: '200' }, TypeError, 'current value is "200"'],
    ['hung', TypeError, 'Cannot script reply from "hung": an object is needed'],
  ])('refuses the reply %o', (reply, type, message) => {
    const create = () => createScriptedFetch(reply as never);
    expect(create).toThrow(type);
    expect(create).toThrow(message);
    expect(() => createScriptedFetch().always(reply as never)).toThrow(type);
  });
});
