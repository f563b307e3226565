import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  admit,
  type CircuitResult,
  type CircuitRules,
  type CircuitState,
  type CircuitTicket,
  CLOSED,
  isolate,
  record,
  reset,
  untilProbeMs,
} from '../../src/core/circuit-state.ts';

const RULES: CircuitRules = {
  maxFailures: 5,
  failureRatio: undefined,
  windowMs: 10_000,
  minCalls: 10,
  openMs: 60_000,
  maxOpenMs: 600_000,
  probeEveryMs: 5000,
  probeLeaseMs: 30_000,
  maxProbes: 3,
};

const WINDOWED: CircuitRules = { ...RULES, maxFailures: Infinity, failureRatio: 0.5 };

/** The middle of the spread: a probe every 5000 ms exactly. */
const middle = () => 0.5;

/** One circuit under a clock that stands still until it is moved. */
class Circuit {
  now: number;
  readonly rules: CircuitRules;
  state: CircuitState = CLOSED;
  random: () => number = middle;

  constructor(rules: CircuitRules = RULES, now = 0) {
    this.rules = rules;
    this.now = now;
  }

  admit() {
    const answer = admit(this.state, this.now, this.random, this.rules);
    this.state = answer.state;
    return answer;
  }

  /** A ticket, or an error that says how long to wait. */
  enter(): CircuitTicket {
    const answer = this.admit();
    if (!answer.admitted) throw new Error(`Refused for ${answer.retryAfterMs} ms`);
    return answer;
  }

  record(ticket: CircuitTicket, outcome: CircuitResult['outcome'], toldMs?: number): this {
    const result: CircuitResult = { outcome, now: this.now, random: this.random, toldMs };
    this.state = record(this.state, ticket, result, this.rules);
    return this;
  }

  call(outcome: CircuitResult['outcome'], toldMs?: number): this {
    return this.record(this.enter(), outcome, toldMs);
  }

  calls(count: number, outcome: CircuitResult['outcome']): this {
    for (let made = 0; made < count; made += 1) this.call(outcome);
    return this;
  }

  after(ms: number): this {
    this.now += ms;
    return this;
  }

  get waitMs(): number | undefined {
    return untilProbeMs(this.state, this.now, this.rules);
  }
}

function opened(toldMs?: number, rules: CircuitRules = RULES, now = 0): Circuit {
  return new Circuit(rules, now).calls(rules.maxFailures - 1, 'failure').call('failure', toldMs);
}

describe('a closed circuit', () => {
  test('CLOSED is plain data of generation 0', () => {
    expect(CLOSED).toStrictEqual({ state: 'closed', generation: 0, failures: 0, buckets: [] });
  });

  test('admit() lets every call through and changes nothing', () => {
    expect(admit(CLOSED, 0, middle, RULES)).toStrictEqual({
      admitted: true,
      state: CLOSED,
      generation: 0,
      probe: undefined,
    });
    expect(admit(CLOSED, 0, middle, RULES).state).toBe(CLOSED);
  });

  test('admit() asks for no random number', () => {
    const random = () => {
      throw new Error('Asked for a random number');
    };
    expect(admit(CLOSED, 0, random, RULES).admitted).toBe(true);
  });

  test('record() gives the very same state back when a success changes nothing', () => {
    expect(new Circuit().call('success').state).toBe(CLOSED);
  });

  test('record() gives the very same state back for an ignored outcome', () => {
    const circuit = new Circuit(WINDOWED).call('failure');
    const { state } = circuit;
    expect(circuit.call('ignored').state).toBe(state);
  });

  test('record() counts failures in a row', () => {
    const circuit = new Circuit().calls(4, 'failure');
    expect(circuit.state).toStrictEqual({ state: 'closed', generation: 0, failures: 4, buckets: [] });
  });

  test('record() counts anew after a success', () => {
    const circuit = new Circuit().calls(4, 'failure').call('success');
    expect(circuit.state).toStrictEqual(CLOSED);
    expect(circuit.calls(4, 'failure').state.state).toBe('closed');
    expect(circuit.call('failure').state.state).toBe('open');
  });

  test('record() does not count anew after an ignored outcome', () => {
    expect(new Circuit().calls(4, 'failure').call('ignored').call('failure').state.state).toBe('open');
  });

  test('record() opens at the first failure when the rules say one', () => {
    expect(new Circuit({ ...RULES, maxFailures: 1 }).call('failure').state.state).toBe('open');
  });

  test('record() keeps no window when no ratio is given', () => {
    const circuit = new Circuit({ ...RULES, minCalls: 1 }).call('failure');
    expect(circuit.state).toMatchObject({ state: 'closed', buckets: [] });
  });
});

