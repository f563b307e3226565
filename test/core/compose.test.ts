import { compose, type FetchLike, type Middleware } from 'breakwater';
import { describe, expect, it } from 'vitest';
import { look, recorder, thrownBy, url } from './stubs.ts';

describe('compose()', () => {
  it('puts the first outermost', async () => {
    const order: string[] = [];
    await compose(
      look(() => order.push('first')),
      look(() => order.push('second')),
    )(recorder())(url);
    expect(order).toEqual(['first', 'second']);
  });

  it('can be applied to several fetches, and each stands alone', async () => {
    const chain = compose(look(), look());
    const [one, two] = [recorder(503), recorder()];
    expect((await chain(one)(url)).status).toBe(503);
    expect((await chain(two)(url)).status).toBe(200);
    expect([one.sent.length, two.sent.length]).toEqual([1, 1]);
  });

  it('applies middlewares when it is given the fetch, and not before', () => {
    const applied: unknown[] = [];
    const noting: Middleware = (next) => {
      applied.push(next);
      return next;
    };
    const chain = compose(noting);
    expect(applied).toEqual([]);
    const end: FetchLike = async () => new Response();
    chain(end);
    expect(applied).toEqual([end]);
  });

  it('is not changed by a change to the list that it was made of', async () => {
    let count = 0;
    const list = [look(() => count++)];
    const chain = compose(...list);
    list.push(look(() => count++));
    await chain(recorder())(url);
    expect(count).toBe(1);
  });

  it.each([[undefined], [null], [{}], ['retry'], [Promise.resolve()], [[look()]]])('refuses %s', (bad) => {
    const error = thrownBy(() => compose(look(), bad as never));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toMatch(/^Cannot compose middlewares as each must be a function: one is /);
  });
});
