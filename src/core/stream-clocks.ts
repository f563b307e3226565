/** @module The four clocks of one attempt, of which one runs at a time beside that of the whole call. */

import { Alarm } from './alarm.ts';
import type { CallContext } from './attempt.ts';
import type { Call } from './call.ts';
import type { Clock } from './clock.ts';
import type { StreamTimeoutError } from './errors.ts';
import type { ProgressDetector } from './progress.ts';

/** The four limits, in milliseconds. */
export interface StreamLimits {
  readonly headersMs: number;
  readonly firstTokenMs: number;
  readonly idleMs: number;
  readonly totalMs: number;
}

/** What a guard goes by. */
export interface GuardSettings extends StreamLimits {
  readonly hold: 'first-token' | 'headers';
  readonly maxHoldBytes: number;
  readonly detect: (response: Response, call: Call) => ProgressDetector;
  readonly clock: Clock;
}

const LIMITS = {
  TIMEOUT_HEADERS: 'headersMs',
  TIMEOUT_FIRST_TOKEN: 'firstTokenMs',
  TIMEOUT_IDLE: 'idleMs',
} as const;

/** Measures the silences of one attempt. */
export class StreamClocks {
  readonly startedAt: number;
  /** When the call has to be over; `Infinity` for never. */
  readonly totalAt: number;
  readonly #limits: StreamLimits;
  readonly #clock: Clock;
  readonly #context: CallContext;
  readonly #alarm: Alarm;
  #running: keyof typeof LIMITS = 'TIMEOUT_HEADERS';
  #waitingSince = 0;
  #isWaiting = false;
  /** How much of the running limit was used up by silence that signs of life broke. */
  #waitedMs = 0;

  constructor(
    limits: StreamLimits,
    clock: Clock,
    context: CallContext,
    onRunOut: (code: StreamTimeoutError['code'], limitMs: number) => void,
  ) {
    this.#limits = limits;
    this.#clock = clock;
    this.#context = context;
    this.startedAt = clock.now();
    context.startedAt ??= this.startedAt;
    const { startedAt } = context;
    if (limits.totalMs < Number.POSITIVE_INFINITY) context.deadlineAt ??= startedAt + limits.totalMs;
    const totalAt = context.deadlineAt ?? Number.POSITIVE_INFINITY;
    this.totalAt = totalAt;
    this.#alarm = new Alarm(clock, () => {
      if (clock.now() >= totalAt) onRunOut('TIMEOUT_TOTAL', Math.round(totalAt - startedAt));
      else onRunOut(this.#running, limits[LIMITS[this.#running]]);
    });
  }

  /** The request goes out. */
  start(): void {
    const { headersMs, firstTokenMs } = this.#limits;
    this.#run(headersMs <= firstTokenMs ? 'TIMEOUT_HEADERS' : 'TIMEOUT_FIRST_TOKEN', this.startedAt);
  }

  /** The guard itself waits for the first content, which counts from the start of the attempt. */
  awaitContent(): void {
    this.#waitingSince = this.#clock.now();
    this.#run('TIMEOUT_FIRST_TOKEN', this.startedAt);
  }

  /** The guard reads on. An answer that has begun is measured as one that is read: by its silences, however long it takes. */
  awaitMore(hasBegun: boolean): void {
    if (hasBegun) this.awaitData(true);
    else this.#waitingSince = this.#clock.now();
  }

  /** The caller waits for data. */
  awaitData(hasBegun: boolean): void {
    const now = this.#clock.now();
    this.#waitingSince = now;
    if (hasBegun) this.#context.lastProgressAt = now;
    this.#run(hasBegun ? 'TIMEOUT_IDLE' : 'TIMEOUT_FIRST_TOKEN', now - this.#waitedMs);
  }

  /** Data has come. Signs of life alone give no new limit: the next silence goes on where this one stopped. */
  note(isProgress: boolean): void {
    if (isProgress) this.#waitedMs = 0;
    else this.#waitedMs += this.silentMs;
  }

  /** Nobody waits: only the time of the whole call goes on. The timer may run on, because the next wait mostly begins at once. */
  pause(): void {
    this.#isWaiting = false;
    this.#alarm.set(this.totalAt);
  }

  /** The caller has the Response, and its own time. The clock of the first token has begun with the attempt. */
  handOver(isCommitted: boolean): void {
    this.#waitedMs = isCommitted ? 0 : this.elapsedMs;
    this.pause();
  }

  /** If nobody waits, nobody may for a long time: no timer is left but that of the whole call. */
  rest(): void {
    if (this.#isWaiting) return;
    this.#alarm.stop();
    this.#alarm.set(this.totalAt);
  }

  stop(): void {
    this.#alarm.stop();
  }

  /** How long the present wait has lasted, in milliseconds. */
  get silentMs(): number {
    return this.#clock.now() - this.#waitingSince;
  }

  /** Milliseconds since the start of the attempt. */
  get elapsedMs(): number {
    return this.#clock.now() - this.startedAt;
  }

  #run(code: keyof typeof LIMITS, since: number): void {
    this.#running = code;
    this.#isWaiting = true;
    const { headersMs, firstTokenMs, idleMs } = this.#limits; // by name: a computed one is slow
    const limitMs = code === 'TIMEOUT_IDLE' ? idleMs : code === 'TIMEOUT_HEADERS' ? headersMs : firstTokenMs;
    this.#alarm.set(Math.min(since + limitMs, this.totalAt));
  }
}
