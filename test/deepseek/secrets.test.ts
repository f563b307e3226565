import { inspect } from 'node:util';
import type { FetchLike, ObservedEvent } from 'breakwater';
import { classify, createDeepSeek, type DeepSeekClientOptions, deepseek } from 'breakwater/deepseek';
import { createFakeClock, createSimulator, type ScriptedFault } from 'breakwater/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { rejectionOf } from '../middleware/witness.ts';
import { apiKey, endpoint, piecesOf, served } from './stage.ts';

// Whatever is thrown or told is searched for these: the key, its tail, the query string, and the words of the request.
const query = 'token=hunter2';
const prompt = 'a prompt that is nobody else’s business';
const request = {
  model: 'deepseek-v4-flash',
  messages: [{ role: 'user', content: prompt }],
  thinking: { type: 'disabled' },
} as const;
const body = JSON.stringify(request);
const secrets = [apiKey, apiKey.slice(-8), 'hunter2', prompt];

const logs = ['log', 'info', 'warn', 'error', 'debug', 'trace', 'dir'] as const;
let events: ObservedEvent[];
const onEvent = (event: ObservedEvent) => void events.push(event);

beforeEach(() => {
  events = [];
  for (const name of logs) vi.spyOn(console, name);
});

afterEach(() => {
  for (const name of logs) expect(console[name]).not.toHaveBeenCalled();
  vi.restoreAllMocks();
});

/** Every way in which a value gets into a log. */
function formsOf(value: unknown): string {
  const { stack, message, cause } = Object(value) as Error;
  return [
    String(value),
    stack,
    message,
    JSON.stringify(value),
    JSON.stringify({ value, list: [value] }),
    inspect(value, { depth: 0 }),
    inspect(value),
    inspect(value, { depth: null }),
    inspect(value, { depth: null, showHidden: true, getters: true }),
    cause === undefined ? '' : formsOf(cause),
  ].join('\n');
}

function expectSilence(thrown: unknown, hidden: readonly string[] = secrets): void {
  const forms = formsOf(thrown) + formsOf(events);
  for (const secret of hidden) expect(forms).not.toContain(secret);
}

/** A client on the real fetch, which asks each thing but once. */
function clientOf(baseURL: string, options: Partial<DeepSeekClientOptions> = {}) {
  return createDeepSeek({ apiKey, baseURL, onEvent, retry: { maxRetries: 1, baseDelayMs: 0 }, ...options });
}

const codeOf = (thrown: unknown) => (thrown as { code?: string }).code;