describe('a closed circuit with a ratio', () => {
  test('record() opens when the share is reached, and not before', () => {
    const circuit = new Circuit(WINDOWED).calls(5, 'success').calls(4, 'failure');
    expect(circuit.state.state).toBe('closed');
    expect(circuit.call('failure').state.state).toBe('open');
  });

  test('record() judges no share of too few calls', () => {
    const circuit = new Circuit(WINDOWED).calls(9, 'failure');
    expect(circuit.state.state).toBe('closed');
    expect(circuit.call('failure').state.state).toBe('open');
  });

  test('record() opens at a success too when that fills the window', () => {
    expect(new Circuit(WINDOWED).calls(9, 'failure').call('success').state.state).toBe('open');
  });

  test('record() stays closed below the share', () => {
    expect(new Circuit(WINDOWED).calls(11, 'success').calls(10, 'failure').state.state).toBe('closed');
  });

  test('record() takes a decimal share exactly', () => {
    const circuit = new Circuit({ ...WINDOWED, failureRatio: 0.3 }).calls(7, 'success');
    expect(circuit.calls(2, 'failure').state.state).toBe('closed');
    expect(circuit.call('failure').state.state).toBe('open');
  });

  test('record() still opens after failures in a row', () => {
    expect(new Circuit({ ...WINDOWED, maxFailures: 2 }).calls(2, 'failure').state.state).toBe('open');
  });

  test('record() keeps one bucket per tenth of the window', () => {
    const circuit = new Circuit(WINDOWED, 1_000_000).calls(2, 'success').call('failure');
    circuit.after(999).call('failure').after(1).call('success');
    expect(circuit.state).toMatchObject({
      buckets: [
        { slot: 1000, calls: 4, failures: 2 },
        { slot: 1001, calls: 1, failures: 0 },
      ],
    });
  });

  test('record() forgets a bucket when the window has passed it, and not before', () => {
    const circuit = new Circuit(WINDOWED).call('failure').after(9999).call('success');
    expect(circuit.state).toMatchObject({ buckets: [{ slot: 0 }, { slot: 9 }] });
    expect(circuit.after(1).call('success').state).toMatchObject({ buckets: [{ slot: 9 }, { slot: 10 }] });
  });

  test('record() sums over all buckets of the window', () => {
    const circuit = new Circuit(WINDOWED);
    for (let call = 0; call < 9; call += 1) circuit.call('failure').after(1000);
    expect(circuit.state.state).toBe('closed');
    expect(circuit.call('failure').state.state).toBe('open');
  });

  test('record() never holds more than ten buckets', () => {
    const circuit = new Circuit(WINDOWED);
    for (let call = 0; call < 50; call += 1) circuit.call('success').after(700);
    expect(circuit.state).toMatchObject({ buckets: { length: 10 } });
  });

  test('record() starts with an empty window after an hour of idleness', () => {
    // A window that slid with the calls held nine failures for ever, and opened at one more.
    const circuit = new Circuit(WINDOWED).calls(9, 'failure').after(3_600_000).call('failure');
    expect(circuit.state).toMatchObject({
      state: 'closed',
      buckets: [{ slot: 3600, calls: 1, failures: 1 }],
    });
  });

  test('record() drops the future when the clock goes back', () => {
    const circuit = new Circuit(WINDOWED, 1_000_000).calls(9, 'failure').after(-500_000).call('failure');
    expect(circuit.state).toMatchObject({ state: 'closed', buckets: [{ slot: 500, calls: 1, failures: 1 }] });
  });
});

