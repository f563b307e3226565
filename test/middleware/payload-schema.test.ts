import { compose, PayloadError, type PayloadIssue, retry, type StandardSchema } from 'breakwater';
import { payloadSchema } from 'breakwater/payload-schema';
import { createFakeClock, createScriptedFetch } from 'breakwater/testing';
import * as v from 'valibot';
import { describe, expect, it, vi } from 'vitest';
import { bytesOf, createSource, post, printed, rejectionOf, url, watch } from './witness.ts';

const chat = v.object({
  model: v.string(),
  temperature: v.optional(v.pipe(v.number(), v.maxValue(2, 'must be 2 or less'))),
  messages: v.optional(v.array(v.object({ role: v.picklist(['user', 'system']), content: v.string() }))),
});

/** A schema that does what a test says. */
function schemaOf(validate: StandardSchema['~standard']['validate']): StandardSchema {
  return { '~standard': { version: 1, vendor: 'own', validate } };
}

function refusing(...issues: Awaited<ReturnType<StandardSchema['~standard']['validate']>>['issues'] & {}) {
  return schemaOf(() => ({ issues }));
}

function sent(payload: unknown): RequestInit {
  return { method: 'POST', body: JSON.stringify(payload) };
}

/** What a body is refused with; it must not have been sent. */
async function refusalOf(schema: StandardSchema, init: RequestInit = post): Promise<PayloadError> {
  const fetch = createScriptedFetch();
  const error = await rejectionOf(payloadSchema(schema)(fetch)(url, init));
  expect(fetch.calls).toHaveLength(0);
  expect(error).toBeInstanceOf(PayloadError);
  return error as PayloadError;
}

describe('payloadSchema() and a valid body', () => {
  it('sends it as it came, also what the schema would strip or change', async () => {
    const body = '{ "model":"m", "unknown": 1e0, "temperature":2 }';
    const fetch = createScriptedFetch(200);
    const changing = v.pipe(
      chat,
      v.transform(() => ({ model: 'another' })),
    );
    await payloadSchema(changing)(fetch)(url, { method: 'POST', body });
    expect(fetch.calls[0]?.text).toBe(body);
  });

  it('goes on in the same turn when the schema is synchronous', async () => {
    const fetch = createScriptedFetch(200);
    const call = payloadSchema(chat)(fetch)(url, post);
    expect(fetch.calls).toHaveLength(1);
    await call;
  });

  it('waits for a schema that is not', async () => {
    const decision = Promise.withResolvers<{ issues?: undefined }>();
    const fetch = createScriptedFetch(200);
    const clock = createFakeClock();
    const call = payloadSchema(schemaOf(() => decision.promise))(fetch)(url, post);
    await clock.settle();
    expect(fetch.calls).toHaveLength(0);
    decision.resolve({});
    expect((await call).status).toBe(200);
  });

  it('takes a schema that is a function, as those of arktype are', async () => {
    const schema = Object.assign(() => undefined, refusing({ message: 'no' }));
    expect((await refusalOf(schema)).issues).toEqual([{ path: '', message: 'no' }]);
    expect(() => payloadSchema({ schema })).not.toThrow();
  });

  it('parses it once for all layers', async () => {
    const parse = vi.spyOn(JSON, 'parse');
    const layer = payloadSchema(chat);
    await compose(layer, retry({ random: () => 0 }), layer)(createScriptedFetch(503, 200))(url, post);
    expect(parse).toHaveBeenCalledTimes(1);
    parse.mockRestore();
  });
});

