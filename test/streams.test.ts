import {
  isBreakwaterError,
  type ObservedEvent,
  type StreamBrokenError,
  StreamTimeoutError,
} from 'breakwater';
import {
  type ChatChunk,
  type ChatRequest,
  createDeepSeek,
  type DeepSeek,
  type DeepSeekClientOptions,
  DeepSeekError,
  type DeepSeekOptions,
  deepseek,
} from 'breakwater/deepseek';
import {
  createFakeClock,
  createSimulator,
  type FakeClock,
  type Fault,
  type ScriptedFault,
  type Simulator,
  type SimulatorOptions,
} from 'breakwater/testing';
import { describe, expect, it, vi } from 'vitest';
import type { Served } from '../playground/serve.ts';
import type { FetchLike } from '../src/core/types.ts';
import { apiKey, ping, served } from './deepseek/stage.ts';
import { streams } from './fixtures/transcripts.ts';
import { createSource, listenersOf, rejectionOf, type Source, textOf } from './middleware/witness.ts';

/** Real sockets, or the simulator itself. The clock of the caller is a fake one in both, so nothing here depends on how busy the machine is. */
type Place = 'over HTTP' | 'in process';

interface Met {
  readonly clock: FakeClock;
  readonly simulator: Simulator;
  readonly events: readonly ObservedEvent[];
  readonly server: Served | undefined;
  readonly ai: DeepSeek;
  /** The preset as a fetch, asked for an answer. */
  send(payload?: object, init?: RequestInit): Promise<Response>;
  of(type: ObservedEvent['type']): object[];
  /** Waits for what happens on sockets, or lets the time of the simulator pass. */
  run<T>(promise: Promise<T>): Promise<T>;
}

type Options = Partial<DeepSeekClientOptions>;

/** A caller before any fetch. */
async function face(place: Place, fetchOf: (clock: FakeClock) => FetchLike, options: Options = {}) {
  const clock = createFakeClock();
  const server = place === 'over HTTP' ? await served(fetchOf(clock)) : undefined;
  const transport: FetchLike = server ? (input, init) => fetch(input, init) : fetchOf(clock);
  const events: ObservedEvent[] = [];
  const baseURL = server?.url ?? 'https://api.deepseek.com';
  const onEvent = (event: ObservedEvent) => void events.push(event);
  const settings = { apiKey, baseURL, clock, random: () => 0, onEvent, ...options };
  const chain = deepseek(settings as DeepSeekOptions)(transport);
  return {
    clock,
    server,
    events,
    ai: createDeepSeek({ ...settings, fetch: transport }),
    send: (payload: object = {}, init: RequestInit = {}) => {
      const body = JSON.stringify({ ...ping, stream: true, ...payload });
      return chain(`${baseURL}/chat/completions`, { method: 'POST', body, ...init });
    },
    of: (type: ObservedEvent['type']) =>
      events
        .filter((event) => event.type === type)
        .map(({ callId: _callId, at: _at, type: _type, ...rest }) => rest),
    run: <T>(promise: Promise<T>) => (server ? promise : clock.runUntil(promise)),
  };
}

/** A caller before the simulated service, each of whose calls meets the next fault. Over HTTP the service has the time of the machine. */
async function meet(
  place: Place,
  faults: readonly ScriptedFault[],
  { simulated, ...options }: Options & { simulated?: SimulatorOptions } = {},
): Promise<Met> {
  let simulator = createSimulator(simulated);
  const fetchOf = (clock: FakeClock): FetchLike => {
    if (place === 'in process') simulator = createSimulator({ clock, ...simulated });
    simulator.script(...faults);
    return simulator.fetch;
  };
  return { ...(await face(place, fetchOf, options)), simulator };
}

/** A caller before bodies that the test feeds by hand, one a call. */
async function feed(place: Place, options: Options = {}, contentType = 'text/event-stream') {
  const sources: Source[] = [];
  const headers = { 'content-type': contentType };
  const fetchOf = (): FetchLike => async () => {
    const source = createSource();
    sources.push(source);
    return source.response({ headers });
  };
  const faced = await face(place, fetchOf, options);
  const first = async (): Promise<Source> => {
    await until(() => expect(sources).not.toHaveLength(0));
    return sources[0]!;
  };
  return { ...faced, sources, first };
}

/** Waits for what happens on sockets; the clock of the caller stands still meanwhile. */
const until = (check: () => void) => vi.waitFor(check, { timeout: 5000, interval: 1 });

/** The deltas in the text of a stream; an event that has not ended yet is none. */
function deltasIn(text: string): Delta[] {
  const data = text
    .split('\n\n')
    .slice(0, -1)
    .filter((event) => event.startsWith('data: {'));
  const pieces = data.map((event) => JSON.parse(event.slice(6)) as { choices?: { delta?: Delta }[] });
  return pieces.map(({ choices }) => choices?.[0]?.delta ?? {});
}

interface Delta {
  readonly content?: string | null;
  readonly reasoning_content?: string | null;
}

function contentIn(text: string): string {
  return deltasIn(text)
    .map(({ content }) => content ?? '')
    .join('');
}

/** Asks for an answer, and gives its content. */
type Ask = (
  met: Pick<Met, 'ai' | 'send'>,
  payload?: Partial<ChatRequest>,
  signal?: AbortSignal,
) => Promise<string>;

const streamed: [string, Ask][] = [
  [
    'deepseek()',
    async ({ send }, payload, signal) =>
      contentIn(await (await send(payload, { signal: signal ?? null })).text()),
  ],
  ['ai.stream()', ({ ai }, payload, signal) => ai.stream({ ...ping, ...payload }, { signal }).text()],
];
const asked: [string, Ask][] = [
  ...streamed,
  [
    'ai.chat()',
    async ({ ai }, payload, signal) => (await ai.chat({ ...ping, ...payload }, { signal })).content,
  ],
];

/** Reads a streamed answer piece by piece, and shows at any moment what it has said so far. */
type Follow = (met: Pick<Met, 'ai' | 'send'>, payload?: Partial<ChatRequest>) => Followed;

interface Followed {
  readonly said: string;
  /** The bytes, where those are what is read. */
  readonly bytes?: number;
  readonly end: Promise<void>;
}

