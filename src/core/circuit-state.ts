/** @module The rules of the breaker as a pure reducer over plain data. A shared store can then run the very same rules in a transaction, and a test can hold time still. Nothing here reads a clock: an open circuit has no timer that could die with a request. */
import type { Random } from './clock.ts';

/** When to open, for how long, and how to find out that the service is back. Times are milliseconds. */
export interface CircuitRules {
  /** Failures in a row that open. */
  readonly maxFailures: number;
  /** The share of failures in the window that opens, or `undefined` to go by `maxFailures` alone. */
  readonly failureRatio: number | undefined;
  readonly windowMs: number;
  /** Outcomes that the window must hold before its share counts. */
  readonly minCalls: number;
  readonly openMs: number;
  /** The bound on what a told time can make of `openMs`. */
  readonly maxOpenMs: number;
  /** The time between two probes, spread by 20 % to either side. */
  readonly probeEveryMs: number;
  /** How long an undecided probe holds its slot: whoever began it may be gone. */
  readonly probeLeaseMs: number;
  /** Undecided probes at a time. */
  readonly maxProbes: number;
}

/** Some tenth of the window. Its `slot` counts tenths since the clock's origin, so that buckets age with time and not with calls. */
interface Bucket {
  readonly slot: number;
  readonly calls: number;
  readonly failures: number;
}

interface Probe {
  readonly id: number;
  readonly begunAt: number;
}

/** Calls pass, and their outcomes are counted. */
interface ClosedCircuit {
  readonly state: 'closed';
  /** Goes up with each change of `state`, so that the outcome of a call from before the change is known as late. */
  readonly generation: number;
  /** Failures in a row. */
  readonly failures: number;
  readonly buckets: readonly Bucket[];
}

/** Calls are refused, except probes. */
interface OpenCircuit {
  readonly state: 'open';
  readonly generation: number;
  readonly openUntil: number;
  /** The service asked for silence until then. Never after `nextProbeAt`. */
  readonly toldUntil: number;
  readonly nextProbeAt: number;
  /** The undecided ones, and those whose lease has lapsed since the last probe began. */
  readonly probes: readonly Probe[];
  /** How many probes this opening has seen: the id of the next. */
  readonly begun: number;
}

/** Every call is refused, until somebody resets the circuit. */
interface IsolatedCircuit {
  readonly state: 'isolated';
  readonly generation: number;
}

/** All there is to know of one circuit, as JSON can carry it. */
export type CircuitState = ClosedCircuit | OpenCircuit | IsolatedCircuit;

/** What a call brings back with its outcome. */
export interface CircuitTicket {
  readonly generation: number;
  /** The id of the probe, or `undefined` for a call through a closed circuit. */
  readonly probe?: number | undefined;
}

/** The call may go. The answer is its ticket too, so that a closed circuit costs one object per call. */
export interface CircuitAdmitted extends CircuitTicket {
  readonly admitted: true;
  readonly state: CircuitState;
}

/** The call must not go. The state is as it was. */
export interface CircuitRefused {
  readonly admitted: false;
  readonly state: CircuitState;
  /** When a call could next go as a probe: 1 or more, and bounded like the open time; `undefined` when isolated. */
  readonly retryAfterMs: number | undefined;
}

/** How a call ended. `ignored` says nothing about the service: the caller aborted it, or the request was at fault. */
export type CircuitOutcome = 'success' | 'failure' | 'ignored';

/** What is recorded of a call, and when. */
export interface CircuitResult {
  readonly outcome: CircuitOutcome;
  readonly now: number;
  readonly random: Random;
  /** The wait that the service asked for. */
  readonly toldMs?: number | undefined;
}

/** A circuit that nothing has happened to yet. */
export const CLOSED: CircuitState = { state: 'closed', generation: 0, failures: 0, buckets: [] };

/** Decides whether a call may go now. */
export function admit(
  state: CircuitState,
  now: number,
  random: Random,
  rules: CircuitRules,
): CircuitAdmitted | CircuitRefused {
  const { generation } = state;
  if (state.state === 'closed') return { admitted: true, state, generation, probe: undefined };
  const retryAfterMs = untilProbeMs(state, now, rules);
  if (state.state === 'isolated' || retryAfterMs) return { admitted: false, state, retryAfterMs };
  const { begun, openUntil } = state;
  const probes = [...undecided(state, now, rules), { id: begun, begunAt: now }];
  // The end of the open time is a probe time in any case. Once it is over, a probe no longer moves up to it.
  const latest = now < openUntil ? openUntil : now + rules.openMs;
  const nextProbeAt = Math.min(latest, now + spread(random, rules));
  return {
    admitted: true,
    state: { ...state, probes, nextProbeAt, begun: begun + 1 },
    generation,
    probe: begun,
  };
}

