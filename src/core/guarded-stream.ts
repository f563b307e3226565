/** @module The stream that a caller is given, and how it is found out that the caller has dropped it. */

import type { Sink } from './sink.ts';

/** Whoever guards a stream. */
export interface Guard {
  /** Whether the body has ended, whichever way. */
  readonly isOver: boolean;
  /** Gives data to whoever asks. */
  pull(sink: Sink): void;
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
 * The stream that a caller is given. A stream costs as much for each chunk as the connection that it stands before, so its readers read from
 * the connection, with the guard looking on. Whatever is more than the next bytes (the end, an error, what was held) comes from the stream
 * itself, and so does everything for those who have no reader: `pipeTo()`, `tee()`, `for await`.
 */
export class GuardedStream extends ReadableStream<Uint8Array> {
  readonly #guard: Guard;

  constructor(guard: Guard) {
    super(guard as unknown as UnderlyingDefaultSource<Uint8Array>, { highWaterMark: 0 });
    this.#guard = guard;
  }

  override getReader(options?: { mode?: 'byob' }): never {
    const reader = super.getReader(options as never) as ReadableStreamDefaultReader<Uint8Array>;
    if (!options?.mode) shorten(reader, this.#guard);
    return reader as never;
  }
}

/** Lets a reader read from the connection as long as there is nothing but bytes to hand out. */
function shorten(reader: ReadableStreamDefaultReader<Uint8Array>, guard: Guard): void {
  type Result = ReadableStreamReadResult<Uint8Array>;
  const read = reader.read.bind(reader);
  const releaseLock = reader.releaseLock.bind(reader);
  let lent: ReadableStreamDefaultReader<Uint8Array> | undefined;
  let pending = 0;
  let isReleased = false;
  const took = (result: Result): Result | Promise<Result> => {
    if (result.value?.byteLength === 0 && lent) return lent.read().then(took, lost); // no progress, so the clock runs on
    pending--;
    return guard.accept(result) ? result : read();
  };
  const lost = (error: unknown): Promise<Result> => {
    pending--;
    if (!isReleased) guard.lose(error);
    return read();
  };
  reader.read = () => {
    lent = isReleased ? undefined : guard.lend();
    if (!lent) return read();
    pending++;
    return lent.read().then(took, lost);
  };
  reader.releaseLock = () => {
    isReleased = true;
    releaseLock();
    if (pending > 0) guard.takeBack();
  };
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
