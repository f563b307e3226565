import type { ChatChunk, ChatStream } from 'breakwater/deepseek';
import { createFakeClock, type FakeClock } from 'breakwater/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LiveChatStream } from '../../src/deepseek/chat-stream.ts';
import { piecesOf as cut, splitsOf, streams, type Transcript } from '../fixtures/transcripts.ts';
import { bytesOf, createSource, rejectionOf, type Source } from '../middleware/witness.ts';
import { contentOf, piecesOf, ping } from './stage.ts';

type Bytes = string | Uint8Array<ArrayBuffer>;

function event(choice: object, more: object = {}): string {
  return `data: ${JSON.stringify({ id: 'a', model: 'm', choices: [choice], ...more })}\n\n`;
}

function said(content: string): string {
  return event({ delta: { content }, finish_reason: null });
}

const done = 'data: [DONE]\n\n';
const finish = event({ delta: { content: '' }, finish_reason: 'stop' });

interface Setting {
  readonly signal?: AbortSignal;
  readonly clock?: FakeClock;
  readonly maxEventBytes?: number;
}

/** A stream over a body, without any layer between. */
function over(body: ReadableStream<Uint8Array> | null, setting: Setting = {}): ChatStream {
  const { signal, clock = createFakeClock(), maxEventBytes = 8 * 1024 * 1024 } = setting;
  const open = async () => ({ body, emit: undefined });
  return new LiveChatStream({ request: ping, open, signal, clock, maxEventBytes, maxResumes: 0 });
}

/** A body that ends with its last chunk. */
function bodyOf(...chunks: Bytes[]): Source['stream'] {
  const source = createSource();
  source.push(...chunks);
  source.close();
  return source.stream;
}

function read(...chunks: Bytes[]): Promise<ChatChunk[]> {
  return piecesOf(over(bodyOf(...chunks)));
}

/** What was read before it failed, and the failure. */
async function readToFailure(chunks: readonly Bytes[], setting?: Setting) {
  const pieces: ChatChunk[] = [];
  const reading = async () => {
    for await (const piece of over(bodyOf(...chunks), setting)) pieces.push(piece);
  };
  return { error: await rejectionOf(reading()), content: contentOf(pieces) };
}

/** All that a reader gets, as one text: every field of every piece, and the end. */
async function accountOf(...chunks: Bytes[]): Promise<string> {
  const lines: unknown[] = [];
  try {
    for await (const piece of over(bodyOf(...chunks))) lines.push({ ...piece, raw: piece.raw });
  } catch (thrown) {
    const { code, committed, finishReason, keepAlives, partial } = thrown as Record<string, unknown>;
    lines.push({ code, committed, finishReason, keepAlives, partial });
  }
  return lines.map((line) => JSON.stringify(line)).join('\n');
}

const codes: Record<Transcript['expected']['verdict'], string | undefined> = {
  complete: undefined,
  truncated: 'STREAM_TRUNCATED',
  failed: 'STREAM_FAILED',
  malformed: 'STREAM_MALFORMED',
  empty: 'STREAM_EMPTY',
};

/** Shorter than an event, so that each is cut. */
const STRIDE = 127;

const recorded = Object.entries(streams).filter(([, { contentType }]) => contentType !== 'text/html');

describe.each(recorded)('the recorded stream %s', (_name, { bytes, expected }) => {
  it(`is ${expected.verdict}, and says what it says`, async () => {
    const stream = over(bodyOf(bytes.slice()));
    const ending = await stream.final().catch((error: unknown) => error);
    const { content, reasoningContent, finishReason, usage, keepAlives } = expected;
    const toolCalls = expected.toolCalls.map(({ id, name, arguments: text }) => ({
      id,
      type: 'function',
      function: { name, arguments: text },
    }));
    const code = codes[expected.verdict];
    expect(ending).toMatchObject(
      code
        ? { code, keepAlives, partial: { content, reasoningContent } }
        : { content, reasoningContent, finishReason, usage, toolCalls },
    );
  });

  it('reads the same wherever it is cut, also within a letter', async () => {
    const whole = await accountOf(bytes.slice());
    // Each point is one of the cuts of one of these.
    for (let first = 0; first < STRIDE; first++)
      expect(await accountOf(bytes.slice(0, first), ...cut(bytes.slice(first), STRIDE))).toBe(whole);
    for (const size of [1, 2, 3, 1000]) expect(await accountOf(...cut(bytes, size))).toBe(whole);
  });
});