describe('payloadSchema() and an invalid body', () => {
  it('refuses it with every issue and its path', async () => {
    const wrong = { model: 'm', temperature: 2.5, messages: [{ role: 'user', content: '' }, { role: 'me' }] };
    const error = await refusalOf(chat, sent(wrong));
    expect(error).toMatchObject({ code: 'PAYLOAD_INVALID' });
    expect(error.issues.map(({ path }) => path)).toEqual([
      'temperature',
      'messages[1].role',
      'messages[1].content',
    ]);
    expect(error.message).toMatch(/^Request body is invalid: temperature: must be 2 or less; messages\[1\]/);
  });

  it.each<[string, readonly (PropertyKey | { key: PropertyKey })[] | undefined, string]>([
    ['the body as a whole', undefined, ''],
    ['an empty path', [], ''],
    ['keys', ['a', 'b', 0, 'c'], 'a.b[0].c'],
    ['segments', [{ key: 'list' }, { key: 2 }, { key: 1 }], 'list[2][1]'],
    ['an index first', [3, 'x'], '[3].x'],
    ['a symbol', [Symbol('mark')], 'Symbol(mark)'],
  ])('writes the path of %s', async (_what, path, shown) => {
    const error = await refusalOf(refusing({ message: 'is wrong', path }));
    expect(error.issues).toEqual([{ path: shown, message: 'is wrong' }]);
    expect(error.message).toBe(`Request body is invalid: ${shown ? `${shown}: ` : ''}is wrong`);
  });

  it('names three issues in its message and counts the rest', async () => {
    const issues = ['a', 'b', 'c', 'd', 'e'].map((name) => ({ message: 'is wrong', path: [name] }));
    const error = await refusalOf(refusing(...issues));
    expect(error.message).toBe('Request body is invalid: a: is wrong; b: is wrong; c: is wrong; and 2 more');
    expect(error.issues).toHaveLength(5);
  });

  it('refuses what an asynchronous schema refuses', async () => {
    const issues = [{ message: 'no' }];
    expect(await refusalOf(schemaOf(async () => ({ issues })))).toHaveProperty('issues', [
      { path: '', message: 'no' },
    ]);
  });

  it('is not repeated and is told by its code alone', async () => {
    const clock = createFakeClock();
    const { observed, of } = watch(clock);
    const fetch = createScriptedFetch();
    const chain = compose(observed, retry({ clock }), payloadSchema(chat))(fetch);
    await rejectionOf(chain(url, sent({})));
    expect(of('attempt.started')).toHaveLength(1);
    expect(of('call.settled')).toMatchObject([{ outcome: 'failed', cause: 'PAYLOAD_INVALID' }]);
  });

  it.each<[string, unknown, string, string]>([
    ['a text', 'secret', 'must be "a" and not "secret"', 'must be "a" and not "…"'],
    ['a text as JSON', 'a\n"secret"', 'received "a\\n\\"secret\\""', 'received "…"'],
    ['a text in bare quotes', 'a "secret"', 'received "a "secret""', 'received "…"'],
    ['a number', 41, 'must be 3 or less: received 41', 'must be 3 or less: received …'],
    // These used to be shown: not every library quotes as JSON does.
    ['a text in single quotes', 'secret', "must be 'a' (was 'secret')", `must be 'a' (was "…")`],
    ['a text in backticks', 'secret', 'must be `a`, not `secret`', 'must be `a`, not "…"'],
    ['a long text without quotes', 'my secret', 'must be a URL: my secret', 'must be a URL: …'],
    ['a long text in single quotes', 'my secret', "got 'my secret'", "got '…'"],
    ['a number as arktype tells it', 41, 'must be less than 3 (was 41)', 'must be less than 3 (was …)'],
  ])('takes %s that it refuses out of the message', async (_what, value, message, shown) => {
    const schema = refusing({ message, path: ['list', 0, 'deep'] });
    const error = await refusalOf(schema, sent({ list: [{ deep: value }] }));
    expect(error.issues).toEqual([{ path: 'list[0].deep', message: shown }]);
  });

  it('keeps the words of a message that a short value is part of', async () => {
    const schema = refusing({ message: 'must be a number', path: ['a'] });
    expect((await refusalOf(schema, sent({ a: 'a' }))).issues[0]?.message).toBe('must be a number');
  });

  it('keeps the message of an issue whose path leads nowhere', async () => {
    const schema = refusing({ message: 'is missing', path: ['a', 'b', 0] });
    expect((await refusalOf(schema, sent({ a: null }))).issues).toEqual([
      { path: 'a.b[0]', message: 'is missing' },
    ]);
  });

  it.each<[string, unknown]>([
    ['a text', 'my secret, prompt'],
    ['a text with quotes', 'my "secret" \\ prompt'],
    ['a text of several lines', 'my\nsecret\tprompt'],
    ['a number', 4_111_111_111_111_111],
    ['a negative number', -4_111_111_111_111_111],
  ])('shows nothing of %s that it refuses', async (_what, value) => {
    const strict = v.object({
      number: v.pipe(v.number(), v.maxValue(2)),
      text: v.pipe(v.string(), v.maxLength(3)),
      flag: v.boolean(),
      choice: v.picklist(['a', 'b']),
      exact: v.literal('c'),
      list: v.array(v.string()),
      deep: v.object({ inner: v.null() }),
    });
    const body = Object.fromEntries(Object.keys(strict.entries).map((name) => [name, value]));
    const error = await refusalOf(strict, sent({ ...body, deep: { inner: value } }));
    expect(error.issues.length).toBeGreaterThan(4);
    expect(printed(error)).not.toMatch(/secret|prompt|4111111111111111|4_111/);
  });
});