const followed: [string, Follow][] = [
  [
    'deepseek()',
    ({ send }, payload) => {
      const seen = { said: '', bytes: 0 };
      let text = '';
      const read = async () => {
        const { body } = await send(payload);
        for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
          text += textOf(chunk);
          seen.said = deltasIn(text)
            .map(({ content, reasoning_content }) => content ?? reasoning_content)
            .join('');
          seen.bytes += chunk.length;
        }
      };
      return Object.assign(seen, { end: read() });
    },
  ],
  [
    'ai.stream()',
    ({ ai }, payload) => {
      const seen = { said: '' };
      const read = async () => {
        for await (const { content, reasoningContent } of ai.stream({ ...ping, ...payload }))
          seen.said += content + reasoningContent;
      };
      return Object.assign(seen, { end: read() });
    },
  ],
];

const places: Place[] = ['over HTTP', 'in process'];
const at = <T extends unknown[]>(rows: readonly T[]) =>
  places.flatMap((place) => rows.map((row): [Place, ...T] => [place, ...row]));

const direct: Partial<ChatRequest> = { thinking: { type: 'disabled' } };
const pong = 'You said: ping';
const nothing = { answer: { content: '', reasoningContent: '' } };
const keepAlive = ': keep-alive\n\n';
const piece = (delta: object, finish_reason: string | null = null): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
const role = piece({ role: 'assistant', content: '' });
const stop = piece({}, 'stop');
const done = 'data: [DONE]\n\n';

describe('keep-alives for nine minutes, then an answer', () => {
  const patient = { streamTimeout: { firstTokenMs: 600_000 } };

  it.each(asked)('in process, %s: the answer, and call.queued once', async (_way, ask) => {
    const met = await meet('in process', [{ keepAliveMs: 540_000 }], patient);
    const before = met.clock.now();
    expect(await met.run(ask(met))).toBe(pong);
    expect(met.clock.now() - before).toBe(540_000);
    expect(met.of('call.queued')).toEqual([{}]);
    expect(met.of('stream.keep-alive')).toHaveLength(45);
    expect(met.of('stream.keep-alive').at(-1)).toEqual({ keepAlives: 45, afterMs: 540_000 });
    expect(met.simulator.requests).toHaveLength(1);
    expect(met.clock.pendingTimers).toBe(0);
  });

  it.each(streamed)('over HTTP, %s: the answer, and call.queued once', async (_way, ask) => {
    const met = await feed('over HTTP', patient);
    const answer = ask(met);
    const source = await met.first();
    for (let count = 1; count <= 45; count++) {
      source.push(keepAlive);
      await until(() => expect(met.of('stream.keep-alive')).toHaveLength(count));
      await met.clock.advance(12_000);
    }
    source.push(streams.text.bytes.slice());
    source.close();
    expect(await answer).toBe(streams.text.expected.content);
    expect(met.of('call.queued')).toEqual([{}]);
    expect(met.of('stream.first-token')).toEqual([{ afterMs: 540_000 }]);
    expect(met.sources).toHaveLength(1);
  });
});

describe('keep-alives for ever', () => {
  it.each(asked)('in process, %s: TIMEOUT_FIRST_TOKEN, after one repetition', async (_way, ask) => {
    const forever = { keepAliveMs: Number.POSITIVE_INFINITY };
    const met = await meet('in process', [forever, forever, forever]);
    const before = met.clock.now();
    const error = await rejectionOf(met.run(ask(met)));
    expect(error).toBeInstanceOf(StreamTimeoutError);
    expect(error).toMatchObject({
      code: 'TIMEOUT_FIRST_TOKEN',
      limitMs: 300_000,
      committed: false,
      finishReason: undefined,
    });
    expect((error as StreamTimeoutError).keepAlives).toBeGreaterThanOrEqual(24);
    expect(met.clock.now() - before).toBe(600_000);
    expect(met.simulator.requests).toHaveLength(2);
    expect([met.simulator.active, met.clock.pendingTimers]).toEqual([0, 0]);
  });

  it.each(asked)('over HTTP, %s: TIMEOUT_FIRST_TOKEN, after one repetition', async (_way, ask) => {
    const forever = { keepAliveMs: Number.POSITIVE_INFINITY, everyMs: 1 };
    const met = await meet('over HTTP', [forever, forever, forever]);
    const rejection = rejectionOf(ask(met));
    for (const attempts of [1, 2]) {
      const before = met.of('stream.keep-alive').length;
      await until(() => expect(met.of('stream.keep-alive').length).toBeGreaterThan(before));
      expect(met.simulator.requests).toHaveLength(attempts);
      await met.clock.advance(300_000);
    }
    expect(await rejection).toMatchObject({
      code: 'TIMEOUT_FIRST_TOKEN',
      limitMs: 300_000,
      committed: false,
    });
    expect(met.simulator.requests).toHaveLength(2);
    await until(() => expect(met.simulator.active).toBe(0));
    expect(met.clock.pendingTimers).toBe(0);
  });
});