/** A transcript with everything in it that an answer can have, as short as can be. */
const transcript = [
  ': keep-alive\n\n',
  event({ delta: { role: 'assistant', content: null, reasoning_content: '' } }),
  ...['hm', ' 数', '学', '\n'].map((reasoning_content) => event({ delta: { reasoning_content } })),
  ...['né', ' 👩‍👩‍👧', 'a', '"b"', '\\', '\u2028', ''].map(said),
  ': keep-alive\r\n\r\n',
  event({ delta: { tool_calls: [{ index: 1, id: 'c', function: { name: 'f', arguments: '{' } }] } }),
  said('x'),
  event({ delta: { tool_calls: [{ index: 0, id: 'b', function: { name: 'g', arguments: '1' } }] } }),
  event({ delta: { tool_calls: [{ index: 1, function: { arguments: '}' } }] } }),
  'event: message\r\ndata: {"choices":[{"delta":{"content":"x"}}]}\r\n\r\n',
  'id: 7\ndata: {"choices":[],\ndata: "usage":{"total_tokens":3}}\n\n',
  event({ delta: {}, finish_reason: 'tool_calls' }, { usage: null }),
  done,
].join('');

describe('a stream', () => {
  it('brings pieces of every kind', async () => {
    const pieces = await read(transcript);
    expect(contentOf(pieces)).toBe('né 👩‍👩‍👧a"b"\\\u2028xx');
    expect(pieces.map(({ reasoningContent }) => reasoningContent).join('')).toBe('hm 数学\n');
    expect(pieces.flatMap(({ usage }) => usage ?? [])).toEqual([{ total_tokens: 3 }]);
    expect(pieces.flatMap(({ finishReason }) => finishReason ?? [])).toEqual(['tool_calls']);
    expect(pieces[0]).toMatchObject({ id: 'a', model: 'm' });
    expect(pieces[0]?.raw).toMatchObject({ choices: [{ delta: { role: 'assistant' } }] });
  });

  it('is the same in two parts, wherever it is cut', async () => {
    const bytes = bytesOf(transcript);
    const whole = await accountOf(transcript);
    for (const halves of splitsOf(bytes)) expect(await accountOf(...halves)).toBe(whole);
  });

  it('tells each call of a tool as far as it has come', async () => {
    const pieces = await read(transcript);
    const texts = pieces.map(({ toolCalls }) =>
      toolCalls.map(({ function: f }) => f.name + f.arguments).join(),
    );
    expect(texts.filter((text, at) => text !== texts[at - 1])).toEqual(['', 'f{', 'g1,f{', 'g1,f{}']);
    expect(pieces.at(-1)?.toolCalls).toEqual([
      { id: 'b', type: 'function', function: { name: 'g', arguments: '1' } },
      { id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } },
    ]);
  });
});

