/** @module The circuits of one breaker: which call belongs to which, what its outcome says about the service, and who is told. What follows from it is decided in circuit-state. */

import type { Attempt } from './attempt.ts';
import type { Call } from './call.ts';
import {
  admit,
  type CircuitOutcome,
  type CircuitResult,
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
  readonly #settings: CircuitSettings;
  readonly #states = new Map<string, CircuitState>();
  /** The state of a key that was never seen. */
  #initial: CircuitState = CLOSED;

  constructor(settings: CircuitSettings) {
    this.#settings = settings;
  }

  get(key: string): CircuitState {
    return this.#states.get(key) ?? this.#initial;
  }

  #set(key: string, state: CircuitState): void {
    const states = this.#states;
    if (state === states.get(key)) return;
    if (states.size >= MAX_CIRCUITS && !states.has(key)) {
      let victim: string | undefined;
      for (const [each, { state: its }] of states) {
        victim ??= each;
        if (its !== 'closed') continue;
        victim = each;
        break;
      }
      states.delete(victim ?? '');
    }
    states.set(key, state);
  }

  change(to: (state: CircuitState) => CircuitState, key?: string): void {
    for (const each of key === undefined ? this.#states.keys() : [key]) this.#set(each, to(this.get(each)));
    if (key === undefined) this.#initial = to(this.#initial);
  }

  snapshot(): CircuitSnapshot[] {
    const now = this.#settings.clock.now();
    return Array.from(this.#states, ([key, state]) => ({
      key,
      state: state.state,
      failures: state.state === 'closed' ? state.failures : 0,
      retryAfterMs: untilProbeMs(state, now, this.#settings),
    }));
  }

  /** Lets a call through and hears of its outcome, or throws. */
  async run(call: Call, next: (call: Call) => Promise<Response>): Promise<Response> {
    const { clock, random, isFailure, failureRatio, key: keyOf } = this.#settings;
    const key = keyOf(call);
    const { attempt } = call;
    const before = this.get(key);
    const isClosed = before.state === 'closed';
    // A closed circuit admits every call, at any time: so time is not asked for.
    const admission = isClosed
      ? { admitted: true as const, state: before, generation: before.generation }
      : admit(before, clock.now(), random, this.#settings);
    if (!admission.admitted) throw new CircuitOpenError(key, admission.retryAfterMs);
    this.#set(key, admission.state);
    if (!isClosed) call.context.emit?.({ type: 'breaker.probed', key });
    let ticket: CircuitTicket = admission;
    const note = (outcome: CircuitOutcome, toldMs?: number): void => {
      ticket = this.#record(key, attempt, ticket, { outcome, now: clock.now(), random, toldMs });
    };
    let response: Response | undefined;
    try {
      response = await next(call);
      if (isFailure(response))
        note(
          'failure',
          readRetryAfter(response.headers, () => clock.wall()),
        );
      else {
        attempt.arrive();
        // A probe closes the circuit with its first content. Else an answer counts when it is over: those that begin and then break off are failures in a row.
        if (!isClosed) attempt.onCommitted(() => note('success'));
        if (attempt.settlement?.outcome !== 'complete')
          attempt.onSettled(({ outcome }) => {
            note(outcome === 'failed' ? 'failure' : attempt.committed ? 'success' : 'ignored');
          });
        else if (before !== CLOSED || failureRatio !== undefined || this.get(key) !== before) note('success'); // else it changes nothing
      }
      return response;
    } catch (error) {
      if (response) attempt.discard(response); // isFailure threw, so nobody else will
      note(!response && failureKind(error, call) ? 'failure' : 'ignored');
      throw error;
    }
  }

  /** Takes note of an outcome and tells of a change. What becomes of an answer after its beginning counts in the circuit that it closed: hence a new ticket. */
  #record(key: string, attempt: Attempt, ticket: CircuitTicket, result: CircuitResult): CircuitTicket {
    const before = this.get(key);
    const after = record(before, ticket, result, this.#settings);
    this.#set(key, after);
    if (after.state === before.state) return ticket;
    const { emit } = attempt.context;
    if (after.state === 'closed') {
      emit?.({ type: 'breaker.closed', key });
      return { generation: after.generation, probe: undefined };
    }
    attempt.tripped = true;
    emit?.({
      type: 'breaker.opened',
      key,
      retryAfterMs: untilProbeMs(after, result.now, this.#settings) ?? 0,
    });
    return ticket;
  }
}
