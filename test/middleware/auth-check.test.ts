import {
  AuthCheckError,
  circuitBreaker,
  compose,
  fallback,
  isBreakwaterError,
  type Middleware,
  observe,
  payloadSchema,
  retry,
  streamTimeout,
} from 'breakwater';
import { authCheck } from 'breakwater/auth-check';
import { createFakeClock, createScriptedFetch } from 'breakwater/testing';
import { describe, expect, it } from 'vitest';
import { post, printed, rejectionOf, url, watch } from './witness.ts';

const key = `sk-${'0123456789abcdef'.repeat(2)}`;
/** Any part of the key that is long enough to be of use; the last four characters are not. */
const partOfKey = /[0-9a-f]{6}/i;

/** Asks through `authCheck` alone; what is refused must not have been sent. */
async function refusalOf(headers: HeadersInit): Promise<AuthCheckError> {
  const fetch = createScriptedFetch(200);
  const error = await rejectionOf(authCheck()(fetch)(url, { ...post, headers }));
  expect(fetch.calls).toHaveLength(0);
  expect(error).toBeInstanceOf(AuthCheckError);
  expect(isBreakwaterError(error)).toBe(true);
  return error as AuthCheckError;
}

describe('authCheck() lets through', () => {
  const good: [string, HeadersInit][] = [
    ['a bearer token', { authorization: `Bearer ${key}` }],
    ['a scheme in any case', { Authorization: `bEaReR ${key}` }],
    ['several blanks after the scheme', { authorization: `Bearer \t ${key}` }],
    ['white space around, which fetch removes', { authorization: `  Bearer ${key}\r\n` }],
    ['an x-api-key', { 'x-api-key': key }],
    ['both', { authorization: `Bearer ${key}`, 'x-api-key': key }],
    ['pairs', [['Authorization', `Bearer ${key}`]]],
    ['Headers', new Headers({ authorization: `Bearer ${key}` })],
    ['a JSON web token', { authorization: 'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.c2ln_-' }],
    ['Base64 with padding', { authorization: 'Bearer c2stMTIzNDU2Nzg5MA+/==' }],
    ['a key that holds a suspicious word', { authorization: 'Bearer sk-nullundefinedtrueyour' }],
    ['a key that ends in suspicious letters', { authorization: 'Bearer sk-8d1f_xxx' }],
    // These used to be taken for placeholders, although local services have such keys.
    ...[
      'local_dev_token',
      'team_a_key',
      'my_secret',
      'Local_Token',
      'none',
      'None',
      'true',
      'a%b',
      '100%',
    ].map((own): [string, HeadersInit] => [`the key ${own} of a service of one's own`, { 'x-api-key': own }]),
  ];

  it.each(good)('%s', async (_what, headers) => {
    const fetch = createScriptedFetch({ body: 'pong' });
    const response = await authCheck()(fetch)(url, { ...post, headers });
    expect(await response.text()).toBe('pong');
    expect(Object.fromEntries(fetch.calls[0]?.headers ?? [])).toMatchObject(
      Object.fromEntries(new Headers(headers)),
    );
  });

  it('a Request with its own headers', async () => {
    const fetch = createScriptedFetch(200);
    await authCheck()(fetch)(new Request(url, { ...post, headers: { 'x-api-key': key } }));
    expect(fetch.calls).toHaveLength(1);
  });

  it('what the service refuses all the same, as it came', async () => {
    const refused = new Response('wrong key', { status: 401 });
    expect(await authCheck()(async () => refused)(url, { headers: { 'x-api-key': key } })).toBe(refused);
  });
});

describe('authCheck() refuses with AUTH_MISSING', () => {
  const noHeader = 'send an Authorization or an x-api-key header';
  const noKey = 'nothing follows Bearer';
  it.each<[string, HeadersInit, string]>([
    ['no header', {}, noHeader],
    ['an empty Authorization', { authorization: '' }, noHeader],
    ['an empty x-api-key', { 'x-api-key': '  ' }, noHeader],
    ['a credential in another header', { 'api-key': key, cookie: `key=${key}` }, noHeader],
    ['a scheme without a key', { authorization: 'Bearer' }, noKey],
    ['a scheme and blanks', { authorization: 'Bearer   ' }, noKey],
  ])('%s', async (_what, headers, why) => {
    const error = await refusalOf(headers);
    expect(error).toMatchObject({ code: 'AUTH_MISSING', message: `Request has no key: ${why}` });
    expect(printed(error)).not.toMatch(partOfKey);
  });

  it('a Request whose headers the init replaces', async () => {
    const request = new Request(url, { headers: { authorization: `Bearer ${key}` } });
    const error = await rejectionOf(authCheck()(createScriptedFetch())(request, { headers: {} }));
    expect(error).toMatchObject({ code: 'AUTH_MISSING' });
  });
});

