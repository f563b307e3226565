import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backoffCeiling, fullJitter, toldDelay } from '../../src/core/backoff.ts';

describe('backoffCeiling()', () => {
  test.each([
    { attempt: 0, base: 500, cap: 30_000, ceiling: 500 },
    { attempt: 1, base: 500, cap: 30_000, ceiling: 1000 },
    { attempt: 5, base: 500, cap: 30_000, ceiling: 16_000 },
    { attempt: 6, base: 500, cap: 30_000, ceiling: 30_000 },
    { attempt: 0, base: 500, cap: 500, ceiling: 500 },
    { attempt: 0, base: 0, cap: 30_000, ceiling: 0 },
    // 2 ** 1024 is Infinity, and nothing times Infinity was NaN, which timers take for "at once".
    { attempt: 1024, base: 0, cap: 30_000, ceiling: 0 },
    { attempt: 1024, base: 500, cap: 30_000, ceiling: 30_000 },
    { attempt: Number.MAX_SAFE_INTEGER, base: 1, cap: 30_000, ceiling: 30_000 },
  ])(
    'backoffCeiling() is $ceiling after call $attempt from $base up to $cap',
    ({ attempt, base, cap, ceiling }) => {
      expect(backoffCeiling(attempt, base, cap)).toBe(ceiling);
    },
  );

  test('backoffCeiling() never falls, and stays within its cap, whatever the attempt', () => {
    const ms = fc.double({ min: 0, max: 1e9, noNaN: true });
    fc.assert(
      fc.property(fc.nat(), ms, ms, (attempt, base, cap) => {
        const ceiling = backoffCeiling(attempt, base, cap);
        expect(ceiling).toBeGreaterThanOrEqual(0);
        expect(ceiling).toBeLessThanOrEqual(cap);
        expect(backoffCeiling(attempt + 1, base, cap)).toBeGreaterThanOrEqual(ceiling);
      }),
    );
  });
});

describe('fullJitter()', () => {
  test.each([
    { chance: 0, wait: 0 },
    { chance: 0.25, wait: 250 },
    { chance: 0.999, wait: 999 },
  ])('fullJitter() waits $wait of 1000 ms at chance $chance', ({ chance, wait }) => {
    expect(fullJitter(1000, () => chance)).toBe(wait);
  });

  test('fullJitter() asks for one random number', () => {
    let asked = 0;
    fullJitter(1000, () => {
      asked += 1;
      return 0;
    });
    expect(asked).toBe(1);
  });
});

describe('toldDelay()', () => {
  test.each([
    { why: 'waits the told time at least', told: 10_000, ceiling: 500, chance: 0, wait: 10_000 },
    { why: 'spreads by half of a long told time', told: 10_000, ceiling: 500, chance: 0.5, wait: 12_500 },
    { why: 'spreads by the backoff where that is more', told: 1000, ceiling: 4000, chance: 0.5, wait: 3000 },
    {
      why: 'never shortens a told time to the cap',
      told: 3_600_000,
      ceiling: 30_000,
      chance: 0,
      wait: 3_600_000,
    },
  ])('toldDelay() $why', ({ told, ceiling, chance, wait }) => {
    expect(toldDelay(told, ceiling, () => chance)).toBe(wait);
  });

  test('toldDelay() stays finite for the longest time that can be told', () => {
    expect(toldDelay(Number.MAX_SAFE_INTEGER, 30_000, () => 0.999)).toBeLessThan(Number.MAX_SAFE_INTEGER * 2);
  });
});