describe('with a real server', () => {
  /** Asks in every way that there is: whole, streamed, through ky, and as a plain fetch; all with a query where it can have one. */
  const ways: [string, (url: string, options?: Partial<DeepSeekClientOptions>) => Promise<unknown>][] = [
    ['chat()', (url, options) => clientOf(url, options).chat(request)],
    ['stream()', (url, options) => piecesOf(clientOf(url, options).stream(request))],
    [
      'http',
      (url, options) =>
        clientOf(url, options).http.post('chat/completions', { json: request, searchParams: query }).text(),
    ],
    [
      'deepseek()',
      async (url, options) => {
        const send = deepseek({ apiKey, baseURL: url, onEvent, retry: false, ...options })(fetch);
        return (await send(`${url}/chat/completions?${query}`, { method: 'POST', body })).text();
      },
    ],
  ];

  async function down(): Promise<string> {
    const server = await served(async () => new Response());
    await server.close();
    return server.url;
  }

  async function faulty(...faults: ScriptedFault[]): Promise<string> {
    const simulator = createSimulator();
    simulator.script(...faults);
    return (await served(simulator.fetch)).url;
  }

  describe.each(ways)('%s', (_way, ask) => {
    it('keeps them when the connection is refused', async () => {
      const error = await rejectionOf(ask(await down()));
      expect(codeOf(error)).toBe('CONNECTION_FAILED');
      expectSilence(error);
    });

    it('keeps them when the connection is reset before the headers', async () => {
      const error = await rejectionOf(
        ask(await faulty({ resetBeforeHeaders: true }, { resetBeforeHeaders: true })),
      );
      expect(codeOf(error)).toBe('CONNECTION_FAILED');
      expectSilence(error);
    });

    it('keeps them when the connection is reset in the answer', async () => {
      const reset = {
        body: `{"choices": ${' '.repeat(1000)}`,
        dripMs: 1,
        dripBytes: 500,
        resetAfterChunks: 1,
      };
      const error = await rejectionOf(ask(await faulty(reset, reset)));
      expect(codeOf(error)).toBe('STREAM_RESET');
      expectSilence(error);
    });

    it.each([
      ['AUTH_MALFORMED', 'a line break', `${apiKey}\nsk-${apiKey}`],
      ['AUTH_MALFORMED', 'a letter that is not ASCII', `${apiKey}é`],
      ['AUTH_MALFORMED', 'quotes', `"${apiKey}"`],
      ['AUTH_MALFORMED', 'a template around it', `\${${apiKey}}`],
    ])('keeps them: %s for %s', async (code, _what, bad) => {
      const url = await faulty();
      for (const authCheck of [undefined, false] as const) {
        const error = await rejectionOf(ask(url, { apiKey: () => bad, authCheck }));
        expect(codeOf(error)).toBe(code);
        expectSilence(error);
      }
    });

    it('keeps them when the key function fails, however it does', async () => {
      const url = await faulty();
      const failure = new TypeError('fetch failed'); // ky would wrap this one, together with the request
      const failing = [
        () => Promise.reject(failure),
        () => {
          throw failure;
        },
      ];
      for (const key of failing) {
        const error = await rejectionOf(ask(url, { apiKey: key }));
        expect(error).toBe(failure);
        expectSilence(error);
      }
    });

    it('keeps them when the payload is refused', async () => {
      const url = await faulty();
      const schema = {
        '~standard': { version: 1, vendor: 'v', validate: () => ({ issues: [{ message: 'no' }] }) },
      } as const;
      const error = await rejectionOf(ask(url, { payloadSchema: { schema } }));
      expect(codeOf(error)).toBe('PAYLOAD_INVALID');
      expectSilence(error);
    });

    it('keeps them when the circuit is open', async () => {
      const url = await faulty(503, 503);
      const breaker = { circuitBreaker: { maxFailures: 1, key: () => 'all' }, retry: false } as const;
      const send = deepseek({ apiKey, baseURL: url, onEvent, ...breaker })(fetch);
      const twice = async () => {
        for (let call = 0; call < 2; call++) await send(`${url}/x?${query}`, { method: 'POST', body });
      };
      const error = await rejectionOf(twice());
      expect(codeOf(error)).toBe('CIRCUIT_OPEN');
      expectSilence(error);
    });
  });

  it.each([300, 301, 307, 400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504])(
    'keeps them at a %i that repeats the key',
    async (status) => {
      const echo: FetchLike = async (_url, init) =>
        new Response(`you sent ${new Headers(init?.headers).get('authorization')}, that is: ${apiKey}`, {
          status,
          headers: { location: `/?${query}`, 'x-ds-trace-id': 'trace' },
        });
      const { url } = await served(echo);
      for (const ask of [ways[0], ways[1]].map((way) => way?.[1] as (typeof ways)[0][1])) {
        const error = await rejectionOf(ask(url, { retry: false }));
        expect(error).toMatchObject({ code: 'API_ERROR', status, traceId: 'trace' });
        expectSilence(error);
      }
    },
  );

  it('keeps the key when ky is told to throw, and when ky times out', async () => {
    const { url } = await served(async () => new Response('no', { status: 404 }));
    const { http } = clientOf(url);
    const error = await rejectionOf(http.get('models', { throwHttpErrors: true }));
    expect(error).toHaveProperty('name', 'HTTPError');
    expectSilence(error);
    const { url: slow } = await served(() => new Promise(() => {}));
    const late = await rejectionOf(clientOf(slow).http.get('models', { timeout: 1 }));
    expect(late).toHaveProperty('name', 'TimeoutError');
    expectSilence(late);
  });

  it("keeps a key that the call brings itself, though the runtime's own error would show it", async () => {
    const value = `Bearer ${apiKey}\n${apiKey}`;
    expect(
      await rejectionOf(fetch('http://127.0.0.1', { headers: { authorization: value } }).then()),
    ).toHaveProperty('message', expect.stringContaining(apiKey));
    const { url } = await served(async () => new Response());
    for (const authCheck of [undefined, false] as const) {
      const send = deepseek({ baseURL: url, onEvent, authCheck })(fetch);
      for (const headers of [
        { authorization: value },
        [['Authorization', value]],
        { 'x-api-key': `${apiKey}\n${apiKey}` },
      ]) {
        const error = await rejectionOf(send(`${url}?${query}`, { headers: headers as HeadersInit }));
        expect(codeOf(error)).toBe('AUTH_MALFORMED');
        expectSilence(error);
      }
    }
  });

  it('keeps the key from a service elsewhere', async () => {
    const elsewhere = createSimulator();
    const { url: trap } = await served(elsewhere.fetch);
    const redirect = { status: 307, headers: { location: `${trap}/chat/completions?${query}` } };
    const { url } = await served(async () => new Response(null, redirect));
    expectSilence(await rejectionOf(clientOf(url).chat(request)));
    const astray = await rejectionOf(clientOf(url).http.get(new URL(`${trap}/models?${query}`)));
    expect(codeOf(astray)).toBe('AUTH_ORIGIN');
    expectSilence(astray);
    expect(elsewhere.requests).toHaveLength(0);
  });
});

