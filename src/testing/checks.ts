/** @module Option checks of the test kit: a typing mistake in a test is told where it was made, not as a test that fails for no reason. */

import { MAX_TIMER_MS } from '../core/clock.ts';

/** The sentence that every refused option gets. */
export function refusal(subject: string, name: string, requirement: string, value: unknown): string {
  return `Cannot ${subject} as "${name}" must be ${requirement}: current value is ${show(value)}`;
}

/** Throws unless `value` is left out or a time that a timer can wait. */
export function checkMs(subject: string, name: string, value: unknown): void {
  if (value === undefined) return;
  if (typeof value !== 'number') throw new TypeError(refusal(subject, name, 'a non-negative number', value));
  if (!(value >= 0)) throw new RangeError(refusal(subject, name, 'a non-negative number', value));
  if (value > MAX_TIMER_MS)
    throw new RangeError(refusal(subject, name, `at most ${MAX_TIMER_MS} milliseconds`, value));
}

/** Throws unless `value` is left out or a status that a Response may have. */
export function checkStatus(subject: string, name: string, value: unknown): void {
  if (value === undefined) return;
  const requirement = 'an integer from 200 to 599';
  if (typeof value !== 'number') throw new TypeError(refusal(subject, name, requirement, value));
  if (!Number.isInteger(value) || value < 200 || value > 599)
    throw new RangeError(refusal(subject, name, requirement, value));
}

/** Throws a TypeError unless `value` is left out or of the given type. */
export function checkType(
  subject: string,
  name: string,
  value: unknown,
  type: 'boolean' | 'number' | 'string',
): void {
  if (value === undefined || typeof value === type) return;
  throw new TypeError(refusal(subject, name, `a ${type}`, value));
}

/** Throws a TypeError unless `value` is left out or one of the `choices`. */
export function checkOneOf(subject: string, name: string, value: unknown, choices: readonly unknown[]): void {
  if (value === undefined || choices.includes(value)) return;
  const [last, ...others] = choices.map(show).reverse();
  throw new TypeError(refusal(subject, name, `${others.reverse().join(', ')} or ${last}`, value));
}

/** Throws a TypeError when `object` is no object, or has a member that nobody would read. */
export function checkMembers(subject: string, object: unknown, known: readonly string[]): void {
  if (typeof object !== 'object' || object === null || Array.isArray(object))
    throw new TypeError(`Cannot ${subject} from ${show(object)}: an object is needed`);
  for (const name of Object.keys(object)) {
    if (known.includes(name)) continue;
    throw new TypeError(`Cannot ${subject} as "${name}" is unknown: ${suggestion(name, known)}`);
  }
}

function suggestion(name: string, known: readonly string[]): string {
  const [nearest] = known
    .map((candidate) => ({ candidate, distance: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= Math.max(2, candidate.length / 3))
    .sort((a, b) => a.distance - b.distance);
  return nearest ? `Did you mean "${nearest.candidate}"?` : `known are ${known.join(', ')}`;
}

/** How many letters must be added, removed or replaced to turn one word into the other. */
function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (previous[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[to.length] ?? 0;
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  return typeof value === 'function' ? 'a function' : String(value);
}