describe('a 200 that is none, then an answer', () => {
  const dead: [what: string, fault: Fault, cause: string][] = [
    ['an empty body', { instead: 'empty' }, 'STREAM_EMPTY'],
    ['blank lines only', { instead: 'blank-lines' }, 'STREAM_EMPTY'],
    ['keep-alives, then the end', { instead: 'empty', keepAliveMs: 3, everyMs: 1 }, 'STREAM_EMPTY'],
    ['a stop with nothing at all', nothing, 'STREAM_EMPTY'],
    ['a reset after the headers', { resetAfterChunks: 0 }, 'STREAM_RESET'],
    ['a reset after keep-alives', { resetAfterChunks: 0, keepAliveMs: 3, everyMs: 1 }, 'STREAM_RESET'],
    ['an error in its place', { instead: 'error' }, 'STREAM_FAILED'],
    ['the page of a gateway', { instead: 'html' }, 'STREAM_FAILED'],
    ['what is no JSON', { instead: 'not-json' }, 'STREAM_MALFORMED'],
    [
      'insufficient_system_resource before any content',
      { ...nothing, finishReason: 'insufficient_system_resource' },
      'STREAM_FAILED',
    ],
    ['aborted before any content', { ...nothing, finishReason: 'aborted' }, 'STREAM_FAILED'],
    ['a cut before any content', { cutAfterChunks: 1 }, 'STREAM_TRUNCATED'],
  ];

  for (const [way, ask] of asked) {
    it.each(at(dead))(`%s, ${way}: %s is repeated unseen`, async (place, _what, fault, cause) => {
      const met = await meet(place, [fault, 'ok']);
      expect(await met.run(ask(met, direct))).toBe(pong);
      expect(met.simulator.requests).toHaveLength(2);
      expect(met.of('retry.scheduled')).toMatchObject([{ attempt: 1, cause }]);
      expect(met.of('stream.first-token')).toHaveLength(1);
      expect(met.of('call.settled')).toMatchObject([{ outcome: 'complete', status: 200 }]);
    });
  }

  it.each(places)('%s: a reset after the first piece, which is no content', async (place) => {
    const met = await meet(place, [{ resetAfterChunks: 1 }, 'ok']);
    expect(await met.run(met.ai.stream(ping).text())).toBe(pong);
    expect(met.of('retry.scheduled')).toMatchObject([{ cause: 'STREAM_RESET' }]);
  });

  it.each(at(asked))('%s, %s: an empty answer is asked for at most three times', async (place, _way, ask) => {
    const met = await meet(
      place,
      Array.from({ length: 6 }, () => ({ instead: 'empty' }) as const),
    );
    expect(await rejectionOf(met.run(ask(met)))).toMatchObject({
      code: 'STREAM_EMPTY',
      receivedBytes: 0,
      committed: false,
    });
    expect(met.simulator.requests).toHaveLength(3);
  });

  it.each(at(asked))('%s, %s: a failed one as often as maxRetries says', async (place, _way, ask) => {
    const met = await meet(
      place,
      Array.from({ length: 6 }, () => ({ instead: 'error' }) as const),
    );
    expect(await rejectionOf(met.run(ask(met)))).toMatchObject({ code: 'STREAM_FAILED', committed: false });
    expect(met.simulator.requests).toHaveLength(5);
  });

  it('counts the two empty answers apart from other failures', async () => {
    const faults = ['empty', 'error', 'empty', 'error'] as const;
    const met = await meet('in process', [...faults.map((instead) => ({ instead })), 'ok']);
    expect(await met.run(met.ai.stream(ping).text())).toBe(pong);
    expect(met.simulator.requests).toHaveLength(5);
  });
});

describe('a stall in mid-reasoning', () => {
  const thought = 'The user says "ping". A short answer will do.';

  it.each(at(followed))(
    '%s, %s: TIMEOUT_IDLE, committed, with the text so far',
    async (place, _way, follow) => {
      const met = await meet(place, [{ stallAfterChunks: 9 }]);
      const answer = follow(met);
      const rejection = rejectionOf(answer.end);
      const soFar = 'The user says "pi'; // what eight deltas of the simulator say
      await until(() => expect(answer.said).toBe(soFar));
      await met.clock.advance(119_999);
      expect(met.of('call.settled')).toEqual([]);
      await met.clock.advance(1);
      const error = (await rejection) as StreamTimeoutError;
      expect(error).toMatchObject({
        code: 'TIMEOUT_IDLE',
        limitMs: 120_000,
        committed: true,
        keepAlives: 0,
        finishReason: undefined,
      });
      expect(error.receivedBytes).toBeGreaterThan(1000);
      if (answer.bytes !== undefined) expect(error.receivedBytes).toBe(answer.bytes);
      else expect(error.partial).toEqual({ content: '', reasoningContent: soFar });
      expect(thought.startsWith(soFar)).toBe(true);
      expect(JSON.stringify(error) + error.message).not.toContain('user says');
      expect(met.of('call.settled')).toMatchObject([{ outcome: 'failed', cause: 'TIMEOUT_IDLE' }]);
      expect(met.simulator.requests).toHaveLength(1);
      await until(() => expect(met.simulator.active).toBe(0));
      expect(met.clock.pendingTimers).toBe(0);
    },
  );
});

describe('a clean close in mid-content', () => {
  it.each(at(streamed))('%s, %s: STREAM_TRUNCATED', async (place, _way, ask) => {
    const met = await meet(place, [{ cutAfterChunks: 4 }]);
    const error = await rejectionOf(met.run(ask(met, direct)));
    expect(error).toMatchObject({
      code: 'STREAM_TRUNCATED',
      committed: true,
      keepAlives: 0,
      finishReason: undefined,
    });
    expect((error as StreamBrokenError).receivedBytes).toBeGreaterThan(400);
    expect(met.simulator.requests).toHaveLength(1);
  });

  it.each(places)('%s, with resume: the whole text', async (place) => {
    const met = await meet(place, [{ cutAfterChunks: 4 }]);
    const stream = met.ai.stream({ ...ping, ...direct }, { resume: { maxResumes: 1 } });
    expect(await met.run(stream.text())).toBe(pong);
    expect(met.simulator.requests.map(({ url }) => new URL(url).pathname)).toEqual([
      '/chat/completions',
      '/beta/chat/completions',
    ]);
  });

  it.each(places)('%s, ai.chat(): nobody sees it, for it is repeated', async (place) => {
    const met = await meet(place, [{ cutAfterChunks: 4 }, 'ok']);
    expect(await met.run(met.ai.chat(ping))).toMatchObject({ content: pong });
    expect(met.of('retry.scheduled')).toMatchObject([{ cause: 'STREAM_TRUNCATED' }]);
  });
});

describe('a connection that is lost', () => {
  it.each(at(streamed))('%s, %s, in mid-content: STREAM_RESET', async (place, _way, ask) => {
    const met = await meet(place, [{ resetAfterChunks: 4 }]);
    expect(await rejectionOf(met.run(ask(met, direct)))).toMatchObject({
      code: 'STREAM_RESET',
      committed: true,
    });
    expect(met.simulator.requests).toHaveLength(1);
  });

  it('by pulling the plug in mid-content: STREAM_RESET, with the text so far', async () => {
    const met = await feed('over HTTP');
    const stream = met.ai.stream(ping);
    const first = stream.next();
    (await met.first()).push(role, piece({ content: 'half' }));
    await first;
    expect(await stream.next()).toMatchObject({ value: { content: 'half' } });
    const rejection = rejectionOf(stream.next());
    met.server?.unplug();
    const error = (await rejection) as StreamBrokenError;
    expect(error).toMatchObject({ code: 'STREAM_RESET', committed: true });
    expect(error.partial).toEqual({ content: 'half', reasoningContent: '' });
    await until(() => expect(met.sources[0]?.cancels).toHaveLength(1));
    expect(met.clock.pendingTimers).toBe(0);
  });

  it('by pulling the plug while the answer is held: the answer of the second try', async () => {
    const met = await feed('over HTTP');
    const text = met.ai.stream(ping).text();
    (await met.first()).push(keepAlive, role);
    await until(() => expect(met.of('stream.keep-alive')).toHaveLength(1));
    met.server?.unplug();
    await until(() => expect(met.sources).toHaveLength(2));
    met.sources[1]?.push(piece({ content: 'whole' }), stop, done);
    met.sources[1]?.close();
    expect(await text).toBe('whole');
    expect(met.of('retry.scheduled')).toMatchObject([{ cause: 'STREAM_RESET' }]);
  });
});

