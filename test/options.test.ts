import {
  authCheck,
  circuitBreaker,
  createRetryBudget,
  type FallbackRoute,
  fallback,
  observe,
  payloadSchema,
  type RetryOptions,
  retry,
  type StandardSchema,
  streamTimeout,
} from 'breakwater';
import { createFakeClock, createScriptedFetch } from 'breakwater/testing';
import { describe, expect, it } from 'vitest';

const secret = 'sk-0123456789';
const schema: StandardSchema = { '~standard': { version: 1, vendor: 'own', validate: () => ({}) } };
const nothing = () => undefined;

/** What an option takes, and what it refuses by its type and by its value. Where either class would do, it stands under `other`. */
interface Kind {
  readonly must: string;
  readonly good: readonly unknown[];
  readonly wrongType: readonly unknown[];
  readonly wrongValue?: readonly unknown[];
  readonly other?: readonly unknown[];
}

const noNumber = [secret, '5', true, null, 5n, nothing, { [secret]: secret }, [secret]];
const number = (must: string, good: readonly number[], wrongValue: readonly number[]): Kind => ({
  must,
  good,
  wrongType: noNumber,
  wrongValue: [...wrongValue, Number.NaN, -1, Number.NEGATIVE_INFINITY],
});
const count = number('a non-negative integer', [0, 1, 99], [0.5, Number.POSITIVE_INFINITY]);
const positiveCount = number('a positive integer', [1, 99], [0, 0.5, Number.POSITIVE_INFINITY]);
const duration = number('a non-negative number', [0, 0.5, Number.POSITIVE_INFINITY], []);
const positiveDuration = number('a positive number', [0.5, 1, Number.POSITIVE_INFINITY], [0]);
const ratio = number('a number above 0 and up to 1', [0.01, 1], [0, 1.01, Number.POSITIVE_INFINITY]);
const callback: Kind = {
  must: 'a function',
  good: [nothing],
  wrongType: [secret, 1, true, null, { [secret]: secret }, [secret]],
};
const clock: Kind = {
  must: 'a clock',
  good: [createFakeClock()],
  wrongType: [secret, 1, true, null, nothing],
  wrongValue: [{}, { now: nothing, wall: nothing, setTimeout: nothing, clearTimeout: 5 }],
};
const text: Kind = {
  must: 'a non-empty string',
  good: ['a', secret],
  wrongType: [5, true, null, nothing, {}, [secret]],
  wrongValue: ['', ' \n'],
};

interface Subject {
  readonly called: string;
  make(options?: object): unknown;
  readonly options: Readonly<Record<string, Kind>>;
}

