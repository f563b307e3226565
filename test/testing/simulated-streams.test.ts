import { createFakeClock, createSimulator, type Fault } from 'breakwater/testing';
import { createParser } from 'eventsource-parser';
import { describe, expect, it } from 'vitest';
import { ask, chunksOf, ping } from './ask.ts';

const streamed = { ...ping, stream: true };
const line = 'upstream error: read ECONNRESET';

function play(fault: Fault, payload: object = streamed): Promise<Response> {
  const simulator = createSimulator({ clock: createFakeClock() });
  simulator.script(fault);
  return ask(simulator, payload);
}

async function textOf(fault: Fault, payload?: object): Promise<string> {
  return (await play(fault, payload)).text();
}

/** The pieces of a body, as bytes in Latin letters: cut characters can be told too. */
async function piecesOf(fault: Fault): Promise<string[]> {
  const pieces: string[] = [];
  for await (const piece of (await play(fault)).body as unknown as AsyncIterable<Uint8Array>)
    pieces.push(Buffer.from(piece).toString('latin1'));
  return pieces;
}

/** The events and comments in a text, by a decoder that is none of ours. */
function decode(text: string): { events: string[]; comments: number } {
  const events: string[] = [];
  let comments = 0;
  const parser = createParser({
    onEvent: ({ data }) => void events.push(data),
    onComment: () => void comments++,
  });
  parser.feed(text);
  return { events, comments };
}