describe('[DONE] with the socket left open', () => {
  const lingering = { stallAfterChunks: Number.POSITIVE_INFINITY };

  it.each(at(streamed))(
    '%s, %s: a complete answer at once, and the socket let go soon',
    async (place, _way, ask) => {
      const met = await meet(place, [lingering]);
      const before = met.clock.now();
      expect(await ask(met)).toBe(pong);
      expect(met.clock.now()).toBe(before);
      expect(met.of('call.settled')).toMatchObject([{ outcome: 'complete' }]);
      expect(met.simulator.active).toBe(1);
      await met.clock.advance(250);
      await until(() => expect(met.simulator.active).toBe(0));
      expect(met.clock.pendingTimers).toBe(0);
    },
  );

  it.each(places)('%s: a caller of the guarded body sees its end', async (place) => {
    const met = await meet(place, [lingering]);
    const response = await met.send();
    const chunks: string[] = [];
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>)
      chunks.push(textOf(chunk));
    expect(chunks.join('')).toMatch(/data: \[DONE\]\n\n$/);
    await met.clock.advance(250);
  });

  it.each(streamed)('%s: five calls in a row open at most two connections', async (_way, ask) => {
    const met = await meet('over HTTP', []);
    for (let call = 0; call < 5; call++) expect(await ask(met)).toBe(pong);
    expect(met.simulator.requests).toHaveLength(5);
    expect(met.server?.opened).toBeLessThanOrEqual(2);
    await until(() => expect(met.clock.pendingTimers).toBe(0));
  });
});

describe('insufficient_system_resource after some content', () => {
  it.each(at(streamed))('%s, %s: STREAM_FAILED, and no second try', async (place, _way, ask) => {
    const met = await meet(place, [{ finishReason: 'insufficient_system_resource' }]);
    expect(await rejectionOf(met.run(ask(met)))).toMatchObject({
      code: 'STREAM_FAILED',
      committed: true,
      finishReason: 'insufficient_system_resource',
    });
    expect(met.simulator.requests).toHaveLength(1);
    expect(met.of('call.settled')).toMatchObject([{ outcome: 'failed', cause: 'STREAM_FAILED' }]);
  });

  it.each(at(streamed))('%s, %s: an error in the middle is STREAM_FAILED too', async (place, _way, ask) => {
    const met = await meet(place, [{ instead: 'error', insteadAfterChunks: 4 }]);
    expect(await rejectionOf(met.run(ask(met, direct)))).toMatchObject({
      code: 'STREAM_FAILED',
      committed: true,
    });
    expect(met.simulator.requests).toHaveLength(1);
  });

  it.each(places)('%s, ai.chat(): nobody sees it, for it is repeated', async (place) => {
    const met = await meet(place, [{ finishReason: 'insufficient_system_resource' }, 'ok']);
    expect(await met.run(met.ai.chat(ping))).toMatchObject({ content: pong });
  });

  // The network decides whether both come in one chunk: then the answer was repeated, and else it was not.
  it('is the same when the content came in the same chunk', async () => {
    const met = await feed('in process');
    const send = met.send();
    const text = role + piece({ content: 'half' }) + piece({}, 'insufficient_system_resource') + done;
    (await met.first()).push(text);
    const reader = (await send).body!.getReader();
    // Whoever sees [DONE] asks no more, and would not hear of the failure.
    expect(textOf((await reader.read()).value)).toBe(text.slice(0, -done.length));
    expect(await rejectionOf(reader.read())).toMatchObject({ code: 'STREAM_FAILED', committed: true });
    expect(met.sources).toHaveLength(1);
    expect(met.of('call.settled')).toMatchObject([{ outcome: 'failed', status: 200 }]);
  });
});

describe('a healthy stream that lasts 40 minutes', () => {
  it.each(streamed)('in process, %s: untouched', async (_way, ask) => {
    const answer = 'tidal '.repeat(25);
    const met = await meet('in process', [], { simulated: { tokenMs: 30_000, answer } });
    const before = met.clock.now();
    expect(await met.run(ask(met))).toBe(answer);
    expect(met.clock.now() - before).toBeGreaterThan(2_400_000);
    expect(met.clock.pendingTimers).toBe(0);
  });

  it.each(followed)('over HTTP, %s: untouched', async (_way, follow) => {
    const met = await feed('over HTTP');
    const answer = follow(met, direct);
    const source = await met.first();
    for (let minute = 1; minute <= 41; minute++) {
      source.push(piece({ content: '.' }));
      await until(() => expect(answer.said).toHaveLength(minute));
      await met.clock.advance(59_000);
    }
    source.push(stop, done);
    source.close();
    await answer.end;
    expect(met.of('call.settled')).toMatchObject([{ outcome: 'complete', durationMs: 41 * 59_000 }]);
  });
});

describe('a consumer that pauses for ten minutes', () => {
  it.each(places)('%s, ai.stream(): untouched', async (place) => {
    const met = await meet(place, []);
    const pieces: ChatChunk[] = [];
    for await (const each of met.ai.stream(ping)) {
      pieces.push(each);
      if (pieces.length % 8 === 3) await met.clock.advance(600_000);
    }
    expect(pieces.map(({ content }) => content).join('')).toBe(pong);
    expect(met.of('call.settled')).toMatchObject([{ outcome: 'complete' }]);
    await met.clock.settle(); // what comes after the end is still read
    expect(met.clock.pendingTimers).toBe(0);
  });

  it.each(places)('%s, deepseek(): untouched, also before the first read', async (place) => {
    const met = await meet(place, []);
    const response = await met.send();
    await met.clock.advance(600_000);
    let text = '';
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += textOf(chunk);
      await met.clock.advance(600_000);
    }
    expect(contentIn(text)).toBe(pong);
    expect(met.clock.pendingTimers).toBe(0);
  });
});

