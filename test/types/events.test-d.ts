import type { Cause, ChainEvent, Listener, ObservedEvent, PayloadIssue, Settlement } from 'breakwater';
import { describe, expectTypeOf, test } from 'vitest';

type Of<Type extends ChainEvent['type']> = Extract<ChainEvent, { type: Type }>;

describe('ChainEvent', () => {
  test('is one of these types', () => {
    const known = (event: ChainEvent): true => {
      switch (event.type) {
        case 'call.started':
        case 'call.settled':
        case 'attempt.started':
        case 'retry.scheduled':
        case 'retry.refused':
        case 'retry.pressure':
        case 'body.single-attempt':
        case 'breaker.opened':
        case 'breaker.probed':
        case 'breaker.closed':
        case 'stream.first-token':
        case 'stream.keep-alive':
        case 'stream.unheld':
        case 'stream.resumed':
        case 'call.queued':
        case 'fallback.advanced':
        case 'payload.skipped':
        case 'payload.advice':
        case 'limit.told':
        case 'balance.low':
          return true;
      }
    };
    return known;
  });

  test('says with its type what it holds', () => {
    expectTypeOf<Of<'call.started'>>().toEqualTypeOf<{
      readonly type: 'call.started';
      readonly method: string;
      readonly url: string;
    }>();
    expectTypeOf<Of<'call.settled'>['outcome']>().toEqualTypeOf<Settlement['outcome']>();
    expectTypeOf<Of<'call.settled'>['status']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<Of<'retry.scheduled'>['delayMs']>().toEqualTypeOf<number>();
    expectTypeOf<Of<'retry.scheduled'>['cause']>().toEqualTypeOf<Cause>();
    expectTypeOf<Of<'retry.refused'>['reason']>().toEqualTypeOf<
      'limit' | 'budget' | 'deadline' | 'retry-budget' | 'single-attempt'
    >();
    expectTypeOf<Of<'breaker.opened'>['retryAfterMs']>().toEqualTypeOf<number>();
    expectTypeOf<Of<'payload.advice'>['issues']>().toEqualTypeOf<readonly PayloadIssue[]>();
  });

  test('is not to be changed', () => {
    const change = (event: Of<'breaker.closed'>) => {
      // @ts-expect-error: it belongs to others too
      event.key = '';
    };
    return change;
  });
});

describe('ObservedEvent', () => {
  test('is an event with the number of its call and a time', () => {
    expectTypeOf<ObservedEvent>().toExtend<ChainEvent>();
    expectTypeOf<ObservedEvent['callId']>().toEqualTypeOf<number>();
    expectTypeOf<ObservedEvent['at']>().toEqualTypeOf<number>();
    expectTypeOf<Listener>().toEqualTypeOf<(event: ObservedEvent) => void>();
  });
});

describe('Settlement', () => {
  test('has an error when it failed, and only then', () => {
    expectTypeOf<Settlement['outcome']>().toEqualTypeOf<'complete' | 'cancelled' | 'abandoned' | 'failed'>();
    expectTypeOf<Extract<Settlement, { outcome: 'failed' }>['error']>().toBeUnknown();
    // @ts-expect-error: why it failed has to be said
    const failed: Settlement = { outcome: 'failed' };
    return failed;
  });

  test('has a cause that is a status or a name', () => {
    expectTypeOf<Cause>().toEqualTypeOf<number | string>();
  });
});