describe('what is not parsed but only looked at', () => {
  const texts = [
    'a',
    'ab',
    ' ',
    '潮',
    '🌊',
    'é'.repeat(40),
    'x'.repeat(40),
    '"',
    '\\',
    '\n',
    '\u0001',
    '\u2060probe\u2060',
    '", "b',
  ];

  /** How the same event is written by others: with spaces, with all but ASCII escaped, with other fields around. */
  const writings: [string, (content: string) => string][] = [
    ['the service', (content) => said(content)],
    [
      'Python',
      (content) => `data: {"choices": [{"delta": {"content": ${JSON.stringify(content)}}}], "id": "a"}\n\n`,
    ],
    [
      'those who escape',
      (content) =>
        said(content).replaceAll(
          /[^ -~\n]/g,
          (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
        ),
    ],
    [
      'those who tell the usage',
      (content) => event({ delta: { content, role: 'assistant' } }, { usage: null, x: [1] }),
    ],
    [
      'those who say it twice',
      (content) =>
        event({ message: { content: 'other' }, delta: { reasoning_content: null, content } }, { content }),
    ],
    [
      'those who repeat a field',
      (content) =>
        `data: {"content":"a","choices":[{"delta":{"content":"b","content":${JSON.stringify(content)}}}]}\n\n`,
    ],
    ['those who end lines with CR LF', (content) => said(content).replaceAll('\n', '\r\n')],
    ['those who put no space', (content) => said(content).replace('data: ', 'data:')],
  ];

  it.each(writings)('says the same as what is parsed: written by %s', async (_who, write) => {
    const events = ['begin', 'b', ...texts, 'end'].map(write);
    for (const chunks of [events, [events.join('')]]) {
      const pieces = await read(...chunks, finish, done);
      expect(pieces.slice(0, -1).map(({ content }) => content)).toEqual(['begin', 'b', ...texts, 'end']);
      const raws = events.map((text) => JSON.parse(text.slice(5)));
      expect(pieces.slice(0, -1).map(({ raw }) => raw)).toEqual(raws);
    }
  });

  it.each<[string, string, string | undefined]>([
    ['a string that ends early', 'a","role":"x', undefined],
    ['an escape that is none', '\\x', 'STREAM_MALFORMED'],
    ['a line break', 'a\tb', 'STREAM_MALFORMED'],
    ['a text without its end', 'a\\', 'STREAM_MALFORMED'],
  ])('is parsed where it is not as it seems: %s', async (_what, inside, code) => {
    const odd = said('TEXT').replace('TEXT', inside);
    const chunks = [said('a'), said('b'), odd, finish, done];
    if (code) expect(await readToFailure(chunks)).toMatchObject({ error: { code }, content: 'ab' });
    else expect(contentOf(await read(...chunks))).toBe('aba');
  });

  it('says the same as what is parsed, whatever is said and wherever it is cut', async () => {
    const text = fc.string({ unit: 'binary', maxLength: 30 });
    const field = fc.constantFrom('content', 'reasoning_content');
    const property = fc.asyncProperty(
      fc.array(fc.tuple(field, text), { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 1, max: 400 }),
      async (deltas, size) => {
        const events = deltas.map(([name, value]) => event({ delta: { [name]: value } }));
        const whole = [said('x'), ...events, finish, done].join('');
        const pieces = (await read(...cut(bytesOf(whole), size))).slice(1, -1);
        expect(pieces.map(({ raw }) => raw)).toEqual(events.map((written) => JSON.parse(written.slice(6))));
        const texts = pieces.map(({ content, reasoningContent }) => content + reasoningContent);
        expect(texts).toEqual(deltas.map(([, value]) => value.toWellFormed()));
      },
    );
    await fc.assert(property, { numRuns: 300 });
  });

  it('is parsed where events differ in more than their text, one after the other', async () => {
    const events = Array.from({ length: 60 }, (_, at) =>
      event({ delta: { content: `${at} ` } }, { created: at < 40 ? at : 40 }),
    );
    const pieces = await read(...events, done);
    expect(pieces.map(({ raw }) => raw)).toEqual(events.map((text) => JSON.parse(text.slice(6))));
    expect(contentOf(pieces)).toBe(Array.from({ length: 60 }, (_, at) => `${at} `).join(''));
  });

  it('changes with the kind of text, and with whatever is around it', async () => {
    const events = [
      event({ delta: { content: null, reasoning_content: 'r' } }),
      event({ delta: { content: null, reasoning_content: 's' } }),
      said('a'),
      said('b'),
      event({ delta: { content: 'c' } }, { id: 'other' }),
      event({ delta: { content: 'd' } }, { id: 'other' }),
      event({ delta: { content: 'e', reasoning_content: 't' } }),
      event({ delta: { content: 'f', tool_calls: [{ index: 0, id: 'i', function: { name: 'g' } }] } }),
      said('h'),
    ];
    const pieces = await read(...events, done);
    expect(
      pieces.map(({ content, reasoningContent, id }) => [content, reasoningContent, id].join(' ')),
    ).toEqual([' r a', ' s a', 'a  a', 'b  a', 'c  other', 'd  other', 'e t a', 'f  a', 'h  a']);
    expect(pieces.map(({ toolCalls }) => toolCalls.length)).toEqual([0, 0, 0, 0, 0, 0, 0, 1, 1]);
  });
});

describe('what is accepted', () => {
  const usage = { total_tokens: 3 };
  it.each([
    ['usage on the last chunk with a choice', event({ delta: {}, finish_reason: 'stop' }, { usage })],
    ['usage in a chunk of its own', `${finish}data: {"choices":[],"usage":{"total_tokens":3}}\n\n`],
    ['usage in a chunk without choices', `${finish}data: {"usage":{"total_tokens":3}}\n\n`],
    ['usage beside choices that are null', `${finish}data: {"choices":null,"usage":{"total_tokens":3}}\n\n`],
    [
      'usage beside an error that is null',
      event({ delta: {}, finish_reason: 'stop' }, { usage, error: null }),
    ],
  ])('%s', async (_where, text) => {
    const pieces = await read(said('a'), text, done);
    expect(pieces.at(-1)?.usage).toEqual(usage);
    expect(contentOf(pieces)).toBe('a');
  });

  it.each([
    ['no index', [{ id: 'c', function: { name: 'f', arguments: '1' } }], [{ function: { arguments: '2' } }]],
    [
      'an id and a name that are repeated',
      [{ index: 0, id: 'c', function: { name: 'f', arguments: '1' } }],
      [{ index: 0, id: 'c', function: { name: 'f', arguments: '2' } }],
    ],
    [
      'an id and a name that are empty later',
      [{ index: 5, id: 'c', function: { name: 'f' } }],
      [{ index: 5, id: '', function: { name: '', arguments: '12' } }],
    ],
    [
      'nulls',
      [{ index: 0, id: 'c', function: null }],
      [{ index: 0, id: null, function: { name: 'f', arguments: '12' } }],
    ],
  ])('calls of tools with %s', async (_what, ...deltas) => {
    const pieces = await read(...deltas.map((tool_calls) => event({ delta: { tool_calls } })), done);
    expect(pieces.at(-1)?.toolCalls).toEqual([
      { id: 'c', type: 'function', function: { name: 'f', arguments: '12' } },
    ]);
  });

  it('what it does not know, as it came', async () => {
    const raw = {
      object: 'x',
      choices: [{ index: 0, delta: { content: 'a', audio: [1] }, logprobs: null }],
      z: { y: 1 },
    };
    const [piece] = await read(`data: ${JSON.stringify(raw)}\n\n`, done);
    expect(JSON.stringify(piece?.raw)).toBe(JSON.stringify(raw));
    expect(piece?.raw).toBe(piece?.raw);
  });

  it.each([
    ['[DONE], whatever follows', `${said('a')}${done}data: {broken\n\n${said('b')}`],
    ['[DONE] without its line break', `${said('a')}data: [DONE]`],
    ['a finish reason, without [DONE]', said('a') + finish],
  ])('%s, as an end', async (_what, text) => {
    expect(contentOf(await read(text))).toBe('a');
    expect(contentOf(await read(...text.split(/(?<=\n)/)))).toBe('a');
  });

  it('a connection that is lost when the answer has said that it is finished', async () => {
    const source = createSource();
    source.push(said('a') + finish);
    const stream = over(source.stream);
    await stream.next();
    await stream.next();
    source.fail(new Error('lost'));
    expect(await stream.final()).toMatchObject({ content: 'a', finishReason: 'stop' });
  });
});

describe('what is not', () => {
  it.each([
    ['STREAM_EMPTY', 'nothing', '', false],
    ['STREAM_EMPTY', 'keep-alives alone', ': keep-alive\n\n\n\n', false],
    ['STREAM_EMPTY', 'a page', '<html><title>502</title></html>', false],
    ['STREAM_EMPTY', 'a [DONE] alone', done, false],
    ['STREAM_EMPTY', 'a finish without content', finish + done, false],
    ['STREAM_TRUNCATED', 'the beginning of an event', 'data: {"choi', false],
    ['STREAM_TRUNCATED', 'a chunk', said('a'), true],
    ['STREAM_TRUNCATED', 'an event without its blank line', said('a') + finish.trimEnd(), true],
    ['STREAM_TRUNCATED', 'an event that is cut', said('a') + finish.slice(0, 20), true],
  ])('%s: %s', async (code, _what, text, committed) => {
    const { error, content } = await readToFailure([text]);
    const receivedBytes = bytesOf(text).length;
    expect(error).toMatchObject({
      code,
      receivedBytes,
      committed,
      partial: { content, reasoningContent: '' },
    });
    expect(content).toBe(committed ? 'a' : '');
  });

  it('STREAM_EMPTY: no body at all', async () => {
    const error = await rejectionOf(piecesOf(over(null)));
    expect(error).toMatchObject({ code: 'STREAM_EMPTY', committed: false, receivedBytes: 0 });
  });

  it.each([
    ['content_filter', ''],
    ['length', ''],
  ])('an answer of nothing that ended with %s is one', async (finish_reason, text) => {
    const pieces = await read(event({ delta: { content: '' }, finish_reason }), done);
    expect(contentOf(pieces)).toBe(text);
  });

  const failing = event({ delta: { content: 'z' }, finish_reason: 'insufficient_system_resource' });
  it.each([
    ['STREAM_MALFORMED', 'no JSON', 'data: upstream error: read ECONNRESET\n\n'],
    ['STREAM_MALFORMED', 'JSON that is no object', 'data: 7\n\n'],
    ['STREAM_MALFORMED', 'null', 'data: null\n\n'],
    ['STREAM_MALFORMED', 'a content that is no text', event({ delta: { content: 7 } })],
    ['STREAM_MALFORMED', 'choices that are no array', 'data: {"choices":{}}\n\n'],
    ['STREAM_FAILED', 'an error without choices', 'data: {"error":{"message":"died"}}\n\n'],
    ['STREAM_FAILED', 'an error with no choice', 'data: {"error":"died","choices":[]}\n\n'],
    ['STREAM_FAILED', 'a finish for want of resources', failing],
    [
      'STREAM_FAILED',
      'a finish that is an abort',
      failing.replace('insufficient_system_resource', 'aborted'),
    ],
  ])('%s: %s, after what came before', async (code, _what, text) => {
    const { error, content } = await readToFailure([said('a') + text + said('b'), done]);
    const isFinish = text.includes('finish_reason":"');
    expect(error).toMatchObject({ code, committed: true, partial: { content: isFinish ? 'az' : 'a' } });
    expect(content).toBe('a');
    expect(String(error)).not.toMatch(/died|ECONNRESET/);
    expect(JSON.stringify(error)).not.toMatch(/died|ECONNRESET|partial/);
    if (isFinish) expect(error).toHaveProperty('finishReason', expect.stringMatching(/^(insuff|abort)/));
    const first = await readToFailure([text, done]);
    expect(first.error).toMatchObject({ code, committed: false });
  });

  it('STREAM_RESET: a connection that is lost, in no words of the runtime', async () => {
    const source = createSource();
    source.push(said('a'));
    const stream = over(source.stream);
    await stream.next();
    source.fail(new TypeError('terminated: Bearer sk-1'));
    const error = await rejectionOf(stream.next());
    expect(error).toMatchObject({ code: 'STREAM_RESET', committed: true, partial: { content: 'a' } });
    expect(String((error as Error).cause)).toBe('Error: TypeError');
  });
});

describe('maxEventBytes', () => {
  const max = 1000;
  const setting = { maxEventBytes: max };
  /** An event whose data has exactly so many bytes. */
  const ofSize = (bytes: number, letter = 'x') => {
    const frame = said('').length - 'data: \n\n'.length;
    const count = (bytes - frame) / bytesOf(letter).length;
    return said(letter.repeat(count) + 'x'.repeat(bytes - frame - bytesOf(letter.repeat(count)).length));
  };

  it.each([
    ['letters of one byte', 'x'],
    ['letters of three bytes', '潮'],
    ['letters of four bytes', '🌊'],
  ])('lets an event of just that size through, and none that is larger: %s', async (_what, letter) => {
    const fits = ofSize(max, letter);
    expect(bytesOf(fits).length).toBe(max + 8);
    const over1 = ofSize(max + 1, letter);
    for (const prior of [said('a'), said('a') + said('b')]) {
      for (const size of [1, 100, 10_000]) {
        const pieces = await piecesOf(over(bodyOf(...cut(bytesOf(prior + fits + done), size)), setting));
        expect(contentOf(pieces).length).toBeGreaterThan(200);
        const { error, content } = await readToFailure(cut(bytesOf(prior + over1 + done), size), setting);
        expect(error).toMatchObject({ code: 'STREAM_OVERFLOW', committed: true });
        expect(content).toMatch(/^ab?$/);
      }
    }
  });

  it('bounds an event of many lines', async () => {
    const lines = `data: ${'x'.repeat(90)}\n`.repeat(20);
    for (const size of [1, 50, 10_000]) {
      const { error } = await readToFailure(cut(bytesOf(said('a') + lines), size), setting);
      expect(error).toMatchObject({ code: 'STREAM_OVERFLOW' });
    }
  });

  it.each([
    ['data', 'data: '],
    ['a comment', ': '],
    ['a field', 'id: '],
  ])('gives up on %s that never ends, and cancels it', async (_what, field) => {
    let sent = 0;
    let isCancelled = false;
    const chunk = bytesOf('x'.repeat(1024 * 1024));
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull(sink) {
        sink.enqueue(sent++ === 0 ? bytesOf(said('a') + field) : chunk.slice());
      },
      cancel() {
        isCancelled = true;
      },
    });
    const stream = over(body);
    await stream.next();
    const error = (await rejectionOf(stream.next())) as Error;
    expect(error).toMatchObject({ code: 'STREAM_OVERFLOW', partial: { content: 'a' } });
    expect(sent).toBeLessThan(12);
    expect(isCancelled).toBe(true);
    expect(JSON.stringify(error)).not.toContain('xxx');
  });

  it('puts a megabyte together that comes byte by byte, before the test is out of time', async () => {
    const bytes = bytesOf(said('x'.repeat(1024 * 1024)) + done);
    let at = 0;
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull(sink) {
        if (at < bytes.length) sink.enqueue(bytes.subarray(at, ++at));
        else sink.close();
      },
    });
    expect((await over(body).text()).length).toBe(1024 * 1024);
  });
});

