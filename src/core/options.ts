/** @module How options are checked: once, in the factory, in one grammar. A mistake found at start-up costs a minute; one found at night costs the night. */

/** What an option must be. A value of no type that `types` names is a TypeError, one that `test` refuses a RangeError. */
export interface Rule {
  readonly must: string;
  /** As `typeof` says, with `array` and `null` told from `object`. */
  readonly types: string;
  readonly test?: (value: never) => boolean;
}

export const aFunction: Rule = { must: 'a function', types: 'function' };
const anObject: Rule = { must: 'an object', types: 'object' };
export const aClock: Rule = {
  must: 'a clock',
  types: 'object',
  test: (clock: Record<string, unknown>) =>
    ['now', 'wall', 'setTimeout', 'clearTimeout'].every((name) => typeof clock[name] === 'function'),
};
export const aCount: Rule = number('a non-negative integer', isCount);
export const aPositiveCount: Rule = number('a positive integer', (value) => isCount(value) && value > 0);
/** A time that may be nothing, and may be for ever. */
export const aDuration: Rule = number('a non-negative number', (value) => value >= 0);
/** A time that takes some, and may be for ever. */
export const aPositiveDuration: Rule = number('a positive number', (value) => value > 0);
export const aRatio: Rule = number('a number above 0 and up to 1', (value) => value > 0 && value <= 1);

export function oneOf(...values: string[]): Rule {
  return {
    must: values.map((value) => `"${value}"`).join(' or '),
    types: 'string',
    test: (value) => values.includes(value),
  };
}

export function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 0;
}

function number(must: string, test: (value: number) => boolean): Rule {
  return { must, types: 'number', test };
}

/**
 * Checks the options of a factory and fills in its defaults; an option that is `undefined` counts as not given.
 *
 * @param subject What is being made, as in "retry middleware".
 * @throws {TypeError | RangeError} At the first option that is unknown or wrong.
 */
export function readOptions<Options extends object, Defaults extends Partial<Options>>(
  subject: string,
  options: Options | undefined,
  defaults: Defaults,
  rules: { readonly [Name in keyof Options]-?: Rule },
): Options & Defaults {
  if (options !== undefined) check(subject, 'its options', options, anObject);
  const result: Record<string, unknown> = { ...defaults };
  for (const [name, value] of Object.entries(options ?? {})) {
    if (!Object.hasOwn(rules, name)) throw unknownOption(subject, name, Object.keys(rules));
    if (value === undefined) continue;
    check(subject, `"${name}"`, value, rules[name as keyof Options]);
    result[name] = value;
  }
  return result as Options & Defaults;
}

/** Throws unless the value is what the rule says. Of a text or an object only the type is shown: it might hold a secret. */
export function check(subject: string, what: string, value: unknown, { must, types, test }: Rule): void {
  const type = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  const fits = types.includes(type);
  if (fits && (!test || test(value as never))) return;
  const shown = /^[nbu]/.test(type) ? String(value) : `${/^[ao]/.test(type) ? 'an' : 'a'} ${type}`;
  const Kind = fits ? RangeError : TypeError;
  throw new Kind(`Cannot create ${subject} as ${what} must be ${must}: current value is ${shown}`);
}

/** Throws for options that contradict each other. */
export function refuse(subject: string, problem: string): never {
  throw new RangeError(`Cannot create ${subject} as ${problem}`);
}

/** Suggests the option that shares most pairs of letters with the name. */
function unknownOption(subject: string, name: string, known: string[]): TypeError {
  const likeness = (option: string) => {
    const pairs = [...name].filter((_, at) =>
      option.toLowerCase().includes(name.slice(at, at + 2).toLowerCase()),
    );
    return pairs.length / (option.length + name.length);
  };
  const [nearest = ''] = [...known].sort((one, other) => likeness(other) - likeness(one));
  const hint = likeness(nearest) >= 0.25 ? `Did you mean "${nearest}"?` : `Known are ${known.join(', ')}`;
  return new TypeError(`Cannot create ${subject} as "${name}" is not one of its options. ${hint}`);
}
