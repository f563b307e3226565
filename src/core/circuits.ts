/** @module The circuits of one breaker: which call belongs to which, what its outcome says about the service, and who is told. What follows from it is decided in circuit-state. */

import type { Attempt } from './attempt.ts';
import type { Call } from './call.ts';
import {
  admit,
  type CircuitOutcome,
  type CircuitRules,
  type CircuitState,
  type CircuitTicket,
  CLOSED,
  record,
  untilProbeMs,
} from './circuit-state.ts';
import type { Clock, Random } from './clock.ts';
import { CircuitOpenError } from './errors.ts';
import { failureKind } from './failure.ts';
import { readRetryAfter } from './retry-after.ts';

/** What a breaker goes by. */
export interface CircuitSettings extends CircuitRules {
  readonly key: (call: Call) => string;
  readonly isFailure: (response: Response) => boolean;
  readonly clock: Clock;
  readonly random: Random;
}

/** One circuit, as `snapshot()` shows it. */
export interface CircuitSnapshot {
  readonly key: string;
  readonly state: CircuitState['state'];
  /** Failures in a row; 0 unless the circuit is closed. */
  readonly failures: number;
  /** Milliseconds until a call may go through an open circuit; undefined when it is not open. */
  readonly retryAfterMs: number | undefined;
}

/** How many circuits are remembered: keys may come from models that users name. */
const MAX_CIRCUITS = 1000;

/** The circuits of one breaker, by key. */
export class Circuits {
  readonly settings: CircuitSettings;
  readonly #states = new Map<string, CircuitState>();
  /** The state of a key that was never seen. */
  #initial: CircuitState = CLOSED;

  constructor(settings: CircuitSettings) {
    this.settings = settings;
  }

  get(key: string): CircuitState {
    return this.#states.get(key) ?? this.#initial;
  }

  set(key: string, state: CircuitState): void {
    if (state === this.#states.get(key)) return;
    if (this.#states.size >= MAX_CIRCUITS && !this.#states.has(key)) this.#evict();
    this.#states.set(key, state);
  }

  #evict(): void {
    for (const [key, { state }] of this.#states) {
      if (state === 'closed') return void this.#states.delete(key);
    }
    for (const key of this.#states.keys()) return void this.#states.delete(key);
  }

  change(to: (state: CircuitState) => CircuitState, key?: string): void {
    const keys = key === undefined ? [...this.#states.keys()] : [key];
    for (const each of keys) this.set(each, to(this.get(each)));
    if (key === undefined) this.#initial = to(this.#initial);
  }

  snapshot(): CircuitSnapshot[] {
    const { clock } = this.settings;
    return Array.from(this.#states, ([key, state]) => ({
      key,
      state: state.state,
      failures: state.state === 'closed' ? state.failures : 0,
      retryAfterMs: untilProbeMs(state, clock.now(), this.settings),
    }));
  }

  /** Lets a call through, or throws. */
  enter(call: Call): Passage {
    const { clock, random, key: keyOf } = this.settings;
    const key = keyOf(call);
    const admission = admit(this.get(key), clock.now(), random, this.settings);
    if (!admission.admitted) throw new CircuitOpenError(key, admission.retryAfterMs);
    this.set(key, admission.state);
    if (admission.probe !== undefined) call.context.emit?.({ type: 'breaker.probed', key });
    return new Passage(this, key, call.attempt, admission);
  }
}

/** One call that was let through, until its outcome is known. */
class Passage {
  readonly #circuits: Circuits;
  readonly #key: string;
  readonly #attempt: Attempt;
  #ticket: CircuitTicket;

  constructor(circuits: Circuits, key: string, attempt: Attempt, ticket: CircuitTicket) {
    this.#circuits = circuits;
    this.#key = key;
    this.#attempt = attempt;
    this.#ticket = ticket;
  }

  arrived(response: Response): void {
    const { isFailure, clock } = this.#circuits.settings;
    if (isFailure(response))
      return this.#record(
        'failure',
        readRetryAfter(response.headers, () => clock.wall()),
      );
    const attempt = this.#attempt;
    attempt.arrive();
    // The usual case without a closure: the first content is there already, and often the whole answer.
    if (attempt.committed) this.#record('success');
    else attempt.onCommitted(() => this.#record('success'));
    if (attempt.settlement?.outcome === 'complete') return;
    attempt.onSettled((settlement) => {
      if (settlement.outcome === 'failed') this.#record('failure');
      else if (!attempt.committed) this.#record('ignored');
    });
  }

  threw(error: unknown, call: Call): void {
    const kind = failureKind(error, call);
    this.#record(kind === 'timeout' || kind === 'deadline' || kind === 'network' ? 'failure' : 'ignored');
  }

  #record(outcome: CircuitOutcome, toldMs?: number): void {
    const { settings } = this.#circuits;
    const { clock, random } = settings;
    const before = this.#circuits.get(this.#key);
    const now = clock.now();
    const after = record(before, this.#ticket, { outcome, now, random, toldMs }, settings);
    if (after === before) return;
    this.#circuits.set(this.#key, after);
    if (after.state === before.state) return;
    const { emit } = this.#attempt.context;
    if (after.state === 'closed') {
      // What becomes of this answer after its beginning counts in the circuit that it closed.
      this.#ticket = { generation: after.generation, probe: undefined };
      return emit?.({ type: 'breaker.closed', key: this.#key });
    }
    this.#attempt.tripped = true;
    emit?.({ type: 'breaker.opened', key: this.#key, retryAfterMs: untilProbeMs(after, now, settings) ?? 0 });
  }
}