describe('the body', () => {
  it('is cancelled when the loop is left', async () => {
    const source = createSource();
    source.push(said('a'), said('b'));
    for await (const { content } of over(source.stream)) {
      expect(content).toBe('a');
      break;
    }
    expect(source.cancels).toHaveLength(1);
  });

  it('is cancelled when an event is malformed', async () => {
    const source = createSource();
    source.push('data: {\n\n');
    await rejectionOf(piecesOf(over(source.stream)));
    expect(source.cancels).toHaveLength(1);
  });

  it('is not read ahead', async () => {
    const source = createSource();
    source.push(said('a') + said('b'), said('c'));
    const stream = over(source.stream);
    await stream.next();
    await stream.next();
    expect(source.pulls).toBe(0);
    await stream.next();
    await Promise.resolve(stream.return());
    expect(source.pulls).toBeLessThanOrEqual(1);
  });

  it('gives nothing that had arrived before an abort', async () => {
    const caller = new AbortController();
    const stream = over(bodyOf(said('a') + said('b') + done), { signal: caller.signal });
    await stream.next();
    const reason = { gone: true };
    caller.abort(reason);
    expect(await rejectionOf(stream.next())).toBe(reason);
    expect(await rejectionOf(stream.text())).toBe(reason);
  });

  it('is over when it is over, whatever is aborted then', async () => {
    const caller = new AbortController();
    const stream = over(bodyOf(said('a') + done), { signal: caller.signal });
    await piecesOf(stream);
    caller.abort();
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    expect(await stream.text()).toBe('a');
  });
});

