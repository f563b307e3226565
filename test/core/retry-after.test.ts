import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readRetryAfter } from '../../src/core/retry-after.ts';

const NOW = Date.UTC(2026, 10, 6, 8, 49, 7);

type Told = Readonly<Record<string, string>>;

function read(headers: Told, now: number = NOW): number | undefined {
  return readRetryAfter(new Headers(headers), () => now);
}

function readWithoutClock(headers: Told): number | undefined {
  return readRetryAfter(new Headers(headers), () => {
    throw new Error('The wall clock was read');
  });
}

describe('readRetryAfter() without a date', () => {
  const cases: [does: string, headers: Told, ms: number | undefined][] = [
    ['reads seconds', { 'retry-after': '5' }, 5000],
    ['reads seconds with leading zeros', { 'retry-after': '007' }, 7000],
    ['reads decimals of seconds', { 'retry-after': '1.5' }, 1500],
    ['reads decimals without a whole part', { 'retry-after': '.5' }, 500],
    ['reads a bare decimal point at the end', { 'retry-after': '2.' }, 2000],
    ['reads milliseconds', { 'retry-after-ms': '1234' }, 1234],
    ['reads decimals of milliseconds', { 'retry-after-ms': '0.25' }, 0.25],
    ['lets milliseconds win when they are shorter', { 'retry-after-ms': '250', 'retry-after': '5' }, 250],
    ['lets milliseconds win when they are longer', { 'retry-after-ms': '9000', 'retry-after': '5' }, 9000],
    [
      'reads seconds when milliseconds are unreadable',
      { 'retry-after-ms': 'soon', 'retry-after': '5' },
      5000,
    ],
    ['reads seconds when milliseconds are zero', { 'retry-after-ms': '0', 'retry-after': '5' }, 5000],
    [
      'reads seconds when milliseconds are a date',
      { 'retry-after-ms': 'Fri, 06 Nov 2026 08:49:37 GMT', 'retry-after': '5' },
      5000,
    ],
    ['takes the longest of a list that begins with it', { 'retry-after': '5, 1' }, 5000],
    ['takes the longest of a list that ends with it', { 'retry-after': '1, 5' }, 5000],
    ['takes the longest of a list without spaces', { 'retry-after': '1,5,3' }, 5000],
    ['takes the longest of a list of milliseconds', { 'retry-after-ms': '20 ,  30' }, 30],
    ['skips what is unreadable in a list', { 'retry-after': 'soon, 5, , -9, 1e9' }, 5000],
    ['skips a weekday that no date follows', { 'retry-after': 'Fri, 5' }, 5000],
    ['returns waits beyond 2^31 ms as they are', { 'retry-after': '99999999' }, 99_999_999_000],
    ['keeps an absurd number of seconds finite', { 'retry-after': '9'.repeat(400) }, Number.MAX_SAFE_INTEGER],
    [
      'keeps an absurd number of milliseconds finite',
      { 'retry-after-ms': '9'.repeat(30) },
      Number.MAX_SAFE_INTEGER,
    ],
    ['is told nothing without a header', {}, undefined],
  ];

  test.each(cases)('readRetryAfter() %s', (_does, headers, ms) => {
    expect(readWithoutClock(headers)).toBe(ms);
  });

  const garbage = [
    ...[
      '',
      ' ',
      '0',
      '00',
      '0.0',
      '-0',
      '-1',
      '-5',
      '+5',
      '.',
      '..5',
      '1.2.3',
      '1 2',
      '5s',
      '5 seconds',
      '5;q=1',
    ],
    ...[
      '1e3',
      '1E3',
      '0x10',
      '0b11',
      '1_000',
      '1n',
      'Infinity',
      '-Infinity',
      'NaN',
      'null',
      'undefined',
      'true',
    ],
    ...[
      'soon',
      'Date',
      '"5"',
      '٥',
      ', ,',
      '-1, 0',
      '2026-11-06T08:49:37Z',
      '1 Jan',
      'Nov 6 2026',
      '06 Nov 2026',
    ],
  ].filter((value) => !/[^\0-ÿ]/.test(value)); // Headers hold bytes

  test.each(garbage)('readRetryAfter() is told nothing by %j', (value) => {
    expect(readWithoutClock({ 'retry-after': value })).toBeUndefined();
    expect(readWithoutClock({ 'retry-after-ms': value })).toBeUndefined();
  });
});

