import {
  Attempt,
  type Call,
  type CallChanges,
  type CallContext,
  type ChainEvent,
  type Clock,
  compose,
  defineMiddleware,
  type FetchLike,
  type Middleware,
  type Random,
  type Settlement,
  type TimerHandle,
} from 'breakwater';
import ky from 'ky';
import { describe, expectTypeOf, test } from 'vitest';

describe('FetchLike', () => {
  test('is what the fetch of the runtime is, and what ky takes', () => {
    expectTypeOf(fetch).toExtend<FetchLike>();
    expectTypeOf<FetchLike>().parameter(0).toEqualTypeOf<string | URL | Request>();
    expectTypeOf<FetchLike>().parameter(1).toEqualTypeOf<RequestInit | undefined>();
    expectTypeOf<FetchLike>().returns.toEqualTypeOf<Promise<Response>>();
    const chain = compose()(fetch);
    ky.create({ fetch: chain });
    // @ts-expect-error: an answer is a promise
    const wrong: FetchLike = () => new Response();
    return wrong;
  });
});

describe('Middleware', () => {
  test('takes a fetch and returns a fetch', () => {
    expectTypeOf<Middleware>().toEqualTypeOf<(next: FetchLike) => FetchLike>();
  });

  test('compose() makes one of any number', () => {
    expectTypeOf(compose).parameters.toEqualTypeOf<Middleware[]>();
    expectTypeOf(compose).returns.toEqualTypeOf<Middleware>();
    // @ts-expect-error: options are no middleware
    compose({ maxRetries: 1 });
  });

  test('defineMiddleware() makes one of a function of a call', () => {
    const made = defineMiddleware('own', (call, next) => {
      expectTypeOf(call).toEqualTypeOf<Call>();
      expectTypeOf(next).toEqualTypeOf<(call: Call) => Promise<Response>>();
      return next(call.with({ headers: new Headers(call.headers) }));
    });
    expectTypeOf(made).toEqualTypeOf<Middleware>();
    // @ts-expect-error: it has to answer
    defineMiddleware('own', () => undefined);
  });
});

describe('Call', () => {
  test('is an init that any fetch takes', () => {
    expectTypeOf<Call>().toExtend<RequestInit>();
    expectTypeOf<Call['url']>().toEqualTypeOf<string>();
    expectTypeOf<Call['method']>().toEqualTypeOf<string>();
    expectTypeOf<Call['headers']>().toEqualTypeOf<Headers>();
    expectTypeOf<Call['request']>().toEqualTypeOf<Request | undefined>();
    expectTypeOf<Call['signal']>().toEqualTypeOf<AbortSignal | null | undefined>();
    expectTypeOf<Call['body']>().toEqualTypeOf<BodyInit | null | undefined>();
    expectTypeOf<Call['attempt']>().toEqualTypeOf<Attempt>();
    expectTypeOf<Call['context']>().toEqualTypeOf<CallContext>();
  });

  test('is changed only in a fork', () => {
    expectTypeOf<Call['with']>().toEqualTypeOf<(changes: CallChanges) => Call>();
    const change = (call: Call) => {
      // @ts-expect-error: a call is frozen by convention
      call.url = 'https://b.example';
      // @ts-expect-error: so is its body
      call.body = null;
    };
    return change;
  });

  test('may change in these fields', () => {
    expectTypeOf<CallChanges>().toExtend<{
      readonly url?: string;
      readonly headers?: Headers;
      readonly body?: BodyInit | null;
      readonly signal?: AbortSignal | null;
      readonly redirect?: RequestRedirect;
      readonly attempt?: Attempt;
    }>();
    // @ts-expect-error: a method is for good
    const changes: CallChanges = { method: 'PUT' };
    return changes;
  });

  test('carries what its layers know', () => {
    expectTypeOf<CallContext['startedAt']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<CallContext['deadlineAt']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<CallContext['lastProgressAt']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<CallContext['emit']>().toEqualTypeOf<((event: ChainEvent) => void) | undefined>();
    const fresh: CallContext = {};
    return fresh;
  });
});

describe('Attempt', () => {
  test('has two moments', () => {
    expectTypeOf(Attempt).toBeConstructibleWith({}, 1);
    expectTypeOf<Attempt['number']>().toEqualTypeOf<number>();
    expectTypeOf<Attempt['claim']>().toEqualTypeOf<() => void>();
    expectTypeOf<Attempt['commit']>().toEqualTypeOf<() => void>();
    expectTypeOf<Attempt['settle']>().toEqualTypeOf<(settlement: Settlement) => void>();
    expectTypeOf<Attempt['onCommitted']>().toEqualTypeOf<(listener: () => void) => void>();
    expectTypeOf<Attempt['onSettled']>().toEqualTypeOf<
      (listener: (settlement: Settlement) => void) => void
    >();
  });
});

describe('Clock', () => {
  test('is four functions that the globals of every runtime fit', () => {
    expectTypeOf<Clock>().toEqualTypeOf<{
      now(): number;
      wall(): number;
      setTimeout(callback: () => void, delayMs: number): TimerHandle;
      clearTimeout(handle: TimerHandle): void;
    }>();
    expectTypeOf<ReturnType<typeof setTimeout>>().toExtend<TimerHandle>();
    expectTypeOf(Math.random).toExtend<Random>();
    expectTypeOf<Random>().toEqualTypeOf<() => number>();
  });
});
