import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Call } from '../../src/core/call.ts';
import type { ProgressDetector } from '../../src/core/progress.ts';
import { type CommitOn, detectAnswer } from '../../src/deepseek/progress.ts';
import {
  byteByByte,
  cut,
  eventByEvent,
  expectNoSplitToMatter,
  inPieces,
  type Judgement,
  judge,
  withLineEnds,
  withMark,
} from '../core/judge.ts';
import {
  chunksOf180,
  piecesOf,
  streamEnd,
  streams,
  type Transcript,
  type Verdict,
  wholes,
} from '../fixtures/transcripts.ts';
import { endpoint, ping } from './stage.ts';

const encoder = new TextEncoder();

interface Asked {
  readonly url?: string;
  readonly payload?: object;
  readonly commitOn?: CommitOn;
}

/** The detector of an answer of this type to this question. */
function detector(contentType: string | null, asked: Asked = {}): ProgressDetector {
  const { url = endpoint, payload = { stream: true }, commitOn = 'content' } = asked;
  const call = { url, body: JSON.stringify({ ...ping, ...payload }), context: {} } as unknown as Call;
  const headers = contentType === null ? {} : { 'content-type': contentType };
  return detectAnswer(commitOn)(new Response(null, { headers }), call);
}

const stream = (asked?: Asked) => detector('text/event-stream', asked);
const whole = () => detector('application/json', { payload: {} });
const judged = (text: string, asked?: Asked): Judgement => judge(stream(asked), [encoder.encode(text)]);
const judgedWhole = (text: string): Judgement => judge(whole(), [encoder.encode(text)]);

const event = (data: object): string => `data: ${JSON.stringify(data)}\n\n`;
const piece = (delta: unknown, finish_reason: string | null = null): string =>
  event({ choices: [{ index: 0, delta, logprobs: null, finish_reason }] });
const role = piece({ role: 'assistant', content: '' });
const thinkingRole = piece({ role: 'assistant', content: null, reasoning_content: '' });
const thought = piece({ content: null, reasoning_content: 'hm' });
const hello = piece({ content: 'hello' });
const call = piece({ tool_calls: [{ index: 0, id: 'call_0', function: { name: 'f', arguments: '' } }] });
const usage = event({ choices: [], usage: { total_tokens: 1 } });
const stop = piece({ content: '' }, 'stop');
const done = 'data: [DONE]\n\n';

/** What each verdict of a transcript is called on an error. */
const FAULTS: Readonly<Record<Verdict, Judgement['fault']>> = {
  complete: undefined,
  truncated: 'STREAM_TRUNCATED',
  failed: 'STREAM_FAILED',
  malformed: 'STREAM_MALFORMED',
  empty: 'STREAM_EMPTY',
};

describe('detectAnswer() and what is content', () => {
  it.each([
    ['a role with an empty text', role],
    ['a role with nothing at all', thinkingRole],
    ['a piece without choices', usage],
    ['a piece whose choices are null', event({ choices: null })],
    ['a piece with an error that is null', event({ error: null, choices: [] })],
    ['an empty list of tool calls', piece({ content: '', tool_calls: [] })],
    ['tool calls that are null', piece({ content: '', tool_calls: null })],
    ['a finish', stop],
    ['[DONE]', done],
    ['a comment', ': keep-alive\n\n'],
  ])('takes %s for none', (_what, text) => {
    expect(judged(text)).toHaveProperty('committedAt', -1);
  });

  it.each([
    ['a text', hello],
    ['a text of one blank', piece({ content: ' ' })],
    ['reasoning', thought],
    ['a call of a tool', call],
  ])('takes %s for some', (_what, text) => {
    expect(judged(role + text)).toHaveProperty('committedAt', role.length + text.length);
  });

  // A gateway's `"delta":null` threw within the guard: an unhandled rejection, and a call that never ended.
  it.each([
    ['a delta that is null', piece(null)],
    ['a delta that is a text', piece('hello')],
    ['a choice that is null', event({ choices: [null] })],
    ['choices that are an object', event({ choices: { 0: { delta: { content: 'x' } } } })],
    ['choices that are a text', event({ choices: 'none' })],
    ['an array', event([1])],
  ])('survives %s', (_what, text) => {
    expect(judged(text)).toMatchObject({ fault: 'STREAM_TRUNCATED', committedAt: -1 });
    expect(judged(hello + text + stop + done)).toMatchObject({ fault: undefined, finishReason: 'stop' });
  });

  it('waits for the answer itself with commitOn "answer", and says meanwhile that some has come', () => {
    const watching = stream({ commitOn: 'answer' });
    const told = (text: string) => {
      watching.push(encoder.encode(text));
      return [watching.hasContent, watching.isCommitted];
    };
    expect(told(thinkingRole)).toEqual([false, false]);
    expect(told(thought)).toEqual([true, false]);
    expect(told(thought + usage)).toEqual([true, false]);
    expect(told(hello)).toEqual([true, true]);
    expect(judged(thought + call, { commitOn: 'answer' }).committedAt).toBe(thought.length + call.length);
  });

  it('takes reasoning alone for an answer, with either commitOn', () => {
    for (const commitOn of ['content', 'answer'] as const)
      expect(judged(thinkingRole + thought + stop + done, { commitOn }).fault).toBe(undefined);
  });
});