describe('opening', () => {
  test('record() opens for openMs, and the first probe waits for its time', () => {
    expect(opened(undefined, RULES, 1000).state).toStrictEqual({
      state: 'open',
      generation: 1,
      openUntil: 61_000,
      toldUntil: 1000,
      nextProbeAt: 6000,
      probes: [],
      begun: 0,
    });
  });

  test.each([
    { chance: 0, wait: 4000 },
    { chance: 0.25, wait: 4500 },
    { chance: 0.999_999, wait: 6000 },
  ])('record() spreads the first probe to $wait ms at chance $chance', ({ chance, wait }) => {
    const circuit = new Circuit();
    circuit.random = () => chance;
    expect(circuit.calls(5, 'failure').waitMs).toBe(wait);
  });

  test.each([
    { why: 'a short told time moves nothing', toldMs: 1000, openUntil: 60_000, nextProbeAt: 5000 },
    { why: 'no probe goes before a told time', toldMs: 20_000, openUntil: 60_000, nextProbeAt: 20_000 },
    { why: 'a told time prolongs the open time', toldMs: 90_000, openUntil: 90_000, nextProbeAt: 90_000 },
    { why: 'a told time is bounded', toldMs: 1e12, openUntil: 600_000, nextProbeAt: 600_000 },
    { why: 'an endless told time is bounded', toldMs: Infinity, openUntil: 600_000, nextProbeAt: 600_000 },
    { why: 'NaN tells nothing', toldMs: Number.NaN, openUntil: 60_000, nextProbeAt: 5000 },
    { why: 'a negative time tells nothing', toldMs: -5000, openUntil: 60_000, nextProbeAt: 5000 },
  ])('record() opens so that $why', ({ toldMs, openUntil, nextProbeAt }) => {
    expect(opened(toldMs).state).toMatchObject({ openUntil, nextProbeAt });
  });

  test('record() takes openMs for the bound when maxOpenMs is shorter', () => {
    const circuit = opened(90_000, { ...RULES, maxOpenMs: 10_000 });
    expect(circuit.state).toMatchObject({ openUntil: 60_000, nextProbeAt: 60_000 });
  });

  test('record() lets the first probe go at the end of the open time at the latest', () => {
    expect(opened(undefined, { ...RULES, probeEveryMs: 100_000 }).waitMs).toBe(60_000);
  });

  test('record() ignores a late outcome from before the opening', () => {
    const circuit = new Circuit();
    const [failing, succeeding] = [circuit.enter(), circuit.enter()];
    const { state } = circuit.calls(5, 'failure');
    expect(circuit.record(failing, 'failure', 90_000).state).toBe(state);
    expect(circuit.record(succeeding, 'success').state).toBe(state);
  });
});

