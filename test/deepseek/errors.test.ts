import { AnswerError, ConnectionError, DeepSeekError, isBreakwaterError } from 'breakwater/deepseek';
import { createFakeClock, createScriptedFetch } from 'breakwater/testing';
import { describe, expect, it } from 'vitest';
import { createSource, rejectionOf } from '../middleware/witness.ts';
import { endpoint, piecesOf, ping, play, pong, served, watch } from './stage.ts';

const once = { retry: false, circuitBreaker: false } as const;

/** The error that a chat ends with. */
async function errorOf(status: number, body: BodyInit | null, headers: Record<string, string> = {}) {
  const { ai, run } = play(once, { status, headers, body: body as string });
  return (await rejectionOf(run(ai.chat(ping)))) as DeepSeekError;
}

function envelope(message: string, type: string, code = 'invalid_request_error'): string {
  return JSON.stringify({ error: { message, type, param: null, code } });
}

interface Captured {
  readonly status: number;
  readonly contentType?: string;
  readonly body: string;
  readonly message: string;
  readonly type?: string;
}

function enveloped(status: number, type: string, message: string): Captured {
  return { status, contentType: 'application/json', body: envelope(message, type), message, type };
}

const octets = 'application/octet-stream';
const invalid = 'invalid_request_error';
const busy = enveloped(
  503,
  'service_unavailable_error',
  'Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.',
);
const malformed =
  'Failed to parse the request body as JSON: messages[0].content: unexpected end of hex escape';
const undeserialized =
  'Failed to deserialize the JSON body into the target type: missing field `messages` at line 4 column 1';

/** The bodies are verbatim, with the content types that they came with. */
const captured: Captured[] = [
  enveloped(
    400,
    invalid,
    "This model's maximum context length is 1048576 tokens. However, you requested 1060836 tokens (1060828 in the messages, 8 in the completion). Please reduce the length of the messages or completion.",
  ),
  enveloped(
    400,
    invalid,
    'Failed to deserialize the JSON body into the target type: messages[1].role: unknown variant `developer`, expected one of `system`, `user`, `assistant`, `tool`, `latest_reminder` at line 1 column 49926',
  ),
  ...[
    'The supported API model names are deepseek-flash, deepseek-v4-pro, but you passed deepseek-v4.1-flash.',
    'Content Exists Risk',
    'Invalid temperature value, the valid range of temperature is [0, 2]',
    'The `reasoning_content` in the thinking mode must be passed back to the API.',
    'Thinking mode does not support this tool_choice',
    'Empty input messages',
  ].map((message) => ({ ...enveloped(400, invalid, message), contentType: octets })),
  { status: 400, contentType: octets, body: malformed, message: malformed },
  {
    status: 401,
    body: 'Authentication Fails (governor)',
    message: 'Authentication Fails (governor)',
  },
  {
    // The service repeats the tail of a key; we do not.
    ...enveloped(401, 'authentication_error', 'Authentication Fails, Your api key: ****fcc2 is invalid'),
    message: 'Authentication Fails, Your api key: **** is invalid',
  },
  enveloped(401, 'authentication_error', 'Authentication Fails (auth header format should be Bearer sk-...)'),
  enveloped(401, 'authentication_error', 'Authentication Fails (no such user)'),
  enveloped(402, 'unknown_error', 'Insufficient Balance'),
  { status: 422, contentType: 'text/plain', body: undeserialized, message: undeserialized },
  enveloped(
    429,
    'rate_limit_error',
    'Too many requests. Your current concurrency is 26, which exceeds your concurrency limit of 25 based on your remaining balance. Please top up your balance to restore your concurrency.',
  ),
  enveloped(429, 'rate_limit_error', 'Rate limit reached for TPM'),
  {
    status: 500,
    contentType: 'text/html',
    body: '<html>\r\n<head><title>500 Internal Server Error</title></head>\r\n<body><hr><center>openresty</center></body></html>',
    message: '500 Internal Server Error',
  },
  {
    status: 504,
    contentType: 'text/html',
    body: '\r\n<html><head><title>504 Gateway Time-out</title></head><body><center>nginx/1.26.0</center></body></html>',
    message: '504 Gateway Time-out',
  },
  { ...busy, body: envelope(busy.message, `${busy.type}`, busy.type) },
];