describe('authCheck() refuses with AUTH_MALFORMED, and says why', () => {
  const placeholders = [
    'undefined',
    'null',
    'NaN',
    '[object Object]',
    '[object Promise]',
    '$DEEPSEEK_API_KEY',
    '$' + '{DEEPSEEK_API_KEY}',
    '{{deepseek_api_key}}',
    '%DEEPSEEK_API_KEY%',
    '<your-key>',
    'your key here',
    'your_api_key',
    'YOUR-API-KEY',
    'sk-your-key-here',
    'insert_key_here',
    'sk-xxxxxxxxxxxx',
    'sk-...',
    '********',
    'sk-undefined',
    'DEEPSEEK_API_KEY',
    'AUTH_TOKEN',
    'X_SECRET',
    'sk-%KEY%',
    'process.env.DEEPSEEK_API_KEY',
    'changeme',
    'change-me',
    '/run/secrets/key.json',
  ];

  it.each(placeholders)('the placeholder %s', async (placeholder) => {
    expect(await refusalOf({ authorization: `Bearer ${placeholder}` })).toMatchObject({
      code: 'AUTH_MALFORMED',
      message:
        'Key in the authorization header is malformed: it is a placeholder, so a variable was not loaded',
    });
    expect(await refusalOf({ 'x-api-key': placeholder })).toMatchObject({
      message: 'Key in the x-api-key header is malformed: it is a placeholder, so a variable was not loaded',
    });
  });

  const malformed: [string, HeadersInit, string][] = [
    ['the key without a scheme', { authorization: key }, 'its scheme is not Bearer'],
    ['another scheme', { authorization: `Basic ${key}` }, 'its scheme is not Bearer'],
    ['a scheme that ends alike', { authorization: `MyBearer ${key}` }, 'its scheme is not Bearer'],
    ['a scheme that runs into the key', { authorization: `Bearer${key}` }, 'its scheme is not Bearer'],
    ['a colon after the scheme', { authorization: `Bearer: ${key}` }, 'its scheme is not Bearer'],
    ['the scheme twice', { authorization: `Bearer Bearer ${key}` }, 'white space'],
    ['two keys', { authorization: `Bearer ${key} ${key}` }, 'white space'],
    ['white space in x-api-key', { 'x-api-key': `${key}\t${key}` }, 'white space'],
    ['a header given twice', { authorization: `Bearer ${key}, Bearer ${key}` }, 'white space'],
    ['the scheme in x-api-key', { 'x-api-key': `Bearer ${key}` }, 'white space'],
    ['double quotes', { authorization: `Bearer "${key}"` }, 'quotes'],
    ['single quotes', { authorization: `Bearer '${key}'` }, 'quotes'],
    ['backticks', { 'x-api-key': `\`${key}\`` }, 'quotes'],
    ['a line break', { authorization: `Bearer ${key}\n${key}` }, 'a line break'],
    ['a line break of Windows', { authorization: `Bearer ${key}\r\nx-evil: 1` }, 'a line break'],
    ['a line break in pairs', [['x-api-key', `${key}\n${key}`]], 'a line break'],
    ['a line break in a record of mixed case', { 'X-API-Key': `${key}\r${key}` }, 'a line break'],
    ['a letter beyond ASCII', { authorization: `Bearer ${key}é` }, 'not printable ASCII'],
    ['a letter beyond Latin-1', { authorization: `Bearer ${key}ключ` }, 'not printable ASCII'],
    ['a zero-width space', { authorization: `Bearer ${key}\u200b` }, 'not printable ASCII'],
    ['a control character', { authorization: `Bearer ${key}\u0007` }, 'not printable ASCII'],
    ['a byte of zero', { 'x-api-key': `${key}\0` }, 'not printable ASCII'],
    [
      'a bad x-api-key beside a good token',
      { authorization: `Bearer ${key}`, 'x-api-key': `"${key}"` },
      'quotes',
    ],
  ];

  it.each(malformed)('%s, and shows nothing of the key', async (_what, headers, why) => {
    const error = await refusalOf(headers);
    expect([error.name, error.code, error.cause]).toEqual(['AuthCheckError', 'AUTH_MALFORMED', undefined]);
    expect(error.message).toMatch(/^Key in the (authorization|x-api-key) header is malformed: /i);
    expect(error.message).toContain(why);
    expect(printed(error)).not.toMatch(partOfKey);
  });

  // The runtimes' own error holds the whole value.
  it.each([
    ['retry()', retry({ maxRetries: 0 })],
    ['observe()', observe(() => undefined)],
    ['payloadSchema()', payloadSchema({ '~standard': { version: 1, vendor: 'own', validate: () => ({}) } })],
  ])('a line break also without authCheck, by %s alone', async (_name, middleware) => {
    const headers = { cookie: `session=${key}\n`, authorization: `Bearer ${key}\n${key}` };
    const error = await rejectionOf(middleware(createScriptedFetch())(url, { headers }));
    expect(error).toMatchObject({ code: 'AUTH_MALFORMED' });
    expect(printed(error)).not.toMatch(partOfKey);
  });
});