describe('a caller that cancels', () => {
  const moments: [when: string, fault: ScriptedFault, isThen: (met: Met) => void][] = [
    [
      'before the headers',
      { stallBeforeHeaders: true },
      ({ simulator }) => expect(simulator.requests).toHaveLength(1),
    ],
    [
      'while the answer is held',
      { keepAliveMs: 20, everyMs: 20, stallAfterChunks: 1 },
      ({ of }) => expect(of('stream.keep-alive')).toHaveLength(1),
    ],
    ['after commit', { stallAfterChunks: 3 }, ({ of }) => expect(of('stream.first-token')).toHaveLength(1)],
    ['in a wait', { status: 503, retryAfter: 5 }, ({ of }) => expect(of('retry.scheduled')).toHaveLength(1)],
    [
      'in a wait after a 200 that was none',
      { instead: 'empty' },
      ({ of }) => expect(of('retry.scheduled')).toHaveLength(1),
    ],
  ];

  for (const [way, ask] of asked) {
    const possible = moments.filter(([when]) => way !== 'ai.chat()' || when !== 'after commit'); // which is its end
    it.each(at(possible))(
      `%s, ${way}, %s: upstream is aborted, and nothing is left`,
      async (place, when, fault, isThen) => {
        const met = await meet(place, [fault], { random: () => 0.5 });
        const caller = new AbortController();
        const reason = { gone: when };
        const rejection = rejectionOf(ask(met, {}, caller.signal));
        if (place === 'in process') await met.clock.advance(30);
        await until(() => isThen(met));
        await met.clock.settle();
        caller.abort(reason);
        expect(await rejection).toBe(reason);
        await until(() => expect(met.simulator.active).toBe(0));
        expect(met.clock.pendingTimers).toBe(0);
        expect(listenersOf(caller.signal)).toBe(0);
        expect(met.simulator.requests).toHaveLength(1);
        expect(met.of('call.settled')).toMatchObject([{ outcome: 'cancelled' }]);
      },
    );
  }

  it.each(places)('%s, by leaving the loop: upstream is aborted, and nothing is left', async (place) => {
    const met = await meet(place, [{ stallAfterChunks: 4 }]);
    const caller = new AbortController();
    for await (const _each of met.ai.stream(ping, { signal: caller.signal })) break;
    await until(() => expect(met.simulator.active).toBe(0));
    expect([met.clock.pendingTimers, listenersOf(caller.signal)]).toEqual([0, 0]);
    expect(met.of('call.settled')).toMatchObject([{ outcome: 'cancelled' }]);
  });

  it.each(places)('%s, by cancelling the body: upstream is aborted, and nothing is left', async (place) => {
    const met = await meet(place, [{ stallAfterChunks: 4 }]);
    const caller = new AbortController();
    const response = await met.send({}, { signal: caller.signal });
    await response.body?.cancel('enough');
    await until(() => expect(met.simulator.active).toBe(0));
    expect([met.clock.pendingTimers, listenersOf(caller.signal)]).toEqual([0, 0]);
  });
});

describe('an answer that is none', () => {
  const type = (contentType: string | null) => ({ headers: { 'content-type': contentType } });
  const temperature = 'Invalid temperature value, the valid range of temperature is [0, 2.0]';
  const refused = { error: { message: temperature, type: 'invalid_request_error', param: null, code: 'x' } };
  interface Told {
    readonly attempts: number;
    readonly contentType: string | null;
    readonly message: string;
  }
  const errors: [what: string, fault: Fault, told: Told][] = [
    [
      '504 with an HTML page',
      { status: 504 },
      { attempts: 5, contentType: 'text/html', message: '504 Gateway Time-out' },
    ],
    [
      '400 JSON as application/octet-stream',
      { status: 400, body: refused, ...type('application/octet-stream') },
      { attempts: 1, contentType: 'application/octet-stream', message: temperature },
    ],
    [
      '401 plain text with no content type',
      { status: 401, body: 'Authentication Fails (governor)', ...type(null) },
      { attempts: 1, contentType: null, message: 'Authentication Fails (governor)' },
    ],
  ];
  const always = (fault: Fault) => Array.from({ length: 5 }, () => fault);

  for (const [way, ask] of asked.filter(([name]) => name.startsWith('ai.'))) {
    it.each(at(errors))(
      `%s, ${way}: %s is a typed error`,
      async (place, _what, fault, { attempts, message }) => {
        const met = await meet(place, always(fault));
        const error = await rejectionOf(met.run(ask(met)));
        expect(error).toBeInstanceOf(DeepSeekError);
        const { status } = fault;
        expect(error).toMatchObject({
          code: 'API_ERROR',
          status,
          message: `DeepSeek answered ${status}: ${message}`,
        });
        expect(met.simulator.requests).toHaveLength(attempts);
      },
    );
  }

  it.each(at(errors))(
    '%s, deepseek(): %s comes as it is',
    async (place, _what, fault, { attempts, contentType }) => {
      const met = await meet(place, always(fault));
      const response = await met.run(met.send());
      expect(response.status).toBe(fault.status);
      expect(response.headers.get('content-type')).toBe(contentType);
      expect((await response.text()).length).toBeGreaterThan(20);
      expect(met.simulator.requests).toHaveLength(attempts);
    },
  );
});

