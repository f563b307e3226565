/**
 * @module A streamed answer as its caller has it: piece by piece, as a whole, or as a stream for somebody else. All three draw from the
 * same source, so each gets what the others have left; the whole is put together on the way, whoever draws.
 */

import type { Clock } from '../core/clock.ts';
import { isBreakwaterError, StreamBrokenError } from '../core/errors.ts';
import type { ChainEvent } from '../core/events.ts';
import { causeOf } from '../core/failure.ts';
import { ChunkDecoder } from './chunk-decoder.ts';
import { EventReader } from './events.ts';
import { FAILED_FINISHES } from './facts/finish-reasons.ts';
import { canContinue, continuationOf, isNothingMore } from './resume.ts';
import { Transcript } from './transcript.ts';
import type { ChatChunk, ChatCompletion, ChatRequest, ChatStream } from './types.ts';

/** What a stream is told. */
export interface ChatStreamSettings {
  readonly request: ChatRequest;
  /** Sends a request: the first, or that for the rest. */
  readonly open: (request: ChatRequest, isContinuation: boolean, signal: AbortSignal) => Promise<OpenStream>;
  readonly signal: AbortSignal | undefined;
  readonly clock: Clock;
  readonly maxEventBytes: number;
  readonly maxResumes: number;
}

/** An answer that has begun. */
interface OpenStream {
  readonly body: ReadableStream<Uint8Array> | null;
  /** Tells whoever observes the call. */
  readonly emit: ((event: ChainEvent) => void) | undefined;
}

type Result = IteratorResult<ChatChunk, undefined>;

const OVER: IteratorReturnResult<undefined> = { done: true, value: undefined };
/** Lost after the answer had said that it was finished: it is whole. */
const LATE_LOSS = /^(STREAM_RESET|TIMEOUT_IDLE)$/;

export class LiveChatStream implements ChatStream {
  readonly #settings: ChatStreamSettings;
  /** Follows the caller's signal, and ends a request that is under way when the stream is left. */
  readonly #upstream: AbortController = new AbortController();
  #unfollow: (() => void) | undefined;
  readonly #decoder: ChunkDecoder = new ChunkDecoder();
  readonly #transcript: Transcript = new Transcript();
  #events: EventReader | undefined;
  #resumes = 0;
  #isOver = false;
  #isLeft = false;
  #failure: { readonly error: unknown } | undefined;
  /** How many calls of `next()` wait, and the last of them: each gets its turn after the one before. */
  #waiting = 0;
  #last: Promise<unknown> | undefined;

  constructor(settings: ChatStreamSettings) {
    this.#settings = settings;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    if (this.#waiting === 0) return this.#advance();
    this.#waiting++;
    const advance = () => {
      this.#waiting--;
      return this.#advance();
    };
    const turn = Promise.resolve(this.#last).then(advance, advance);
    this.#last = turn;
    return turn;
  }

  return(): Promise<IteratorReturnResult<undefined>> {
    if (!this.#isOver) {
      this.#isLeft = true;
      this.#close();
      if (this.#events) this.#events.cancel();
      else this.#upstream.abort(); // also where nothing was asked for yet
    }
    return Promise.resolve(OVER);
  }

  async text(): Promise<string> {
    await this.#drain();
    return this.#transcript.content;
  }

  async final(): Promise<ChatCompletion> {
    await this.#drain();
    return this.#transcript.completion();
  }

  toReadableStream(): ReadableStream<Uint8Array> {
    const encoder = new TextEncoder();
    return new ReadableStream(
      {
        pull: async (sink) => {
          const { done, value } = await this.next();
          if (done) sink.close();
          else sink.enqueue(encoder.encode(`${JSON.stringify(value.raw)}\n`));
        },
        cancel: () => void this.return(),
      },
      { highWaterMark: 0 },
    );
  }

  async #drain(): Promise<void> {
    while (!(await this.next()).done);
    if (this.#isLeft && this.#transcript.finishReason === undefined)
      throw this.#withPartial(this.#broken('STREAM_TRUNCATED'));
  }

  /** Gives at once what has arrived already. No async function, because most pieces come this way, and through `#arrived`. */
  #advance(): Promise<Result> {
    let turn: Result | Promise<Result> | undefined;
    try {
      turn = this.#isOver ? undefined : this.#take();
    } catch (error) {
      turn = this.#settle({ error });
    }
    turn ??=
      this.#events && !this.#isOver ? this.#events.read().then(this.#arrived, this.#lost) : this.#settle();
    if (!('then' in turn)) return Promise.resolve(turn);
    this.#waiting++;
    this.#last = turn;
    return turn;
  }

  readonly #arrived = (read: ReadableStreamReadResult<Uint8Array>): Promise<Result> | Result => {
    try {
      this.#accept(read);
      const piece = this.#take();
      if (!piece) return this.#settle();
      this.#waiting--;
      return piece;
    } catch (error) {
      return this.#settle({ error });
    }
  };

  readonly #lost = (error: unknown): Promise<Result> => this.#settle({ error });

