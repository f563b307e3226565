/**
 * @module One attempt under its clocks, from the request to the end of the body. It is itself the source of the stream that the
 * caller is given. Nothing leads from here to that stream while no read is pending: a Response that nobody reads can
 * be collected, and then takes its connection with it.
 */

import { AnswerWatch, NOTHING_YET } from './answer-watch.ts';
import type { Call } from './call.ts';
import { isBreakwaterError, StreamBrokenError, StreamTimeoutError } from './errors.ts';
import type { Settlement } from './events.ts';
import { GuardedResponse, isGuardable } from './guarded-response.ts';
import { type Guard, GuardedStream, isByteStream, stopWatching, watchOver } from './guarded-stream.ts';
import { lostBody } from './lost-body.ts';
import { isEventStream } from './progress.ts';
import { beforeDone, close, drain, type Sink } from './sink.ts';
import { type GuardSettings, StreamClocks } from './stream-clocks.ts';

/** Guards one attempt. */
export class StreamGuard implements Guard {
  /** Read by the runtime, as of any source of a stream. */
  type: 'bytes' | undefined;
  readonly #call: Call;
  readonly #settings: GuardSettings;
  readonly #clocks: StreamClocks;
  readonly #upstream: AbortController = new AbortController();
  #isEventStream = false;
  /** Whether the body has ended, whichever way. */
  isOver = false;
  /** Undefined until the headers have come. */
  #watch: AnswerWatch | undefined;
  /** What the caller awaits; undefined once it has the Response, which must not be held from here. */
  #caller: { resolve(response: Response): void; reject(reason: unknown): void } | undefined;
  /** The Response that came; once the caller has the guarded one, undefined. */
  #held: Response | undefined;
  /** What has been read of it and not been handed out; once the caller has the guarded one, the last first: taking the first of many is slow. */
  readonly #chunks: Uint8Array[] = [];
  #body: ReadableStream<Uint8Array> | undefined;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** Whoever waits for data. */
  #pending: Sink | undefined;
  /** The stream that the caller has, where it may fail while nobody reads; never strong, so that it can be collected. */
  #stream: WeakRef<Sink> | undefined;
  /** Why the stream ended, for a reader that asks later. */
  #error: unknown;