describe('detectAnswer() and the end of a stream', () => {
  it.each<[what: string, text: string, fault: Judgement['fault'], more?: Partial<Judgement>]>([
    ['a finish without [DONE]', hello + stop, undefined, { finishReason: 'stop', isDone: false }],
    ['[DONE] without a finish', hello + done, undefined, { finishReason: undefined, isDone: true }],
    ['[DONE] without its blank line', `${hello}data: [DONE]\n`, undefined, { isDone: true }],
    ['[DONE] without its line ends', `${hello}data: [DONE]`, undefined, { isDone: true }],
    ['nothing at all', '', 'STREAM_EMPTY'],
    ['keep-alives alone', ': a\n\n: b\n\n', 'STREAM_EMPTY', { keepAlives: 2 }],
    ['a stop with nothing before it', role + stop + done, 'STREAM_EMPTY', { finishReason: 'stop' }],
    ['[DONE] with nothing before it', done, 'STREAM_EMPTY'],
    ['[DONE] after a role alone', role + done, 'STREAM_EMPTY'],
    ['a length with nothing before it', role + piece({}, 'length') + done, undefined, { committedAt: -1 }],
    ['a content filter with nothing before it', role + piece({}, 'content_filter'), undefined],
    ['a role alone', role, 'STREAM_TRUNCATED'],
    ['an event that does not end', hello.slice(0, -1), 'STREAM_TRUNCATED', { committedAt: -1 }],
    ['a line of data that does not end', 'data: {"cho', 'STREAM_TRUNCATED'],
    ['a text that is no event', 'upstream error: read ECONNRESET\n', 'STREAM_EMPTY'],
    ['an error', event({ error: { message: 'no' } }), 'STREAM_FAILED', { committedAt: -1 }],
    ['an error in words', event({ error: 'no' }), 'STREAM_FAILED'],
    ['an error beside empty choices', event({ choices: [], error: 'no' }), 'STREAM_FAILED'],
    ['an error in the middle', hello + event({ error: {} }) + done, 'STREAM_FAILED', { isDone: false }],
    ['an error named in the text', hello + piece({ content: '{"error":1}' }) + stop, undefined],
    ['a text in the place of an event', 'data: oops\n\n', 'STREAM_MALFORMED'],
    ['a number in the place of an event', 'data: 42\n\n', 'STREAM_MALFORMED'],
    ['null in the place of an event', 'data: null\n\n', 'STREAM_MALFORMED'],
    ['a text in the middle', `${hello}data: oops\n\n${done}`, 'STREAM_MALFORMED'],
    ['aborted', hello + piece({}, 'aborted') + done, 'STREAM_FAILED', { finishReason: 'aborted' }],
    [
      'insufficient_system_resource',
      role + piece({}, 'insufficient_system_resource') + done,
      'STREAM_FAILED',
      { finishReason: 'insufficient_system_resource', committedAt: -1 },
    ],
  ])('judges %s', (_what, text, fault, more = {}) => {
    for (const pieces of [
      [encoder.encode(text)],
      eventByEvent(encoder.encode(text)),
      byteByByte(encoder.encode(text)),
    ])
      expect(judge(stream(), pieces)).toMatchObject({ fault, ...more });
  });
});