describe('DeepSeekError', () => {
  it.each(captured)('says what a $status as $contentType said: $message', async (reply) => {
    const { status, contentType, body, message, type } = reply;
    const error = await errorOf(status, body, contentType ? { 'content-type': contentType } : {});
    expect(error).toBeInstanceOf(DeepSeekError);
    expect(isBreakwaterError(error)).toBe(true);
    expect(error.message).toBe(`DeepSeek answered ${status}: ${message}`);
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      name: 'DeepSeekError',
      message: error.message,
      code: 'API_ERROR',
      status,
      ...(type && { type }),
    });
  });

  it.each([
    ['an empty body', '', 'no message'],
    ['blank lines', '\n\n \n', 'no message'],
    ['no body', null, 'no message'],
    ['a page without a title', '<p>down</p>', '<p>down</p>'],
    ['an error that is a text', '{"error":"quota"}', '{"error":"quota"}'],
    ['an error without a message', '{"error":{"type":"x"}}', '{"error":{"type":"x"}}'],
    ['JSON that is no object', '[1]', '[1]'],
    ['a code that is a number', '{"error":{"message":"upstream","code":502}}', 'upstream'],
    ['no type', '{"error":{"message":"m","type":null}}', 'm'],
    ['broken JSON', '{"error":{"message":"m"', '{"error":{"message":"m"'],
  ])('reads %s', async (_what, body, message) => {
    const error = await errorOf(418, body);
    expect(error.message).toBe(`DeepSeek answered 418: ${message}`);
    expect(error.type).toBeUndefined();
  });

  it.each([
    ['x-ds-trace-id first', { 'x-request-id': 'b', 'x-ds-trace-id': 'a', 'x-deepseek-request-id': 'c' }, 'a'],
    ['x-request-id second', { 'x-request-id': 'b', 'x-deepseek-request-id': 'c' }, 'b'],
    ['x-deepseek-request-id last', { 'x-deepseek-request-id': 'c' }, 'c'],
    ['none', {}, undefined],
  ])('takes the trace id: %s', async (_what, headers, traceId) => {
    expect((await errorOf(400, 'bad', headers)).traceId).toBe(traceId);
  });

  it.each([
    [{ 'retry-after': '2' }, 2000],
    [{ 'retry-after': '0.5' }, 500],
    [{ 'retry-after-ms': '150', 'retry-after': '2' }, 150],
    [{ 'retry-after': 'Thu, 01 Jan 2026 00:00:09 GMT' }, 9000],
    [{ 'retry-after': 'Thu, 01 Jan 2020 00:00:00 GMT' }, undefined],
    [{ 'retry-after': '0' }, undefined],
    [{ 'retry-after': 'soon' }, undefined],
    [{}, undefined],
  ])('takes the told wait from %o', async (headers, retryAfterMs) => {
    expect((await errorOf(429, 'busy', headers)).retryAfterMs).toBe(retryAfterMs);
  });

  it.each([
    ['Your api key: ****fcc2 is invalid', 'Your api key: **** is invalid'],
    ['key "****eek}" is invalid', 'key "****" is invalid'],
    ['got sk-0123abcd, which is revoked', 'got sk-**** which is revoked'],
    ['header was Bearer 0123456789abc', 'header was Bearer ****'],
    ['header was bearer  sk-01234567', 'header was bearer  ****'],
    ['this is **important**', 'this is **important**'],
    ['use Bearer sk-...', 'use Bearer sk-...'],
  ])('masks a key in: %s', async (said, shown) => {
    expect((await errorOf(401, said)).message).toBe(`DeepSeek answered 401: ${shown}`);
  });

  it('holds at most 64 KiB, and cancels the rest', async () => {
    const { ai, run, fetch } = play(once, { status: 400, body: 'é'.repeat(1_000_000) });
    const { message } = (await rejectionOf(run(ai.chat(ping)))) as DeepSeekError;
    expect(message).toBe(`DeepSeek answered 400: ${'é'.repeat(32 * 1024)}`);
    expect(fetch.active).toBe(0);
  });

  it('waits 5 s for a body that never ends, and holds what came', async () => {
    const source = createSource();
    const { ai, clock } = watch(async () => source.response({ status: 400 }), once);
    const rejection = rejectionOf(ai.chat(ping));
    await clock.settle();
    source.push('bad re');
    await clock.advance(4999);
    expect(source.cancels).toHaveLength(0);
    await clock.advance(1);
    expect(await rejection).toHaveProperty('message', 'DeepSeek answered 400: bad re');
    expect(source.cancels).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it('holds what came before the connection broke', async () => {
    const source = createSource();
    const { ai, clock } = watch(async () => source.response({ status: 400 }), once);
    const rejection = rejectionOf(ai.chat(ping));
    await clock.settle();
    source.push('bad re');
    await clock.settle();
    source.fail(new TypeError('terminated'));
    expect(await rejection).toHaveProperty('message', 'DeepSeek answered 400: bad re');
    expect(clock.pendingTimers).toBe(0);
  });

  it.each(['a body that hangs', 'a fetch that is deaf to it'])(
    "gives way to the caller's abort while its body is read: %s",
    async (what) => {
      const source = createSource();
      const clock = createFakeClock();
      const caller = new AbortController();
      const reason = { gone: true };
      const fetch = async (_input: unknown, init?: RequestInit) => {
        if (what === 'a body that hangs')
          init?.signal?.addEventListener('abort', () => source.fail(init.signal?.reason));
        return source.response({ status: 400 });
      };
      const { ai } = watch(fetch, once, clock);
      const rejection = rejectionOf(ai.chat(ping, { signal: caller.signal }));
      await clock.settle();
      caller.abort(reason);
      await clock.settle();
      expect(await Promise.race([rejection, Promise.resolve('pending')])).toBe(reason);
      expect(clock.pendingTimers).toBe(0);
    },
  );

  it('is what a stream ends with too', async () => {
    const { ai, run } = play(once, 402);
    expect(await rejectionOf(run(piecesOf(ai.stream(ping))))).toMatchObject({
      code: 'API_ERROR',
      status: 402,
    });
  });

  it('reads real HTTP: a 400 whose body comes in pieces', async () => {
    const pieces = [...envelope('Empty input messages', invalid)].map((piece) =>
      new TextEncoder().encode(piece),
    );
    const body = () =>
      new ReadableStream({
        pull: (controller) => {
          const piece = pieces.shift();
          if (piece) controller.enqueue(piece);
          else controller.close();
        },
      });
    const { url } = await served(async () => new Response(body(), { status: 400 }));
    const { ai } = watch(fetch, { ...once, baseURL: url });
    expect(await rejectionOf(ai.chat(ping))).toHaveProperty(
      'message',
      'DeepSeek answered 400: Empty input messages',
    );
  });
});

