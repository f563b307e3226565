import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { detectProgress, type ProgressDetector } from '../../src/core/progress.ts';
import { chunksOf180, piecesOf, streamEnd, streams, wholes } from '../fixtures/transcripts.ts';
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
} from './judge.ts';

const encoder = new TextEncoder();

function detector(type: string | null = 'text/event-stream'): ProgressDetector {
  return detectProgress(new Response(null, type === null ? {} : { headers: { 'content-type': type } }));
}

const judged = (text: string, type?: string | null): Judgement =>
  judge(detector(type), [encoder.encode(text)]);

const piece = (delta: object, finish_reason: string | null = null): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
const hello = piece({ content: 'hello' });
const done = 'data: [DONE]\n\n';

describe('detectProgress() of an event stream', () => {
  it.each<[what: string, text: string, fault: Judgement['fault'], more?: Partial<Judgement>]>([
    ['an event', 'data: 1\n\n', undefined, { committedAt: 9 }],
    ['an event that is named', 'event: ping\nid: 7\ndata: 1\n\n', undefined],
    ['data of several lines', 'data: 1\ndata: 2\n\n', undefined],
    ['data without a space', 'data:1\n\n', undefined],
    ['data that is a space', 'data:  \n\n', undefined],
    ['an event after comments', ': one\n:two\n\n:\n\ndata: 1\n\n', undefined, { keepAlives: 3 }],
    ['no byte', '', 'STREAM_EMPTY', { keepAlives: 0 }],
    ['blank lines', '\n\n\r\n\r', 'STREAM_EMPTY', { keepAlives: 0 }],
    ['comments alone', ': one\n\n: two\n\n', 'STREAM_EMPTY', { keepAlives: 2 }],
    ['an event without data', 'event: ping\nid: 7\n\n', 'STREAM_EMPTY'],
    ['an event with empty data', 'data\n\ndata:\n\ndata: \n\n', 'STREAM_EMPTY'],
    ['lines that are no fields', 'hello\ndatum: 1\n database: 2\n\n', 'STREAM_EMPTY'],
    ['[DONE] alone', done, 'STREAM_EMPTY', { isDone: true }],
    ['data whose event does not end', 'data: 1\n', 'STREAM_TRUNCATED'],
    ['a line of data that does not end', 'data: 1', 'STREAM_TRUNCATED'],
    ['the name of a field', 'dat', 'STREAM_EMPTY'],
    ['an error', 'data: {"error":{"message":"no"}}\n\n', 'STREAM_FAILED', { committedAt: -1 }],
    ['an error in words', 'data: { "error" : "no"}\n\ndata: 1\n\n'.replace('" :', '":'), 'STREAM_FAILED'],
    ['an error after an event', 'data: 1\n\ndata: {"error":{}}\n\n', 'STREAM_FAILED', { committedAt: 29 }],
    ['an error that is null', 'data: {"error":null,"x":1}\n\n', undefined],
    ['an error within an answer', 'data: {"x":{"error":{}}}\n\n', undefined],
  ])('judges %s', (_what, text, fault, more = {}) => {
    expect(judged(text)).toMatchObject({ fault, ...more });
  });

  it.each<[what: string, text: string, fault: Judgement['fault'], finishReason?: string]>([
    ['with a finish reason and [DONE]', hello + piece({}, 'stop') + done, undefined, 'stop'],
    ['with a finish reason alone', hello + piece({}, 'length'), undefined, 'length'],
    ['with [DONE] alone', hello + done, undefined],
    ['with [DONE] that lacks its blank line', `${hello}data: [DONE]\n`, undefined],
    ['with [DONE] that lacks both line ends', `${hello}data: [DONE]`, undefined],
    ['with [DONE] without a space or line ends', `${hello}data:[DONE]`, undefined],
    ['with neither', hello, 'STREAM_TRUNCATED'],
    ['with neither, after an event of another kind', `data: {"hi":1}\n\n${hello}`, 'STREAM_TRUNCATED'],
    ['that quotes a finish', piece({ content: '"finish_reason":"stop"' }), 'STREAM_TRUNCATED'],
    ['that quotes [DONE]', piece({ content: 'data: [DONE]' }), 'STREAM_TRUNCATED'],
  ])('takes a chat completion %s', (_what, text, fault, finishReason) => {
    for (const pieces of [[encoder.encode(text)], byteByByte(encoder.encode(text))])
      expect(judge(detector(), pieces)).toMatchObject({ fault, finishReason });
  });

  // vLLM puts `"stop_reason":null` last into its pieces. Pieces that end thus were taken for one that goes on.
  it('sees the finish in a piece of vLLM', () => {
    const finish = `data: {"choices":[{"index":0,"delta":{"content":""},"finish_reason":"abort","stop_reason":null}]}\n\n`;
    const pieces = [hello, finish].map((text) => encoder.encode(text));
    expect(judge(detector(), pieces)).toMatchObject({ fault: undefined, finishReason: 'abort' });
  });

  it('looks no further than an error, however much comes with it', () => {
    const text = `data: {"error":{}}\n\n: bye\n\n${hello}${done}`;
    expect(judged(text)).toEqual({
      fault: 'STREAM_FAILED',
      finishReason: undefined,
      keepAlives: 0,
      isDone: false,
      committedAt: -1,
    });
  });

  it('takes the beginning of data for progress, and the rest for none', () => {
    const watching = detector();
    const says = (text: string) => watching.push(encoder.encode(text));
    expect([says(': keep'), says('-alive\n\n'), says('\n'), says('event: x\n'), says('da')]).not.toContain(
      true,
    );
    expect([says('ta: '), says('1'), says('2\n'), says('\n')]).toEqual([true, true, true, true]);
    expect([says('\n'), says('data:'), says('\n\n')]).toEqual([false, true, false]);
    expect(watching.isCommitted).toBe(true);
  });

  it.each(['text/event-stream', 'text/event-stream; charset=utf-8', 'Text/Event-Stream;x=y'])(
    'is for %s',
    (type) => {
      expect(judged('no event', type)).toHaveProperty('fault', 'STREAM_EMPTY');
    },
  );

  it.each([
    ['an event', 'data: '],
    ['a comment', ': '],
    ['a line that is no field', ''],
    ['an event of many lines', `data: ${'x'.repeat(1000)}\n`],
  ])('puts nothing together beyond 8 MiB of %s', (_what, begin) => {
    const filler = encoder.encode(begin.endsWith('\n') ? begin.repeat(65) : 'x'.repeat(65_536));
    const watching = detector();
    watching.push(encoder.encode(begin));
    let pushed = 0;
    for (; !watching.fault && pushed < 400; pushed++) watching.push(filler);
    expect(watching.fault).toBe('STREAM_OVERFLOW');
    expect(pushed).toBeGreaterThanOrEqual(128);
  });

  it('lets an event pass that is nearly as large', () => {
    const large = `data: "${'x'.repeat(8_000_000)}"\n\n`;
    expect(judged(large + large)).toMatchObject({ fault: undefined });
  });
});