describe('detectAnswer() and an answer in one piece', () => {
  const answer = (message: unknown, finish_reason: unknown = 'stop') =>
    JSON.stringify({ choices: [{ message, finish_reason }] });

  it.each<[what: string, text: string, fault: Judgement['fault'], more?: Partial<Judgement>]>([
    ['an answer', answer({ content: 'pong' }), undefined, { finishReason: 'stop' }],
    ['an answer after blank lines', `\n\n\r\n${answer({ content: 'pong' })}`, undefined, { keepAlives: 3 }],
    ['an answer with a byte order mark', `\uFEFF${answer({ content: 'pong' })}`, undefined],
    ['an answer on many lines', `{\n\n"choices": []\n}\n`, undefined, { keepAlives: 0 }],
    ['reasoning alone', answer({ content: '', reasoning_content: 'hm' }), undefined],
    ['a call of a tool', answer({ content: null, tool_calls: [{}] }, 'tool_calls'), undefined],
    ['an answer that was cut', answer({ content: '' }, 'length'), undefined, { finishReason: 'length' }],
    ['no choices', '{"choices":[]}', undefined],
    ['JSON that is something else', '{"object":"list"}', undefined],
    ['an error that is null', '{"error":null,"choices":[]}', undefined],
    ['nothing', '', 'STREAM_EMPTY', { keepAlives: 0 }],
    ['blank lines', ' \n\r\n\n', 'STREAM_EMPTY', { keepAlives: 3 }],
    ['a stop with nothing', answer({ content: '' }), 'STREAM_EMPTY'],
    ['a stop with a message that is null', answer(null), 'STREAM_EMPTY'],
    ['half an answer', answer({ content: 'pong' }).slice(0, -5), 'STREAM_TRUNCATED'],
    ['the first letter', '\n{', 'STREAM_TRUNCATED'],
    ['a page', '<html><title>502</title></html>', 'STREAM_FAILED'],
    ['plain text', 'upstream error', 'STREAM_MALFORMED'],
    ['null', 'null', 'STREAM_MALFORMED'],
    ['an error', '{"error":{"message":"no"}}', 'STREAM_FAILED'],
    ['an error beside empty choices', '{"error":"no","choices":[]}', 'STREAM_FAILED'],
    [
      'insufficient_system_resource',
      answer({ content: 'po' }, 'insufficient_system_resource'),
      'STREAM_FAILED',
    ],
    ['aborted', answer({ content: 'po' }, 'aborted'), 'STREAM_FAILED', { finishReason: 'aborted' }],
  ])('judges %s', (_what, text, fault, more = {}) => {
    const bytes = encoder.encode(text);
    const reference = judge(whole(), byteByByte(bytes));
    expect(reference).toMatchObject({ fault, committedAt: -1, ...more });
    expectNoSplitToMatter(whole, bytes, reference);
  });

  it('says that it has begun with its first letter', () => {
    const watching = whole();
    expect(watching.push(encoder.encode('\n\n'))).toBe(false);
    expect(watching.hasContent).toBe(false);
    expect(watching.push(encoder.encode('\n{'))).toBe(true);
    expect(watching).toMatchObject({ hasContent: true, isCommitted: false, keepAlives: 3 });
  });

  it('judges nothing that it has let go', () => {
    const watching = whole();
    watching.push(encoder.encode('{"choices":'));
    watching.release?.();
    expect(watching.isCommitted).toBe(true);
    expect(watching.push(encoder.encode('oops'))).toBe(true);
    expect(watching.end()).toBe(undefined);
  });
});