describe('an open circuit', () => {
  test('admit() refuses, changes nothing, and says when a probe could go', () => {
    const circuit = opened().after(1000);
    const { state } = circuit;
    expect(circuit.admit()).toStrictEqual({ admitted: false, state, retryAfterMs: 4000 });
    expect(circuit.state).toBe(state);
  });

  test('admit() tells whole milliseconds, rounded up', () => {
    const circuit = opened().after(4999.5);
    expect(circuit.admit()).toMatchObject({ admitted: false, retryAfterMs: 1 });
  });

  test('admit() lets one call through as a probe when its time has come', () => {
    const circuit = opened().after(5000);
    expect(circuit.enter()).toMatchObject({ generation: 1, probe: 0 });
    expect(circuit.state).toStrictEqual({
      state: 'open',
      generation: 1,
      openUntil: 60_000,
      toldUntil: 0,
      nextProbeAt: 10_000,
      probes: [{ id: 0, begunAt: 5000 }],
      begun: 1,
    });
    expect(circuit.admit()).toMatchObject({ admitted: false, retryAfterMs: 5000 });
  });

  test('admit() spreads the next probe too', () => {
    const circuit = opened().after(5000);
    circuit.random = () => 0;
    circuit.enter();
    expect(circuit.waitMs).toBe(4000);
  });

  test('admit() lets exactly one of twenty calls through when the open time lapses', () => {
    for (const lateMs of [0, 0.1, 1, 100_000]) {
      const circuit = opened().after(60_000 + lateMs);
      const answers = Array.from({ length: 20 }, () => circuit.admit());
      expect(answers.map(({ admitted }) => admitted).indexOf(true)).toBe(0);
      expect(answers.filter(({ admitted }) => admitted)).toHaveLength(1);
      expect(answers[19]).toMatchObject({ retryAfterMs: 5000 });
    }
  });

  test('admit() lets a probe go at the end of the open time, whenever the last one went', () => {
    const circuit = opened().after(58_000);
    circuit.enter();
    expect(circuit.waitMs).toBe(2000);
    circuit.after(2000).enter();
    expect(circuit.waitMs).toBe(5000);
  });

  test('admit() never waits longer than openMs for the next probe', () => {
    const circuit = opened(undefined, { ...RULES, probeEveryMs: 100_000 }).after(60_000);
    circuit.enter();
    expect(circuit.waitMs).toBe(60_000);
  });

  test('admit() begins probes while earlier ones are undecided, three at most', () => {
    const circuit = opened();
    const tickets = [0, 1, 2].map(() => circuit.after(5000).enter());
    expect(tickets.map(({ probe }) => probe)).toEqual([0, 1, 2]);
    // The first lease, begun at 5000, lapses at 35 000.
    expect(circuit.after(5000).admit()).toMatchObject({ admitted: false, retryAfterMs: 15_000 });
    expect(circuit.after(14_999).admit()).toMatchObject({ admitted: false, retryAfterMs: 1 });
    expect(circuit.after(1).enter()).toMatchObject({ probe: 3 });
    expect(circuit.state).toMatchObject({ probes: [{ id: 1 }, { id: 2 }, { id: 3 }] });
  });

  test('admit() waits for the probe time when a slot is free before it', () => {
    const circuit = opened(undefined, { ...RULES, maxProbes: 1, probeLeaseMs: 1000 }).after(5000);
    circuit.enter();
    expect(circuit.waitMs).toBe(5000);
  });

  test('admit() bounds the wait for a slot like the open time', () => {
    const rules = { ...RULES, maxProbes: 1, probeLeaseMs: 10_000_000 };
    const circuit = opened(undefined, rules).after(5000);
    circuit.enter();
    expect(circuit.admit()).toMatchObject({ admitted: false, retryAfterMs: 600_000 });
  });

  test('record() closes when a probe succeeds', () => {
    const circuit = opened().after(5000).call('success');
    expect(circuit.state).toStrictEqual({ state: 'closed', generation: 2, failures: 0, buckets: [] });
    expect(circuit.calls(4, 'failure').state.state).toBe('closed');
    expect(circuit.call('failure').state).toMatchObject({ state: 'open', generation: 3 });
  });

  test('record() closes when a probe succeeds whose lease has lapsed', () => {
    const circuit = opened();
    const late = circuit.after(5000).enter();
    circuit.after(100_000).enter();
    expect(circuit.record(late, 'success').state).toMatchObject({ state: 'closed', generation: 2 });
  });

  test('record() ignores a late probe from before the closing', () => {
    const circuit = opened().after(5000);
    const late = circuit.enter();
    const { state } = circuit.after(5000).call('success');
    expect(circuit.record(late, 'failure').state).toBe(state);
  });

  test('record() ignores a late probe from an earlier opening', () => {
    const circuit = opened().after(5000);
    const late = circuit.enter();
    circuit.after(5000).call('success').calls(5, 'failure');
    const { state } = circuit;
    expect(circuit.record(late, 'success').state).toBe(state);
  });

  test('record() ignores a ticket of its generation that is no probe', () => {
    const circuit = opened();
    const { state } = circuit;
    for (const outcome of ['success', 'failure', 'ignored'] as const) {
      expect(circuit.record({ generation: 1, probe: undefined }, outcome).state).toBe(state);
    }
  });

  test('record() stays open when a probe fails, and frees its slot', () => {
    const circuit = opened().after(5000);
    const ticket = circuit.enter();
    const { state } = circuit;
    expect(circuit.after(1000).record(ticket, 'failure').state).toStrictEqual({
      ...state,
      toldUntil: 6000,
      probes: [],
    });
    expect(circuit.waitMs).toBe(4000);
  });

  test('record() frees the slot of the probe that failed, and no other', () => {
    const circuit = opened();
    const tickets = [0, 1, 2].map(() => circuit.after(5000).enter());
    circuit.record(tickets[1]!, 'failure');
    expect(circuit.state).toMatchObject({ probes: [{ id: 0 }, { id: 2 }] });
    expect(circuit.after(5000).enter()).toMatchObject({ probe: 3 });
  });

  test.each([
    { why: 'a told time puts off the next probe', toldMs: 20_000, openUntil: 60_000, nextProbeAt: 25_000 },
    { why: 'a told time prolongs the open time', toldMs: 80_000, openUntil: 85_000, nextProbeAt: 85_000 },
    { why: 'a told time is bounded', toldMs: 1e12, openUntil: 605_000, nextProbeAt: 605_000 },
    { why: 'a short told time changes nothing', toldMs: 1000, openUntil: 60_000, nextProbeAt: 10_000 },
  ])('record() takes a failed probe so that $why', ({ toldMs, openUntil, nextProbeAt }) => {
    const circuit = opened().after(5000).call('failure', toldMs);
    expect(circuit.state).toMatchObject({ generation: 1, openUntil, nextProbeAt });
  });

  test.each([
    {
      why: 'at the end of the open time',
      now: 60_000,
      toldMs: undefined,
      openUntil: 120_000,
      nextProbeAt: 65_000,
    },
    { why: 'after the open time', now: 70_000, toldMs: undefined, openUntil: 130_000, nextProbeAt: 75_000 },
    { why: 'and told', now: 70_000, toldMs: 90_000, openUntil: 160_000, nextProbeAt: 160_000 },
  ])(
    'record() opens for another openMs when a probe fails $why',
    ({ now, toldMs, openUntil, nextProbeAt }) => {
      const circuit = opened().after(now).call('failure', toldMs);
      expect(circuit.state).toMatchObject({ state: 'open', generation: 1, openUntil, nextProbeAt });
    },
  );

  test('record() does not open anew when a probe fails just before the end of the open time', () => {
    const circuit = opened().after(59_999).call('failure');
    expect(circuit.state).toMatchObject({ openUntil: 60_000, nextProbeAt: 60_000 });
  });

  test('record() waits a probe interval when a probe fails that began before the end of the open time', () => {
    // Its follower stood ready for that end. It went at once, 500 ms after the one that had just failed.
    const circuit = opened().after(59_500);
    const ticket = circuit.enter();
    circuit.random = () => 0;
    circuit.after(500).record(ticket, 'failure');
    expect(circuit.state).toMatchObject({ openUntil: 120_000, nextProbeAt: 64_000 });
  });

  test('record() never takes a told time back', () => {
    const circuit = opened();
    const [first, second] = [circuit.after(5000).enter(), circuit.after(5000).enter()];
    circuit.record(first, 'failure', 100_000).record(second, 'failure', 1000);
    expect(circuit.state).toMatchObject({ openUntil: 110_000, toldUntil: 110_000, nextProbeAt: 110_000 });
  });

  test('record() lets the next call probe at once when a probe was aborted', () => {
    const circuit = opened().after(5000);
    const aborted = circuit.enter();
    circuit.after(10).record(aborted, 'ignored');
    expect(circuit.state).toMatchObject({ state: 'open', generation: 1, openUntil: 60_000, probes: [] });
    expect(circuit.waitMs).toBe(0);
    expect(circuit.enter()).toMatchObject({ probe: 1 });
    expect(circuit.admit()).toMatchObject({ admitted: false, retryAfterMs: 5000 });
  });

  test('record() lets no probe go before a told time though one was aborted', () => {
    const circuit = opened();
    const [aborted, failed] = [circuit.after(5000).enter(), circuit.after(5000).enter()];
    circuit.record(failed, 'failure', 20_000).record(aborted, 'ignored');
    expect(circuit.waitMs).toBe(20_000);
  });

  test('record() takes an aborted probe for nothing when its slot is lost already', () => {
    const circuit = opened().after(5000);
    const late = circuit.enter();
    circuit.after(30_000).enter();
    const { state } = circuit;
    expect(circuit.record(late, 'ignored').state).toBe(state);
  });

  test('record() takes an aborted probe for nothing the second time', () => {
    const circuit = opened().after(5000);
    const aborted = circuit.enter();
    circuit.record(aborted, 'ignored').enter();
    const { state } = circuit;
    expect(circuit.record(aborted, 'ignored').state).toBe(state);
  });
});

