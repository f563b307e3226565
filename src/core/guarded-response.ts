/** @module A Response with another body that is otherwise the one that came. `new Response` forgets where an answer came from, and code above us asks. */

import type { Guard } from './guarded-stream.ts';
import { textOf } from './sink.ts';

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
