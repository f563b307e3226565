import {
  AuthCheckError,
  BreakwaterError,
  CircuitOpenError,
  isBreakwaterError,
  type MiddlewareError,
  type PartialAnswer,
  PayloadError,
  type PayloadIssue,
  StreamBrokenError,
  type StreamProgress,
  StreamTimeoutError,
} from 'breakwater';
import { describe, expectTypeOf, test } from 'vitest';

type Code =
  | 'AUTH_MISSING'
  | 'AUTH_MALFORMED'
  | 'AUTH_ORIGIN'
  | 'PAYLOAD_INVALID'
  | 'CIRCUIT_OPEN'
  | 'TIMEOUT_HEADERS'
  | 'TIMEOUT_FIRST_TOKEN'
  | 'TIMEOUT_IDLE'
  | 'TIMEOUT_TOTAL'
  | 'STREAM_RESET'
  | 'STREAM_TRUNCATED'
  | 'STREAM_FAILED'
  | 'STREAM_MALFORMED'
  | 'STREAM_EMPTY'
  | 'STREAM_OVERFLOW';

describe('MiddlewareError', () => {
  test('is one of these classes, with one of these codes', () => {
    expectTypeOf<MiddlewareError>().toEqualTypeOf<
      AuthCheckError | PayloadError | CircuitOpenError | StreamTimeoutError | StreamBrokenError
    >();
    expectTypeOf<MiddlewareError['code']>().toEqualTypeOf<Code>();
    expectTypeOf<MiddlewareError>().toExtend<BreakwaterError>();
  });

  test('can be switched over without a default', () => {
    const advice = (error: MiddlewareError): string => {
      switch (error.code) {
        case 'AUTH_MISSING':
        case 'AUTH_MALFORMED':
        case 'AUTH_ORIGIN':
          expectTypeOf(error).toEqualTypeOf<AuthCheckError>();
          return error.message;
        case 'PAYLOAD_INVALID':
          expectTypeOf(error).toEqualTypeOf<PayloadError>();
          return error.issues.map(({ path }) => path).join();
        case 'CIRCUIT_OPEN':
          expectTypeOf(error).toEqualTypeOf<CircuitOpenError>();
          return error.key;
        case 'TIMEOUT_HEADERS':
        case 'TIMEOUT_FIRST_TOKEN':
        case 'TIMEOUT_IDLE':
        case 'TIMEOUT_TOTAL':
          expectTypeOf(error).toEqualTypeOf<StreamTimeoutError>();
          return `${error.limitMs}`;
        case 'STREAM_RESET':
        case 'STREAM_TRUNCATED':
        case 'STREAM_FAILED':
        case 'STREAM_MALFORMED':
        case 'STREAM_EMPTY':
        case 'STREAM_OVERFLOW':
          expectTypeOf(error).toEqualTypeOf<StreamBrokenError>();
          return `${error.receivedBytes}`;
      }
    };
    return advice;
  });

  test('can be switched over by name too', () => {
    const advice = (error: MiddlewareError): unknown => {
      switch (error.name) {
        case 'AuthCheckError':
          return expectTypeOf(error).toEqualTypeOf<AuthCheckError>();
        case 'PayloadError':
          return expectTypeOf(error).toEqualTypeOf<PayloadError>();
        case 'CircuitOpenError':
          return expectTypeOf(error).toEqualTypeOf<CircuitOpenError>();
        case 'StreamTimeoutError':
          return expectTypeOf(error).toEqualTypeOf<StreamTimeoutError>();
        case 'StreamBrokenError':
          return expectTypeOf(error).toEqualTypeOf<StreamBrokenError>();
      }
    };
    return advice;
  });

  test('is what isBreakwaterError() finds in anything', () => {
    expectTypeOf(isBreakwaterError).parameter(0).toBeUnknown();
    expectTypeOf(isBreakwaterError).guards.toEqualTypeOf<MiddlewareError>();
  });
});

describe('The errors', () => {
  test('carry what the caller needs next', () => {
    expectTypeOf<PayloadError['issues']>().toEqualTypeOf<readonly PayloadIssue[]>();
    expectTypeOf<PayloadIssue>().toEqualTypeOf<{ readonly path: string; readonly message: string }>();
    expectTypeOf<CircuitOpenError['key']>().toEqualTypeOf<string>();
    expectTypeOf<CircuitOpenError['retryAfterMs']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<CircuitOpenError['lastStatus']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<StreamTimeoutError['limitMs']>().toEqualTypeOf<number>();
    expectTypeOf<StreamTimeoutError>().toExtend<StreamProgress>();
    expectTypeOf<StreamBrokenError>().toExtend<StreamProgress>();
    expectTypeOf<StreamProgress['receivedBytes']>().toEqualTypeOf<number>();
    expectTypeOf<StreamProgress['keepAlives']>().toEqualTypeOf<number>();
    expectTypeOf<StreamBrokenError['partial']>().toEqualTypeOf<PartialAnswer | undefined>();
    expectTypeOf<StreamProgress['committed']>().toEqualTypeOf<boolean>();
  });

  test('can be made in the tests of others', () => {
    const progress: StreamProgress = { receivedBytes: 0, keepAlives: 0, committed: false };
    expectTypeOf(AuthCheckError).toBeConstructibleWith('AUTH_MISSING', 'Request has no key');
    expectTypeOf(PayloadError).toBeConstructibleWith([{ path: 'model', message: 'is missing' }]);
    expectTypeOf(CircuitOpenError).toBeConstructibleWith('key', undefined);
    expectTypeOf(CircuitOpenError).toBeConstructibleWith('key', 1, 503);
    expectTypeOf(StreamTimeoutError).toBeConstructibleWith('TIMEOUT_IDLE', 1, progress);
    expectTypeOf(StreamBrokenError).toBeConstructibleWith('STREAM_RESET', progress, new Error('lost'));
  });

  test('have an ancestor for those of your own', () => {
    class OwnError extends BreakwaterError<'OWN'> {}
    expectTypeOf<OwnError['code']>().toEqualTypeOf<'OWN'>();
    expectTypeOf<OwnError>().toExtend<Error>();
    expectTypeOf<ReturnType<OwnError['toJSON']>>().toExtend<object>();
    // @ts-expect-error: it is abstract
    new BreakwaterError('OWN', 'message');
  });
});