describe('a clock that goes back', () => {
  test('admit() lets a probe go when the wait is longer than any wait can be', () => {
    const circuit = opened(undefined, RULES, 10_000_000).after(-9_000_000);
    expect(circuit.waitMs).toBe(0);
    circuit.enter();
    expect(circuit.waitMs).toBe(5000);
    expect(circuit.after(5000).call('success').state.state).toBe('closed');
  });

  test('admit() keeps waiting when the wait is as long as a wait can be', () => {
    const circuit = opened(1e12).after(-1);
    expect(circuit.waitMs).toBe(600_000);
    expect(circuit.after(-0.1).waitMs).toBe(0);
  });

  test('admit() keeps to its interval afterwards, though probes fail', () => {
    const circuit = opened(100_000, RULES, 10_000_000).after(-9_000_000).call('failure');
    expect(circuit.waitMs).toBe(5000);
    expect(circuit.after(5000).call('failure').waitMs).toBe(5000);
  });

  test('admit() takes the slots of probes that begin after a lease for lapsed', () => {
    const circuit = opened(undefined, RULES, 10_000_000);
    for (let probe = 0; probe < 3; probe += 1) circuit.after(5000).enter();
    circuit.after(-9_000_000).enter();
    expect(circuit.state).toMatchObject({ probes: [{ id: 3 }] });
  });

  test('admit() counts a probe of a machine whose clock is a little ahead', () => {
    const circuit = opened(undefined, { ...RULES, maxProbes: 1 }).after(5000);
    circuit.enter();
    expect(circuit.after(-100).waitMs).toBe(30_100);
  });

  test('admit() is not misled by the rounding of fractions', () => {
    for (let now = 0; now < 100; now += 0.1) {
      expect(opened(Infinity, RULES, now).waitMs).toBe(600_000);
    }
  });
});

