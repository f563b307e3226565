/**
 * @module A clock that stands still until a test moves it. Fake timers that fire synchronously cannot drive a stream:
 * its reads and pulls are promises, so between two timers the real work that the first has set going must be let
 * happen, or the second fires into a past that never was. `advance` is therefore asynchronous.
 */

import { type Clock, MAX_TIMER_MS, systemClock, type TimerHandle } from '../core/clock.ts';
import { checkMembers, checkMs, refusal } from './checks.ts';

export interface FakeClockOptions {
  /**
   * The time of day at which the clock starts, in milliseconds since 1970.
   * Must be a finite number.
   * @default 1_767_225_600_000
   */
  readonly wallMs?: number | undefined;
}

/** A clock whose time passes only when a test says so. */
export interface FakeClock extends Clock {
  /** How many timers are set and have neither fired nor been cleared: 0 when nothing has been left behind. */
  readonly pendingTimers: number;
  /**
   * Lets `ms` milliseconds pass: runs the timers that fall due, in order of their time, and lets promises and streams
   * do their work before the first, after each, and therefore after the last.
   */
  advance(ms: number): Promise<void>;
  /** Lets promises and streams do their work, while the time stands still. Work outside the process is not waited for. */
  settle(): Promise<void>;
  /**
   * Moves from timer to timer until `promise` has settled, and settles as it did.
   * @throws {Error} When `promise` is still pending and no timer is left, or `limitMs` (an hour by default) has passed.
   */
  runUntil<T>(promise: Promise<T>, limitMs?: number): Promise<T>;
}

/** Not 0, so that a time that is mistaken for "not set" shows. */
const START_MS = 10_000;
const DEFAULT_WALL_MS = 1_767_225_600_000;
const DEFAULT_LIMIT_MS = 3_600_000;
/** How many turns of the event loop without a timer set or cleared count as quiet. */
const QUIET_TURNS = 24;

interface FakeTimer {
  readonly dueMs: number;
  readonly callback: () => void;
}

/**
 * Creates a clock that stands still until it is advanced, so that minutes of backoff are tested in milliseconds.
 * Pass it as `clock` to whatever takes one.
 *
 * @param options The time of day to start at.
 * @returns The clock, with the means to move it.
 * @throws {TypeError | RangeError} When `wallMs` is not a finite number, or an option is unknown.
 *
 * @example A minute passes at once
 * ```ts
 * import { createFakeClock } from 'breakwater/testing';
 *
 * const clock = createFakeClock();
 * let isDone = false;
 * clock.setTimeout(() => { isDone = true; }, 60_000);
 * await clock.advance(59_999);
 * if (isDone) throw new Error('too early');
 * await clock.advance(1);
 * if (!isDone || clock.pendingTimers !== 0) throw new Error('too late');
 * ```
 */
export function createFakeClock(options: FakeClockOptions = {}): FakeClock {
  checkMembers('create fake clock', options, ['wallMs']);
  const { wallMs = DEFAULT_WALL_MS } = options;
  if (typeof wallMs !== 'number')
    throw new TypeError(refusal('create fake clock', 'wallMs', 'a finite number', wallMs));
  if (!Number.isFinite(wallMs))
    throw new RangeError(refusal('create fake clock', 'wallMs', 'a finite number', wallMs));
  return new StandingClock(wallMs);
}

class StandingClock implements FakeClock {
  readonly #wallOffsetMs: number;
  readonly #timers = new Set<FakeTimer>();
  #nowMs = START_MS;
  /** Counts timers set and cleared: while it changes, there is work going on. */
  #activity = 0;
  #isMoving = false;

  constructor(wallMs: number) {
    this.#wallOffsetMs = wallMs - START_MS;
  }

  get pendingTimers(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#nowMs;
  }

  wall(): number {
    return this.#nowMs + this.#wallOffsetMs;
  }

  setTimeout(callback: () => void, delayMs: number): TimerHandle {
    // A runtime would fire such a timer at once: a mistake that shows as a flood of calls in production only.
    if (!(delayMs <= MAX_TIMER_MS))
      throw new RangeError(refusal('set timer', 'delayMs', `a number up to ${MAX_TIMER_MS}`, delayMs));
    const timer: FakeTimer = { dueMs: this.#nowMs + Math.max(0, delayMs), callback };
    this.#timers.add(timer);
    this.#activity++;
    return timer;
  }

  clearTimeout(handle: TimerHandle): void {
    if (this.#timers.delete(handle as FakeTimer)) this.#activity++;
  }

  async advance(ms: number): Promise<void> {
    checkMs('advance fake clock', 'ms', ms);
    await this.#move(async () => {
      const endMs = this.#nowMs + ms;
      while (await this.#fireNext(endMs));
      this.#nowMs = endMs;
    });
  }

  async settle(): Promise<void> {
    await letWorkHappen(() => this.#activity);
  }

  async runUntil<T>(promise: Promise<T>, limitMs: number = DEFAULT_LIMIT_MS): Promise<T> {
    checkMs('run fake clock', 'limitMs', limitMs);
    let isSettled = false;
    const note = (): void => {
      isSettled = true;
    };
    promise.then(note, note);
    await this.#move(async () => {
      const endMs = this.#nowMs + limitMs;
      await this.settle();
      while (!isSettled && (await this.#fireNext(endMs)));
      if (isSettled) return;
      const left = this.#timers.size === 0 ? 'no timer is left' : `${limitMs} ms have passed`;
      throw new Error(`Promise is still pending although ${left}`);
    });
    return promise;
  }

  /** Fires the earliest timer that is due by `endMs`; says whether there was one. */
  async #fireNext(endMs: number): Promise<boolean> {
    await this.settle();
    let next: FakeTimer | undefined;
    for (const timer of this.#timers) if (!next || timer.dueMs < next.dueMs) next = timer;
    if (!next || next.dueMs > endMs) return false;
    this.#timers.delete(next);
    this.#nowMs = Math.max(this.#nowMs, next.dueMs);
    next.callback();
    return true;
  }

  /** Two moves at a time would each see the other's time pass: it happens when an `await` was forgotten. */
  async #move(run: () => Promise<void>): Promise<void> {
    if (this.#isMoving)
      throw new Error('Cannot move the fake clock while it is moving: await the call before');
    this.#isMoving = true;
    try {
      await run();
    } finally {
      this.#isMoving = false;
    }
  }
}

/** Gives the event loop turns until a number of them in a row have seen no activity. */
async function letWorkHappen(activity: () => number): Promise<void> {
  const turn = createTurns();
  let seen = activity();
  for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
    await turn.next();
    if (activity() !== seen) quiet = 0;
    seen = activity();
  }
  turn.close();
}

interface Turns {
  next(): Promise<void>;
  close(): void;
}

/** Whole turns of the event loop. A message is much quicker than a timer, which browsers hold back for 4 ms. */
function createTurns(): Turns {
  if (typeof MessageChannel !== 'function') {
    return {
      next: () =>
        new Promise((resolve) => {
          systemClock.setTimeout(resolve, 0);
        }),
      close: () => undefined,
    };
  }
  const { port1, port2 } = new MessageChannel();
  // There and back: Node drains a port without a turn of its loop, but not two ports that answer each other.
  port2.onmessage = () => port2.postMessage(undefined);
  return {
    next: () =>
      new Promise((resolve) => {
        port1.onmessage = () => resolve();
        port1.postMessage(undefined);
      }),
    close: () => port1.close(), // an open port would keep the process alive
  };
}
