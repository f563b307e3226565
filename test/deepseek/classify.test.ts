import { CircuitOpenError, isBreakwaterError, PayloadError } from 'breakwater';
import { classify, DeepSeekError, type Verdict } from 'breakwater/deepseek';
import { createScriptedFetch, type ScriptedReply } from 'breakwater/testing';
import ky from 'ky';
import { describe, expect, it } from 'vitest';
import { rejectionOf } from '../middleware/witness.ts';
import { endpoint, ping, play, pong, served } from './stage.ts';

const statuses = {
  success: [200, 201, 204],
  transient: [408, 409, 425, 429, 500, 501, 502, 503, 504, 520, 529],
  persistent: [0, 101, 304, 307, 400, 401, 402, 403, 404, 405, 410, 413, 418, 422],
};

describe.each(Object.entries(statuses))('classify() calls %s', (verdict, all) => {
  it.each(all)('%i, as a status, a Response or an error', (status) => {
    expect(classify(status)).toBe(verdict);
    expect(classify({ status })).toBe(verdict);
    if (status >= 200) expect(classify(new Response(null, { status }))).toBe(verdict);
    expect(classify(new DeepSeekError(status, { message: 'm' }))).toBe(verdict);
    expect(classify({ name: 'HTTPError', response: { status } })).toBe(verdict); // ky's shape
    expect(classify(Object.assign(new Error('m'), { status }))).toBe(verdict); // the OpenAI SDK's
  });
});

/** What a chat ends with. */
async function failureOf(reply: ScriptedReply, options: Parameters<typeof play>[0] = {}): Promise<unknown> {
  const { ai, run } = play({ retry: false, ...options }, reply, reply, reply, reply, reply);
  return rejectionOf(run(ai.chat(ping)));
}

/** Where nothing below the client judges the answer. */
const unjudged = { streamTimeout: false } as const;

class APIError extends Error {}
class APIConnectionError extends APIError {}
class APIUserAbortError extends APIError {}

describe('classify() of what is thrown', () => {
  it.each<[Verdict, string, () => Promise<unknown>]>([
    ['persistent', 'AUTH_MISSING', () => failureOf(200, { apiKey: '' })],
    ['persistent', 'AUTH_MALFORMED', () => failureOf(200, { apiKey: 'a b' })],
    ['transient', 'CONNECTION_FAILED', () => failureOf(new TypeError('fetch failed'))],
    ['transient', 'TIMEOUT_HEADERS', () => failureOf('hang')],
    ['transient', 'STREAM_FAILED', () => failureOf({ body: { error: { message: 'upstream died' } } })],
    ['transient', 'ANSWER_EMPTY', () => failureOf({ body: '\n\n' }, unjudged)],
    ['transient', 'ANSWER_UNPARSABLE', () => failureOf({ body: '<html>' }, unjudged)],
    ['persistent', 'ANSWER_INVALID', () => failureOf({ body: {} })],
    ['transient', 'API_ERROR', () => failureOf(503)],
    ['persistent', 'API_ERROR', () => failureOf(402)],
    ['transient', 'CIRCUIT_OPEN', async () => new CircuitOpenError('key', 1000)],
    [
      'persistent',
      'PAYLOAD_INVALID',
      () => rejectionOf(play({}).ai.chat({ model: 'deepseek-v4-flash', messages: [] })),
    ],
  ])('%s: our own %s', async (verdict, code, fail) => {
    const error = await fail();
    expect(isBreakwaterError(error)).toBe(true);
    expect(error).toHaveProperty('code', code);
    expect(classify(error)).toBe(verdict);
  });

  it.each<[Verdict, string, unknown]>([
    ['transient', "Node's, Deno's and the browsers' lost connection", new TypeError('fetch failed')],
    ['transient', "workerd's lost connection", new Error('Network connection lost.')],
    ['transient', 'a timeout of the runtime', new DOMException('timed out', 'TimeoutError')],
    ['transient', "the OpenAI SDK's lost connection", new APIConnectionError('Connection error.')],
    ['aborted', "the OpenAI SDK's abort", new APIUserAbortError('Request was aborted.')],
    ['aborted', 'an abort of the runtime', new DOMException('aborted', 'AbortError')],
    ['persistent', 'a mistake in JSON', new SyntaxError('Unexpected end of JSON input')],
    ['persistent', 'a reason that is no error', 'gone'],
    ['persistent', 'nothing', undefined],
    ['persistent', 'null', null],
    ['persistent', 'an object of another kind', {}],
  ])('%s: %s', (verdict, _what, thrown) => {
    expect(classify(thrown)).toBe(verdict);
  });

  it('goes by our own error where a client has wrapped it', () => {
    const wrap = (cause: Error) => new APIConnectionError('Connection error.', { cause });
    expect(classify(wrap(new PayloadError([])))).toBe('persistent');
    expect(classify(wrap(new CircuitOpenError('key', 1000)))).toBe('transient');
    expect(classify(wrap(new DeepSeekError(402, { message: 'm' })))).toBe('persistent');
  });

  const api = { retry: 0, timeout: 1 } as const;
  it.each<[Verdict, string, ScriptedReply]>([
    ['transient', 'HTTPError', 503],
    ['persistent', 'HTTPError', 401],
    ['transient', 'NetworkError', new TypeError('fetch failed')],
    ['transient', 'TimeoutError', 'hang'],
  ])("%s: ky's %s", async (verdict, name, reply) => {
    const error = await rejectionOf(ky.get(endpoint, { ...api, fetch: createScriptedFetch(reply) }));
    expect(error).toHaveProperty('name', name);
    expect(classify(error)).toBe(verdict);
  });

  it('transient: a refused connection of the real fetch', async () => {
    const server = await served(async () => new Response());
    await server.close();
    expect(classify(await rejectionOf(fetch(server.url)))).toBe('transient');
  });

  it('aborted: a real fetch whose caller went away', async () => {
    const { url } = await served(() => new Promise(() => {}));
    const caller = new AbortController();
    const rejection = rejectionOf(fetch(url, { signal: caller.signal }));
    caller.abort();
    expect(classify(await rejection)).toBe('aborted');
  });

  it.each([400, 500, 503, undefined])('persistent: a context that is too long, told with %s', (status) => {
    const message = "This model's maximum context length is 1048576 tokens.";
    expect(classify(Object.assign(new Error(message), { status }))).toBe('persistent');
    expect(classify(new DeepSeekError(status ?? 413, { message }))).toBe('persistent');
  });
});

describe('classify() of an answer', () => {
  it.each<[Verdict, string]>([
    ['success', 'stop'],
    ['success', 'length'],
    ['success', 'tool_calls'],
    ['transient', 'insufficient_system_resource'],
    ['transient', 'aborted'],
  ])('%s: one that finished with %s', async (verdict, finish_reason) => {
    const choices = [{ finish_reason, message: { content: '' } }];
    const { ai, run } = play(unjudged, { body: { ...pong, choices } });
    const answer = await run(ai.chat(ping));
    expect(classify(answer)).toBe(verdict);
    expect(classify(answer.raw)).toBe(verdict);
  });
});
