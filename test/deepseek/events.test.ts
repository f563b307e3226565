import type { ChatChunk } from 'breakwater/deepseek';
import { createFakeClock } from 'breakwater/testing';
import { describe, expect, it } from 'vitest';
import { readEvents } from '../../src/deepseek/events.ts';
import { bytesOf, createSource, rejectionOf } from '../middleware/witness.ts';
import { contentOf, piecesOf } from './stage.ts';

function event(choice: object, more: object = {}): string {
  return `data: ${JSON.stringify({ id: 'a', model: 'm', choices: [choice], ...more })}\n\n`;
}

function said(content: string): string {
  return event({ delta: { content }, finish_reason: null });
}

const done = 'data: [DONE]\n\n';
const finish = event({ delta: { content: '' }, finish_reason: 'stop' });

/** A stream that ends with its last chunk. */
function streamOf(...chunks: (string | Uint8Array<ArrayBuffer>)[]) {
  const source = createSource();
  source.push(...chunks);
  source.close();
  return source.stream;
}

function read(...chunks: (string | Uint8Array<ArrayBuffer>)[]): Promise<ChatChunk[]> {
  return piecesOf(readEvents(streamOf(...chunks), createFakeClock()));
}

/** What was read before it failed, and the failure. */
async function readToFailure(...chunks: string[]) {
  const pieces: ChatChunk[] = [];
  const reading = async () => {
    for await (const piece of readEvents(streamOf(...chunks), createFakeClock())) pieces.push(piece);
  };
  return { error: await rejectionOf(reading()), content: contentOf(pieces) };
}

/** A transcript with everything in it that an answer can have. */
const transcript = [
  ': keep-alive\n\n',
  event({ delta: { role: 'assistant', content: null, reasoning_content: '' } }),
  event({ delta: { reasoning_content: 'hm 数学' } }),
  said('né 👩‍👩‍👧'),
  ': keep-alive\r\n\r\n',
  event({ delta: { tool_calls: [{ index: 1, id: 'c', function: { name: 'f', arguments: '{' } }] } }),
  'event: message\r\ndata: {"choices":[{"delta":{"content":"x"}}]}\r\n\r\n',
  'id: 7\ndata: {"choices":[],\ndata: "usage":{"total_tokens":3}}\n\n',
  event({ delta: {}, finish_reason: 'tool_calls' }, { usage: null }),
  done,
].join('');

