/** @module The stream that a caller is given, and how it is found out that the caller has dropped it. */

import type { Sink } from './sink.ts';

/** Whoever guards a stream. */
export interface Guard {
  /** Whether the body has ended, whichever way. */
  readonly isOver: boolean;
  /** Whether the stream is one of bytes; `start`, `pull` and `cancel` are those of any source of a stream. */
  readonly type: 'bytes' | undefined;
  start(sink: Sink): void;
  pull(sink: Sink): void;
  cancel(reason: unknown): Promise<void> | undefined;
  /** A moment has passed: what is there for a reader that comes at once can go, if none has come. */
  rest(): void;
  /** Nobody has the stream any more. */
  abandon(): void;
  /** Lends the reader of the connection to a reader of the stream; undefined where the stream itself has something to say first. */
  lend(): ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** Looks at what was read with it, and says whether that may be handed out as it is. */
  accept(result: ReadableStreamReadResult<Uint8Array>): boolean;
  /** What was read with it failed. */
  lose(error: unknown): void;
  /** It is given back in the middle of a read: what is still to come is for the next reader. */
  takeBack(): void;
}

/**
 * The stream that a caller is given. A stream costs as much for each chunk as the connection that it stands before, so a reader reads from
 * the connection where there is nothing but the next bytes to hand out. What was held, what lies in the stream's own queue, the end
 * and errors come from the stream itself, and so does everything for those who have no reader: `pipeTo()`, `tee()`, `for await`.
 */
export class GuardedStream extends ReadableStream<Uint8Array> {
  readonly #guard: Guard;
  readonly #controller: ReadableStreamDefaultController | undefined;
  /** Whether the stream itself was read: until then it would not know that its body is used. */
  #isDisturbed = false;
  /** Whether something may lie in the stream's own queue: only reads of the stream itself can have put it there. */
  #mayHold = true;

  constructor(guard: Guard) {
    let made: ReadableStreamDefaultController | undefined;
    const source = {
      type: guard.type,
      start(controller: ReadableStreamDefaultController): void {
        made = controller;
        guard.start(controller);
      },
      pull: (controller: Sink) => guard.pull(controller),
      cancel: (reason: unknown) => guard.cancel(reason),
    };
    super(source as UnderlyingDefaultSource<Uint8Array>, { highWaterMark: 0 });
    this.#guard = guard;
    this.#controller = made;
  }

  override getReader(options?: { mode?: 'byob' }): never {
    const reader = super.getReader(options as never) as ReadableStreamDefaultReader<Uint8Array>;
    this.#mayHold = true; // by `pipeTo()`, or by a reader with a buffer of its own
    if (options?.mode) this.#isDisturbed = true;
    else this.#shorten(reader);
    return reader as never;
  }

  #shorten(reader: ReadableStreamDefaultReader<Uint8Array>): void {
    type Result = ReadableStreamReadResult<Uint8Array>;
    const guard = this.#guard;
    const read = reader.read.bind(reader);
    const releaseLock = reader.releaseLock.bind(reader);
    let lent: ReadableStreamDefaultReader<Uint8Array> | undefined;
    let isReleased = false;
    /** Reads that have not settled. Only one that is alone may go past the stream. */
    let pending = 0;
    const took = (result: Result): Result | Promise<Result> => {
      if (result.value?.byteLength === 0 && lent) return lent.read().then(took, lost); // no progress, so the clock runs on
      lent = undefined;
      if (!guard.accept(result)) return own();
      pending--;
      return result;
    };
    const lost = (error: unknown): Promise<Result> => {
      lent = undefined;
      if (!isReleased) guard.lose(error);
      return own();
    };
    const own = (): Promise<Result> => {
      this.#mayHold = true;
      return read().finally(() => void pending--);
    };
    reader.read = () => {
      const isAlone = pending++ === 0;
      if (isAlone && this.#mayHold) this.#mayHold = (this.#controller?.desiredSize ?? 0) < 0;
      if (isAlone && !this.#mayHold && this.#isDisturbed && !isReleased) lent = guard.lend();
      this.#isDisturbed = true;
      return isAlone && lent ? lent.read().then(took, lost) : own();
    };
    reader.releaseLock = () => {
      isReleased = true;
      releaseLock();
      if (lent) guard.takeBack();
    };
  }
}

/** Whether a stream can be read into a buffer of the reader's own. */
export function isByteStream(stream: ReadableStream): boolean {
  try {
    stream.getReader({ mode: 'byob' }).releaseLock();
    return true;
  } catch {
    return false;
  }
}

let registry: FinalizationRegistry<Guard> | undefined;

/** How many microtasks pass before a stream is watched. A caller that reads a short answer at once needs fewer. */
const GRACE_TURNS = 32;

/**
 * Abandons the guard when the stream is collected, where the runtime can tell. A watched object survives the collections of the young,
 * which cost more than the rest of a short call: so it is watched only if it is not over after a moment.
 */
export async function watchOver(stream: ReadableStream, guard: Guard): Promise<void> {
  for (let turn = 0; turn < GRACE_TURNS && !guard.isOver; turn++) await undefined;
  if (guard.isOver) return;
  guard.rest();
  if (typeof FinalizationRegistry === 'undefined') return;
  registry ??= new FinalizationRegistry((dropped) => dropped.abandon()); // not sooner: some runtimes allow nothing at module scope
  registry.register(stream, guard, guard);
}

/** The guard's work is done: it must not be held until the stream is collected. */
export function stopWatching(guard: Guard): void {
  registry?.unregister(guard);
}
