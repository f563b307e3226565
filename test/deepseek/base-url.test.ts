import { createDeepSeek, DEEPSEEK_BASE_URL, deepseek } from 'breakwater/deepseek';
import { createScriptedFetch } from 'breakwater/testing';
import { describe, expect, it } from 'vitest';
import { rejectionOf } from '../middleware/witness.ts';
import { apiKey, endpoint, ping, play, pong, served, simulate, watch } from './stage.ts';

/** Where a chat goes. */
async function chatUrl(baseURL: string | URL | undefined): Promise<string | undefined> {
  const { ai, run, fetch } = play({ baseURL }, { body: pong });
  await run(ai.chat(ping));
  return fetch.calls[0]?.url;
}

describe('baseURL', () => {
  it.each([
    [undefined, endpoint],
    [DEEPSEEK_BASE_URL, endpoint],
    ['https://api.deepseek.com/', endpoint],
    ['https://api.deepseek.com//', endpoint],
    ['https://api.deepseek.com/chat/completions', endpoint],
    ['https://api.deepseek.com/chat/completions/', endpoint],
    [' https://api.deepseek.com\n', endpoint],
    ['HTTPS://API.DEEPSEEK.COM', endpoint],
    ['https://api.deepseek.com?x=1#y', endpoint],
    [new URL('https://api.deepseek.com/'), endpoint],
    ['https://api.deepseek.com/v1', 'https://api.deepseek.com/v1/chat/completions'],
    ['https://api.deepseek.com/v1/', 'https://api.deepseek.com/v1/chat/completions'],
    ['https://api.deepseek.com/beta/chat/completions', 'https://api.deepseek.com/beta/chat/completions'],
    ['https://proxy.example:8443/a/b/', 'https://proxy.example:8443/a/b/chat/completions'],
    ['https://proxy.example/chat', 'https://proxy.example/chat/chat/completions'],
  ])('%s asks %s', async (baseURL, url) => {
    expect(await chatUrl(baseURL)).toBe(url);
  });

  it.each(['http://localhost:8080', 'http://127.0.0.1:1', 'http://[::1]:1', 'http://api.localhost'])(
    'may be plain http on loopback: %s',
    async (baseURL) => {
      expect(await chatUrl(baseURL)).toBe(`${baseURL}/chat/completions`);
    },
  );

  const secret = 'hunter2';
  it.each([
    'http://api.deepseek.com',
    'http://127.0.0.1.example.com',
    'http://localhost.example.com',
    'http://notlocalhost',
    'http://10.0.0.1',
    'http://0.0.0.0',
    'ftp://localhost',
    'file:///etc/passwd',
    'api.deepseek.com',
    '/v1',
    '',
    `http://user:${secret}@proxy.example`,
  ])('%j is refused, and not repeated', (baseURL) => {
    for (const [subject, create] of [
      ['deepseek middleware', () => deepseek({ baseURL })],
      ['DeepSeek client', () => createDeepSeek({ apiKey, baseURL })],
    ] as const) {
      expect(create).toThrow(RangeError);
      expect(create).toThrow(
        `Cannot create ${subject} as "baseURL" must be an https URL, or http on a loopback address`,
      );
      expect(create).not.toThrow(secret);
    }
  });

  it('leaves other endpoints under the same base', async () => {
    const { ai, run, fetch } = play({ baseURL: 'https://proxy.example/v1/chat/completions' }, 200, 200);
    await run(ai.http.get('models'));
    await run(ai.http.get('/user/balance'));
    expect(fetch.calls.map(({ url }) => url)).toEqual([
      'https://proxy.example/v1/models',
      'https://proxy.example/v1/user/balance',
    ]);
  });

  it.each([
    ['the default', undefined, 'https://proxy.example'],
    ['the port', 'https://proxy.example', 'https://proxy.example:8443'],
    ['the scheme', 'https://localhost', 'http://localhost'],
  ])('lets the key go to no other origin: %s', async (_what, baseURL, elsewhere) => {
    const fetch = createScriptedFetch();
    const { ai, run } = watch(fetch, { baseURL });
    const error = await rejectionOf(run(ai.http.get(new URL('/models', elsewhere))));
    expect(error).toMatchObject({ code: 'AUTH_ORIGIN' });
    expect(fetch.calls).toHaveLength(0);
  });

  it('works with a service on a local port, slash and endpoint on it', async () => {
    const { simulator } = simulate({});
    const { url } = await served(simulator.fetch);
    const { ai } = watch(fetch, { baseURL: `${url}/v1/chat/completions/` });
    expect(await ai.chat(ping)).toHaveProperty('content', 'You said: ping');
  });
});
