/** @module Reads when to come back. Strict, because `parseInt` and `Date.parse` read garbage as a time, and each runtime's `Date.parse` reads other garbage: whoever comes back too early is part of the storm. */

// The three forms of RFC 9110, section 5.6.7. The weekday is redundant, so it may be any word of the right shape.
const IMF_FIXDATE = /^[A-Z][a-z]{2}, (?<day>\d\d) (?<month>\w{3}) (?<year>\d{4}) (?<time>.{8}) GMT$/;
const RFC_850 = /^[A-Z][a-z]+day, (?<day>\d\d)-(?<month>\w{3})-(?<year>\d\d) (?<time>.{8}) GMT$/;
const ASCTIME = /^[A-Z][a-z]{2} (?<month>\w{3}) (?<day>[ \d]\d) (?<time>.{8}) (?<year>\d{4})$/;

/**
 * Reads from the headers of a response how long the service asks to wait.
 *
 * `retry-after-ms` wins where it says something. Zero, negative, past and unreadable values say nothing: a service that is down has no
 * reason to be called at once. Of a list (two headers that an intermediary joined) the longest wait counts: it satisfies the others too.
 * Very long waits are returned as they are, up to 2^53 ms, so that sums with them stay finite.
 *
 * @param headers The headers of the response.
 * @param wallNow The time of day in milliseconds since 1970; asked only when there is a date to compare with it.
 * @returns The told wait in milliseconds, above zero, or `undefined` when none was told.
 */
export function readRetryAfter(headers: Headers, wallNow: () => number): number | undefined {
  return (
    longest(headers.get('retry-after-ms'), Number) ??
    longest(
      headers.get('retry-after'),
      (text) => Number(text) * 1000,
      (text) => untilDate(text, wallNow),
    )
  );
}

type Read = (text: string) => number | undefined;

function longest(value: string | null, readNumber: Read, readOther?: Read): number | undefined {
  if (value === null) return;
  let longestMs = 0;
  // A comma within a date is followed by the day and the month.
  for (const element of value.split(/,(?! \d\d[ -][A-Z])/)) {
    const text = element.trim();
    // Number() alone would also read hexadecimal, exponents, signs and "Infinity".
    const ms = /^[\d.]+$/.test(text) ? readNumber(text) : readOther?.(text);
    longestMs = Math.max(longestMs, ms || 0); // "1.2.3" is NaN
  }
  return Math.min(longestMs, Number.MAX_SAFE_INTEGER) || undefined;
}

function untilDate(text: string, wallNow: () => number): number | undefined {
  const found = IMF_FIXDATE.exec(text) ?? RFC_850.exec(text) ?? ASCTIME.exec(text);
  if (!found) return;
  const { day, month, year, time } = found.groups as Record<'day' | 'month' | 'year' | 'time', string>;
  const now = wallNow();
  const thisYear = new Date(now).getUTCFullYear();
  const isShort = year.length < 4;
  // Two digits mean the next such year, unless that is more than 50 years away: then they mean one in the past, which tells nothing.
  const fullYear = isShort ? thisYear + ((10_000 - thisYear + Number(year)) % 100) : year;
  const isLeapSecond = time.endsWith('60');
  const date = `${day.replace(' ', '0')} ${month} ${fullYear} ${time.replace(/60$/, '59')} GMT`;
  const at = Date.parse(date);
  // Date.parse is generous: what it does not write again as it read it was no date.
  if (new Date(at).toUTCString().slice(5) !== date) return;
  if (isShort && at > new Date(now).setUTCFullYear(thisYear + 50)) return;
  return at + Number(isLeapSecond) * 1000 - now;
}