describe('the layers above a stream', () => {
  it.each(at(asked))('%s, %s: a 200 that is none trips the breaker', async (place, _way, ask) => {
    const met = await meet(place, [{ instead: 'empty' }], {
      retry: false,
      circuitBreaker: { maxFailures: 1 },
    });
    expect(await rejectionOf(met.run(ask(met)))).toMatchObject({ code: 'STREAM_EMPTY' });
    expect(met.of('breaker.opened')).toHaveLength(1);
    expect(await rejectionOf(met.run(ask(met)))).toMatchObject({ code: 'CIRCUIT_OPEN' });
    expect(met.simulator.requests).toHaveLength(1);
  });

  it.each(at(streamed))('%s, %s: a failure after commit trips the breaker', async (place, _way, ask) => {
    const met = await meet(place, [{ cutAfterChunks: 4 }], { circuitBreaker: { maxFailures: 1 } });
    expect(await rejectionOf(met.run(ask(met, direct)))).toMatchObject({ code: 'STREAM_TRUNCATED' });
    expect(met.of('breaker.opened')).toHaveLength(1);
  });

  it.each(at(streamed))(
    '%s, %s: an answer that is held counts for nothing, and one that begins for a success',
    async (place, _way, ask) => {
      const met = await meet(place, [{ instead: 'empty' }, 'ok', { instead: 'empty' }, 'ok'], {
        circuitBreaker: { maxFailures: 2 },
      });
      for (let call = 0; call < 2; call++) expect(await met.run(ask(met))).toBe(pong);
      expect(met.of('breaker.opened')).toEqual([]);
      expect(met.simulator.requests).toHaveLength(4);
    },
  );

  it.each(at(asked))('%s, %s: a fallback answers for a 200 that is none', async (place, _way, ask) => {
    const met = await meet(place, [{ instead: 'blank-lines' }], {
      retry: false,
      fallback: [{ model: 'deepseek-v4-pro' }],
    });
    expect(await met.run(ask(met))).toBe(pong);
    expect(met.simulator.requests.map(({ payload }) => (payload as ChatRequest).model)).toEqual([
      'deepseek-v4-flash',
      'deepseek-v4-pro',
    ]);
    expect(met.of('fallback.advanced')).toEqual([{ route: 'deepseek-v4-pro', cause: 'STREAM_EMPTY' }]);
  });

  it.each(places)('%s: no fallback answers once the answer has begun', async (place) => {
    const met = await meet(place, [{ cutAfterChunks: 4 }], { fallback: [{ model: 'deepseek-v4-pro' }] });
    expect(await rejectionOf(met.run(met.ai.stream({ ...ping, ...direct }).text()))).toMatchObject({
      code: 'STREAM_TRUNCATED',
    });
    expect(met.simulator.requests).toHaveLength(1);
  });

  it('tells of each attempt of a queued call, and settles once', async () => {
    const met = await meet('in process', [
      { instead: 'empty', keepAliveMs: 24_000 },
      { keepAliveMs: 12_000 },
    ]);
    expect(await met.run(met.ai.stream(ping).text())).toBe(pong);
    expect(met.events.map(({ type }) => type)).toEqual([
      'call.started',
      'attempt.started',
      'call.queued',
      'stream.keep-alive',
      'stream.keep-alive',
      'retry.scheduled',
      'attempt.started',
      'call.queued',
      'stream.keep-alive',
      'stream.first-token',
      'call.settled',
    ]);
  });
});

describe('keep-alives in the middle of an answer', () => {
  it.each(streamed)('%s: reset no clock', async (_way, ask) => {
    const fault = { keepAliveMs: Number.POSITIVE_INFINITY, keepAliveAfterChunks: 4 };
    const met = await meet('in process', [fault]);
    const before = met.clock.now();
    const error = await rejectionOf(met.run(ask(met)));
    expect(error).toMatchObject({ code: 'TIMEOUT_IDLE', limitMs: 120_000, committed: true });
    expect((error as StreamTimeoutError).keepAlives).toBeGreaterThanOrEqual(9);
    expect(met.clock.now() - before).toBe(120_000);
    expect(met.of('call.queued')).toEqual([]);
    expect([met.simulator.active, met.clock.pendingTimers]).toEqual([0, 0]);
  });

  it.each(streamed)('%s: do no harm when the answer goes on', async (_way, ask) => {
    const met = await meet('in process', [{ keepAliveMs: 119_000, keepAliveAfterChunks: 4 }]);
    expect(await met.run(ask(met))).toBe(pong);
  });

  it('are passed on, and a consumer that pauses after one trips no clock', async () => {
    const met = await feed('in process');
    const send = met.send(direct);
    const source = await met.first();
    source.push(piece({ content: 'a' }));
    const reader = (await send).body!.getReader();
    await reader.read();
    const reading = reader.read();
    await met.clock.advance(50_000);
    source.push(keepAlive);
    expect(textOf((await reading).value)).toBe(keepAlive);
    await met.clock.advance(600_000);
    const next = reader.read();
    await met.clock.advance(9999);
    source.push(piece({ content: 'b' }));
    expect(textOf((await next).value)).toContain('"b"');
    const last = reader.read();
    await met.clock.advance(30_000);
    source.push(keepAlive);
    expect(textOf((await last).value)).toBe(keepAlive);
    const silent = rejectionOf(reader.read());
    await met.clock.advance(30_000);
    expect(await silent).toMatchObject({ code: 'TIMEOUT_IDLE', keepAlives: 2 });
  });
});

describe('commitOn "answer"', () => {
  const late: Options = { streamTimeout: { commitOn: 'answer' } };

  it.each(at(streamed))('%s, %s: reasoning that breaks off is repeated unseen', async (place, _way, ask) => {
    const met = await meet(place, [{ cutAfterChunks: 6 }, { resetAfterChunks: 6 }, 'ok'], late);
    expect(await met.run(ask(met))).toBe(pong);
    expect(met.of('retry.scheduled')).toMatchObject([
      { cause: 'STREAM_TRUNCATED' },
      { cause: 'STREAM_RESET' },
    ]);
  });

  it('gives the reasoning of the attempt that was answered, once', async () => {
    const met = await meet('in process', [{ cutAfterChunks: 6 }], late);
    const { reasoningContent } = await met.run(met.ai.stream(ping).final());
    expect(reasoningContent).toBe('The user says "ping". A short answer will do.');
  });

  it.each(streamed)(
    '%s: a stall in the reasoning is TIMEOUT_IDLE before commit, and repeated once',
    async (_way, ask) => {
      const stall = { stallAfterChunks: 6 };
      const met = await meet('in process', [stall, stall, stall], late);
      expect(await rejectionOf(met.run(ask(met)))).toMatchObject({ code: 'TIMEOUT_IDLE', committed: false });
      expect(met.simulator.requests).toHaveLength(2);
    },
  );

  // It was killed at firstTokenMs, and then once more: the clock of the first content ran until the first of the answer.
  it.each(streamed)('%s: reasoning for longer than firstTokenMs is untouched', async (_way, ask) => {
    const met = await meet('in process', [], { ...late, simulated: { tokenMs: 30_000 } });
    const before = met.clock.now();
    expect(await met.run(ask(met))).toBe(pong);
    expect(met.clock.now() - before).toBeGreaterThan(600_000);
    expect(met.simulator.requests).toHaveLength(1);
    expect((met.of('stream.first-token') as { afterMs: number }[])[0]?.afterMs).toBeGreaterThan(300_000);
  });

  it.each(streamed)('%s: reasoning alone is an answer, at its end', async (_way, ask) => {
    const met = await meet('in process', [{ answer: { content: '', reasoningContent: 'hm' } }], late);
    expect(await met.run(ask(met))).toBe('');
    expect(met.of('call.settled')).toMatchObject([{ outcome: 'complete' }]);
  });
});

