/**
 * @module One call and its answer, from the moment the fetch is called until nothing of it is left. It makes a stub as
 * strict as a network: an abort rejects with the caller's own reason or breaks the body with it, a cancelled body ends
 * whatever was waiting, and nothing is produced before it is asked for.
 */

import type { Clock } from '../core/clock.ts';

/** How an exchange came to its end. */
export type Ending = 'ended' | 'failed' | 'cancelled' | 'aborted';

/** Where the chunks of a body come from; an async generator is one. */
export interface ChunkSource {
  next(): Promise<IteratorResult<Uint8Array, unknown>>;
  /** Called when the reader goes away before the end. */
  cancel?: ((reason: unknown) => void) | undefined;
}

/** Starts something to wait for; what it returns ends it early. */
type Start<T> = (resolve: (value: T) => void, reject: (reason: unknown) => void) => (() => void) | undefined;

export class Exchange {
  readonly #signal: AbortSignal | null;
  readonly #onEnd: (ending: Ending) => void;
  #ending: Ending | undefined;
  #reason: unknown;
  #interrupt: ((reason: unknown) => void) | undefined;
  #body: { readonly source: ChunkSource; readonly controller: ReadableStreamDefaultController } | undefined;

  /** The `signal` must not be aborted yet; `onEnd` is called once. */
  constructor(signal: AbortSignal | null, onEnd: (ending: Ending) => void) {
    this.#signal = signal;
    this.#onEnd = onEnd;
    signal?.addEventListener('abort', this.#onAbort);
  }

  /** Makes the Response with `work`; whatever `work` waits for through the exchange ends when the caller aborts. */
  async answer(work: () => Promise<Response>): Promise<Response> {
    try {
      const response = await work();
      this.#throwIfOver();
      if (response.body === null) this.#end('ended', undefined);
      return response;
    } catch (error) {
      this.#end('failed', error);
      throw error;
    }
  }

  /** Waits for what `start` begins, and no longer than the exchange lives. */
  wait<T>(start: Start<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#throwIfOver();
      const stop = start(resolve, reject);
      this.#interrupt = (reason) => {
        stop?.();
        reject(reason);
      };
    });
  }

  /** Waits `ms` milliseconds; not at all, and without a timer, when there is nothing to wait. */
  async sleep(clock: Clock, ms: number): Promise<void> {
    if (ms <= 0) return;
    await this.wait<void>((resolve) => {
      const timer = clock.setTimeout(resolve, ms);
      return () => clock.clearTimeout(timer);
    });
  }

  /** Never comes back, except by an abort or a cancel. */
  hang(): Promise<never> {
    return this.wait<never>(() => undefined);
  }

  /** Waits for somebody else's promise. */
  until<T>(promise: Promise<T>): Promise<T> {
    promise.catch(() => undefined); // an exchange that is over hears it no more
    return this.wait<T>((resolve, reject) => {
      promise.then(resolve, reject);
      return undefined;
    });
  }

  /** A body that pulls its chunks from `source`, one for each read, and ends with the exchange. */
  body(source: ChunkSource): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#body = { source, controller };
        },
        pull: (controller) => this.#pull(source, controller),
        cancel: (reason) => this.#end('cancelled', reason),
      },
      { highWaterMark: 0 },
    );
  }

  async #pull(source: ChunkSource, controller: ReadableStreamDefaultController): Promise<void> {
    try {
      const { done, value } = await source.next();
      if (this.#ending) return;
      if (!done) return controller.enqueue(value);
      this.#end('ended', undefined);
      controller.close();
    } catch (error) {
      if (this.#ending) return;
      this.#end('failed', error);
      controller.error(error);
    }
  }

  readonly #onAbort = (): void => {
    const reason: unknown = this.#signal?.reason;
    this.#end('aborted', reason);
    this.#body?.controller.error(reason);
  };

  #throwIfOver(): void {
    if (this.#ending) throw this.#reason;
  }

  #end(ending: Ending, reason: unknown): void {
    if (this.#ending) return;
    this.#ending = ending;
    this.#reason = reason;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#onEnd(ending);
    this.#interrupt?.(reason);
    if (ending === 'aborted' || ending === 'cancelled') this.#body?.source.cancel?.(reason);
  }
}

/** Sets what a Response made by hand lacks: the address that it came from. */
export function withUrl(response: Response, url: string): Response {
  return Object.defineProperty(response, 'url', { value: url, configurable: true, enumerable: true });
}
