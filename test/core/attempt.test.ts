import { Attempt } from 'breakwater';
import { describe, expect, it } from 'vitest';

function watched(number = 1): { attempt: Attempt; seen: string[] } {
  const attempt = new Attempt({}, number);
  const seen: string[] = [];
  attempt.onCommitted(() => seen.push('committed'));
  attempt.onSettled(({ outcome }) => seen.push(outcome));
  return { attempt, seen };
}

describe('Attempt', () => {
  it('commits and settles once', () => {
    const { attempt, seen } = watched();
    attempt.commit();
    attempt.commit();
    attempt.settle({ outcome: 'complete' });
    attempt.settle({ outcome: 'cancelled' });
    attempt.commit();
    expect(seen).toEqual(['committed', 'complete']);
    expect(attempt.settlement).toEqual({ outcome: 'complete' });
  });

  it('tells every listener, also those that come late', () => {
    const { attempt, seen } = watched();
    attempt.onCommitted(() => seen.push('committed 2'));
    attempt.commit();
    attempt.settle({ outcome: 'abandoned' });
    attempt.onCommitted(() => seen.push('committed 3'));
    attempt.onSettled(({ outcome }) => seen.push(`${outcome} 2`));
    expect(seen).toEqual(['committed', 'committed 2', 'abandoned', 'committed 3', 'abandoned 2']);
  });

  it('can settle without having been committed', () => {
    const { attempt, seen } = watched();
    const error = new Error('lost');
    attempt.settle({ outcome: 'failed', error });
    expect(seen).toEqual(['failed']);
    expect(attempt.committed).toBe(false);
  });

  it('commits and settles at the headers when nobody guards the body', () => {
    const { attempt, seen } = watched();
    attempt.arrive();
    attempt.arrive();
    expect(seen).toEqual(['committed', 'complete']);
  });

  it('leaves its moments to whoever guards the body', () => {
    const { attempt, seen } = watched();
    attempt.claim();
    attempt.arrive();
    expect(seen).toEqual([]);
  });

  it.each(['before', 'after'])('takes over the moments of an attempt that had them %s', (when) => {
    const { attempt: outer, seen } = watched();
    const { attempt: inner } = watched(2);
    inner.claim();
    const live = () => {
      inner.commit();
      inner.settle({ outcome: 'complete' });
    };
    if (when === 'before') live();
    outer.follow(inner);
    outer.arrive();
    if (when === 'after') {
      expect(seen).toEqual([]);
      live();
    }
    expect(seen).toEqual(['committed', 'complete']);
    expect(outer.claimed).toBe(true);
  });

  it('passes its moments on through several layers', () => {
    const { attempt: outer, seen } = watched();
    const middle = new Attempt(outer.context, 1);
    const inner = new Attempt(outer.context, 1);
    inner.claim();
    middle.follow(inner);
    outer.follow(middle);
    inner.tripped = true;
    inner.commit();
    inner.settle({ outcome: 'cancelled' });
    expect(seen).toEqual(['committed', 'cancelled']);
  });

  it('cancels an answer that is thrown away, and lets go of what was held for it', () => {
    const { attempt } = watched();
    const seen: unknown[] = [];
    attempt.release = () => seen.push('released');
    const body = new ReadableStream({ cancel: () => void seen.push('cancelled') });
    attempt.discard(new Response(body));
    attempt.discard(new Response(null));
    expect(seen).toEqual(['released', 'cancelled', 'released']);
  });

  it('hands an answer that is thrown away to whoever takes it', () => {
    const { attempt } = watched();
    const response = new Response('x');
    const taken: Response[] = [];
    attempt.discard(response, (each) => taken.push(each));
    expect(taken).toEqual([response]);
    expect(response.bodyUsed).toBe(false);
  });

  it('is not disturbed by a body that cannot be cancelled', async () => {
    const { attempt } = watched();
    const locked = new Response('x');
    locked.body?.getReader();
    attempt.discard(locked);
    attempt.discard(new Response(new ReadableStream({ cancel: () => Promise.reject(new Error('no')) })));
    const errored = new ReadableStream({ start: (sink) => sink.error(new Error('broken')) });
    attempt.discard(new Response(errored));
    await new Promise<void>((resolve) => setImmediate(resolve));
  });
});