describe('hold "headers"', () => {
  const plain: Options = { streamTimeout: { hold: 'headers' } };

  it.each(places)(
    '%s: the Response comes at once, and what is wrong with it is told by its body',
    async (place) => {
      const met = await meet(place, [{ instead: 'blank-lines' }], plain);
      const response = await met.send();
      expect(response.status).toBe(200);
      expect(await rejectionOf(met.run(response.text()))).toMatchObject({
        code: 'STREAM_EMPTY',
        committed: false,
      });
      expect(met.simulator.requests).toHaveLength(1);
      expect(met.of('call.settled')).toMatchObject([{ outcome: 'failed', cause: 'STREAM_EMPTY' }]);
    },
  );

  it.each(at(asked))('%s, %s: an answer is an answer', async (place, _way, ask) => {
    const met = await meet(place, [{ keepAliveMs: 2, everyMs: 1 }], plain);
    expect(await met.run(ask(met))).toBe(pong);
    expect(met.of('stream.first-token')).toHaveLength(1);
  });

  it('puts firstTokenMs off for nothing but content', async () => {
    const met = await feed('in process', plain);
    const send = met.send(direct);
    const source = await met.first();
    const reader = (await send).body!.getReader();
    for (let time = 0; time < 3; time++) {
      const reading = reader.read();
      await met.clock.advance(50_000);
      source.push(time === 1 ? keepAlive : role);
      await reading;
      await met.clock.advance(600_000);
    }
    const rejection = rejectionOf(reader.read());
    await met.clock.advance(30_000);
    expect(await rejection).toMatchObject({
      code: 'TIMEOUT_FIRST_TOKEN',
      limitMs: 180_000,
      committed: false,
    });
  });
});

describe('an answer in one piece', () => {
  const whole = { ...direct, stream: false };

  it.each(places)('%s: is held to its end', async (place) => {
    const met = await feed(place, {}, 'application/json');
    let isHere = false;
    const call = met.send(whole).finally(() => {
      isHere = true;
    });
    const source = await met.first();
    const pieces = ['\n', '{"choices":[{"message":{"content":"po', 'ng"},"finish_reason":"stop"}]}'];
    for (const [index, text] of pieces.entries()) {
      source.push(text);
      await until(() => expect(source.pulls).toBeGreaterThan(index));
      await met.clock.settle();
      expect(isHere).toBe(false);
    }
    source.close();
    expect(await (await call).text()).toBe(pieces.join(''));
    expect(met.of('stream.first-token')).toHaveLength(1);
  });

  it.each(
    at([
      ['an end in the middle', { cutAfterChunks: 2 }],
      ['a reset in the middle', { resetAfterChunks: 2 }],
    ] as [string, Fault][]),
  )('%s: %s is repeated unseen', async (place, _what, fault) => {
    const met = await meet(place, [fault, 'ok']);
    const response = await met.run(met.send(whole));
    expect(await response.json()).toMatchObject({ choices: [{ message: { content: pong } }] });
    expect(met.simulator.requests).toHaveLength(2);
  });

  it('that stalls is repeated once, and is TIMEOUT_IDLE', async () => {
    const stall = { stallAfterChunks: 2 };
    const met = await meet('in process', [stall, stall]);
    const before = met.clock.now();
    expect(await rejectionOf(met.run(met.send(whole)))).toMatchObject({
      code: 'TIMEOUT_IDLE',
      limitMs: 60_000,
      committed: false,
    });
    expect(met.clock.now() - before).toBe(120_000);
    expect(met.simulator.requests).toHaveLength(2);
  });

  it.each(places)('%s: is passed on to the letter, blank lines and all', async (place) => {
    const met = await meet(place, [{ keepAliveMs: 3, everyMs: 1 }]);
    const text = await met.run(met.send(whole).then((response) => response.text()));
    expect(text).toMatch(/^\n\n\n\{.*\}$/);
    expect(met.of('call.queued')).toHaveLength(1);
  });

  it.each(places)('%s: is passed on unheld beyond maxHoldBytes, with an event', async (place) => {
    const streamTimeout = { maxHoldBytes: 100 };
    const met = await meet(place, [{ cutAfterChunks: -1 }], { streamTimeout });
    const response = await met.run(met.send(whole));
    expect(met.of('stream.unheld')).toHaveLength(1);
    expect((met.of('stream.unheld') as { heldBytes: number }[])[0]?.heldBytes).toBeGreaterThan(100);
    expect(met.of('stream.first-token')).toHaveLength(1);
    // It is cut, and nobody judges it any more.
    const text = await met.run(response.text());
    expect(text.startsWith('{"id"')).toBe(true);
    expect(() => JSON.parse(text)).toThrow(SyntaxError);
    expect(met.of('call.settled')).toMatchObject([{ outcome: 'complete' }]);
  });

  it('that is passed on unheld is committed: its silence is TIMEOUT_IDLE', async () => {
    const met = await meet('in process', [{ stallAfterChunks: 4 }], { streamTimeout: { maxHoldBytes: 100 } });
    const response = await met.run(met.send(whole));
    expect(await rejectionOf(met.run(response.text()))).toMatchObject({
      code: 'TIMEOUT_IDLE',
      committed: true,
    });
  });
});

