/** @module How options are checked: once, in the factory, in one grammar. A mistake found at start-up costs a minute; one found at night costs the night. */

/** What an option must be. A value of another type is a TypeError, one that `test` refuses a RangeError. */
export interface Rule {
  readonly must: string;
  readonly type: string;
  readonly test?: (value: never) => boolean;
  /** A value that is allowed beside those of the type. */
  readonly or?: unknown;
  /** A type all of whose values are allowed as well. */
  readonly orType?: string;
}

export const aFunction: Rule = { must: 'a function', type: 'function' };
export const anObject: Rule = { must: 'an object', type: 'object', test: (value: unknown) => value !== null };
export const aClock: Rule = {
  must: 'a clock',
  type: 'object',
  test: (clock: Record<string, unknown>) =>
    ['now', 'wall', 'setTimeout', 'clearTimeout'].every((name) => typeof clock[name] === 'function'),
};
export const aBoolean: Rule = { must: 'true or false', type: 'boolean' };
export const aCount: Rule = number(
  'a non-negative integer',
  (value) => Number.isInteger(value) && value >= 0,
);
export const aPositiveCount: Rule = number(
  'a positive integer',
  (value) => Number.isInteger(value) && value > 0,
);
/** A time that may be nothing, and may be for ever. */
export const aDuration: Rule = number('a non-negative number', (value) => value >= 0);
/** A time that takes some, and may be for ever. */
export const aPositiveDuration: Rule = number('a positive number', (value) => value > 0);
export const aRatio: Rule = number('a number above 0 and up to 1', (value) => value > 0 && value <= 1);

export function oneOf(...values: string[]): Rule {
  return {
    must: values.map((value) => `"${value}"`).join(' or '),
    type: 'string',
    test: (value) => values.includes(value),
  };
}

function number(must: string, test: (value: number) => boolean): Rule {
  return { must, type: 'number', test };
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
  const given = options === undefined ? {} : options;
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new TypeError(
      `Cannot create ${subject} as its options must be an object: current value is ${shown(options)}`,
    );
  }
  const result: Record<string, unknown> = { ...defaults };
  for (const [name, value] of Object.entries(given)) {
    const rule = Object.hasOwn(rules, name) && rules[name as keyof Options];
    if (!rule) throw unknownOption(subject, name, Object.keys(rules));
    if (value === undefined) continue;
    check(subject, name, value, rule);
    result[name] = value;
  }
  return result as Options & Defaults;
}

function check(subject: string, name: string, value: unknown, { must, type, test, or, orType }: Rule): void {
  if (value === or || (value !== null && typeof value === orType)) return;
  const wrongType = typeof value !== type;
  if (wrongType || value === null || (test && !test(value as never))) {
    const Kind = wrongType || value === null ? TypeError : RangeError;
    throw new Kind(`Cannot create ${subject} as "${name}" must be ${must}: current value is ${shown(value)}`);
  }
}

/** Throws for two options that contradict each other. */
export function refuse(subject: string, problem: string): never {
  throw new RangeError(`Cannot create ${subject} as ${problem}`);
}

function unknownOption(subject: string, name: string, known: string[]): TypeError {
  const near = known.find((each) => resembles(each.toLowerCase(), name.toLowerCase()));
  const hint = near ? `Did you mean "${near}"?` : `Known are ${known.join(', ')}`;
  return new TypeError(`Cannot create ${subject} as "${name}" is not one of its options. ${hint}`);
}

/** Whether one name holds the other, or shares most of its pairs of letters. */
function resembles(known: string, name: string): boolean {
  const pairs = new Set(Array.from(name.slice(1), (letter, index) => name.charAt(index) + letter));
  const common = Array.from(known.slice(1), (letter, index) => known.charAt(index) + letter).filter((pair) =>
    pairs.has(pair),
  );
  return (
    name.length > 2 && (known.includes(name) || common.length * 2 > Math.max(pairs.size, known.length - 1))
  );
}

/** Numbers and the like as they are; a text or an object might hold a secret, so only what it is. */
function shown(value: unknown): string {
  return typeof value === 'object' && value !== null
    ? Array.isArray(value)
      ? 'an array'
      : 'an object'
    : typeof value === 'string'
      ? value
        ? 'a string'
        : 'an empty string'
      : typeof value === 'function'
        ? 'a function'
        : String(value);
}
