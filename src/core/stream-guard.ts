/**
 * @module One attempt under its clocks, from the request to the end of the body. It is itself the source of the stream that the
 * caller is given. Nothing leads from here to that stream while no read is pending: a Response that nobody reads can
 * be collected, and then takes its connection with it.
 */

import { Alarm } from './alarm.ts';
import type { Call } from './call.ts';
import type { Clock } from './clock.ts';
import { isBreakwaterError, StreamBrokenError, type StreamProgress, StreamTimeoutError } from './errors.ts';
import type { Settlement } from './events.ts';
import { GuardedResponse, isByteStream, isGuardable, stopWatching, watchOver } from './guarded-response.ts';

/** The four clocks, in milliseconds. */
export interface StreamLimits {
  readonly headersMs: number;
  readonly firstTokenMs: number;
  readonly idleMs: number;
  readonly totalMs: number;
}

/** What a guard goes by. */
export interface GuardSettings extends StreamLimits {
  readonly hold: 'first-token' | 'headers';
  readonly clock: Clock;
}

type Clocks = keyof typeof LIMITS;

const LIMITS = {
  TIMEOUT_HEADERS: 'headersMs',
  TIMEOUT_FIRST_TOKEN: 'firstTokenMs',
  TIMEOUT_IDLE: 'idleMs',
} as const;

const NEVER = Number.POSITIVE_INFINITY;

/** What takes the bytes: the controller of the caller's stream, of either kind, or a reader of the whole text. */
interface Sink {
  enqueue(chunk: Uint8Array): void;
  close(): void;
  error(reason: unknown): void;
  readonly byobRequest?: { respond(bytes: number): void } | null;
}

/**
 * A body that is lost after this much silence was lost to a clock that is not ours: Node ends one at 300 s, proxies at 60 s. It counts as a
 * timeout, which is repeated once, and not as a network error, which would be repeated for as long again and again.
 */
const SILENCE_MS = 60_000;

/** Guards one attempt. */
export class StreamGuard {
  /** Read by the runtime, as of any source of a stream. */
  type: 'bytes' | undefined;
  readonly #call: Call;
  readonly #settings: GuardSettings;
  readonly #upstream: AbortController = new AbortController();
  readonly #startedAt: number;
  readonly #totalAt: number;
  readonly #alarm: Alarm;
  #running: Clocks = 'TIMEOUT_HEADERS';
  #waitingSince = 0;
  #receivedBytes = 0;
  #isEventStream = false;
  #over = false;
  /** Not the attempt's: a middleware may make a second try with the same call. */
  #committed = false;
  /** What the caller awaits; undefined once it has the Response, which must not be held from here. */
  #caller: { resolve(response: Response): void; reject(reason: unknown): void } | undefined;
  /** The Response that came; once the caller has the guarded one, undefined. */
  #held: Response | undefined;
  /** The first chunk, between its arrival and the first read. */
  #first: Uint8Array | undefined;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** Whoever waits for data. */
  #pending: Sink | undefined;
  /** The stream that the caller has, where it may fail while nobody reads; never strong, so that it can be collected. */
  #stream: WeakRef<Sink> | undefined;
  /** Why the stream ended, for a reader that asks later. */
  #error: unknown;

  constructor(call: Call, settings: GuardSettings) {
    const { context } = call;
    this.#call = call;
    this.#settings = settings;
    this.#startedAt = settings.clock.now();
    context.startedAt ??= this.#startedAt;
    if (settings.totalMs < NEVER) context.deadlineAt ??= context.startedAt + settings.totalMs;
    this.#totalAt = context.deadlineAt ?? NEVER;
    this.#alarm = new Alarm(settings.clock, () => this.#runOut());
  }