describe('a detector of the user’s own', () => {
  it.each(places)('%s: decides what is progress, commits and judges', async (place) => {
    const detect = () => ({
      isCommitted: false,
      isDone: false,
      fault: undefined,
      keepAlives: 0,
      finishReason: 'mine',
      push(chunk: Uint8Array) {
        this.isCommitted ||= textOf(chunk).includes('content');
        this.isDone ||= textOf(chunk).includes('over');
        return true;
      },
      end: () => 'STREAM_FAILED' as const,
    });
    const met = await feed(place, { streamTimeout: { detect }, retry: false });
    const call = met.send();
    const source = await met.first();
    source.push('begin ', 'content ', 'over');
    const response = await call;
    expect(met.of('stream.first-token')).toHaveLength(1);
    expect(await rejectionOf(response.text())).toMatchObject({
      code: 'STREAM_FAILED',
      committed: true,
      finishReason: 'mine',
    });
  });

  // It threw within the guard: an unhandled rejection, and a call that only a clock ended.
  it.each(places)('%s: fails the call with what it throws', async (place) => {
    const mine = new Error('a mistake of mine');
    const fail = (): never => {
      throw mine;
    };
    const broken = { isCommitted: false, isDone: false, fault: undefined, keepAlives: 0 };
    const detectors = [
      fail,
      () => ({ ...broken, push: fail, end: () => undefined }),
      () => ({ ...broken, push: () => true, end: fail }),
    ];
    for (const detect of detectors) {
      const met = await meet(place, [], { streamTimeout: { detect }, retry: false });
      expect(await rejectionOf(met.run(met.send()))).toBe(mine);
      await until(() => expect(met.simulator.active).toBe(0));
      expect(met.clock.pendingTimers).toBe(0);
    }
  });
});

describe('every transcript through the whole chain', () => {
  const codes = {
    complete: undefined,
    truncated: 'STREAM_TRUNCATED',
    failed: 'STREAM_FAILED',
    malformed: 'STREAM_MALFORMED',
    empty: 'STREAM_EMPTY',
  };

  /** What comes out of the chain: the bytes, and the error. */
  async function passed(pieces: readonly Uint8Array[], contentType: string) {
    const clock = createFakeClock();
    const left = [...pieces];
    const body = new ReadableStream(
      {
        pull(controller) {
          const next = left.shift();
          if (next) controller.enqueue(next);
          else controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    const chain = deepseek({ apiKey, clock, retry: false })(
      async () => new Response(body, { headers: { 'content-type': contentType } }),
    );
    const chunks: Uint8Array[] = [];
    let committed = false;
    try {
      const payload = JSON.stringify({ ...ping, stream: true });
      const response = await chain('https://api.deepseek.com/chat/completions', {
        method: 'POST',
        body: payload,
      });
      committed = true;
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) chunks.push(chunk);
      return { bytes: Buffer.concat(chunks), committed, error: undefined, left: left.length };
    } catch (error) {
      if (!isBreakwaterError(error)) throw error;
      return { bytes: Buffer.concat(chunks), committed, error, left: left.length };
    }
  }

  const sizes = [1, 7, 180, 100_000];
  it.each(Object.entries(streams))(
    '%s is passed on byte for byte, and ends as it should',
    async (_name, transcript) => {
      const { bytes, contentType, expected } = transcript;
      for (const size of sizes) {
        const pieces: Uint8Array[] = [];
        for (let start = 0; start < bytes.length; start += size)
          pieces.push(bytes.slice(start, start + size));
        const { bytes: got, committed, error } = await passed(pieces, contentType);
        expect(error?.code).toBe(codes[expected.verdict]);
        expect(committed).toBe(error === undefined || expected.firstContent >= 0);
        if (error) expect(error).toMatchObject({ committed, finishReason: expected.finishReason });
        // What comes after the end is not the caller's; all that is before it is, to the byte.
        expect(Buffer.compare(got, Buffer.from(bytes.subarray(0, got.length)))).toBe(0);
        const last = expected.data.findLast((data) => error === undefined || data !== '[DONE]');
        if (committed) expect(got.length).toBeGreaterThanOrEqual(Buffer.from(bytes).lastIndexOf(last!));
        else expect(got.length).toBe(0);
      }
    },
  );

  it.each([
    'failedMidway',
    'resourceMidway',
    'truncatedMidContent',
    'keptAliveMidway',
    'withoutLastLineEnd',
    'notJsonMidway',
  ] as const)('%s ends alike wherever it is cut in two', async (name) => {
    const { bytes, contentType, expected } = streams[name];
    for (let split = 0; split <= bytes.length; split++) {
      const pieces = [bytes.slice(0, split), bytes.slice(split)].filter(({ length }) => length > 0);
      const { committed, error, bytes: got } = await passed(pieces, contentType);
      if (!committed || error?.code !== codes[expected.verdict] || got.length < bytes.length - 14)
        expect({ split, committed, code: error?.code, length: got.length }).toBe(
          'whole, and as it should end',
        );
    }
  });

  it('reads nothing ahead, beyond what was needed to decide', async () => {
    const text = [keepAlive, keepAlive, role, piece({ content: 'a' }), piece({ content: 'b' }), stop, done];
    let pulls = 0;
    const body = new ReadableStream(
      {
        pull(controller) {
          controller.enqueue(new TextEncoder().encode(text[pulls++]));
        },
      },
      { highWaterMark: 0 },
    );
    const clock = createFakeClock();
    const headers = { 'content-type': 'text/event-stream' };
    const chain = deepseek({ apiKey, clock })(async () => new Response(body, { headers }));
    const response = await chain('https://api.deepseek.com/chat/completions', {
      method: 'POST',
      body: JSON.stringify({ ...ping, stream: true }),
    });
    await clock.settle();
    expect(pulls).toBe(4);
    const reader = response.body!.getReader();
    for (const expected of text.slice(0, 4)) expect(textOf((await reader.read()).value)).toBe(expected);
    await clock.settle();
    expect(pulls).toBe(4);
    for (const [index, expected] of text.slice(4, 6).entries()) {
      expect(textOf((await reader.read()).value)).toBe(expected);
      await clock.settle();
      expect(pulls).toBe(5 + index);
    }
    await reader.cancel();
  });

  it('holds very many pieces without harm', async () => {
    const count = 30_000;
    const pieces = Array.from({ length: count }, () => new TextEncoder().encode(':\n\n'));
    const answer = new TextEncoder().encode(piece({ content: 'a' }) + stop);
    const clock = createFakeClock();
    const left = [...pieces, answer].reverse();
    const body = new ReadableStream(
      {
        pull(controller) {
          const next = left.pop();
          if (next) controller.enqueue(next);
          else controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    const chain = deepseek({ apiKey, clock })(
      async () => new Response(body, { headers: { 'content-type': 'text/event-stream' } }),
    );
    const response = await chain('https://api.deepseek.com/chat/completions', {
      method: 'POST',
      body: JSON.stringify({ ...ping, stream: true }),
    });
    expect(await response.text()).toHaveLength(3 * count + answer.length);
  });
});