const subjects: Record<string, Subject> = {
  retry: {
    called: 'retry middleware',
    make: (options) => retry(options),
    options: {
      maxRetries: count,
      baseDelayMs: { ...duration, good: [0, 0.5, 30_000] },
      maxDelayMs: { ...duration, good: [500, Number.POSITIVE_INFINITY] },
      budgetMs: duration,
      maxTimeoutRetries: count,
      maxRetriesByStatus: {
        must: 'an object of non-negative integers by status',
        good: [{}, { 500: 0, 429: 9 }],
        wrongType: [secret, 5, true, null, nothing],
        wrongValue: [
          ...[{ 500: -1 }, { 500: 0.5 }, { 500: Number.NaN }, { 429: 1, 500: secret }],
          // A name that is no status used to be taken, and to count for nothing.
          ...[{ '5xx': 3 }, { 99: 1 }, { 600: 1 }, { 5000: 1 }, { '': 1 }, { 500: 1, [secret]: 1 }],
        ],
      },
      maxReplayBytes: count,
      retryBudget: {
        must: 'a retry budget or false',
        good: [false, createRetryBudget()],
        wrongType: [secret, 5, null, nothing],
        wrongValue: [{}, { take: nothing }, { add: nothing }],
        other: [true],
      },
      shouldRetry: callback,
      onDiscard: callback,
      clock,
      random: callback,
    },
  },
  createRetryBudget: {
    called: 'retry budget',
    make: (options) => createRetryBudget(options),
    options: { maxTokens: positiveCount, refillEveryMs: positiveDuration, commitRatio: ratio, clock },
  },
  circuitBreaker: {
    called: 'circuitBreaker middleware',
    make: (options) => circuitBreaker(options),
    options: {
      maxFailures: positiveCount,
      failureRatio: ratio,
      windowMs: positiveDuration,
      minCalls: positiveCount,
      openMs: positiveDuration,
      maxOpenMs: { ...positiveDuration, good: [60_000, Number.POSITIVE_INFINITY] },
      probeEveryMs: positiveDuration,
      probeLeaseMs: positiveDuration,
      key: callback,
      isFailure: callback,
      clock,
      random: callback,
    },
  },
  streamTimeout: {
    called: 'streamTimeout middleware',
    make: (options) => streamTimeout(options),
    options: {
      headersMs: positiveDuration,
      firstTokenMs: positiveDuration,
      idleMs: positiveDuration,
      totalMs: positiveDuration,
      hold: {
        must: '"first-token" or "headers"',
        good: ['first-token', 'headers'],
        wrongType: [5, true, null, nothing, {}, ['headers']],
        wrongValue: ['', 'first token', secret],
      },
      maxHoldBytes: positiveCount,
      detect: callback,
      limitsFor: callback,
      clock,
    },
  },
  authCheck: {
    called: 'authCheck middleware',
    make: (options) => authCheck(options),
    options: {
      origins: {
        must: 'a non-empty array',
        good: [['https://a.example/v1'], ['http://localhost:8080', new URL('https://b.example')]],
        wrongType: ['https://a.example', 5, true, null, nothing],
        wrongValue: [[], [secret], ['/v1'], ['xhttp://a.example'], ['httpx://a.example'], ['a.example:443']],
        other: [{}, new URL('https://a.example'), [5], [null], [undefined], [{}]],
      },
    },
  },
  payloadSchema: {
    called: 'payloadSchema middleware',
    make: (options) => payloadSchema({ schema, ...options }),
    options: {
      schema: {
        must: 'a Standard Schema',
        good: [schema, Object.assign(() => undefined, schema)],
        wrongType: [secret, 5, true, null],
        other: [nothing, {}, [], { '~standard': null }, { '~standard': { validate: secret } }],
      },
      shouldValidate: callback,
      advise: callback,
    },
  },
  observe: {
    called: 'observe middleware',
    make: (options) => observe(nothing, options),
    options: { clock },
  },
  fallback: {
    called: 'fallback middleware',
    make: (options) => fallback({ model: 'm', apiKey: secret, ...options }),
    options: {
      name: text,
      model: text,
      baseURL: {
        must: 'a non-empty string',
        good: ['https://b.example', 'http://localhost:8080/v1/', new URL('https://b.example/v1')],
        wrongType: [5, true, null, nothing],
        wrongValue: [
          '',
          secret,
          '/v1',
          'b.example',
          'xhttp://a.example',
          'httpx://a.example',
          new URL('data:,x'),
        ],
        other: [{}, ['b']],
      },
      apiKey: {
        must: 'a non-empty string or a function',
        good: [secret, () => secret],
        wrongType: [5, true, null, {}, [secret]],
        wrongValue: ['', ' '],
      },
      on: {
        must: 'an array of statuses',
        good: [[], [402, 599, 100]],
        wrongType: [402, secret, true, null, nothing],
        wrongValue: [[99], [600], [402.5], [Number.NaN], [404, secret]],
        other: [{}],
      },
    },
  },
};

function thrownBy(run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    return error as Error;
  }
  throw new Error('Nothing was thrown');
}

function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'function') return value.name || 'a function';
  if (Array.isArray(value)) return `[${value.map(shown)}]`;
  return value === null || typeof value !== 'object' || value instanceof URL
    ? String(value)
    : `{${Object.keys(value)}}`;
}

/** How a message may show a value: numbers and the like as they are, and of all else only what it is. */
function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'string') return 'an? (empty )?string';
  if (typeof value === 'function') return 'a function';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

type Row = [option: string, shown: string, value: unknown, options: Kind];
const rowsOf = (subject: Subject, list: (kind: Kind) => readonly unknown[] | undefined): Row[] =>
  Object.entries(subject.options).flatMap(([option, kind]) =>
    (list(kind) ?? []).map((value): Row => [option, shown(value), value, kind]),
  );