describe('a fault told in band', () => {
  it.each<[Fault, RegExp]>([
    [{ instead: 'error' }, /^data: \{"error":\{"message":"upstream error: .*,"code":502\}\}\n\n$/],
    [{ instead: 'not-json' }, /^data: upstream error: read ECONNRESET\n\n$/],
    [{ instead: 'bare-text' }, /^upstream error: read ECONNRESET\n$/],
  ])('stands in the place of a stream: %o', async (fault, body) => {
    const response = await play(fault);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(await response.text()).toMatch(body);
  });

  it('stands in the place of an answer that is not streamed', async () => {
    const response = await play({ instead: 'error' }, ping);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(await response.json()).toHaveProperty('error.message', line);
    const refused = await play({ status: 502, instead: 'error' });
    expect(refused.headers.get('content-type')).toBe('application/json');
    expect(await textOf({ instead: 'not-json' }, ping)).toBe(line);
    expect(await textOf({ instead: 'bare-text' }, ping)).toBe(`${line}\n`);
  });

  it.each<[number, number, string]>([
    [0, 0, 'no chunk'],
    [1, 1, 'the role'],
    [4, 4, 'some content'],
    [-1, -1, 'all but [DONE]'],
    [-2, -2, 'all but the finish'],
    [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 'everything'],
  ])('comes after %d chunks, in the place of the rest', async (insteadAfterChunks, count) => {
    const { events: full } = decode(await textOf({}));
    const { events } = decode(await textOf({ instead: 'error', insteadAfterChunks }));
    expect(events.slice(0, -1)).toEqual(full.slice(0, count));
    expect(JSON.parse(events.at(-1) ?? '')).toHaveProperty('error.message', line);
  });

  it('keeps the type of what it continues', async () => {
    const response = await play({ instead: 'html', insteadAfterChunks: 2 });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(await response.text()).toMatch(/^data: .*\n\ndata: .*\n\n<html>/);
  });

  it('may be an error, an event or a text of the test', async () => {
    const error = { error: { message: 'quota' } };
    const event = await textOf({ body: error, insteadAfterChunks: 1 });
    expect(event.endsWith(`data: ${JSON.stringify(error)}\n\n`)).toBe(true);
    const text = await textOf({ body: 'data: {"id":', insteadAfterChunks: 1 });
    expect(text).toMatch(/\}\n\ndata: \{"id":$/);
    const whole = await play({ body: error });
    expect(whole.headers.get('content-type')).toBe('application/json');
    expect(await whole.json()).toEqual(error);
  });

  it('composes with what ends a body', async () => {
    const fault = { instead: 'error', insteadAfterChunks: 2, resetAfterChunks: 3 } as const;
    const reader = (await play(fault)).body!.getReader();
    for (let count = 0; count < 3; count++) expect((await reader.read()).done).toBe(false);
    await expect(reader.read()).rejects.toThrow(new TypeError('terminated'));
  });
});

describe('an event that never ends', () => {
  it.each([streamed, ping])('goes on as long as it is read', async (payload) => {
    const simulator = createSimulator();
    simulator.script({ instead: 'endless-event' });
    const reader = (await ask(simulator, payload)).body!.getReader();
    let bytes = 0;
    while (bytes < 1_000_000) bytes += (await reader.read()).value?.length ?? 0;
    await reader.cancel();
    expect(simulator.active).toBe(0);
  });

  it('may begin late, and end too late', async () => {
    const text = await textOf({ instead: 'endless-event', insteadAfterChunks: 3, cutAfterChunks: 20 });
    expect(decode(text).events).toHaveLength(3);
    expect(text.length).toBeGreaterThan(16 * 64 * 1024);
    expect(text.slice(-70_000)).not.toContain('\n');
  });
});

describe('the frame of a stream', () => {
  it.each([
    ['crlf', '\r\n'],
    ['cr', '\r'],
  ] as const)('ends lines with %s, comments too', async (lineEnds, end) => {
    const { clock, simulator } = queue({ lineEnds, keepAliveMs: 24_000 });
    const text = await clock.runUntil(ask(simulator, streamed).then((response) => response.text()));
    expect(text.replaceAll(end, '')).not.toMatch(/[\r\n]/);
    expect(text.startsWith(`: keep-alive${end}${end}`)).toBe(true);
    expect(text.endsWith(`data: [DONE]${end}${end}`)).toBe(true);
    const { events, comments } = decode(text);
    expect(events).toEqual(decode(await textOf({})).events);
    expect(comments).toBe(2);
  });

  it('ends the lines of what comes instead, but not those of a body', async () => {
    expect(await textOf({ lineEnds: 'crlf', instead: 'not-json' })).toBe(`data: ${line}\r\n\r\n`);
    expect(await textOf({ lineEnds: 'crlf', body: 'data: 1\n\n' })).toBe('data: 1\n\n');
    expect(await textOf({ lineEnds: 'crlf' }, ping)).toBe(await textOf({}, ping));
  });

  it('begins with a byte order mark', async () => {
    const [mark, ...rest] = await piecesOf({ byteOrderMark: true });
    expect(mark).toBe('\xef\xbb\xbf');
    expect(rest).toEqual(await piecesOf({}));
    const whole = await play({ byteOrderMark: true }, ping);
    expect([...new Uint8Array(await whole.arrayBuffer()).slice(0, 4)]).toEqual([0xef, 0xbb, 0xbf, 0x7b]);
  });

  it('is cut within comments, line ends and letters', async () => {
    const fault = { lineEnds: 'crlf', keepAliveMs: 12_000, answer: '港 🌊' } as const;
    const read = async (more: Fault) => {
      const { clock, simulator } = queue({ ...fault, ...more });
      const pieces: string[] = [];
      const reading = (async () => {
        const { body } = await ask(simulator, streamed);
        for await (const piece of body as unknown as AsyncIterable<Uint8Array>)
          pieces.push(Buffer.from(piece).toString('latin1'));
      })();
      await clock.runUntil(reading);
      return pieces;
    };
    const pieces = await read({ dripBytes: 1 });
    expect(pieces.every(({ length }) => length === 1)).toBe(true);
    expect(pieces.join('')).toBe((await read({})).join(''));
    expect(pieces.slice(0, 16).join('')).toBe(': keep-alive\r\n\r\n');
  });
});

describe('keep-alives', () => {
  it.each([
    [4, 4],
    [-1, -1],
    [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
  ])('come after %d chunks', async (keepAliveAfterChunks, count) => {
    const { clock, simulator } = queue({ keepAliveMs: 25_000, keepAliveAfterChunks });
    const startMs = clock.now();
    const text = await clock.runUntil(ask(simulator, streamed).then((response) => response.text()));
    expect(clock.now() - startMs).toBe(25_000);
    const events = text.split(/(?<=\n\n)/);
    const at = events.indexOf(': keep-alive\n\n');
    expect(events.slice(at, at + 2)).toEqual([': keep-alive\n\n', ': keep-alive\n\n']);
    const answer = events.filter((event) => event.startsWith('data:'));
    expect(events.slice(0, at)).toEqual(answer.slice(0, count));
    expect(answer.at(-1)).toBe('data: [DONE]\n\n');
  });

  it('never come into the JSON of an answer that is not streamed', async () => {
    const { clock, simulator } = queue({ keepAliveMs: 24_000, keepAliveAfterChunks: 1 });
    const text = await clock.runUntil(ask(simulator, ping).then((response) => response.text()));
    expect(text).toMatch(/^\n\n\{"id"/);
    expect(JSON.parse(text)).toHaveProperty('object', 'chat.completion');
  });

  it('do not come when the answer breaks off before', async () => {
    const text = await textOf({ keepAliveMs: 24_000, keepAliveAfterChunks: 5, cutAfterChunks: 4 });
    expect(text).not.toContain('keep-alive');
    expect(chunksOf(text)).toHaveLength(4);
  });
});

function queue(fault: Fault) {
  const clock = createFakeClock();
  const simulator = createSimulator({ clock });
  simulator.script(fault);
  return { clock, simulator };
}