describe('detectProgress() of any other body', () => {
  it.each(['application/json', 'text/html', 'application/x-ndjson', null])(
    'commits at the first letter of %s',
    (type) => {
      const watching = detector(type);
      const says = (text: string) => watching.push(encoder.encode(text));
      expect(says(' \n\r\n\t')).toBe(false);
      expect(watching.isCommitted).toBe(false);
      expect(says('\n{')).toBe(true);
      expect(watching.isCommitted).toBe(true);
      expect([says(' \n\n'), says('"a": 1'), says(' }\n')]).toEqual([false, true, true]);
      expect(watching).toMatchObject({ isDone: false, fault: undefined, keepAlives: 3 });
      expect(watching.end()).toBe(undefined);
    },
  );

  it('has nothing against an empty one', () => {
    expect(judged('', 'application/json')).toMatchObject({
      fault: undefined,
      committedAt: -1,
      keepAlives: 0,
    });
  });
});

const kinds = Object.entries({
  ...streams,
  wholeText: wholes.text,
  wholeQueued: wholes.queued,
  blank: wholes.blankLines,
});

describe.each(kinds)('detectProgress() of the transcript %s', (_name, { bytes, contentType }) => {
  const make = () => detector(contentType);
  const reference = judge(make(), byteByByte(bytes));

  it('judges alike wherever it is cut in two', () => {
    expectNoSplitToMatter(make, bytes, reference);
  });

  it.each([2, 3, 7, 64, 1000])('judges alike in pieces of %i bytes', (size) => {
    const pieces = piecesOf(bytes, size);
    expect(judge(make(), pieces)).toEqual(inPieces(reference, pieces));
  });
});

const eventStreams = Object.entries(streams).filter(([, { contentType }]) => contentType !== 'text/html');

describe.each(eventStreams)(
  'detectProgress() of the event stream %s',
  (_name, { bytes, expected, contentType }) => {
    const make = () => detector(contentType);
    const reference = judge(make(), byteByByte(bytes));

    it('judges alike event by event', () => {
      const pieces = eventByEvent(bytes);
      expect(judge(make(), pieces)).toEqual(inPieces(reference, pieces));
    });

    it.each(['\r\n', '\r'] as const)('judges alike with lines that end with %j', (lineEnd) => {
      const other = withLineEnds(bytes, lineEnd);
      const { committedAt, ...judgement } = judge(make(), byteByByte(other));
      expect({ ...reference, committedAt }).toEqual({ ...judgement, committedAt });
      expect(committedAt > 0).toBe(reference.committedAt > 0);
      if (bytes.length < 2500) expectNoSplitToMatter(make, other, { ...judgement, committedAt });
    });

    it('judges alike with a byte order mark', () => {
      if (bytes[0] === 0xef) return; // it has one
      const other = withMark(bytes);
      const { committedAt } = reference;
      const moved = { ...reference, committedAt: committedAt < 0 ? -1 : committedAt + 3 };
      expect(judge(make(), byteByByte(other))).toEqual(moved);
      if (bytes.length < 2500) expectNoSplitToMatter(make, other, moved);
    });

    it('counts the keep-alives and finds the finish reason', () => {
      const { keepAlives, finishReason } = expected;
      expect(reference).toMatchObject({ keepAlives, finishReason });
    });
  },
);