describe('detectAnswer() and the kind of an answer', () => {
  const thinks = (watching: ProgressDetector) => judge(watching, [encoder.encode(thought)]).committedAt > 0;

  it.each<[contentType: string | null, payload: object, isStream: boolean]>([
    ['text/event-stream', { stream: true }, true],
    ['text/event-stream; charset=utf-8', {}, true],
    [null, { stream: true }, true],
    ['text/plain', { stream: true }, true],
    ['application/octet-stream', { stream: true }, true],
    ['application/json', { stream: true }, false],
    ['text/html', { stream: true }, false],
    [null, {}, false],
    ['application/json', { stream: false }, false],
  ])('takes %s for the answer to %o to be a stream: %s', (contentType, payload, isStream) => {
    expect(thinks(detector(contentType, { payload }))).toBe(isStream);
  });

  it('watches other endpoints as any answer is watched', () => {
    const url = 'https://api.deepseek.com/anthropic/v1/messages';
    const ping = 'event: ping\ndata: {"type":"ping"}\n\n';
    expect(judged(ping, { url })).toMatchObject({ fault: undefined, committedAt: ping.length });
    expect(judge(detector('application/json', { url }), [encoder.encode('{}')])).toMatchObject({
      fault: undefined,
      committedAt: 2,
    });
  });
});

const kinds: [name: string, transcript: Transcript, asked: Asked][] = [
  ...Object.entries(streams).map(([name, each]): (typeof kinds)[0] => [`stream ${name}`, each, {}]),
  ...Object.entries(wholes).map(([name, each]): (typeof kinds)[0] => [
    `answer ${name}`,
    each,
    { payload: {} },
  ]),
];

describe.each(kinds)('detectAnswer() of the %s', (_name, { bytes, contentType, expected }, asked) => {
  const make = () => detector(contentType, asked);
  const reference = judge(make(), byteByByte(bytes));
  const isEventStream = contentType.startsWith('text/event-stream');

  it('finds what it says', () => {
    const { verdict, keepAlives, finishReason } = expected;
    expect(reference).toMatchObject({ fault: FAULTS[verdict], finishReason });
    if (isEventStream) expect(reference.keepAlives).toBe(keepAlives);
  });

  it('commits with the first content, no earlier and no later', () => {
    const first = expected.data[expected.firstContent]?.split('\n').at(-1);
    if (first === undefined) return expect(reference.committedAt).toBe(-1);
    const end = Buffer.from(bytes).indexOf(first) + Buffer.byteLength(first);
    expect(reference.committedAt).toBeGreaterThan(end);
    expect(reference.committedAt).toBeLessThanOrEqual(end + '\nevent\r\n\r\n'.length);
  });

  it('judges alike wherever it is cut in two', () => {
    expectNoSplitToMatter(make, bytes, reference);
  });

  it.each([2, 3, 7, 64, 180, 1000])('judges alike in pieces of %i bytes', (size) => {
    const pieces = piecesOf(bytes, size);
    expect(judge(make(), pieces)).toEqual(inPieces(reference, pieces));
  });

  it('commits later with commitOn "answer", and judges alike', () => {
    const late = () => detector(contentType, { ...asked, commitOn: 'answer' });
    const { committedAt, ...judgement } = judge(late(), byteByByte(bytes));
    expect({ ...judgement, committedAt: reference.committedAt }).toEqual(reference);
    const isSaid = isEventStream && (expected.content !== '' || expected.toolCalls.length > 0);
    expect(committedAt > 0).toBe(isSaid);
    if (isSaid) expect(committedAt).toBeGreaterThanOrEqual(reference.committedAt);
    if (bytes.length < 2500) expectNoSplitToMatter(late, bytes, { ...judgement, committedAt });
  });

  if (!isEventStream) return;

  it('judges alike event by event', () => {
    const pieces = eventByEvent(bytes);
    expect(judge(make(), pieces)).toEqual(inPieces(reference, pieces));
  });

  it.each(['\r\n', '\r'] as const)('judges alike with lines that end with %j', (lineEnd) => {
    const other = withLineEnds(bytes, lineEnd);
    const { committedAt, ...judgement } = judge(make(), byteByByte(other));
    expect({ ...judgement, committedAt: reference.committedAt }).toEqual(reference);
    expect(committedAt > 0).toBe(reference.committedAt > 0);
    if (bytes.length < 2500) expectNoSplitToMatter(make, other, { ...judgement, committedAt });
    const pieces = eventByEvent(other);
    expect(judge(make(), pieces)).toEqual(inPieces({ ...judgement, committedAt }, pieces));
  });

  it('judges alike with a byte order mark', () => {
    if (bytes[0] === 0xef) return; // it has one
    const other = withMark(bytes);
    const { committedAt } = reference;
    const moved = { ...reference, committedAt: committedAt < 0 ? -1 : committedAt + 3 };
    expect(judge(make(), byteByByte(other))).toEqual(moved);
    if (bytes.length < 2500) expectNoSplitToMatter(make, other, moved);
  });
});

