import {
  type AuthCheckOptions,
  authCheck,
  type Call,
  CIRCUIT_BREAKER_DEFAULTS,
  type CircuitBreaker,
  type CircuitBreakerOptions,
  type CircuitSnapshot,
  type Clock,
  circuitBreaker,
  createRetryBudget,
  type FallbackRoute,
  fallback,
  type Listener,
  type Middleware,
  type ObserveOptions,
  observe,
  type PayloadIssue,
  type PayloadSchemaOptions,
  type ProgressDetector,
  payloadSchema,
  type Random,
  RETRY_BUDGET_DEFAULTS,
  RETRY_DEFAULTS,
  type RetryBudget,
  type RetryBudgetOptions,
  type RetryFailure,
  type RetryOptions,
  retry,
  STREAM_TIMEOUT_DEFAULTS,
  type StandardIssue,
  type StandardResult,
  type StandardSchema,
  type StreamFault,
  type StreamTimeoutOptions,
  streamTimeout,
} from 'breakwater';
import * as v from 'valibot';
import { describe, expectTypeOf, test } from 'vitest';

/** What all options of a type have in common: each may be left out, may be undefined, and is not to be changed. */
type Loose<Options> = { readonly [Name in keyof Options]?: Options[Name] | undefined };
type Milliseconds<Options> = Extract<keyof Options, `${string}Ms`>;

describe('Options', () => {
  test('may each be left out or undefined, and are read-only', () => {
    expectTypeOf<AuthCheckOptions>().toEqualTypeOf<Loose<AuthCheckOptions>>();
    expectTypeOf<CircuitBreakerOptions>().toEqualTypeOf<Loose<CircuitBreakerOptions>>();
    expectTypeOf<FallbackRoute>().toEqualTypeOf<Loose<FallbackRoute>>();
    expectTypeOf<ObserveOptions>().toEqualTypeOf<Loose<ObserveOptions>>();
    expectTypeOf<RetryOptions>().toEqualTypeOf<Loose<RetryOptions>>();
    expectTypeOf<RetryBudgetOptions>().toEqualTypeOf<Loose<RetryBudgetOptions>>();
    expectTypeOf<StreamTimeoutOptions>().toEqualTypeOf<Loose<StreamTimeoutOptions>>();
    expectTypeOf<Omit<PayloadSchemaOptions, 'schema'>>().toEqualTypeOf<
      Loose<Omit<PayloadSchemaOptions, 'schema'>>
    >();
  });

  test('in milliseconds are numbers', () => {
    type Timed = RetryOptions & RetryBudgetOptions & CircuitBreakerOptions & StreamTimeoutOptions;
    expectTypeOf<Timed[Milliseconds<Timed>]>().toEqualTypeOf<number | undefined>();
  });

  test('inject time and chance', () => {
    expectTypeOf<RetryOptions['clock']>().toEqualTypeOf<Clock | undefined>();
    expectTypeOf<RetryBudgetOptions['clock']>().toEqualTypeOf<Clock | undefined>();
    expectTypeOf<CircuitBreakerOptions['clock']>().toEqualTypeOf<Clock | undefined>();
    expectTypeOf<StreamTimeoutOptions['clock']>().toEqualTypeOf<Clock | undefined>();
    expectTypeOf<ObserveOptions>().toEqualTypeOf<{ readonly clock?: Clock | undefined }>();
    expectTypeOf<RetryOptions['random']>().toEqualTypeOf<Random | undefined>();
    expectTypeOf<CircuitBreakerOptions['random']>().toEqualTypeOf<Random | undefined>();
  });

  test('have defaults that are options and cannot be changed', () => {
    expectTypeOf(RETRY_DEFAULTS).toExtend<RetryOptions>();
    expectTypeOf(RETRY_BUDGET_DEFAULTS).toExtend<RetryBudgetOptions>();
    expectTypeOf(CIRCUIT_BREAKER_DEFAULTS).toExtend<CircuitBreakerOptions>();
    expectTypeOf(STREAM_TIMEOUT_DEFAULTS).toExtend<StreamTimeoutOptions>();
    const change = () => {
      // @ts-expect-error: a default is the same for all
      RETRY_DEFAULTS.maxRetries = 1;
      // @ts-expect-error: a default is the same for all
      RETRY_BUDGET_DEFAULTS.maxTokens = 1;
      // @ts-expect-error: a default is the same for all
      CIRCUIT_BREAKER_DEFAULTS.openMs = 1;
      // @ts-expect-error: a default is the same for all
      STREAM_TIMEOUT_DEFAULTS.hold = 'headers';
    };
    return change;
  });
});