describe('on a fake clock', () => {
  function stalled(fault: ScriptedFault, options: Partial<DeepSeekClientOptions> = {}) {
    const clock = createFakeClock();
    const simulator = createSimulator({ clock, answer: 'pong' });
    simulator.script(...Array.from({ length: 5 }, () => fault)); // what is found before it is an answer is repeated
    const ai = createDeepSeek({ apiKey, clock, onEvent, fetch: simulator.fetch, ...options });
    return (stream: boolean) =>
      rejectionOf(clock.runUntil<unknown>(stream ? piecesOf(ai.stream(request)) : ai.chat(request)));
  }

  const event = (data: string): ScriptedFault => ({ body: `data: ${data}\n\n` });

  it.each<[string, ScriptedFault, Partial<DeepSeekClientOptions>?]>([
    ['TIMEOUT_HEADERS', { stallBeforeHeaders: true }],
    ['TIMEOUT_FIRST_TOKEN', { stallAfterChunks: 0 }],
    ['TIMEOUT_IDLE', { stallAfterChunks: 2 }],
    ['TIMEOUT_TOTAL', { stallAfterChunks: 2 }, { streamTimeout: { totalMs: 1000 } }],
    ['STREAM_TRUNCATED', { cutAfterChunks: 2 }],
    ['STREAM_TRUNCATED', { cutAfterChunks: 1 }],
    ['STREAM_EMPTY', { instead: 'empty' }],
    ['STREAM_FAILED', { instead: 'html' }],
    ['STREAM_FAILED', { finishReason: 'insufficient_system_resource' }],
    ['STREAM_RESET', { resetAfterChunks: 2 }],
    ['STREAM_MALFORMED', event(`${prompt} ${apiKey}`)],
    ['STREAM_MALFORMED', event(`{"choices":[{"delta":{"content":["${prompt}","${apiKey}"]}}]}`)],
    ['STREAM_FAILED', event(`{"error":{"message":"${prompt} ${apiKey}"}}`)],
  ])('%s shows nothing of them: %o', async (code, fault, options) => {
    const error = await stalled(fault, options)(true);
    expect(codeOf(error)).toBe(code);
    expectSilence(error);
  });

  it.each<[string, ScriptedFault]>([
    ['TIMEOUT_FIRST_TOKEN', { stallAfterChunks: 0 }],
    ['TIMEOUT_IDLE', { stallAfterChunks: 1 }],
    ['STREAM_EMPTY', { instead: 'blank-lines' }],
    ['STREAM_TRUNCATED', { cutAfterChunks: 1 }],
    ['STREAM_FAILED', { body: { error: { message: `${prompt} ${apiKey}` } } }],
    ['STREAM_FAILED', { body: `<p>${prompt} ${apiKey}</p>` }],
    ['STREAM_MALFORMED', { body: `${prompt} ${apiKey}` }],
  ])('%s of a whole answer shows nothing of them: %o', async (code, fault) => {
    const error = await stalled(fault)(false);
    expect(codeOf(error)).toBe(code);
    expectSilence(error);
  });

  it.each<[string, string, Partial<DeepSeekClientOptions>]>([
    ['ANSWER_UNPARSABLE', `<p>${prompt} ${apiKey}</p>`, { streamTimeout: false }],
    ['ANSWER_INVALID', JSON.stringify({ choices: [prompt, apiKey] }), {}],
  ])('%s shows the body only as rawText, which no log prints', async (code, text, options) => {
    const error = await stalled({ body: text }, options)(false);
    expect(error).toMatchObject({ code, rawText: text });
    const { stack, message } = error as Error;
    const printed = [stack, message, JSON.stringify(error), inspect(error, { depth: null }), formsOf(events)];
    for (const secret of secrets) expect(printed.join()).not.toContain(secret);
  });
});

describe('what is not thrown', () => {
  it('shows no key: the client, the chain, and their answers', async () => {
    const { url } = await served(createSimulator().fetch);
    const ai = clientOf(url);
    const chain = deepseek({ apiKey, baseURL: url });
    const answer = await ai.http.get('models');
    const seen = [ai, ai.http, chain, chain(fetch), answer, answer.headers];
    for (const value of seen) expect(inspect(value, { depth: null, showHidden: true })).not.toContain(apiKey);
  });

  it('shows no key that is no text, and no password of a base URL', () => {
    const wrong: object[] = [
      { apiKey: [apiKey] },
      { apiKey: { value: apiKey } },
      { apiKey, baseURL: `http://user:${apiKey}@proxy.example` },
      { apiKey, baseURL: `${apiKey}` },
      { apiKey, retry: apiKey },
      { apiKey, [apiKey.slice(0, 2)]: 1 },
    ];
    for (const options of wrong) {
      const error = (() => {
        try {
          return createDeepSeek(options as DeepSeekClientOptions);
        } catch (thrown) {
          return thrown;
        }
      })();
      expect(error).toBeInstanceOf(Error);
      expectSilence(error);
    }
  });

  it('tells of a whole call with all its failures nothing but names and numbers', async () => {
    const simulator = createSimulator();
    simulator.script(429, { resetBeforeHeaders: true });
    const { url } = await served(simulator.fetch);
    const answer = await clientOf(url, { retry: { baseDelayMs: 0 } }).chat({
      ...request,
      model: 'deepseek-flash',
    });
    expect(classify(answer)).toBe('success');
    expect(events.length).toBeGreaterThan(6);
    expectSilence(undefined, [...secrets, query, endpoint]);
  });
});