/** Streams of all that may be in one, good and bad. */
const anything = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.string({ unit: 'binary' }).map((content) => piece({ content })) },
    fc.string({ unit: 'grapheme' }).map((content) => piece({ reasoning_content: content })),
    fc.constantFrom('stop', 'length', 'aborted').map((reason) => piece({}, reason)),
    fc.constantFrom(
      piece({ role: 'assistant', content: '' }),
      'data: {"choices":[],"usage":{}}\n\n',
      'data: {"error":{"message":"no"}}\n\n',
      'data: no JSON\n\n',
      'data: {"choices":[{"finish_reason":"stop","stop_reason":null}]}\n\n',
      'event: x\ndata: {"choices":[{"finish_reason":null}]}\n\n',
      'data: {"choices":\ndata: [{"finish_reason":null}]}\n\n',
      done,
      ': keep-alive\n\n',
      '\n',
      'data:\n\n',
      'retry: 1\n',
      'no field\n',
    ),
  ),
  { maxLength: 12 },
);

const anyStream = fc
  .record({
    parts: anything,
    lineEnd: fc.constantFrom('\n', '\r\n', '\r'),
    isMarked: fc.boolean(),
    missing: fc.nat({ max: 30 }),
  })
  .map(({ parts, lineEnd, isMarked, missing }) => {
    const text = parts.join('').replaceAll('\n', lineEnd);
    const bytes = encoder.encode((isMarked ? '\uFEFF' : '') + text);
    return missing > 20 ? bytes.subarray(0, Math.max(0, bytes.length - missing + 20)) : bytes;
  });

describe('detectProgress() of any event stream', () => {
  it('judges alike however it is cut', () => {
    fc.assert(
      fc.property(anyStream, fc.array(fc.nat({ max: 400 })), (bytes, lengths) => {
        const pieces = cut(bytes, lengths);
        const reference = judge(detector(), byteByByte(bytes));
        expect(judge(detector(), pieces)).toEqual(inPieces(reference, pieces));
      }),
      { numRuns: 500 },
    );
  });

  it('takes no other way with whole events than with single bytes', () => {
    fc.assert(
      fc.property(anyStream, (bytes) => {
        const pieces = eventByEvent(bytes);
        const reference = judge(detector(), byteByByte(bytes));
        expect(judge(detector(), pieces)).toEqual(inPieces(reference, pieces));
      }),
      { numRuns: 500 },
    );
  });

  it('never goes back on what it said', () => {
    fc.assert(
      fc.property(anyStream, (bytes) => {
        const watching = detector();
        let before = { isCommitted: false, isDone: false, keepAlives: 0 };
        for (const byte of byteByByte(bytes)) {
          if (watching.isDone || watching.fault) break;
          watching.push(byte);
          const { isCommitted, isDone, keepAlives } = watching;
          expect(isCommitted || !before.isCommitted).toBe(true);
          expect(keepAlives).toBeGreaterThanOrEqual(before.keepAlives);
          before = { isCommitted, isDone, keepAlives };
        }
      }),
    );
  });
});

describe('detectProgress() of a long answer', () => {
  const parts = [...chunksOf180(5700), streamEnd()];
  const bytes = Buffer.concat(parts);

  // It would take minutes if each byte were paid for with a look at all before it.
  it('takes a megabyte byte by byte', () => {
    expect(bytes.length).toBeGreaterThan(1_000_000);
    expect(judge(detector(), byteByByte(bytes))).toMatchObject({ fault: undefined, finishReason: 'stop' });
  });

  it.each(['one event', 'one line that is no field', 'one comment'])(
    'takes a megabyte of %s byte by byte',
    (what) => {
      const begin = what === 'one event' ? 'data: "' : what === 'one comment' ? ': ' : '';
      const text = encoder.encode(`${begin}${'x'.repeat(1_000_000)}"\n\n`);
      const { fault } = judge(detector(), byteByByte(text));
      expect(fault).toBe(what === 'one event' ? undefined : 'STREAM_EMPTY');
    },
  );

  it('takes whole events as it takes bytes', () => {
    const reference = judge(detector(), byteByByte(bytes));
    expect(judge(detector(), parts)).toEqual(inPieces(reference, parts));
  });
});