// The states are made within the tests: a fault in making them is then a failed test, not a file that cannot be collected.
describe('isolate() and reset()', () => {
  test.each([
    { from: 'closed', given: () => CLOSED },
    { from: 'open', given: () => opened().state },
  ])('isolate() refuses every call of a circuit that was $from', ({ given }) => {
    const state = given();
    const circuit = new Circuit();
    circuit.state = isolate(state);
    expect(circuit.state).toStrictEqual({ state: 'isolated', generation: state.generation + 1 });
    expect(circuit.after(1e12).admit()).toStrictEqual({
      admitted: false,
      state: circuit.state,
      retryAfterMs: undefined,
    });
  });

  test('isolate() changes nothing the second time', () => {
    const state = isolate(CLOSED);
    expect(isolate(state)).toBe(state);
  });

  test.each([
    { from: 'closed', given: () => new Circuit().calls(3, 'failure').state },
    { from: 'open', given: () => opened().state },
    { from: 'isolated', given: () => isolate(CLOSED) },
  ])('reset() closes a circuit that was $from, with a new generation', ({ given }) => {
    const state = given();
    const generation = state.generation + 1;
    expect(reset(state)).toStrictEqual({ state: 'closed', generation, failures: 0, buckets: [] });
  });

  test('record() changes nothing while isolated', () => {
    const circuit = opened().after(5000);
    const probe = circuit.enter();
    const { state } = circuit;
    circuit.state = isolate(state);
    const isolated = circuit.state;
    for (const ticket of [probe, { generation: isolated.generation, probe: 0 }]) {
      for (const outcome of ['success', 'failure', 'ignored'] as const) {
        expect(circuit.record(ticket, outcome).state).toBe(isolated);
      }
    }
  });

  test('untilProbeMs() is undefined unless the circuit is open', () => {
    expect(untilProbeMs(CLOSED, 0, RULES)).toBeUndefined();
    expect(untilProbeMs(isolate(CLOSED), 0, RULES)).toBeUndefined();
    expect(untilProbeMs(opened().state, 0, RULES)).toBe(5000);
  });
});

// --- Whatever happens, in whatever order -----------------------------------------------------------------------------------------

type Step =
  | { readonly do: 'admit'; readonly chance: number }
  | { readonly do: 'wait'; readonly ms: number }
  | {
      readonly do: 'record';
      readonly which: number;
      readonly outcome: CircuitResult['outcome'];
      readonly toldMs: number | undefined;
    }
  | { readonly do: 'isolate' | 'reset' };