describe('after [DONE]', () => {
  it('ends at once and reads the rest, so that the connection can be used again', async () => {
    const source = createSource();
    const clock = createFakeClock();
    source.push(said('a') + done);
    expect(contentOf(await piecesOf(over(source.stream, { clock })))).toBe('a');
    source.push('\n');
    source.close();
    await clock.settle();
    expect(source.cancels).toHaveLength(0);
    expect(clock.pendingTimers).toBe(0);
  });

  it('waits 250 ms for the rest', async () => {
    const source = createSource();
    const clock = createFakeClock();
    source.push(said('a') + done);
    await piecesOf(over(source.stream, { clock }));
    await clock.advance(249);
    expect(source.cancels).toHaveLength(0);
    await clock.advance(1);
    expect(source.cancels).toHaveLength(1);
  });

  it.each([
    ['an abort', (_push: () => void, abort: () => void) => abort()],
    ['64 KiB', (push: () => void) => push()],
  ])('reads no further than %s', async (_what, act) => {
    const source = createSource();
    const clock = createFakeClock();
    const caller = new AbortController();
    source.push(said('a') + done);
    await piecesOf(over(source.stream, { clock, signal: caller.signal }));
    act(
      () => source.push(new Uint8Array(64 * 1024)),
      () => caller.abort(),
    );
    await clock.settle();
    expect(source.cancels).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });
});