describe('authCheck()', () => {
  test('takes origins and returns a middleware', () => {
    expectTypeOf(authCheck).parameters.toEqualTypeOf<[options?: AuthCheckOptions | undefined]>();
    expectTypeOf(authCheck).returns.toEqualTypeOf<Middleware>();
    expectTypeOf<AuthCheckOptions['origins']>().toEqualTypeOf<readonly (string | URL)[] | undefined>();
    // @ts-expect-error: there is no such option
    authCheck({ origin: ['https://a.example'] });
  });
});

describe('payloadSchema()', () => {
  test('takes a schema, alone or with options', () => {
    expectTypeOf(payloadSchema).parameters.toEqualTypeOf<[StandardSchema | PayloadSchemaOptions]>();
    expectTypeOf(payloadSchema).returns.toEqualTypeOf<Middleware>();
    expectTypeOf<PayloadSchemaOptions['schema']>().toEqualTypeOf<StandardSchema>();
    expectTypeOf<PayloadSchemaOptions['shouldValidate']>().toEqualTypeOf<
      ((call: Call) => boolean) | undefined
    >();
    expectTypeOf<PayloadSchemaOptions['advise']>().toEqualTypeOf<
      ((payload: unknown) => readonly PayloadIssue[]) | undefined
    >();
    // @ts-expect-error: without a schema it has nothing to do
    payloadSchema({});
  });

  test('takes what valibot makes, whether it is asynchronous or not', () => {
    payloadSchema(v.looseObject({ model: v.string() }));
    payloadSchema({
      schema: v.pipeAsync(
        v.string(),
        v.checkAsync(async () => true),
      ),
    });
  });

  test('takes any schema that keeps to the standard', () => {
    expectTypeOf<ReturnType<StandardSchema['~standard']['validate']>>().toEqualTypeOf<
      StandardResult | Promise<StandardResult>
    >();
    expectTypeOf<StandardResult['issues']>().toEqualTypeOf<readonly StandardIssue[] | undefined>();
    expectTypeOf<StandardIssue>().toExtend<{ readonly message: string }>();
  });
});

describe('retry()', () => {
  test('takes options and returns a middleware', () => {
    expectTypeOf(retry).parameters.toEqualTypeOf<[options?: RetryOptions | undefined]>();
    expectTypeOf(retry).returns.toEqualTypeOf<Middleware>();
    expectTypeOf<RetryOptions['retryBudget']>().toEqualTypeOf<RetryBudget | false | undefined>();
    expectTypeOf<RetryOptions['maxRetriesByStatus']>().toEqualTypeOf<
      Readonly<Record<number, number>> | undefined
    >();
  });

  test('asks shouldRetry about a failure, and takes no answer for one', () => {
    retry({ shouldRetry: ({ response }) => (response?.status === 404 ? true : undefined) });
    expectTypeOf<RetryFailure['attempt']>().toEqualTypeOf<number>();
    expectTypeOf<RetryFailure['response']>().toEqualTypeOf<Response | undefined>();
    expectTypeOf<RetryFailure['error']>().toBeUnknown();
    retry({
      onDiscard: (response, call) => {
        expectTypeOf(response).toEqualTypeOf<Response>();
        expectTypeOf(call).toEqualTypeOf<Call>();
      },
    });
  });

  test('pays from a budget', () => {
    expectTypeOf(createRetryBudget).parameters.toEqualTypeOf<[options?: RetryBudgetOptions | undefined]>();
    expectTypeOf(createRetryBudget).returns.toEqualTypeOf<RetryBudget>();
    expectTypeOf<RetryBudget['tokens']>().toEqualTypeOf<number>();
    expectTypeOf<RetryBudget['take']>().toEqualTypeOf<(tokens: number) => boolean>();
    expectTypeOf<RetryBudget['add']>().toEqualTypeOf<(tokens?: number) => void>();
  });
});