  /** Settles as the attempt does, or at once when a clock runs out or the caller aborts, whatever becomes of the attempt then. */
  run(next: (call: Call) => Promise<Response>): Promise<Response> {
    const { signal } = this.#call;
    if (signal?.aborted) return Promise.reject(signal.reason);
    signal?.addEventListener('abort', this);
    const { headersMs, firstTokenMs } = this.#settings;
    this.#wait(headersMs <= firstTokenMs ? 'TIMEOUT_HEADERS' : 'TIMEOUT_FIRST_TOKEN', this.#startedAt);
    return new Promise((resolve, reject) => {
      this.#caller = { resolve, reject };
      try {
        next(this.#call.with({ signal: this.#upstream.signal })).then(
          (response) => this.#arrived(response),
          (error) => this.#fail(error),
        );
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  /** The caller aborts. */
  handleEvent(): void {
    this.#fail(this.#call.signal?.reason, { outcome: 'cancelled' });
  }

  /** The stream is made. */
  start(sink: Sink): void {
    const canFail = this.#call.signal || this.#totalAt < NEVER;
    if (canFail && typeof WeakRef !== 'undefined') this.#stream = new WeakRef(sink);
  }

  /** The caller wants data. */
  pull(sink: Sink): void {
    const first = this.#first;
    this.#first = undefined;
    if (first) sink.enqueue(first);
    else if (this.#error !== undefined) sink.error(this.#error);
    else if (this.#over) close(sink);
    else if (!this.#pending) {
      this.#pending = sink; // of two reads side by side the second gets its turn after the first
      this.#ask();
    }
  }

  /** The caller wants no more. */
  cancel(reason: unknown): Promise<void> | undefined {
    this.#end({ outcome: 'cancelled' });
    return this.#reader?.cancel(reason);
  }

  /** The caller has dropped the Response, so nobody will read on. */
  abandon(): void {
    if (this.#over) return;
    this.#end({ outcome: 'abandoned' });
    this.#reader?.cancel().catch(() => {});
  }

  get isOver(): boolean {
    return this.#over;
  }

  text(reader: ReadableStreamDefaultReader): Promise<string> {
    return new Promise((resolve, reject) => {
      const decoder = new TextDecoder();
      let text = '';
      const sink: Sink & { reader: unknown } = {
        reader,
        enqueue: (chunk: Uint8Array) => {
          text += decoder.decode(chunk, { stream: true });
          this.pull(sink);
        },
        close: () => resolve(text + decoder.decode()),
        error: reject,
      };
      this.pull(sink);
    });
  }

  #arrived(response: Response): void {
    const { attempt, method } = this.#call;
    if (this.#over) return attempt.discard(response);
    if (!isGuardable(response) || method === 'HEAD') return this.#letGo(response);
    attempt.claim();
    const body = response.body as ReadableStream<Uint8Array>;
    this.type = isByteStream(body) ? 'bytes' : undefined;
    this.#isEventStream = /^text\/event-stream/i.test(response.headers.get('content-type') ?? '');
    this.#reader = body.getReader();
    this.#held = response;
    if (this.#settings.hold === 'headers') this.#handOver(response);
    else this.#ask();
  }

  /** Nothing of this body is watched, so only the caller's abort is passed on, until somebody throws the Response away. */
  #letGo(response: Response): void {
    if (response.body) {
      this.#alarm.stop();
      this.#call.attempt.release = () => this.#close();
      void watchOver(response.body, this);
    } else this.#close();
    this.#give(response);
  }

  /** Gives the caller the Response. Nobody waits now: only the time of the whole call goes on. */
  #handOver(response: Response): void {
    this.#held = undefined;
    this.#alarm.stop();
    if (!this.#over) this.#alarm.set(this.#totalAt);
    const stream = new ReadableStream(this as UnderlyingByteSource, { highWaterMark: 0 });
    void watchOver(stream, this);
    this.#give(new GuardedResponse(stream, response, this));
  }

  #give(response: Response): void {
    this.#caller?.resolve(response);
    this.#caller = undefined;
  }

  #ask(): void {
    const now = this.#settings.clock.now();
    this.#waitingSince = now;
    if (this.#committed) {
      this.#call.context.lastProgressAt = now;
      this.#wait('TIMEOUT_IDLE', now);
    } else this.#wait('TIMEOUT_FIRST_TOKEN', this.#held ? this.#startedAt : now);
    this.#read();
  }

  #read(): void {
    this.#reader?.read().then(this.#took, this.#lost);
  }

  readonly #took = ({ done, value }: ReadableStreamReadResult<Uint8Array>): void => {
    if (this.#over) return;
    if (value?.byteLength === 0) return this.#read(); // no progress, so the clock runs on
    this.#alarm.set(this.#totalAt);
    if (value) this.#receivedBytes += value.byteLength;
    if (!this.#committed) this.#commit();
    if (done) this.#end({ outcome: 'complete' });
    if (this.#held) {
      this.#first = value;
      return this.#handOver(this.#held);
    }
    const sink = this.#pending;
    this.#pending = undefined;
    if (value) sink?.enqueue(value);
    else if (sink) close(sink);
  };

  readonly #lost = (error: unknown): void => {
    const silentMs = this.#settings.clock.now() - this.#waitingSince;
    const code = this.#committed ? 'TIMEOUT_IDLE' : 'TIMEOUT_FIRST_TOKEN';
    if (isBreakwaterError(error)) this.#fail(error);
    else if (silentMs < SILENCE_MS || this.#isEventStream)
      this.#fail(new StreamBrokenError('STREAM_RESET', this.#progress(), error));
    else this.#fail(new StreamTimeoutError(code, Math.round(silentMs), this.#progress()));
  };

  #commit(): void {
    const { attempt, context } = this.#call;
    this.#committed = true;
    context.emit?.({ type: 'stream.first-token', afterMs: this.#settings.clock.now() - this.#startedAt });
    attempt.commit();
  }

  #progress(): StreamProgress {
    return { receivedBytes: this.#receivedBytes, committed: this.#committed };
  }

  /** The answer cannot go on: whoever waits for it is told at once, and what is below is aborted. */
  #fail(error: unknown, settlement: Settlement = { outcome: 'failed', error }): void {
    if (this.#over) return;
    this.#end(settlement);
    this.#error = error;
    this.#caller?.reject(error);
    (this.#pending ?? this.#stream?.deref())?.error(error);
    this.#upstream.abort(error);
    this.#reader?.cancel(error).catch(() => {}); // for a fetch that is deaf to aborts
  }

  #end(settlement: Settlement): void {
    if (this.#over) return;
    this.#close();
    this.#call.attempt.settle(settlement);
  }

  #close(): void {
    this.#over = true;
    this.#alarm.stop();
    this.#call.signal?.removeEventListener('abort', this);
    stopWatching(this);
  }

  #wait(clock: Clocks, since: number): void {
    this.#running = clock;
    this.#alarm.set(Math.min(since + this.#settings[LIMITS[clock]], this.#totalAt));
  }

  #runOut(): void {
    const { clock, [LIMITS[this.#running]]: limitMs } = this.#settings;
    const { startedAt = 0 } = this.#call.context;
    const progress = this.#progress();
    this.#fail(
      clock.now() >= this.#totalAt
        ? new StreamTimeoutError('TIMEOUT_TOTAL', this.#totalAt - startedAt, progress)
        : new StreamTimeoutError(this.#running, limitMs, progress),
    );
  }
}

function close(sink: Sink): void {
  sink.close();
  sink.byobRequest?.respond(0); // a byte stream waits for this answer to a reader's own buffer
}