describe('payloadSchema() and what it cannot judge', () => {
  const bodies: [string, () => BodyInit, string][] = [
    ['text', () => 'not { json', 'not { json'],
    ['an empty text', () => '', ''],
    ['bytes that are no JSON', () => Uint8Array.of(0xff, 0xfe), '\ufffd\ufffd'],
    ['a form', () => new URLSearchParams({ a: '1' }), 'a=1'],
    ['a Blob', () => new Blob(['{"model":1}']), '{"model":1}'],
    ['a stream', () => new Blob(['{"model":1}']).stream(), '{"model":1}'],
  ];

  it.each(bodies)('passes %s on, with an event', async (_what, body, text) => {
    const clock = createFakeClock();
    const { observed, of } = watch(clock);
    const fetch = createScriptedFetch(200);
    const init = { method: 'POST', body: body(), duplex: 'half' };
    await compose(observed, payloadSchema(refusing({ message: 'no' })))(fetch)(url, init);
    expect(fetch.calls[0]?.text).toBe(text);
    expect(of('payload.skipped')).toEqual([{}]);
  });

  it.each<[string, RequestInit]>([
    ['no body', {}],
    ['a body of null', { method: 'POST', body: null }],
  ])('passes a call with %s on, without one', async (_what, init) => {
    const clock = createFakeClock();
    const { observed, of } = watch(clock);
    const chain = compose(
      observed,
      payloadSchema(refusing({ message: 'no' })),
    )(createScriptedFetch(200, 200));
    expect((await chain(url, init)).status).toBe(200);
    expect((await chain(new Request(url, init))).status).toBe(200);
    expect((await chain(new Request(url, { method: 'HEAD' })).catch(() => undefined))?.status).toBe(
      undefined,
    );
    expect(of('payload.skipped')).toEqual([]);
  });

  it.each<[string, string, unknown]>([
    ['null', 'null', null],
    ['a number', ' 7 ', 7],
    ['a text', '"text"', 'text'],
    ['false', 'false', false],
    ['a list', '[1]', [1]],
  ])('judges JSON that is %s', async (_what, body, value) => {
    const judged: unknown[] = [];
    const schema = schemaOf((payload) => {
      judged.push(payload);
      return {};
    });
    await payloadSchema(schema)(createScriptedFetch(200))(url, { method: 'POST', body });
    expect(judged).toEqual([value]);
  });

  it.each<[string, () => BodyInit]>([
    ['a Uint8Array', () => bytesOf('{"model":1}')],
    ['an ArrayBuffer', () => bytesOf('{"model":1}').buffer],
    ['a part of a buffer', () => bytesOf('xx{"model":1}xx').subarray(2, -2)],
    ['a DataView', () => new DataView(bytesOf('{"model":1}').buffer)],
  ])('judges JSON that comes as %s', async (_what, body) => {
    expect((await refusalOf(chat, { method: 'POST', body: body() })).issues[0]?.path).toBe('model');
  });

  it('passes what it cannot judge and what it finds unwise on when nobody listens', async () => {
    const advise = () => [{ path: '', message: 'unwise' }];
    const chain = payloadSchema({ schema: chat, advise })(createScriptedFetch(200, 200));
    for (const body of ['not { json', '{"model":"m"}'])
      expect((await chain(url, { method: 'POST', body })).status).toBe(200);
  });

  it('passes on what a schema throws', async () => {
    const mistake = new Error('a mistake in the schema');
    const throwing = schemaOf(() => {
      throw mistake;
    });
    for (const schema of [throwing, schemaOf(() => Promise.reject(mistake))])
      expect(await rejectionOf(payloadSchema(schema)(createScriptedFetch())(url, post))).toBe(mistake);
  });
});

