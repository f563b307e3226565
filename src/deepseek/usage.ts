/** @module What an answer cost that came in more than one part. */

import type { Usage } from './types.ts';

type Counts = Readonly<Record<string, unknown>>;

/** The sum of two usages, field by field. */
export function addUsage(one: Usage | undefined, other: Usage): Usage {
  return one ? (sum(one, other) as Usage) : other;
}

function sum(one: Counts, other: Counts): Counts {
  const total: Record<string, unknown> = { ...one, ...other };
  for (const [name, value] of Object.entries(one)) {
    const more = other[name];
    if (typeof value === 'number' && typeof more === 'number') total[name] = value + more;
    else if (isCounts(value)) total[name] = isCounts(more) ? sum(value, more) : value;
    else total[name] = more ?? value;
  }
  return total;
}

function isCounts(value: unknown): value is Counts {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