  /** Whatever takes longer: to begin, to wait for the rest of an event, to meet a problem, and to be over. Ends a turn that had to wait. */
  async #settle(problem?: { readonly error: unknown }): Promise<Result> {
    try {
      if (problem) await this.#recover(problem.error);
      while (!this.#isOver) {
        try {
          this.#events ??= await this.#open(this.#settings.request);
          const piece = this.#take();
          if (piece) return piece;
          if (!this.#isOver) this.#accept(await this.#events.read());
        } catch (error) {
          await this.#recover(error);
        }
      }
      if (this.#failure) throw this.#failure.error;
      return OVER;
    } finally {
      this.#waiting--;
    }
  }

  async #open(request: ChatRequest, broken?: unknown): Promise<EventReader> {
    const { signal, maxEventBytes, open } = this.#settings;
    this.#unfollow ??= follow(signal, this.#upstream);
    const { body, emit } = await open(request, broken !== undefined, this.#upstream.signal);
    if (!body) throw this.#broken('STREAM_EMPTY');
    const { length: receivedChars } = this.#transcript.content;
    if (broken !== undefined)
      emit?.({ type: 'stream.resumed', attempt: this.#resumes, receivedChars, cause: causeOf(broken) });
    const events = new EventReader(body, maxEventBytes, this.#decoder);
    if (this.#isLeft) events.cancel(); // in the meantime
    return events;
  }

  /** The next piece of what has arrived; undefined where there is none yet, or no more. */
  #take(): Result | undefined {
    this.#settings.signal?.throwIfAborted(); // what had arrived before that is of no more use
    const events = this.#events;
    const value = events?.take();
    if (typeof value === 'string') throw this.#broken(value);
    if (value) return this.#give(value);
    if (events?.isOverfull) throw this.#broken('STREAM_OVERFLOW');
    if (events?.isDone) this.#end();
    return undefined;
  }

  #give(value: ChatChunk): Result {
    const { finishReason } = value;
    const isFailure = finishReason !== undefined && FAILED_FINISHES.includes(finishReason);
    const failure = isFailure ? this.#broken('STREAM_FAILED', undefined, finishReason) : undefined;
    this.#transcript.add(value);
    if (failure) throw failure;
    return { done: false, value };
  }

  #accept(read: ReadableStreamReadResult<Uint8Array>): void {
    if (!this.#events?.accept(read)) this.#end();
  }

  #end(): void {
    if (this.#isOver) return;
    const { finishReason, hasContent } = this.#transcript;
    const { isDone, hasEvents } = this.#events ?? {};
    if (!isDone && finishReason === undefined)
      throw this.#broken(hasEvents ? 'STREAM_TRUNCATED' : 'STREAM_EMPTY');
    if (!hasContent && (finishReason ?? 'stop') === 'stop') throw this.#broken('STREAM_EMPTY');
    this.#close();
    if (isDone) this.#events?.finish(this.#settings.clock, this.#settings.signal);
  }

  /** Goes on with the answer, or ends it: then what was thrown is what every reader gets from now on. */
  async #recover(met: unknown): Promise<void> {
    const { signal } = this.#settings;
    // What a body fails with that no layer has looked at is the runtime's.
    const thrown = this.#events && !isBreakwaterError(met) ? this.#broken('STREAM_RESET', met) : met;
    const { code } = Object(thrown) as { code?: unknown };
    this.#events?.cancel();
    if (this.#isLeft) return;
    if (!signal?.aborted) {
      if (LATE_LOSS.test(String(code)) && this.#transcript.finishReason !== undefined) return this.#close();
      if (canContinue(thrown, this.#transcript) && (await this.#continue(thrown))) return;
    }
    if (this.#isLeft) return;
    this.#failure = { error: signal?.aborted ? signal.reason : this.#withPartial(thrown) };
    this.#close();
  }

  /** Asks for the rest. When that cannot be had, the answer ends as it would have without. */
  async #continue(broken: unknown): Promise<boolean> {
    const { request, maxResumes } = this.#settings;
    const transcript = this.#transcript;
    if (this.#resumes >= maxResumes) return false;
    this.#resumes++;
    this.#events = undefined;
    try {
      this.#events = await this.#open(continuationOf(request, transcript.content), broken);
    } catch (error) {
      if (!isNothingMore(error)) return false;
      transcript.finishReason = 'stop';
      this.#close();
      return true;
    }
    transcript.finishReason = undefined;
    this.#decoder.continueFrom(transcript.usage);
    return true;
  }

  #close(): void {
    this.#isOver = true;
    this.#unfollow?.();
  }

  readonly #broken = (
    code: StreamBrokenError['code'],
    cause?: unknown,
    finishReason: string | undefined = this.#transcript.finishReason,
  ): StreamBrokenError => {
    const { receivedBytes = 0, keepAlives = 0 } = this.#events ?? {};
    const committed = this.#transcript.hasContent;
    return new StreamBrokenError(code, { receivedBytes, keepAlives, committed, finishReason }, cause);
  };

  #withPartial(error: unknown): unknown {
    return isBreakwaterError(error) && 'withPartial' in error
      ? error.withPartial(this.#transcript.partial())
      : error;
  }
}

/** Passes an abort on, until it is told to stop. It holds nothing of the stream, which must stay free to be collected. */
function follow(signal: AbortSignal | undefined, upstream: AbortController): () => void {
  const abort = () => upstream.abort(signal?.reason);
  signal?.addEventListener('abort', abort);
  if (signal?.aborted) abort();
  return () => signal?.removeEventListener('abort', abort);
}