describe('A header whose name speaks of a secret', () => {
  const names = [
    'x-goog-api-key',
    'X-Auth-Token',
    'Ocp-Apim-Subscription-Key',
    'OpenAI-Organization',
    'Set-Cookie2',
  ];
  const layers: [string, Middleware][] = [
    ['authCheck()', authCheck()],
    ['retry()', retry()],
    ['circuitBreaker()', circuitBreaker()],
    ['streamTimeout()', streamTimeout()],
    ['fallback()', fallback({ baseURL: 'https://b.example', apiKey: key })],
    ['observe()', observe(() => undefined)],
  ];

  // Only five names used to be known: the runtimes' own error, which holds the whole value, came out for the others.
  it.each(layers)('is refused for a line break without its value, by %s', async (_name, middleware) => {
    for (const name of names) {
      const own = { authorization: `Bearer ${key}`, [name]: `${key}\n${key}` };
      for (const headers of [own, Object.entries(own)]) {
        const fetch = createScriptedFetch();
        const error = await rejectionOf(middleware(fetch)(url, { ...post, headers }));
        expect(error).toMatchObject({
          code: 'AUTH_MALFORMED',
          message: `Key in the ${name} header is malformed: it holds a line break`,
        });
        expect((error as Error).cause).toBeUndefined();
        expect(printed(error)).not.toMatch(partOfKey);
        expect(fetch.calls).toHaveLength(0);
      }
    }
  });

  it('is refused by the runtime as ever when it speaks of none', async () => {
    const headers = { 'x-team': 'search\nads' };
    const error = await rejectionOf(retry()(createScriptedFetch())(url, { headers }));
    expect(error).toBeInstanceOf(TypeError);
  });
});

describe('authCheck() with origins', () => {
  const origins = ['https://api.deepseek.com/anthropic?x#y', new URL('http://localhost:8080/v1')];
  const headers = { authorization: `Bearer ${key}` };

  it.each([
    'https://api.deepseek.com/chat/completions',
    'https://API.DEEPSEEK.COM:443/',
    'http://localhost:8080/anything',
  ])('lets %s through', async (target) => {
    const fetch = createScriptedFetch(200);
    await authCheck({ origins })(fetch)(target, { headers });
    await authCheck({ origins })(fetch.reply(200))(new Request(target, { headers }));
    expect(fetch.calls).toHaveLength(2);
  });

  it.each([
    ['another host', 'https://evil.example/', 'https://evil.example'],
    ['a subdomain', 'https://eu.api.deepseek.com/', 'https://eu.api.deepseek.com'],
    ['a parent domain', 'https://deepseek.com/', 'https://deepseek.com'],
    ['a longer name', 'https://api.deepseek.com.evil.example/', 'https://api.deepseek.com.evil.example'],
    ['a name in the user info', 'https://api.deepseek.com@evil.example/', 'https://evil.example'],
    ['plain http', 'http://api.deepseek.com/', 'http://api.deepseek.com'],
    ['another port', 'http://localhost:8081/', 'http://localhost:8081'],
    ['a relative URL', '/chat/completions', '(no origin)'],
    ['no URL', 'http://', '(no origin)'],
  ])('refuses %s with AUTH_ORIGIN', async (_what, target, shown) => {
    const fetch = createScriptedFetch();
    const secret = `${target}?key=${key}`;
    const error = await rejectionOf(authCheck({ origins })(fetch)(secret, { headers }));
    expect(error).toMatchObject({
      code: 'AUTH_ORIGIN',
      message: `Key must not go to ${shown}: allowed is https://api.deepseek.com, http://localhost:8080`,
    });
    expect(printed(error)).not.toMatch(partOfKey);
    expect(fetch.calls).toHaveLength(0);
  });

  it('refuses another origin whatever the key', async () => {
    const error = await rejectionOf(authCheck({ origins })(createScriptedFetch())('https://evil.example/'));
    expect(error).toHaveProperty('code', 'AUTH_ORIGIN');
  });
});

describe('authCheck() in a chain', () => {
  it('is not repeated, and is told without the key', async () => {
    const clock = createFakeClock();
    const { observed, of, events } = watch(clock);
    const fetch = createScriptedFetch();
    const chain = compose(observed, retry({ clock }), authCheck())(fetch);
    const headers = { authorization: `Bearer "${key}"` };
    expect(await rejectionOf(chain(url, { headers }))).toBeInstanceOf(AuthCheckError);
    expect(of('attempt.started')).toHaveLength(1);
    expect(of('retry.scheduled')).toHaveLength(0);
    expect(of('call.settled')).toMatchObject([{ outcome: 'failed', cause: 'AUTH_MALFORMED' }]);
    expect(printed(events)).not.toMatch(partOfKey);
  });

  it('shows its name in stack traces', () => {
    expect(authCheck()(createScriptedFetch()).name).toBe('authCheck');
  });

  it('rejects, and does not throw', async () => {
    let promise: Promise<unknown> | undefined;
    expect(() => {
      promise = authCheck()(createScriptedFetch())(url);
    }).not.toThrow();
    expect(await rejectionOf(promise as Promise<unknown>)).toBeInstanceOf(AuthCheckError);
  });
});