const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const outcome = fc.constantFrom<CircuitResult['outcome'][]>('success', 'failure', 'failure', 'ignored');
const toldMs = fc.option(fc.oneof(fc.nat(1000), fc.nat(1_000_000)), { nil: undefined, freq: 3 });
const admitStep = fc.record({ do: fc.constant('admit' as const), chance });
const waitStep = fc.record({
  do: fc.constant('wait' as const),
  ms: fc.oneof(fc.nat(100), fc.nat(7000), fc.nat(70_000)),
});
const recordStep = fc.record({ do: fc.constant('record' as const), which: fc.nat(), outcome, toldMs });
const manualStep = fc.record({ do: fc.constantFrom('isolate' as const, 'reset' as const) });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { arbitrary: admitStep, weight: 10 },
    { arbitrary: waitStep, weight: 6 },
    { arbitrary: recordStep, weight: 8 },
    { arbitrary: manualStep, weight: 1 },
  ),
  { minLength: 20, maxLength: 120 },
);
const rulesets: fc.Arbitrary<CircuitRules> = fc.record({
  maxFailures: fc.integer({ min: 1, max: 4 }),
  failureRatio: fc.constantFrom(undefined, 0.3, 1),
  windowMs: fc.constantFrom(1000, 10_000),
  minCalls: fc.integer({ min: 1, max: 5 }),
  openMs: fc.constantFrom(1000, 20_000, 60_000),
  maxOpenMs: fc.constantFrom(500, 100_000),
  probeEveryMs: fc.constantFrom(1000, 5000),
  probeLeaseMs: fc.constantFrom(2000, 30_000),
  maxProbes: fc.integer({ min: 1, max: 3 }),
});

interface Flight extends CircuitTicket {
  readonly at: number;
}

/** What the promises of the breaker are, said without its state: from what was admitted and recorded alone. */
class Model {
  readonly circuit: Circuit;
  flights: Flight[] = [];
  lastProbeAt = -Infinity;
  toldUntil = -Infinity;
  /** Probe times that are there besides the regular ones: one for the end of the open time, one for each aborted probe. */
  extra = 0;

  constructor(rules: CircuitRules) {
    this.circuit = new Circuit(rules, 1_000_000);
  }

  runAll(steps: readonly Step[]): this {
    for (const step of steps) this.run(step);
    return this;
  }

  run(step: Step): void {
    const before = this.circuit.state;
    if (step.do === 'wait') this.circuit.after(step.ms);
    else if (step.do === 'admit') this.admit(step.chance);
    else if (step.do === 'record') this.record(step.which, step.outcome, step.toldMs);
    else this.circuit.state = { isolate, reset }[step.do](before);
    this.check(before);
  }

  admit(chance: number): void {
    const { circuit } = this;
    const before = circuit.state;
    circuit.random = () => chance;
    const answer = circuit.admit();
    if (!answer.admitted) {
      expect(before.state).not.toBe('closed');
      if (before.state === 'open') this.checkWait(answer.retryAfterMs);
      return;
    }
    expect(before.state).not.toBe('isolated');
    expect(answer.generation).toBe(before.generation);
    if (before.state === 'open') this.checkProbe(before);
    this.flights.push({ generation: answer.generation, probe: answer.probe, at: circuit.now });
  }

  checkWait(ms: number | undefined): void {
    const { openMs, maxOpenMs } = this.circuit.rules;
    expect(Number.isInteger(ms)).toBe(true);
    expect(ms).toBeGreaterThanOrEqual(1);
    expect(ms).toBeLessThanOrEqual(Math.max(openMs, maxOpenMs));
  }

  checkProbe(before: CircuitState & { state: 'open' }): void {
    const { now, rules } = this.circuit;
    const live = this.flights.filter(
      ({ generation, at }) => generation === before.generation && now - at < rules.probeLeaseMs,
    );
    expect(live.length).toBeLessThan(rules.maxProbes);
    expect(now).toBeGreaterThanOrEqual(this.toldUntil);
    // The end of an open time is a probe time too, so no interval is longer than openMs.
    const isRegular = now - this.lastProbeAt >= Math.min(0.8 * rules.probeEveryMs, rules.openMs);
    const isEndOfOpenTime = this.lastProbeAt < before.openUntil && before.openUntil <= now;
    if (!isRegular && !isEndOfOpenTime) this.extra -= 1;
    expect(this.extra).toBeGreaterThanOrEqual(0);
    this.lastProbeAt = now;
  }

  record(which: number, outcome: CircuitResult['outcome'], toldMs: number | undefined): void {
    const { circuit, flights } = this;
    const flight = flights[which % flights.length];
    if (!flight) return;
    const before = circuit.state;
    const isLate = flight.generation !== before.generation;
    this.flights = flights.filter((other) => other !== flight);
    // What a caller does when the service has not said a time, and when the state went through a store in between.
    circuit.record(JSON.parse(JSON.stringify(flight)), outcome, toldMs);
    if (isLate) expect(circuit.state).toBe(before);
    else if (flight.probe !== undefined) this.probeDecided(outcome);
    if (!isLate && outcome === 'failure' && circuit.state.state === 'open') this.tell(toldMs);
  }