  constructor(call: Call, settings: GuardSettings) {
    this.#call = call;
    this.#settings = settings;
    this.#clocks = new StreamClocks(settings, settings.clock, call.context, (code, limitMs) =>
      this.#fail(new StreamTimeoutError(code, limitMs, this.#watch?.progress() ?? NOTHING_YET)),
    );
  }

  /** Settles as the attempt does, or at once when a clock runs out or the caller aborts, whatever becomes of the attempt then. */
  run(next: (call: Call) => Promise<Response>): Promise<Response> {
    const { signal } = this.#call;
    if (signal?.aborted) return Promise.reject(signal.reason);
    signal?.addEventListener('abort', this);
    this.#clocks.start();
    return new Promise((resolve, reject) => {
      this.#caller = { resolve, reject };
      this.#trying(() => {
        const sent = next(this.#call.with({ signal: this.#upstream.signal }));
        sent.then(
          (response) => this.#trying(() => this.#arrived(response)),
          (error) => this.#fail(error),
        );
      });
    });
  }

  /** Whatever is thrown on the way ends the call: a fetch below may give what is no Response, and a detector is the user's. */
  #trying(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The caller aborts. */
  handleEvent(): void {
    this.#fail(this.#call.signal?.reason, { outcome: 'cancelled' });
  }

  /** The stream is made. */
  start(sink: Sink): void {
    const canFail = this.#call.signal || this.#clocks.totalAt < Number.POSITIVE_INFINITY;
    if (canFail && typeof WeakRef !== 'undefined') this.#stream = new WeakRef(sink);
  }

  /** The caller wants data. */
  pull(sink: Sink): void {
    const chunk = this.#chunks.pop();
    if (chunk) sink.enqueue(chunk);
    else if (this.#error !== undefined) sink.error(this.#error);
    else if (this.isOver) close(sink);
    else if (!this.#pending) {
      this.#pending = sink; // of two reads side by side the second gets its turn after the first
      this.#clocks.awaitData(this.#watch?.hasBegun === true);
      this.#read();
    }
  }

  lend(): ReadableStreamDefaultReader<Uint8Array> | undefined {
    if (this.isOver || this.#pending || this.#chunks.length > 0) return undefined;
    this.#clocks.awaitData(this.#watch?.hasBegun === true);
    return this.#reader;
  }

  accept(result: ReadableStreamReadResult<Uint8Array>): boolean {
    if (this.isOver) return false;
    const next = this.#pending; // a read beside this one, which waits for what comes after
    this.#pending = undefined;
    this.#took(result);
    if (result.value && this.#error !== undefined) result.value = beforeDone(result.value);
    if (next && this.isOver) this.pull(next);
    else if (next) {
      this.#pending = next;
      this.#clocks.awaitData(this.#watch?.hasBegun === true);
    }
    return !result.done && result.value.length > 0;
  }

  takeBack(): void {
    this.#clocks.pause();
    this.#reader?.releaseLock();
    this.#reader = this.#body?.getReader();
  }

  /** The caller wants no more. */
  cancel(reason: unknown): Promise<void> | undefined {
    this.#end({ outcome: 'cancelled' });
    return this.#reader?.cancel(reason);
  }

  rest(): void {
    this.#clocks.rest();
  }

  /** The caller has dropped the Response, so nobody will read on. */
  abandon(): void {
    if (this.isOver) return;
    this.#end({ outcome: 'abandoned' });
    this.#reader?.cancel().catch(() => {});
  }

  #arrived(response: Response): void {
    const { attempt, method } = this.#call;
    if (this.isOver) return attempt.discard(response);
    if (!isGuardable(response) || method === 'HEAD') return this.#letGo(response);
    attempt.claim();
    const body = response.body as ReadableStream<Uint8Array>;
    this.type = isByteStream(body) ? 'bytes' : undefined;
    this.#isEventStream = isEventStream(response.headers);
    this.#body = body;
    this.#reader = body.getReader();
    this.#watch = new AnswerWatch(this.#settings.detect(response, this.#call), this.#call, this.#clocks);
    if (this.#settings.hold === 'headers') return this.#handOver(response);
    this.#held = response;
    this.#clocks.awaitContent();
    this.#read();
  }

  /** Nothing of this body is watched, so only the caller's abort is passed on, until somebody throws the Response away. */
  #letGo(response: Response): void {
    if (response.body) {
      this.#clocks.stop();
      this.#call.attempt.release = () => this.#close();
      void watchOver(response.body, this);
    } else this.#close();
    this.#give(response);
  }

  /** Gives the caller the Response, with what has been read of it before it. */
  #handOver(response: Response): void {
    this.#held = undefined;
    this.#chunks.reverse();
    if (!this.isOver) this.#clocks.handOver(this.#watch?.isCommitted === true);
    const stream = new GuardedStream(this);
    void watchOver(stream, this);
    this.#give(new GuardedResponse(stream, response, this));
  }

  #give(response: Response): void {
    this.#caller?.resolve(response);
    this.#caller = undefined;
  }

  #read(): void {
    this.#reader?.read().then(this.#took, this.lose);
  }

  readonly #took = (result: ReadableStreamReadResult<Uint8Array>): void => {
    if (this.isOver) return;
    try {
      this.#take(result);
    } catch (error) {
      this.#fail(error); // of a detector or a listener of the user's
    }
  };

  #take({ done, value }: ReadableStreamReadResult<Uint8Array>): void {
    if (done) return this.#judge(undefined);
    if (value.byteLength === 0) return this.#read(); // no progress, so the clock runs on
    const watch = this.#watch as AnswerWatch;
    watch.take(value);
    if (this.#held) return this.#hold(value, this.#held, watch);
    this.#clocks.pause();
    if (watch.detector.isCommitted && !watch.isCommitted) watch.commit();
    if (watch.isOver) this.#judge(value);
    else this.#deliver(value);
  }

  /** Nobody has seen anything of this answer yet, and nobody will unless it begins. */
  #hold(chunk: Uint8Array, response: Response, watch: AnswerWatch): void {
    this.#chunks.push(chunk);
    // Before it is judged: how the network cuts an answer must not decide whether it is repeated.
    if (watch.detector.isCommitted) watch.commit();
    if (watch.isOver) return this.#judge(undefined);
    if (!watch.isCommitted) {
      if (watch.receivedBytes <= this.#settings.maxHoldBytes) {
        this.#clocks.awaitMore(watch.hasBegun);
        return this.#read();
      }
      this.#call.context.emit?.({ type: 'stream.unheld', heldBytes: watch.receivedBytes });
      watch.detector.release?.();
      watch.commit(); // whatever it is, the caller has it now
    }
    this.#handOver(response);
  }

  #deliver(chunk: Uint8Array | undefined): void {
    const sink = this.#pending;
    this.#pending = undefined;
    if (chunk?.length) sink?.enqueue(chunk);
    else if (sink) this.pull(sink); // which tells it how the body ended
  }

  /** The body has ended, or the answer says that it is over: was it one? The last chunk is still the caller's. */
  #judge(last: Uint8Array | undefined): void {
    const watch = this.#watch as AnswerWatch;
    const fault = watch.judge();
    const error = fault && new StreamBrokenError(fault, watch.progress());
    if (error && !last && !(this.#held && watch.isCommitted)) return this.#fail(error);
    if (!error && !watch.isCommitted) watch.commit();
    this.#close();
    if (error) this.#stop(error);
    else if (watch.detector.isDone && this.#reader) void drain(this.#reader, this.#settings.clock);
    if (this.#held) {
      if (error)
        this.#chunks.push(
          ...this.#chunks
            .splice(-1)
            .map(beforeDone)
            .filter(({ length }) => length > 0),
        );
      this.#handOver(this.#held);
    } else this.#deliver(error && last ? beforeDone(last) : last);
    this.#call.attempt.settle(error ? { outcome: 'failed', error } : { outcome: 'complete' });
  }

  readonly lose = (error: unknown): void => {
    const silentMs = this.#isEventStream ? 0 : this.#clocks.silentMs;
    const code = this.#watch?.hasBegun ? 'TIMEOUT_IDLE' : 'TIMEOUT_FIRST_TOKEN';
    const progress = this.#watch?.progress() ?? NOTHING_YET;
    this.#fail(isBreakwaterError(error) ? error : lostBody(error, silentMs, code, progress));
  };

  /** The answer cannot go on: whoever waits for it is told at once, and what is below is aborted. */
  #fail(error: unknown, settlement: Settlement = { outcome: 'failed', error }): void {
    if (this.isOver) return;
    this.#close();
    this.#stop(error);
    this.#chunks.length = 0;
    this.#caller?.reject(error);
    (this.#pending ?? this.#stream?.deref())?.error(error);
    this.#call.attempt.settle(settlement); // last, because a listener may throw
  }

  /** Takes no more, for this reason: who reads on is told it after what is held. */
  #stop(error: unknown): void {
    this.#error = error;
    this.#upstream.abort(error);
    this.#reader?.cancel(error).catch(() => {}); // for a fetch that is deaf to aborts
  }

  #end(settlement: Settlement): void {
    if (this.isOver) return;
    this.#close();
    this.#call.attempt.settle(settlement);
  }

  #close(): void {
    this.isOver = true;
    this.#clocks.stop();
    this.#call.signal?.removeEventListener('abort', this);
    stopWatching(this);
  }
}
