/** @module What one answer has shown of itself so far, and who is told of it. */

import type { Call } from './call.ts';
import type { StreamProgress } from './errors.ts';
import type { ProgressDetector, StreamFault } from './progress.ts';
import type { StreamClocks } from './stream-clocks.ts';

/** Watches the bytes of one answer go by, through its detector. */
export class AnswerWatch {
  readonly detector: ProgressDetector;
  receivedBytes = 0;
  /** Whether the caller has some of the answer. Not the attempt's: a middleware may make a second try with the same call. */
  isCommitted = false;
  readonly #call: Call;
  readonly #clocks: StreamClocks;
  #keepAlives = 0;

  constructor(detector: ProgressDetector, call: Call, clocks: StreamClocks) {
    this.detector = detector;
    this.#call = call;
    this.#clocks = clocks;
  }

  take(chunk: Uint8Array): void {
    this.receivedBytes += chunk.byteLength;
    const isProgress = this.detector.push(chunk);
    this.#clocks.note(isProgress && this.hasBegun); // what comes before content puts no clock off
    if (this.detector.keepAlives !== this.#keepAlives) this.#keptAlive(this.detector.keepAlives);
  }

  /** Whether some of the answer has come: from then on its silences are measured. */
  get hasBegun(): boolean {
    return this.isCommitted || this.detector.isCommitted || this.detector.hasContent === true;
  }

  /** Whether the answer says that it is over, or that something went wrong with it. */
  get isOver(): boolean {
    return this.detector.isDone || this.detector.fault !== undefined;
  }

  /** What is wrong with the answer as it stands at its end. */
  judge(): StreamFault | undefined {
    return this.detector.fault ?? this.detector.end();
  }

  /** The caller gets it: from now on nothing is repeated. */
  commit(): void {
    const { attempt, context } = this.#call;
    this.isCommitted = true;
    context.emit?.({ type: 'stream.first-token', afterMs: this.#clocks.elapsedMs });
    attempt.commit();
  }

  progress(): StreamProgress {
    return {
      receivedBytes: this.receivedBytes,
      keepAlives: this.#keepAlives,
      committed: this.isCommitted,
      finishReason: this.detector.finishReason,
    };
  }

  #keptAlive(keepAlives: number): void {
    const { emit } = this.#call.context;
    if (this.#keepAlives === 0 && !this.isCommitted) emit?.({ type: 'call.queued' });
    this.#keepAlives = keepAlives;
    emit?.({ type: 'stream.keep-alive', keepAlives, afterMs: this.#clocks.elapsedMs });
  }
}

/** How far an answer has come whose headers have not. */
export const NOTHING_YET: StreamProgress = { receivedBytes: 0, keepAlives: 0, committed: false };