describe.each(Object.entries(subjects))('%s() and its options', (_name, subject) => {
  const { make, called } = subject;

  it.each(rowsOf(subject, ({ good }) => good))('takes %s: %s', (option, _shown, value) => {
    expect(make({ [option]: value })).toBeDefined();
  });

  const check = (error: Error, option: string, value: unknown, must: string) => {
    expect(error.message).toMatch(`Cannot create ${called} as "${option}" must `);
    const [, demand, current] = /" must (.+): ([^:]+)$/.exec(error.message) ?? [];
    // A part of a list, and an address that is none, are told in words of their own.
    if (current?.startsWith('current value')) {
      expect(demand).toBe(`be ${must}`);
      expect(current).toMatch(new RegExp(`^current value is ${kindOf(value)}$`));
    } else {
      expect(demand).toMatch(/https? URL/);
      expect(current).toMatch(/ is none$/);
    }
    expect(error.message).not.toContain(secret);
  };

  it.each(rowsOf(subject, ({ wrongType }) => wrongType))(
    'throws a TypeError for %s: %s',
    (option, _shown, value, { must }) => {
      const error = thrownBy(() => make({ [option]: value }));
      expect(error).toBeInstanceOf(TypeError);
      check(error, option, value, must);
    },
  );

  const wrongValues = rowsOf(subject, ({ wrongValue }) => wrongValue);
  it.for(wrongValues)('throws a RangeError for %s: %s', ([option, _shown, value, { must }]) => {
    const error = thrownBy(() => make({ [option]: value }));
    expect(error).toBeInstanceOf(RangeError);
    check(error, option, value, must);
  });

  it.for(rowsOf(subject, ({ other }) => other))('refuses %s: %s', ([option, _shown, value, { must }]) => {
    const error = thrownBy(() => make({ [option]: value }));
    expect([TypeError, RangeError]).toContain(error.constructor);
    check(error, option, value, must);
  });

  it('takes undefined for not given', () => {
    const names = Object.keys(subject.options).filter((name) => name !== 'schema' && name !== 'model');
    expect(make(Object.fromEntries(names.map((name) => [name, undefined])))).toBeDefined();
  });

  it('takes frozen options, and changes nothing in them', () => {
    const kinds = Object.entries(subject.options);
    const options = Object.fromEntries(kinds.map(([option, { good }]) => [option, good.at(-1)]));
    for (const value of Object.values(options)) if (Array.isArray(value)) Object.freeze(value);
    const copy = { ...options };
    expect(make(Object.freeze(options))).toBeDefined();
    expect(options).toStrictEqual(copy);
  });

  it.each(['qqq', 'constructor', 'toString', '__proto__', '', secret])(
    'refuses the unknown name "%s"',
    (name) => {
      const error = thrownBy(() => make(JSON.parse(`{${JSON.stringify(name)}: 1}`)));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toMatch(`Cannot create ${called} as "${name}" is not one of its options. `);
    },
  );

  it('has no option that this table leaves out', () => {
    const known = thrownBy(() => make({ qqq: 1 })).message.split('Known are ')[1];
    expect(known?.split(', ').toSorted()).toEqual(Object.keys(subject.options).toSorted());
  });

  it('knows of no name that nobody gave it', () => {
    expect(make({})).toBeDefined();
    expect(make(Object.create(null))).toBeDefined();
  });
});

describe('An unknown name', () => {
  it.each([
    ['retry', 'maxRetry', 'maxRetries'],
    ['retry', 'maxretries', 'maxRetries'],
    ['retry', 'retries', 'maxRetries'],
    ['retry', 'baseDelay', 'baseDelayMs'],
    ['retry', 'maxDelay', 'maxDelayMs'],
    ['retry', 'budget', 'budgetMs'],
    ['retry', 'shouldRety', 'shouldRetry'],
    ['createRetryBudget', 'maxToken', 'maxTokens'],
    ['circuitBreaker', 'maxFails', 'maxFailures'],
    ['circuitBreaker', 'failureRate', 'failureRatio'],
    ['circuitBreaker', 'openMS', 'openMs'],
    ['circuitBreaker', 'probeEvery', 'probeEveryMs'],
    ['streamTimeout', 'headerMs', 'headersMs'],
    ['streamTimeout', 'idle', 'idleMs'],
    ['streamTimeout', 'firstToken', 'firstTokenMs'],
    ['authCheck', 'origin', 'origins'],
    ['payloadSchema', 'shouldvalidate', 'shouldValidate'],
    ['payloadSchema', 'advice', 'advise'],
    ['observe', 'clocks', 'clock'],
    ['fallback', 'baseUrl', 'baseURL'],
    ['fallback', 'apikey', 'apiKey'],
    ['fallback', 'models', 'model'],
  ])('in %s(), %s, gets "Did you mean %s"', (factory, name, meant) => {
    const { message } = thrownBy(() => subjects[factory]?.make({ [name]: 1 }));
    expect(message).toMatch(
      new RegExp(` as "${name}" is not one of its options. Did you mean "${meant}"\\?$`),
    );
  });

  it('in payloadSchema() gets it also for the option that must be given', () => {
    const misspelt = { shema: schema } as unknown as { schema: StandardSchema };
    expect(thrownBy(() => payloadSchema(misspelt)).message).toContain('Did you mean "schema"?');
  });
});

