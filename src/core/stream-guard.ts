/**
 * @module One attempt under its clocks, from the request to the end of the body. It is itself the source of the stream that the
 * caller is given. Nothing leads from here to that stream but a weak reference: a Response that nobody reads can
 * be collected, and then takes its connection with it.
 */

import type { Call } from './call.ts';
import { type Clock, MAX_TIMER_MS, type TimerHandle } from './clock.ts';
import { isBreakwaterError, StreamBrokenError, type StreamProgress, StreamTimeoutError } from './errors.ts';
import type { Settlement } from './events.ts';
import { isByteStream, isGuardable, watchOver, withBody } from './guarded-response.ts';

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

type Clocks = StreamTimeoutError['code'];

/** What of a stream's controller both kinds of stream have. */
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
  #headersAt = 0;
  #timer: TimerHandle;
  /** When the timer fires, and when the running clock runs out: a timer that fires too early is set again. */
  #timerAt = Number.POSITIVE_INFINITY;
  #dueAt = Number.POSITIVE_INFINITY;
  #running: Clocks = 'TIMEOUT_HEADERS';
  #waitingSince = 0;
  #receivedBytes = 0;
  #isEventStream = false;
  #over = false;
  /** Not the attempt's: a middleware may make a second try with the same call. */
  #committed = false;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** The first chunk, between its arrival and the first read. */
  #held: Uint8Array | undefined;
  /** The stream that the caller has. Strong only while a read is pending, or the one who awaits it might wait for a collected stream. */
  #sink: { deref(): Sink | undefined } | undefined;
  #pending: Sink | undefined;
  /** Gives the caller the Response; undefined when that is done. */
  #handOver: (() => void) | undefined;
  #reject: ((reason: unknown) => void) | undefined;

  constructor(call: Call, settings: GuardSettings) {
    const { context } = call;
    this.#call = call;
    this.#settings = settings;
    this.#startedAt = settings.clock.now();
    context.startedAt ??= this.#startedAt;
    if (settings.totalMs < Number.POSITIVE_INFINITY)
      context.deadlineAt ??= context.startedAt + settings.totalMs;
    this.#totalAt = context.deadlineAt ?? Number.POSITIVE_INFINITY;
  }

  /** Settles as the attempt does, or at once when a clock runs out or the caller aborts, whatever becomes of the attempt then. */
  run(next: (call: Call) => Promise<Response>): Promise<Response> {
    const { signal } = this.#call;
    if (signal?.aborted) return Promise.reject(signal.reason);
    signal?.addEventListener('abort', this);
    const { headersMs, firstTokenMs } = this.#settings;
    if (headersMs <= firstTokenMs) this.#wait('TIMEOUT_HEADERS', headersMs);
    else this.#wait('TIMEOUT_FIRST_TOKEN', firstTokenMs);
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      try {
        next(this.#call.with({ signal: this.#upstream.signal })).then(
          (response) => this.#arrived(response, resolve),
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
    this.#sink = typeof WeakRef === 'undefined' ? { deref: () => sink } : new WeakRef(sink);
    if (this.#over) sink.close();
  }

  /** The caller wants data. */
  pull(sink: Sink): void {
    const chunk = this.#held;
    this.#held = undefined;
    if (chunk) return sink.enqueue(chunk);
    if (this.#pending) return; // two reads side by side: the second gets its turn after the first
    this.#pending = sink;
    this.#ask();
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

  #arrived(response: Response, resolve: (response: Response) => void): void {
    const { attempt } = this.#call;
    if (this.#over) return attempt.discard(response);
    this.#rest();
    if (!isGuardable(response) || this.#call.method === 'HEAD') return resolve(this.#letGo(response));
    attempt.claim();
    const body = response.body as ReadableStream<Uint8Array>;
    this.#headersAt = this.#settings.clock.now();
    this.#isEventStream = /^text\/event-stream/i.test(response.headers.get('content-type') ?? '');
    this.type = isByteStream(body) ? 'bytes' : undefined;
    this.#reader = body.getReader();
    this.#handOver = () => {
      this.#handOver = undefined;
      this.#rest();
      const stream = new ReadableStream(this as UnderlyingByteSource, { highWaterMark: 0 });
      watchOver(stream, this);
      resolve(withBody(response, stream));
    };
    if (this.#settings.hold === 'headers') this.#handOver();
    else this.#ask();
  }

  /** Nothing of this body is watched, so only the caller's abort is passed on, until somebody throws the Response away. */
  #letGo(response: Response): Response {
    if (!response.body) this.#close();
    else {
      this.#clearTimer();
      this.#call.attempt.release = () => this.#close();
      watchOver(response.body, this);
    }
    return response;
  }

  #ask(): void {
    const { idleMs, firstTokenMs } = this.#settings;
    if (this.#committed) this.#wait('TIMEOUT_IDLE', idleMs);
    else this.#wait('TIMEOUT_FIRST_TOKEN', firstTokenMs - (this.#headersAt - this.#startedAt));
    this.#read();
  }

  #read(): void {
    this.#reader?.read().then(this.#took, this.#lost);
  }

  readonly #took = ({ done, value }: ReadableStreamReadResult<Uint8Array>): void => {
    if (this.#over) return;
    if (value?.byteLength === 0) return this.#read(); // no progress, so the clock runs on
    this.#dueAt = Number.POSITIVE_INFINITY;
    if (value) this.#count(value.byteLength);
    this.#commit();
    if (done) this.#end({ outcome: 'complete' });
    if (this.#handOver) {
      this.#held = value;
      return this.#handOver();
    }
    const sink = this.#pending;
    this.#pending = undefined;
    if (value) sink?.enqueue(value);
    else {
      sink?.close();
      sink?.byobRequest?.respond(0); // a byte stream waits for this answer to a reader's own buffer
    }
  };

  readonly #lost = (error: unknown): void => {
    if (this.#over) return;
    const progress = this.#progress();
    const silentMs = this.#settings.clock.now() - this.#waitingSince;
    if (isBreakwaterError(error)) this.#fail(error);
    else if (this.#isEventStream || silentMs < SILENCE_MS)
      this.#fail(new StreamBrokenError('STREAM_RESET', progress, error));
    else {
      const code = progress.committed ? 'TIMEOUT_IDLE' : 'TIMEOUT_FIRST_TOKEN';
      this.#fail(new StreamTimeoutError(code, Math.round(silentMs), progress));
    }
  };

  #count(bytes: number): void {
    this.#receivedBytes += bytes;
    this.#call.context.lastProgressAt = this.#settings.clock.now();
  }

  #commit(): void {
    const { attempt, context } = this.#call;
    if (this.#committed) return;
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
    const sink = this.#sink?.deref();
    this.#end(settlement);
    this.#reject?.(error);
    sink?.error(error);
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
    this.#rest();
    this.#clearTimer();
    this.#call.signal?.removeEventListener('abort', this);
  }

  #wait(clock: Clocks, ms: number): void {
    this.#running = clock;
    this.#waitingSince = this.#settings.clock.now();
    this.#dueAt = this.#waitingSince + ms;
    this.#setTimer();
  }

  /** Nobody waits: only the time of the whole call goes on. */
  #rest(): void {
    this.#dueAt = Number.POSITIVE_INFINITY;
    this.#clearTimer();
    if (!this.#over) this.#setTimer();
  }

  #setTimer(): void {
    const at = Math.min(this.#dueAt, this.#totalAt);
    if (at >= this.#timerAt) return; // the one that is set will fire in time
    this.#clearTimer();
    this.#timerAt = at;
    const { clock } = this.#settings;
    this.#timer = clock.setTimeout(this.#fire, Math.min(Math.max(0, at - clock.now()), MAX_TIMER_MS));
  }

  #clearTimer(): void {
    if (this.#timerAt === Number.POSITIVE_INFINITY) return;
    this.#timerAt = Number.POSITIVE_INFINITY;
    this.#settings.clock.clearTimeout(this.#timer);
  }

  readonly #fire = (): void => {
    this.#timerAt = Number.POSITIVE_INFINITY;
    const now = this.#settings.clock.now();
    if (now >= this.#totalAt) this.#runOut('TIMEOUT_TOTAL');
    else if (now >= this.#dueAt) this.#runOut(this.#running);
    else this.#setTimer();
  };

  #runOut(clock: Clocks): void {
    const { headersMs, firstTokenMs, idleMs } = this.#settings;
    const { startedAt = this.#startedAt } = this.#call.context;
    const limits = {
      TIMEOUT_HEADERS: headersMs,
      TIMEOUT_FIRST_TOKEN: firstTokenMs,
      TIMEOUT_IDLE: idleMs,
      TIMEOUT_TOTAL: this.#totalAt - startedAt,
    };
    this.#fail(new StreamTimeoutError(clock, limits[clock], this.#progress()));
  }
}
