import { createFakeClock } from 'breakwater/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('createFakeClock()', () => {
  it('stands still until it is advanced', async () => {
    const clock = createFakeClock({ wallMs: 5000 });
    const startMs = clock.now();
    expect(startMs).not.toBe(0);
    expect(clock.wall()).toBe(5000);
    await clock.advance(250);
    expect(clock.now()).toBe(startMs + 250);
    expect(clock.wall()).toBe(5250);
  });

  it('fires timers in order of their time, and in order of their setting when they fall due together', async () => {
    const clock = createFakeClock();
    const fired: string[] = [];
    clock.setTimeout(() => fired.push('late'), 20);
    clock.setTimeout(() => fired.push('early'), 10);
    clock.setTimeout(() => fired.push('late too'), 20);
    await clock.advance(20);
    expect(fired).toEqual(['early', 'late', 'late too']);
  });

  it('shows each timer the time at which it was due', async () => {
    const clock = createFakeClock();
    const startMs = clock.now();
    const seen: number[] = [];
    for (const delayMs of [30, 10, -5]) clock.setTimeout(() => seen.push(clock.now() - startMs), delayMs);
    await clock.advance(100);
    expect(seen).toEqual([0, 10, 30]);
  });

  it('fires a timer that an earlier one has set', async () => {
    const clock = createFakeClock();
    let at = 0;
    clock.setTimeout(() => clock.setTimeout(() => (at = clock.now()), 10), 10);
    const startMs = clock.now();
    await clock.advance(20);
    expect(at - startMs).toBe(20);
  });

  it('forgets a timer that is cleared, and ignores one that has fired', async () => {
    const clock = createFakeClock();
    let count = 0;
    const cleared = clock.setTimeout(() => count++, 10);
    const fired = clock.setTimeout(() => count++, 10);
    expect(clock.pendingTimers).toBe(2);
    clock.clearTimeout(cleared);
    expect(clock.pendingTimers).toBe(1);
    await clock.advance(10);
    clock.clearTimeout(fired);
    clock.clearTimeout(undefined);
    expect(count).toBe(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it('lets a long chain of promises set its timer before time passes', async () => {
    const clock = createFakeClock();
    const chain = async () => {
      for (let step = 0; step < 100; step++) await Promise.resolve();
      await new Promise<void>((resolve) => clock.setTimeout(resolve, 10));
      for (let step = 0; step < 20; step++) await new Promise((resolve) => setImmediate(resolve));
      await new Promise<void>((resolve) => clock.setTimeout(resolve, 10));
      return clock.now();
    };
    const startMs = clock.now();
    const ended = chain();
    await clock.advance(20);
    await expect(ended).resolves.toBe(startMs + 20);
  });

  it('drives promises where there are no message channels', async () => {
    vi.stubGlobal('MessageChannel', undefined);
    const clock = createFakeClock();
    let isDone = false;
    void Promise.resolve().then(() => clock.setTimeout(() => (isDone = true), 10));
    await clock.advance(10);
    expect(isDone).toBe(true);
  });

  it('drives a stream through a transform', async () => {
    const clock = createFakeClock();
    const source = new ReadableStream<string>({
      async pull(controller) {
        await new Promise<void>((resolve) => clock.setTimeout(resolve, 1000));
        controller.enqueue('x');
        if (clock.now() >= startMs + 10_000) controller.close();
      },
    });
    const startMs = clock.now();
    const text = new Response(source.pipeThrough(new TextEncoderStream())).text();
    await clock.advance(10_000);
    await expect(text).resolves.toBe('x'.repeat(10));
  });

  it.each([Number.NaN, 2 ** 31, Number.POSITIVE_INFINITY])('refuses a delay of %s', (delayMs) => {
    expect(() => createFakeClock().setTimeout(() => undefined, delayMs)).toThrow(
      new RangeError(
        `Cannot set timer as "delayMs" must be a number up to 2147483647: current value is ${delayMs}`,
      ),
    );
  });

  it.each([-1, Number.NaN])('refuses to advance by %s', async (ms) => {
    await expect(createFakeClock().advance(ms)).rejects.toThrow(RangeError);
  });

  it('refuses to be advanced twice at a time', async () => {
    const clock = createFakeClock();
    const first = clock.advance(10);
    await expect(clock.advance(10)).rejects.toThrow('await the call before');
    await first;
    await clock.advance(10);
  });

  it('passes on what a timer throws, and can be moved afterwards', async () => {
    const clock = createFakeClock();
    clock.setTimeout(() => {
      throw new Error('from the timer');
    }, 1);
    await expect(clock.advance(1)).rejects.toThrow('from the timer');
    await clock.advance(1);
  });

  it('settles without letting time pass', async () => {
    const clock = createFakeClock();
    const startMs = clock.now();
    let isDone = false;
    void Promise.resolve()
      .then(() => undefined)
      .then(() => (isDone = true));
    await clock.settle();
    expect(isDone).toBe(true);
    expect(clock.now()).toBe(startMs);
  });

  it('runs until a promise has settled, and no further', async () => {
    const clock = createFakeClock();
    const startMs = clock.now();
    const ended = new Promise<string>((resolve) => clock.setTimeout(() => resolve('done'), 90_000));
    clock.setTimeout(() => undefined, 100_000);
    await expect(clock.runUntil(ended)).resolves.toBe('done');
    expect(clock.now()).toBe(startMs + 90_000);
  });

  it('rejects as the promise does that it runs for', async () => {
    const clock = createFakeClock();
    const reason = new Error('no');
    await expect(clock.runUntil(Promise.reject(reason))).rejects.toBe(reason);
  });

  it('says why it cannot run until a promise settles', async () => {
    const clock = createFakeClock();
    const never = new Promise<never>(() => undefined);
    await expect(clock.runUntil(never)).rejects.toThrow('Promise is still pending although no timer is left');
    clock.setTimeout(() => undefined, 20);
    await expect(clock.runUntil(never, 10)).rejects.toThrow(
      'Promise is still pending although 10 ms have passed',
    );
  });

  it.each([
    [{ wallMs: Number.NaN }, RangeError, 'Cannot create fake clock as "wallMs" must be a finite number'],
    [{ wallMs: '5' }, TypeError, 'current value is "5"'],
    [{ wallMS: 5 }, TypeError, 'Cannot create fake clock as "wallMS" is unknown: Did you mean "wallMs"?'],
    [{ speed: 5 }, TypeError, 'Cannot create fake clock as "speed" is unknown: known are wallMs'],
    [null, TypeError, 'Cannot create fake clock from null: an object is needed'],
  ])('refuses the options %o', (options, type, message) => {
    const create = () => createFakeClock(options as never);
    expect(create).toThrow(type);
    expect(create).toThrow(message);
  });
});