describe('readRetryAfter() with a date', () => {
  const cases: [does: string, value: string, ms: number | undefined][] = [
    ['reads an IMF-fixdate', 'Fri, 06 Nov 2026 08:49:37 GMT', 30_000],
    ['reads an RFC 850 date', 'Friday, 06-Nov-26 08:49:37 GMT', 30_000],
    ['reads an asctime date', 'Fri Nov  6 08:49:37 2026', 30_000],
    ['reads an asctime date with a day of two digits', 'Mon Nov 16 08:49:07 2026', 864_000_000],
    ['tolerates a wrong weekday', 'Mon, 06 Nov 2026 08:49:37 GMT', 30_000],
    ['tolerates a wrong weekday in RFC 850', 'Wednesday, 06-Nov-26 08:49:37 GMT', 30_000],
    ['reads a leap second', 'Fri, 06 Nov 2026 08:49:60 GMT', 53_000],
    ['reads a leap second at the end of a year', 'Thu, 31 Dec 2026 23:59:60 GMT', Date.UTC(2027, 0, 1) - NOW],
    ['reads a leap second in RFC 850', 'Friday, 06-Nov-26 08:49:60 GMT', 53_000],
    ['reads a leap second in asctime', 'Fri Nov  6 08:49:60 2026', 53_000],
    ['reads a leap day', 'Tue, 29 Feb 2028 00:00:00 GMT', Date.UTC(2028, 1, 29) - NOW],
    ['reads a date beyond 2^31 ms', 'Tue, 06 Nov 2125 08:49:07 GMT', Date.UTC(2125, 10, 6, 8, 49, 7) - NOW],
    ['reads the last hour of a day', 'Fri, 06 Nov 2026 23:00:00 GMT', Date.UTC(2026, 10, 6, 23) - NOW],
    [
      'reads the last hour of a day in RFC 850',
      'Friday, 06-Nov-26 23:00:00 GMT',
      Date.UTC(2026, 10, 6, 23) - NOW,
    ],
    ['reads the last hour of a day in asctime', 'Fri Nov  6 23:00:00 2026', Date.UTC(2026, 10, 6, 23) - NOW],
    ['takes the later of two dates', 'Fri, 06 Nov 2026 08:49:17 GMT, Fri, 06 Nov 2026 08:49:37 GMT', 30_000],
    [
      'takes the later of two dates of other forms',
      'Friday, 06-Nov-26 08:49:37 GMT,Fri Nov  6 08:49:17 2026',
      30_000,
    ],
    ['takes seconds when they are longer than a date', 'Fri, 06 Nov 2026 08:49:37 GMT, 31', 31_000],
    ['takes a date when it is longer than seconds', '29, Fri, 06 Nov 2026 08:49:37 GMT', 30_000],
    ['takes seconds from a list with a past date', 'Fri, 06 Nov 2020 08:49:37 GMT, 5', 5000],
    ['is told nothing by the present', 'Fri, 06 Nov 2026 08:49:07 GMT', undefined],
    ['is told nothing by the past', 'Fri, 06 Nov 2026 08:49:06 GMT', undefined],
    ['is told nothing by a year of the first century', 'Fri, 06 Nov 0099 08:49:06 GMT', undefined],
  ];

  test.each(cases)('readRetryAfter() %s', (_does, value, ms) => {
    expect(read({ 'retry-after': value })).toBe(ms);
  });

  test.each(
    'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ').map((name, month) => ({ name, month })),
  )('readRetryAfter() knows $name', ({ name, month }) => {
    const ms = Date.UTC(2027, month, 15) - NOW;
    expect(read({ 'retry-after': `Fri, 15 ${name} 2027 00:00:00 GMT` })).toBe(ms);
    expect(read({ 'retry-after': `Friday, 15-${name}-27 00:00:00 GMT` })).toBe(ms);
    expect(read({ 'retry-after': `Fri ${name} 15 00:00:00 2027` })).toBe(ms);
  });

  // Each would lie in the future if it were read the lenient way.
  const refused = [
    [
      'an unknown month',
      'Fri, 06 Foo 2027 08:49:37 GMT',
      'Friday, 06-Foo-27 08:49:37 GMT',
      'Fri Foo  6 08:49:37 2027',
    ],
    [
      'letters from within two months',
      'Fri, 06 Nfe 2027 08:49:37 GMT',
      'Friday, 06-Dec-7 08:49:37 GMT',
      'Fri Nfe  6 08:49:37 2027',
    ],
    [
      '31 February',
      'Wed, 31 Feb 2027 08:49:37 GMT',
      'Wednesday, 31-Feb-27 08:49:37 GMT',
      'Wed Feb 31 08:49:37 2027',
    ],
    [
      '29 February of a common year',
      'Mon, 29 Feb 2027 08:49:37 GMT',
      'Monday, 29-Feb-27 08:49:37 GMT',
      'Mon Feb 29 08:49:37 2027',
    ],
    ['day 0', 'Mon, 00 Nov 2027 08:49:37 GMT', 'Monday, 00-Nov-27 08:49:37 GMT', 'Mon Nov  0 08:49:37 2027'],
    ['day 32', 'Mon, 32 Dec 2027 08:49:37 GMT', 'Monday, 32-Dec-27 08:49:37 GMT', 'Mon Dec 32 08:49:37 2027'],
    [
      'hour 24',
      'Sat, 06 Nov 2027 24:00:00 GMT',
      'Saturday, 06-Nov-27 24:00:00 GMT',
      'Sat Nov  6 24:00:00 2027',
    ],
    [
      'hour 30',
      'Sat, 06 Nov 2027 30:00:00 GMT',
      'Saturday, 06-Nov-27 30:00:00 GMT',
      'Sat Nov  6 30:00:00 2027',
    ],
    [
      'minute 60',
      'Sat, 06 Nov 2027 08:60:00 GMT',
      'Saturday, 06-Nov-27 08:60:00 GMT',
      'Sat Nov  6 08:60:00 2027',
    ],
    [
      'second 61',
      'Sat, 06 Nov 2027 08:49:61 GMT',
      'Saturday, 06-Nov-27 08:49:61 GMT',
      'Sat Nov  6 08:49:61 2027',
    ],
    [
      'something before the date',
      '5 Sat, 06 Nov 2027 08:49:37 GMT',
      '5 Saturday, 06-Nov-27 08:49:37 GMT',
      '5 Sat Nov  6 08:49:37 2027',
    ],
    [
      'something after the date',
      'Sat, 06 Nov 2027 08:49:37 GMT+1',
      'Saturday, 06-Nov-27 08:49:37 GMT+1',
      'Sat Nov  6 08:49:37 20270',
    ],
    [
      'another zone',
      'Sat, 06 Nov 2027 08:49:37 PST',
      'Saturday, 06-Nov-27 08:49:37 +0100',
      'Sat Nov  6 08:49:37 PST 2027',
    ],
    [
      'a day of one digit',
      'Sat, 6 Nov 2027 08:49:37 GMT',
      'Saturday, 6-Nov-27 08:49:37 GMT',
      'Sat Nov 6 08:49:37 2027',
    ],
    [
      'a year of the wrong length',
      'Sat, 06 Nov 27 08:49:37 GMT',
      'Saturday, 06-Nov-2027 08:49:37 GMT',
      'Sat Nov  6 08:49:37 27',
    ],
    [
      'the weekday of another form',
      'Saturday, 06 Nov 2027 08:49:37 GMT',
      'Sat, 06-Nov-27 08:49:37 GMT',
      'Saturday Nov  6 08:49:37 2027',
    ],
    [
      'small letters',
      'sat, 06 nov 2027 08:49:37 gmt',
      'saturday, 06-nov-27 08:49:37 gmt',
      'sat nov  6 08:49:37 2027',
    ],
    ['no weekday', '06 Nov 2027 08:49:37 GMT', '06-Nov-27 08:49:37 GMT', 'Nov  6 08:49:37 2027'],
    ['no seconds', 'Sat, 06 Nov 2027 08:49 GMT', 'Saturday, 06-Nov-27 08:49 GMT', 'Sat Nov  6 08:49 2027'],
  ] as const;

  test.each(refused)('readRetryAfter() refuses %s', (_what, ...values) => {
    for (const value of values) expect(read({ 'retry-after': value })).toBeUndefined();
  });

  test('readRetryAfter() reads the clock once per date, and not at all when milliseconds win', () => {
    let readings = 0;
    const wallNow = () => {
      readings += 1;
      return NOW;
    };
    const date = 'Fri, 06 Nov 2026 08:49:37 GMT';
    readRetryAfter(new Headers({ 'retry-after-ms': '5', 'retry-after': date }), wallNow);
    expect(readings).toBe(0);
    readRetryAfter(new Headers({ 'retry-after': date }), wallNow);
    expect(readings).toBe(1);
  });

  test('readRetryAfter() reads each of the three forms of any instant to come', () => {
    const instant = fc.integer({ min: 1, max: 49 * 365 * 86_400 }).map((seconds) => NOW + seconds * 1000);
    fc.assert(
      fc.property(instant, (at) => {
        for (const form of [imfFixdate, rfc850, asctime]) {
          expect(read({ 'retry-after': form(at) })).toBe(at - NOW);
        }
      }),
    );
  });

  test('readRetryAfter() tells nothing or a finite time above zero, whatever the headers hold', () => {
    const header = fc.oneof(
      fc.stringMatching(/^[\x20-\x7e]*$/),
      fc.stringMatching(/^[\d.,: eE+x-]*$/),
      fc.stringMatching(/^(Sat, \d\d [A-Z][a-z]{2} 20\d\d [0-2]\d:\d\d:\d\d GMT,? ?){1,2}$/),
    );
    fc.assert(
      fc.property(header, header, (seconds, milliseconds) => {
        const ms = read({ 'retry-after': seconds, 'retry-after-ms': milliseconds }) ?? 1;
        expect(ms).toBeGreaterThan(0);
        expect(ms).toBeLessThanOrEqual(Number.MAX_SAFE_INTEGER);
      }),
    );
  });

  test('readRetryAfter() takes no more than linear time over a hostile header', () => {
    for (const unit of ['1', '1.', ' ', '1 ', ',', 'A', 'Aa', 'Fri, 06 N', ', 06 N']) {
      expect(read({ 'retry-after': `x${unit.repeat(200_000)}x` })).toBeUndefined();
    }
  }, 2000);
});