describe('circuitBreaker()', () => {
  test('returns a middleware that is a handle too', () => {
    expectTypeOf(circuitBreaker).parameters.toEqualTypeOf<[options?: CircuitBreakerOptions | undefined]>();
    expectTypeOf(circuitBreaker).returns.toEqualTypeOf<CircuitBreaker>();
    expectTypeOf<CircuitBreaker>().toExtend<Middleware>();
    expectTypeOf<CircuitBreaker['snapshot']>().toEqualTypeOf<() => CircuitSnapshot[]>();
    expectTypeOf<CircuitBreaker['isolate']>().toEqualTypeOf<(key?: string) => void>();
    expectTypeOf<CircuitBreaker['reset']>().toEqualTypeOf<(key?: string) => void>();
  });

  test('names its states', () => {
    type State = 'closed' | 'open' | 'isolated';
    expectTypeOf<CircuitBreaker['state']>().toEqualTypeOf<(key: string) => State>();
    expectTypeOf<CircuitSnapshot>().toEqualTypeOf<{
      readonly key: string;
      readonly state: State;
      readonly failures: number;
      readonly retryAfterMs: number | undefined;
    }>();
  });

  test('is told what is one circuit and what is a failure', () => {
    expectTypeOf<CircuitBreakerOptions['key']>().toEqualTypeOf<((call: Call) => string) | undefined>();
    expectTypeOf<CircuitBreakerOptions['isFailure']>().toEqualTypeOf<
      ((response: Response) => boolean) | undefined
    >();
  });
});

describe('streamTimeout()', () => {
  test('takes options and returns a middleware', () => {
    expectTypeOf(streamTimeout).parameters.toEqualTypeOf<[options?: StreamTimeoutOptions | undefined]>();
    expectTypeOf(streamTimeout).returns.toEqualTypeOf<Middleware>();
    expectTypeOf<StreamTimeoutOptions['hold']>().toEqualTypeOf<'first-token' | 'headers' | undefined>();
    streamTimeout({ limitsFor: ({ method }) => (method === 'POST' ? { idleMs: 1 } : undefined) });
    const detector: ProgressDetector = {
      isCommitted: true,
      isDone: false,
      fault: undefined,
      keepAlives: 0,
      push: (chunk) => chunk.length > 0,
      end: () => undefined,
    };
    streamTimeout({ detect: ({ ok }, { url }) => (ok && url ? detector : { ...detector, isDone: true }) });
    expectTypeOf<ProgressDetector['fault']>().toEqualTypeOf<StreamFault | undefined>();
    // @ts-expect-error: there is no such clock
    streamTimeout({ limitsFor: () => ({ timeoutMs: 1 }) });
  });
});

describe('observe()', () => {
  test('takes a listener', () => {
    expectTypeOf(observe).parameters.toEqualTypeOf<
      [listener: Listener, options?: ObserveOptions | undefined]
    >();
    expectTypeOf(observe).returns.toEqualTypeOf<Middleware>();
    // @ts-expect-error: it is nothing without one
    observe();
  });
});

describe('fallback()', () => {
  test('takes routes', () => {
    expectTypeOf(fallback).parameters.toEqualTypeOf<FallbackRoute[]>();
    expectTypeOf(fallback).returns.toEqualTypeOf<Middleware>();
    expectTypeOf<FallbackRoute['apiKey']>().toEqualTypeOf<
      string | (() => string | Promise<string>) | undefined
    >();
    expectTypeOf<FallbackRoute['baseURL']>().toEqualTypeOf<string | URL | undefined>();
    expectTypeOf<FallbackRoute['on']>().toEqualTypeOf<readonly number[] | undefined>();
  });
});