  probeDecided(outcome: CircuitResult['outcome']): void {
    if (outcome === 'ignored') this.extra += 1;
    expect(this.circuit.state.state).toBe(outcome === 'success' ? 'closed' : 'open');
  }

  tell(toldMs = 0): void {
    const { now, rules } = this.circuit;
    const bounded = Math.min(toldMs, Math.max(rules.openMs, rules.maxOpenMs));
    this.toldUntil = Math.max(this.toldUntil, now + bounded);
  }

  check(before: CircuitState): void {
    const { state } = this.circuit;
    expect(JSON.parse(JSON.stringify(state))).toStrictEqual(state);
    const isChanged = state.state !== before.state;
    if (isChanged) expect(state.generation).toBe(before.generation + 1);
    else if (state.state !== 'closed') expect(state.generation).toBe(before.generation);
    if (!isChanged) return;
    this.extra = 0;
    this.lastProbeAt = state.state === 'open' ? this.circuit.now : -Infinity;
    if (state.state !== 'open') this.toldUntil = -Infinity;
  }
}

describe('any circuit', () => {
  test('admit() and record() keep every promise over any sequence of steps', () => {
    fc.assert(
      fc.property(rulesets, steps, (rules, sequence) => {
        new Model(rules).runAll(sequence);
      }),
      { numRuns: 500 },
    );
  });

  test('admit() and record() do the same on a state that went through JSON at every step', () => {
    fc.assert(
      fc.property(rulesets, steps, (rules, sequence) => {
        const [kept, stored] = [new Model(rules), new Model(rules)];
        for (const step of sequence) {
          kept.run(step);
          stored.run(step);
          stored.circuit.state = JSON.parse(JSON.stringify(stored.circuit.state));
          expect(stored.circuit.state).toStrictEqual(kept.circuit.state);
        }
      }),
    );
  });

  test('admit() and record() change no state that they were given', () => {
    fc.assert(
      fc.property(rulesets, steps, (rules, sequence) => {
        const model = new Model(rules);
        for (const step of sequence) {
          deepFreeze(model.circuit.state);
          model.run(step);
        }
      }),
    );
  });

  test('admit() lets through whoever comes back when it was told to', () => {
    fc.assert(
      fc.property(rulesets, steps, (rules, sequence) => {
        const { circuit } = new Model(rules).runAll(sequence);
        if (circuit.state.state !== 'open') return;
        // A wait for a lease that outlasts the longest open time is told in parts.
        const parts = Math.ceil(rules.probeLeaseMs / Math.max(rules.openMs, rules.maxOpenMs));
        expect(comeBack(circuit).refusals).toBeLessThanOrEqual(Math.max(1, parts));
        expect(circuit.call('success').state.state).toBe('closed');
      }),
    );
  });

  test('admit() never gets stuck when the clock goes back, however far', () => {
    const jumps = fc.oneof(fc.nat(1000), fc.nat(200_000), fc.nat(1e9));
    fc.assert(
      fc.property(rulesets, steps, jumps, (rules, sequence, jumpMs) => {
        const { circuit } = new Model(rules).runAll(sequence);
        if (circuit.state.state !== 'open') return;
        const longestMs = Math.max(rules.openMs, rules.maxOpenMs);
        expect(comeBack(circuit.after(-jumpMs)).waitedMs).toBeLessThanOrEqual(
          2 * (longestMs + 2 * rules.probeLeaseMs),
        );
        expect(circuit.call('success').state.state).toBe('closed');
      }),
    );
  });
});

/** Waits as told until a call could go. */
function comeBack(circuit: Circuit): { refusals: number; waitedMs: number } {
  const told: number[] = [];
  while (circuit.waitMs) {
    told.push(circuit.waitMs);
    circuit.after(circuit.waitMs);
  }
  return { refusals: told.length, waitedMs: told.reduce((sum, ms) => sum + ms, 0) };
}

function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  Object.freeze(value);
  for (const member of Object.values(value)) deepFreeze(member);
}
