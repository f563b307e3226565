/** @module A Response with another body that is otherwise the one that came. `new Response` forgets where an answer came from, and code above us asks. */

import { type Sink, textOf } from './sink.ts';

/** Whoever guards a stream. */
interface Guard {
  /** Whether the body has ended, whichever way. */
  readonly isOver: boolean;
  /** Gives data to whoever asks. */
  pull(sink: Sink): void;
  /** Nobody has the stream any more. */
  abandon(): void;
}

/** Whether a Response has a body whose end is worth watching: nothing is held, rebuilt or judged that is not a 2xx with content. */
export function isGuardable({ ok, body }: Response): boolean {
  return ok && body !== null && !body.locked;
}

/** The Response that came, with a guarded stream as its body. */
export class GuardedResponse extends Response {
  readonly #original: Response;
  /** Undefined in a clone, and once there is one: what the guard hands out then goes to both. */
  #guard: Guard | undefined;
  #isRead = false;
  /** What a clone came from: some runtimes cancel the body of a Response that is collected, also when another has it. */
  #kept: unknown;

  constructor(body: ReadableStream | null, original: Response, guard?: Guard) {
    // Not the reason phrase: a server may send one that fetch takes and Response refuses.
    super(body, { status: original.status, headers: original.headers });
    this.#original = original;
    this.#guard = guard;
  }

  override get url(): string {
    return this.#original.url;
  }

  override get redirected(): boolean {
    return this.#original.redirected;
  }

  override get type(): ResponseType {
    return this.#original.type;
  }

  override get statusText(): string {
    return this.#original.statusText;
  }

  override get bodyUsed(): boolean {
    return this.#isRead || super.bodyUsed;
  }

  override clone(): Response {
    const copy = super.clone();
    this.#guard = undefined;
    const clone = new GuardedResponse(copy.body, this.#original);
    clone.#kept = [this.#kept, copy];
    this.#kept = clone.#kept;
    return clone;
  }

  /** Read past the stream that other readers get, because that stream is half the cost of a short answer. */
  override text(): Promise<string> {
    const { body } = this;
    if (!this.#guard || this.#guard.isOver || this.bodyUsed || !body || body.locked) return super.text();
    this.#isRead = true;
    return textOf(this.#guard, body.getReader());
  }

  override json(): Promise<unknown> {
    return this.text().then((text) => JSON.parse(text));
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
  if (guard.isOver || typeof FinalizationRegistry === 'undefined') return;
  registry ??= new FinalizationRegistry((dropped) => dropped.abandon()); // not sooner: some runtimes allow nothing at module scope
  registry.register(stream, guard, guard);
}

/** The guard's work is done: it must not be held until the stream is collected. */
export function stopWatching(guard: Guard): void {
  registry?.unregister(guard);
}