/** Takes note of how a call ended, which may open or close the circuit. Outcomes from before the last change of state are ignored. */
export function record(
  state: CircuitState,
  ticket: CircuitTicket,
  result: CircuitResult,
  rules: CircuitRules,
): CircuitState {
  if (ticket.generation !== state.generation) return state;
  if (state.state === 'closed') return result.outcome === 'ignored' ? state : count(state, result, rules);
  // Only probes pass an open circuit, and nothing an isolated one: any other ticket was not issued here.
  if (state.state === 'isolated' || ticket.probe === undefined) return state;
  if (result.outcome === 'success') return reset(state); // also when the lease has lapsed: the service is back
  const probes = state.probes.filter(({ id }) => id !== ticket.probe);
  if (result.outcome === 'failure') return prolong({ ...state, probes }, result, rules);
  // An aborted probe has found nothing out, so the next call takes its place: once, and not before the told time.
  return probes.length < state.probes.length ? { ...state, probes, nextProbeAt: state.toldUntil } : state;
}

/** Refuses every call from now on. */
export function isolate(state: CircuitState): CircuitState {
  return state.state === 'isolated' ? state : { state: 'isolated', generation: state.generation + 1 };
}

/** Closes the circuit and forgets what was counted. Calls under way no longer count either. */
export function reset(state: CircuitState): CircuitState {
  return { ...CLOSED, generation: state.generation + 1 };
}

/** The time until a call could go through an open circuit as a probe, 0 for at once; `undefined` when the circuit is not open. */
export function untilProbeMs(state: CircuitState, now: number, rules: CircuitRules): number | undefined {
  if (state.state !== 'open') return;
  const longestMs = maxOpenMs(rules);
  const dueMs = state.nextProbeAt - now;
  const holder = undecided(state, now, rules).at(-rules.maxProbes);
  const freeMs = holder ? holder.begunAt + rules.probeLeaseMs - now : 0;
  // No wait is longer than the longest open time, so a longer one means that the clock went back: then it is time. 1 ms is for rounding.
  return Math.min(longestMs, Math.ceil(Math.max(0, freeMs, dueMs > longestMs + 1 ? 0 : dueMs)));
}

function count(state: ClosedCircuit, result: CircuitResult, rules: CircuitRules): CircuitState {
  const { now } = result;
  const failed = Number(result.outcome === 'failure');
  const failures = failed && state.failures + 1;
  const buckets = rules.failureRatio === undefined ? state.buckets : slide(state.buckets, failed, now, rules);
  if (failures < rules.maxFailures && !isOverRatio(buckets, rules)) {
    return failures === state.failures && buckets === state.buckets ? state : { ...state, failures, buckets };
  }
  const generation = state.generation + 1;
  // An open time that is over, and a failure after it: that is all that opening is.
  const over = {
    state: 'open',
    generation,
    openUntil: now,
    toldUntil: now,
    nextProbeAt: now,
    probes: [],
    begun: 0,
  } as const;
  return prolong(over, result, rules);
}

function slide(
  buckets: readonly Bucket[],
  failed: number,
  now: number,
  rules: CircuitRules,
): readonly Bucket[] {
  const slot = Math.floor((now / rules.windowMs) * 10);
  const current = buckets.find((bucket) => bucket.slot === slot) ?? { calls: 0, failures: 0 };
  // A slot ahead of the current one is from before the clock went back.
  const others = buckets.filter((bucket) => bucket.slot < slot && bucket.slot > slot - 10);
  return [...others, { slot, calls: current.calls + 1, failures: current.failures + failed }];
}

function isOverRatio(
  buckets: readonly Bucket[],
  { failureRatio = Infinity, minCalls }: CircuitRules,
): boolean {
  let calls = 0;
  let failures = 0;
  for (const bucket of buckets) {
    calls += bucket.calls;
    failures += bucket.failures;
  }
  return calls >= minCalls && failures / calls >= failureRatio;
}

/** After a failure: an open time that is over begins anew, probe interval included, and a told time puts off its end and the next probe. */
function prolong(
  state: OpenCircuit,
  { now, random, toldMs }: CircuitResult,
  rules: CircuitRules,
): CircuitState {
  const toldUntil = now + Math.min(toldMs || 0, maxOpenMs(rules));
  const isOver = now >= state.openUntil;
  const openUntil = Math.max(isOver ? now + rules.openMs : state.openUntil, toldUntil);
  const nextProbeAt = isOver ? now + spread(random, rules) : state.nextProbeAt;
  return {
    ...state,
    openUntil,
    toldUntil: Math.max(state.toldUntil, toldUntil),
    nextProbeAt: Math.min(openUntil, Math.max(nextProbeAt, toldUntil)),
  };
}

/** The probes that hold a slot. One that began ahead of the clock is from before the clock went back, or from a machine whose clock is a little ahead. */
function undecided(state: OpenCircuit, now: number, rules: CircuitRules): readonly Probe[] {
  return state.probes.filter(({ begunAt }) => Math.abs(now - begunAt) < rules.probeLeaseMs);
}

function maxOpenMs(rules: CircuitRules): number {
  return Math.max(rules.openMs, rules.maxOpenMs);
}

function spread(random: Random, rules: CircuitRules): number {
  return rules.probeEveryMs * (0.8 + 0.4 * random());
}