describe('readEvents()', () => {
  it('reads pieces of every kind', async () => {
    const pieces = await read(transcript);
    const none = { content: '', reasoningContent: '', toolCalls: [] };
    expect(
      pieces.map(({ content, reasoningContent, toolCalls }) => ({ content, reasoningContent, toolCalls })),
    ).toEqual([
      none,
      { ...none, reasoningContent: 'hm 数学' },
      { ...none, content: 'né 👩‍👩‍👧' },
      { ...none, toolCalls: [{ index: 1, id: 'c', function: { name: 'f', arguments: '{' } }] },
      { ...none, content: 'x' },
      none,
      none,
    ]);
    expect(pieces.map(({ usage }) => usage?.total_tokens)).toEqual([
      ...Array.from({ length: 5 }, () => undefined),
      3,
      undefined,
    ]);
    expect(pieces.map(({ finishReason }) => finishReason).filter(Boolean)).toEqual(['tool_calls']);
    expect(pieces[0]).toMatchObject({
      id: 'a',
      model: 'm',
      raw: { choices: [{ delta: { role: 'assistant' } }] },
    });
  });

  it('reads the same wherever the chunks are split, also within a letter', async () => {
    const whole = await read(transcript);
    const bytes = bytesOf(transcript);
    for (let at = 1; at < bytes.length; at++)
      expect(await read(bytes.slice(0, at), bytes.slice(at))).toEqual(whole);
    expect(await read(...Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(whole);
  });

  it.each([
    [
      'usage on the last chunk with a choice',
      event({ delta: {}, finish_reason: 'stop' }, { usage: { total_tokens: 3 } }),
    ],
    ['usage in a chunk of its own', `${finish}data: {"choices":[],"usage":{"total_tokens":3}}\n\n`],
    ['usage in a chunk without choices', `${finish}data: {"usage":{"total_tokens":3}}\n\n`],
    [
      'usage in a chunk whose choices are null',
      `${finish}data: {"choices":null,"usage":{"total_tokens":3}}\n\n`,
    ],
  ])('finds %s', async (_where, text) => {
    const pieces = await read(said('a'), text, done);
    expect(pieces.at(-1)?.usage).toEqual({ total_tokens: 3 });
    expect(contentOf(pieces)).toBe('a');
  });

  it('keeps what it does not know, as it came', async () => {
    const raw = {
      object: 'x',
      choices: [{ index: 0, delta: { content: 'a', audio: [1] }, logprobs: null }],
      z: { y: 1 },
    };
    const [piece] = await read(`data: ${JSON.stringify(raw)}\n\n`, done);
    expect(JSON.stringify(piece?.raw)).toBe(JSON.stringify(raw));
  });

  it.each([
    ['[DONE], whatever follows', `${said('a')}${done}data: {broken\n\n${said('b')}`],
    ['a finish reason, without [DONE]', said('a') + finish],
  ])('ends with %s', async (_what, text) => {
    expect(contentOf(await read(text))).toBe('a');
  });

  it.each([
    ['nothing', '', false],
    ['keep-alives alone', ': keep-alive\n\n\n\n', false],
    ['a page', '<html><title>502</title></html>', false],
    ['a chunk', said('a'), true],
    ['an event without its blank line', said('a') + finish.trimEnd(), true],
    ['an event that is cut', said('a') + finish.slice(0, 20), true],
  ])('takes an end after %s for truncated', async (_what, text, committed) => {
    const { error, content } = await readToFailure(text);
    expect(error).toMatchObject({
      code: 'STREAM_TRUNCATED',
      receivedBytes: bytesOf(text).length,
      committed,
    });
    expect(content).toBe(committed ? 'a' : '');
  });

  it('takes no body at all for truncated', async () => {
    const reading = piecesOf(readEvents(null, createFakeClock()));
    expect(await rejectionOf(reading)).toMatchObject({ code: 'STREAM_TRUNCATED', committed: false });
  });

  it.each([
    ['STREAM_MALFORMED', 'no JSON', 'data: upstream error: read ECONNRESET\n\n'],
    ['STREAM_MALFORMED', 'JSON that is no object', 'data: 7\n\n'],
    ['STREAM_MALFORMED', 'null', 'data: null\n\n'],
    ['STREAM_MALFORMED', 'a content that is no text', event({ delta: { content: 7 } })],
    ['STREAM_MALFORMED', 'choices that are no array', 'data: {"choices":{}}\n\n'],
    ['STREAM_FAILED', 'an error without choices', 'data: {"error":{"message":"died"}}\n\n'],
    ['STREAM_FAILED', 'an error with no choice', 'data: {"error":"died","choices":[]}\n\n'],
  ])('ends with %s at %s, after what came before', async (code, _what, text) => {
    const { error, content } = await readToFailure(said('a'), text, said('b'), done);
    expect(error).toMatchObject({ code, committed: true });
    expect(content).toBe('a');
    expect(String(error)).not.toMatch(/died|ECONNRESET/);
    const first = await readToFailure(text, done);
    expect(first.error).toMatchObject({ code, committed: false });
  });

  it('gives up on an event that never ends', async () => {
    const megabyte = 'x'.repeat(1024 * 1024);
    const chunks = ['data: ', ...Array.from({ length: 9 }, () => megabyte)];
    const { error } = await readToFailure(said('a'), ...chunks);
    expect(error).toMatchObject({ code: 'STREAM_MALFORMED', committed: true });
    expect(String((error as Error).cause)).not.toContain('xxx');
  });

  it('takes an error beside a choice for a field like any other', async () => {
    const pieces = await read(event({ delta: { content: 'a' } }, { error: null }), finish, done);
    expect(contentOf(pieces)).toBe('a');
  });

  it('cancels the stream when the loop is left', async () => {
    const source = createSource();
    source.push(said('a'), said('b'));
    for await (const { content } of readEvents(source.stream, createFakeClock())) {
      expect(content).toBe('a');
      break;
    }
    expect(source.cancels).toHaveLength(1);
  });

  it('cancels the stream when an event is malformed', async () => {
    const source = createSource();
    source.push('data: {\n\n');
    await rejectionOf(piecesOf(readEvents(source.stream, createFakeClock())));
    expect(source.cancels).toHaveLength(1);
  });

  it('passes the error of the stream on', async () => {
    const source = createSource();
    const reason = new Error('lost');
    source.push(said('a'));
    const reading = readEvents(source.stream, createFakeClock());
    await reading.next();
    source.fail(reason);
    expect(await rejectionOf(reading.next())).toBe(reason);
  });

  it('gives nothing that had arrived before an abort', async () => {
    const caller = new AbortController();
    const reading = readEvents(streamOf(said('a') + said('b') + done), createFakeClock(), caller.signal);
    await reading.next();
    const reason = { gone: true };
    caller.abort(reason);
    expect(await rejectionOf(reading.next())).toBe(reason);
  });
});

describe('readEvents() after [DONE]', () => {
  it('ends at once and reads the rest, so that the connection can be used again', async () => {
    const source = createSource();
    const clock = createFakeClock();
    source.push(said('a') + done);
    expect(contentOf(await piecesOf(readEvents(source.stream, clock)))).toBe('a');
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
    await piecesOf(readEvents(source.stream, clock));
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
    await piecesOf(readEvents(source.stream, clock, caller.signal));
    act(
      () => source.push(new Uint8Array(64 * 1024)),
      () => caller.abort(),
    );
    await clock.settle();
    expect(source.cancels).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });
});
