/** @module The only file that reads time, chance and timers from the runtime. Everything else has them injected, so that a test can hold them still. */

/** A timer as the runtime hands it out: an object in Node, Deno and Bun, a number elsewhere. */
export type TimerHandle = unknown;

/** Where a middleware takes its time from. The globals are read at every call, never when a chain is built. */
export interface Clock {
  /** The monotonic time, in milliseconds from an arbitrary origin: for everything that is measured. */
  now(): number;
  /** The time of day, in milliseconds since 1970: only for dates in headers and for stores that several machines share. */
  wall(): number;
  /** Calls back once after `delayMs`, which must fit the 32 bits that runtimes give it. */
  setTimeout(callback: () => void, delayMs: number): TimerHandle;
  /** Forgets a timer; one that has fired already is ignored. */
  clearTimeout(handle: TimerHandle): void;
}

/** The longest delay that every runtime's timer holds, in milliseconds: beyond it most fire at once. */
export const MAX_TIMER_MS: number = 2 ** 31 - 1;

/** The time of the runtime. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  setTimeout: (callback, delayMs) => setTimeout(callback, delayMs),
  clearTimeout: (handle) => clearTimeout(handle as number),
};

/** A number from 0 up to, but not including, 1. */
export type Random = () => number;

/** The chance of the runtime. */
export const systemRandom: Random = () => Math.random();