describe('Options that are none', () => {
  const makers: [string, string, (options: never) => unknown][] = [
    ['retry()', 'retry middleware', retry],
    ['createRetryBudget()', 'retry budget', createRetryBudget],
    ['circuitBreaker()', 'circuitBreaker middleware', circuitBreaker],
    ['streamTimeout()', 'streamTimeout middleware', streamTimeout],
    ['authCheck()', 'authCheck middleware', authCheck],
    ['payloadSchema()', 'payloadSchema middleware', payloadSchema],
    ['observe()', 'observe middleware', (options) => observe(nothing, options)],
    ['observe(), for its listener,', 'observe middleware', (listener) => observe(listener)],
    ['fallback()', 'fallback middleware', fallback],
  ];
  const none: [string, unknown][] = [
    ['null', null],
    ['a number', 5],
    ['a text', secret],
    ['an array', [secret]],
    ['true', true],
  ];

  const cases = makers.flatMap(([name, called, make]) =>
    none.map(([what, value]) => ({ name, called, make, what, value })),
  );

  it.each(cases)('$name refuses $what', ({ called, make, value }) => {
    const error = thrownBy(() => make(value as never));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toMatch(
      new RegExp(`^Cannot create ${called} as .+ must be an? .+: current value is `),
    );
    expect(error.message).not.toContain(secret);
  });

  it.each(['retry', 'createRetryBudget', 'circuitBreaker', 'streamTimeout', 'authCheck'])(
    '%s() needs none',
    (name) => {
      expect(subjects[name]?.make()).toBeDefined();
    },
  );

  it('payloadSchema() needs a schema, and observe() a listener', () => {
    expect(thrownBy(() => payloadSchema({} as { schema: StandardSchema })).message).toBe(
      'Cannot create payloadSchema middleware as "schema" must be a Standard Schema: current value is undefined',
    );
    for (const make of [payloadSchema, observe] as ((missing: never) => unknown)[])
      expect(thrownBy(() => make(undefined as never))).toBeInstanceOf(TypeError);
  });
});

describe('Options that contradict each other', () => {
  const route = (options: FallbackRoute) => () => fallback({ model: 'm' }, options);
  it.each<[string, () => unknown, string]>([
    [
      'baseDelayMs above maxDelayMs',
      () => retry({ baseDelayMs: 2, maxDelayMs: 1 }),
      'retry middleware as "baseDelayMs" must not be above "maxDelayMs": current values are 2 and 1',
    ],
    [
      'baseDelayMs above the default of maxDelayMs',
      () => retry({ baseDelayMs: 30_001 }),
      'retry middleware as "baseDelayMs" must not be above "maxDelayMs": current values are 30001 and 30000',
    ],
    [
      'maxDelayMs below the default of baseDelayMs',
      () => retry({ maxDelayMs: 499 }),
      'retry middleware as "baseDelayMs" must not be above "maxDelayMs": current values are 500 and 499',
    ],
    [
      'openMs above maxOpenMs',
      () => circuitBreaker({ openMs: 2, maxOpenMs: 1 }),
      'circuitBreaker middleware as "openMs" must not be above "maxOpenMs": current values are 2 and 1',
    ],
    [
      'maxOpenMs below the default of openMs',
      () => circuitBreaker({ maxOpenMs: 59_999 }),
      'circuitBreaker middleware as "openMs" must not be above "maxOpenMs": current values are 60000 and 59999',
    ],
    ['a route to nowhere', route({}), 'fallback middleware as a route must have a "model" or a "baseURL"'],
    ['a route with a key alone', route({ apiKey: secret, name: 'n' }), 'fallback middleware as a route must'],
    [
      'a route to another service without a key',
      route({ baseURL: `https://${secret}.example`, model: 'm' }),
      'fallback middleware as "apiKey" must be given with a "baseURL"',
    ],
  ])('are a RangeError: %s', (_what, make, message) => {
    const error = thrownBy(make);
    expect(error).toBeInstanceOf(RangeError);
    expect(error.message).toMatch(`Cannot create ${message}`);
    expect(error.message).not.toContain(secret);
  });

  it('are none when they are equal', () => {
    expect(retry({ baseDelayMs: 5, maxDelayMs: 5 })).toBeDefined();
    expect(circuitBreaker({ openMs: 5, maxOpenMs: 5 })).toBeDefined();
  });

  it('are none when openMs is above the default of maxOpenMs', () => {
    expect(circuitBreaker({ openMs: 3_600_000 })).toBeDefined();
  });
});

describe('Options that change later', () => {
  it('change nothing', async () => {
    const options: { -readonly [Name in keyof RetryOptions]: RetryOptions[Name] } = { maxRetries: 1 };
    const repeating = retry(Object.assign(options, { random: () => 0 }));
    options.maxRetries = Number.NaN;
    const origins = ['https://a.example'];
    const checked = authCheck({ origins });
    origins[0] = 'https://b.example';
    const headers = { authorization: `Bearer ${secret}` };
    const fetch = createScriptedFetch(503, 200);
    const response = await checked(repeating(fetch))('https://a.example', { headers });
    expect(response.status).toBe(200);
  });
});