describe('detectAnswer() of anything', () => {
  const parts = fc.array(
    fc.oneof(
      { weight: 5, arbitrary: fc.string({ unit: 'binary' }).map((content) => piece({ content })) },
      {
        weight: 3,
        arbitrary: fc.string({ unit: 'grapheme' }).map((content) => piece({ reasoning_content: content })),
      },
      fc.constantFrom('stop', 'length', 'aborted', 'odd').map((reason) => piece({}, reason)),
      fc.constantFrom(role, thinkingRole, call, usage, done, ': keep-alive\n\n', '\n', 'data:\n\n', 'x\n'),
      fc.constantFrom(
        event({ error: { message: 'no' } }),
        'data: oops\n\n',
        piece(null),
        event({ choices: [null] }),
      ),
      fc.json().map((json) => `data: ${json}\n\n`),
    ),
    { maxLength: 12 },
  );
  const anyStream = fc
    .record({
      parts,
      lineEnd: fc.constantFrom('\n', '\r\n', '\r'),
      left: fc.double({ min: 0.9, max: 1, noNaN: true }),
    })
    .map(({ parts, lineEnd, left }) => {
      const bytes = encoder.encode(parts.join('').replaceAll('\n', lineEnd));
      return bytes.subarray(0, Math.ceil(bytes.length * left));
    });
  const commitOn = fc.constantFrom<CommitOn>('content', 'answer');

  it('judges a stream alike however it is cut', () => {
    fc.assert(
      fc.property(anyStream, fc.array(fc.nat({ max: 400 })), commitOn, (bytes, lengths, on) => {
        const reference = judge(stream({ commitOn: on }), byteByByte(bytes));
        for (const pieces of [cut(bytes, lengths), eventByEvent(bytes), [bytes]])
          expect(judge(stream({ commitOn: on }), pieces)).toEqual(inPieces(reference, pieces));
      }),
      { numRuns: 500 },
    );
  });

  it('survives every JSON that there is', () => {
    const anyBody = fc.oneof(
      fc.json(),
      fc.record({ choices: fc.jsonValue(), error: fc.jsonValue() }).map((body) => JSON.stringify(body)),
      fc
        .record({ delta: fc.jsonValue(), message: fc.jsonValue(), finish_reason: fc.jsonValue() })
        .map((choice) => JSON.stringify({ choices: [choice] })),
    );
    fc.assert(
      fc.property(anyBody, (body) => {
        judgedWhole(body);
        judged(`data: ${body}\n\n${hello}data: ${body}\n\n`);
      }),
      { numRuns: 1000 },
    );
  });

  it('takes a megabyte byte by byte, streamed or not', () => {
    const parts = [...chunksOf180(5700), streamEnd()];
    const bytes = Buffer.concat(parts);
    const reference = judge(stream(), byteByByte(bytes));
    expect(reference).toMatchObject({ fault: undefined, finishReason: 'stop', isDone: true });
    expect(judge(stream(), parts)).toEqual(inPieces(reference, parts));
    const body = encoder.encode(
      JSON.stringify({ choices: [{ message: { content: 'x'.repeat(1_000_000) }, finish_reason: 'stop' }] }),
    );
    expect(judge(whole(), byteByByte(body))).toMatchObject({ fault: undefined, finishReason: 'stop' });
  });
});