describe('readRetryAfter() with a year of two digits', () => {
  test.each([
    { value: 'Saturday, 06-Nov-77 08:49:07 GMT', now: NOW, ms: undefined },
    { value: 'Sunday, 06-Nov-94 08:49:37 GMT', now: NOW, ms: undefined },
    { value: 'Thursday, 06-Nov-25 08:49:37 GMT', now: NOW, ms: undefined },
    { value: 'Friday, 01-Jan-00 00:00:05 GMT', now: Date.UTC(2099, 11, 31, 23, 59, 59), ms: 6000 },
    { value: 'Friday, 01-Jan-27 00:00:05 GMT', now: Date.UTC(2026, 11, 31, 23, 59, 59), ms: 6000 },
  ])('readRetryAfter() reads $value as $ms ms', ({ value, now, ms }) => {
    expect(read({ 'retry-after': value }, now)).toBe(ms);
  });

  test('readRetryAfter() takes exactly fifty years for the future and a second more for the past century', () => {
    expect(read({ 'retry-after': 'Friday, 06-Nov-76 08:49:07 GMT' })).toBe(
      Date.UTC(2076, 10, 6, 8, 49, 7) - NOW,
    );
    expect(read({ 'retry-after': 'Friday, 06-Nov-76 08:49:08 GMT' })).toBeUndefined();
  });

  test('readRetryAfter() takes four digits at their word beyond fifty years', () => {
    const at = Date.UTC(2077, 10, 6, 8, 49, 7);
    expect(read({ 'retry-after': 'Sat, 06 Nov 2077 08:49:07 GMT' })).toBe(at - NOW);
    expect(read({ 'retry-after': 'Sat Nov  6 08:49:07 2077' })).toBe(at - NOW);
  });
});

// Written from the grammar of RFC 9110, not from the code under test. Date#toUTCString() is an IMF-fixdate in every runtime.
function imfFixdate(at: number): string {
  return new Date(at).toUTCString();
}

function rfc850(at: number): string {
  const [, day, month, year, time] = imfFixdate(at).split(' ');
  return `Sunday, ${day}-${month}-${year?.slice(2)} ${time} GMT`;
}

function asctime(at: number): string {
  const [, day, month, year, time] = imfFixdate(at).split(' ');
  return `Sun ${month} ${day?.replace(/^0/, ' ')} ${time} ${year}`;
}