describe('ConnectionError', () => {
  it('names the origin and the kinds of error, and none of the words', async () => {
    const cause = Object.assign(new Error('read ECONNRESET 10.0.0.1'), { code: 'ECONNRESET' });
    const { ai, run } = play(once, new TypeError(`fetch failed for ${endpoint}?key=1`, { cause }));
    const error = (await rejectionOf(run(ai.chat(ping)))) as ConnectionError;
    expect(error).toBeInstanceOf(ConnectionError);
    expect(error.code).toBe('CONNECTION_FAILED');
    expect(error.message).toBe('Connection to https://api.deepseek.com failed: TypeError: Error ECONNRESET');
    expect(error.cause).toEqual(new Error('TypeError: Error ECONNRESET'));
  });

  it('stands for whatever a fetch throws', async () => {
    const { ai, run } = watch(() => Promise.reject('down'), once);
    expect(await rejectionOf(run(ai.chat(ping)))).toMatchObject({ code: 'CONNECTION_FAILED' });
  });

  it('is repeated like any lost connection', async () => {
    const { ai, run, of } = play({}, new TypeError('fetch failed'), { body: pong });
    expect(await run(ai.chat(ping))).toHaveProperty('content', 'pong');
    expect(of('retry.scheduled')).toMatchObject([{ cause: 'CONNECTION_FAILED' }]);
  });
});

describe('AnswerError', () => {
  it.each([
    ['ANSWER_EMPTY', '', 'Answer is empty: the body held no text', []],
    ['ANSWER_EMPTY', '\n \n', 'Answer is empty: the body held no text', []],
    ['ANSWER_UNPARSABLE', '{"choices":[{"mess', 'Answer is not JSON: 18 characters had arrived', []],
    ['ANSWER_UNPARSABLE', '<html></html>', 'Answer is not JSON: 13 characters had arrived', []],
    ['ANSWER_INVALID', '{"choices":[]}', 'Answer is not a chat completion: choices is wrong', ['choices']],
    ['ANSWER_INVALID', '{}', 'Answer is not a chat completion: choices is wrong', ['choices']],
    ['ANSWER_INVALID', 'null', 'Answer is not a chat completion: the body is wrong', ['']],
    [
      'ANSWER_INVALID',
      '{"choices":[{"message":{"content":7}}],"usage":{"total_tokens":"1"}}',
      'Answer is not a chat completion: usage.total_tokens is wrong',
      ['usage.total_tokens', 'choices[0].message.content'],
    ],
  ])('is %s for %j', async (code, body, message, paths) => {
    const { ai, run } = play({ streamTimeout: false }, { body });
    const error = (await rejectionOf(run(ai.chat(ping)))) as AnswerError;
    expect(error).toBeInstanceOf(AnswerError);
    expect(error).toMatchObject({ code, message });
    expect(error.issues.map(({ path }) => path)).toEqual(paths);
    expect(error.rawText).toBe(body);
  });

  it('shows the answer only to who asks for it', async () => {
    const text = '{"choices":"the secret of the answer"}';
    const { ai, run } = play({}, { body: text });
    const error = (await rejectionOf(run(ai.chat(ping)))) as AnswerError;
    expect(error.rawText).toBe(text);
    expect(Object.keys(error)).not.toContain('rawText');
    expect(JSON.stringify(error) + error.stack).not.toContain('secret');
  });

  it('leaves an error object in a 200 to STREAM_FAILED', async () => {
    const fetch = createScriptedFetch({ body: { error: { message: 'upstream died', code: 502 } } });
    const { ai, run } = watch(fetch, { retry: false });
    expect(await rejectionOf(run(ai.chat(ping)))).toMatchObject({
      code: 'STREAM_FAILED',
      committed: false,
      receivedBytes: 48,
    });
  });
});