describe('payloadSchema() and a Request', () => {
  it('judges its body', async () => {
    const error = await rejectionOf(payloadSchema(chat)(createScriptedFetch())(new Request(url, sent({}))));
    expect(error).toMatchObject({ code: 'PAYLOAD_INVALID', issues: [{ path: 'model' }] });
  });

  it('sends what it read, byte for byte', async () => {
    const body = bytesOf('\ufeff{ "model":"☺" }\n');
    const received: Uint8Array[] = [];
    const chain = payloadSchema(chat)(async (input, init) => {
      received.push(await new Request(input, init).bytes());
      return new Response('pong');
    });
    await chain(new Request(url, { method: 'POST', body }));
    expect(received).toEqual([body]);
  });

  it('leaves the body of an init before that of the Request', async () => {
    const fetch = createScriptedFetch(200);
    await payloadSchema(chat)(fetch)(new Request(url, sent({ model: 1 })), { body: '{"model":"m"}' });
    expect(fetch.calls[0]?.text).toBe('{"model":"m"}');
  });

  it('passes one that is too large to keep on in one piece, with an event', async () => {
    const clock = createFakeClock();
    const { observed, of } = watch(clock);
    const piece = bytesOf('x'.repeat(1_000_000));
    const source = createSource();
    const fetch = createScriptedFetch(200);
    const request = new Request(url, { method: 'POST', body: source.stream, duplex: 'half' } as RequestInit);
    const call = compose(observed, payloadSchema(chat))(fetch)(request);
    for (let pieces = 0; pieces < 10; pieces++) source.push(piece);
    source.close();
    await call;
    expect(fetch.calls[0]?.text).toHaveLength(10_000_000);
    expect(of('payload.skipped')).toEqual([{}]);
  });

  it('stops reading a body that stalls when the caller goes away', async () => {
    const clock = createFakeClock();
    const source = createSource();
    const caller = new AbortController();
    const fetch = createScriptedFetch();
    const init = { method: 'POST', body: source.stream, duplex: 'half', signal: caller.signal };
    const call = payloadSchema(chat)(fetch)(new Request(url, init as RequestInit));
    await clock.settle();
    const reason = new Error('enough');
    caller.abort(reason);
    expect(await rejectionOf(call)).toBe(reason);
    expect(fetch.calls).toHaveLength(0);
  });
});

describe('payloadSchema() with options', () => {
  it('shows its name in stack traces', () => {
    expect(payloadSchema({ schema: chat })(createScriptedFetch()).name).toBe('payloadSchema');
  });

  it('asks shouldValidate about each call', async () => {
    const asked: string[] = [];
    const shouldValidate = (call: { url: string; method: string }) => {
      asked.push(`${call.method} ${call.url}`);
      return call.method === 'POST';
    };
    const chain = payloadSchema({ schema: refusing({ message: 'no' }), shouldValidate })(
      createScriptedFetch(200),
    );
    expect((await chain(url, { ...post, method: 'PUT' })).status).toBe(200);
    expect(await rejectionOf(chain(url, post))).toBeInstanceOf(PayloadError);
    expect(asked).toEqual([`PUT ${url}`, `POST ${url}`]);
  });

  it('tells what advise finds in a valid body, and sends it', async () => {
    const clock = createFakeClock();
    const { observed, of } = watch(clock);
    const seen: unknown[] = [];
    const issues: PayloadIssue[] = [{ path: 'model', message: 'retires soon' }];
    const advise = (payload: unknown) => {
      seen.push(payload);
      return seen.length === 1 ? issues : [];
    };
    const fetch = createScriptedFetch(200, 200);
    const chain = compose(observed, payloadSchema({ schema: chat, advise }))(fetch);
    await chain(url, post);
    await chain(url, post);
    await rejectionOf(chain(url, sent({})));
    await compose(observed, payloadSchema(chat))(fetch.reply(200))(url, post);
    expect(of('payload.advice')).toEqual([{ issues }]);
    expect(seen).toEqual([{ model: 'deepseek-v4-flash' }, { model: 'deepseek-v4-flash' }]);
  });
});
