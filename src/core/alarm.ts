/** @module One timer for an instant that keeps moving, because a timer set anew for every chunk of a stream costs more than the chunk. */

import { type Clock, MAX_TIMER_MS, type TimerHandle } from './clock.ts';

/** Rings once when its time has come. To put it off costs nothing: a timer that fires too early is set again. */
export class Alarm {
  readonly #clock: Clock;
  readonly #ring: () => void;
  #at = Number.POSITIVE_INFINITY;
  #timer: TimerHandle;
  #firesAt = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock;
    this.#ring = ring;
  }

  /** When to ring, on the clock; `Infinity` for never, which leaves the timer to run out by itself. */
  set(at: number): void {
    this.#at = at;
    if (at >= this.#firesAt) return;
    this.#clear();
    this.#firesAt = at;
    const delayMs = Math.max(0, at - this.#clock.now());
    this.#timer = this.#clock.setTimeout(this.#fire, Math.min(delayMs, MAX_TIMER_MS));
  }

  /** Never rings, and leaves no timer. */
  stop(): void {
    this.#at = Number.POSITIVE_INFINITY;
    this.#clear();
  }

  #clear(): void {
    if (this.#firesAt < Number.POSITIVE_INFINITY) this.#clock.clearTimeout(this.#timer);
    this.#firesAt = Number.POSITIVE_INFINITY;
  }

  readonly #fire = (): void => {
    this.#firesAt = Number.POSITIVE_INFINITY;
    if (this.#clock.now() < this.#at) this.set(this.#at);
    else this.#ring();
  };
}
