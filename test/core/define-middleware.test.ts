import { Call, compose, defineMiddleware } from 'breakwater';
import { describe, expect, it } from 'vitest';
import { recorder, rejection, thrownBy, url } from './stubs.ts';

describe('defineMiddleware()', () => {
  it('names the inner function, as stack traces show it', async () => {
    const failing = defineMiddleware('failing-layer', () => {
      throw new Error('own');
    })(recorder());
    expect(failing.name).toBe('failing-layer');
    expect(((await rejection(failing(url))) as Error).stack).toContain('failing-layer');
  });

  it('rejects with what its function throws', async () => {
    const own = new Error('own');
    const failing = defineMiddleware('failing', () => {
      throw own;
    })(recorder());
    expect(await rejection(failing(url))).toBe(own);
  });

  it('may answer by itself', async () => {
    const end = recorder();
    const response = new Response('cached');
    expect(await defineMiddleware('cache', async () => response)(end)(url)).toBe(response);
    expect(end.sent).toEqual([]);
  });

  it('may ask more than once, with forks', async () => {
    const end = recorder(503, 200);
    const twice = defineMiddleware('twice', async (call, next) => {
      await next(call.with({ body: 'first' }));
      return next(call.with({ body: 'second' }));
    });
    expect((await twice(end)(url, { method: 'POST', body: 'own' })).status).toBe(200);
    expect(end.sent.map(({ init }) => init.body)).toEqual(['first', 'second']);
  });

  it('calls the fetch below with the address and the Call', async () => {
    const end = recorder();
    const request = new Request(url);
    await defineMiddleware('own', (call, next) => next(call))(end)(request);
    await defineMiddleware('own', (call, next) => next(call.with({ url: `${url}&x` })))(end)(request);
    expect(end.sent.map(({ input }) => input)).toEqual([request, `${url}&x`]);
    expect(end.sent[0]?.init).toBeInstanceOf(Call);
  });

  it('sends what a fork changes, and nothing to the others', async () => {
    const end = recorder();
    const seen: unknown[] = [];
    await compose(
      defineMiddleware('outer', async (call, next) => {
        const response = await next(call);
        seen.push(call.headers.get('x-own'), call.body);
        return response;
      }),
      defineMiddleware('inner', (call, next) => {
        const headers = new Headers(call.headers);
        headers.set('x-own', 'changed');
        return next(call.with({ headers, body: 'changed' }));
      }),
    )(end)(url, { method: 'POST', body: 'own', headers: { 'x-own': 'own' } });
    expect(seen).toEqual(['own', 'own']);
    expect([new Headers(end.sent[0]?.init.headers).get('x-own'), end.sent[0]?.init.body]).toEqual([
      'changed',
      'changed',
    ]);
  });

  it.each([[undefined], [null], [{}], ['fetch']])('refuses to be applied to %s', (bad) => {
    const error = thrownBy(() => defineMiddleware('own', (call, next) => next(call))(bad as never));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toBe(
      `Cannot apply own middleware as the next fetch must be a function: current value is ${typeof bad}`,
    );
  });
});
