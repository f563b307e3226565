/** @module Reads when to come back. Written out, because `parseInt` and `Date.parse` read garbage as a time, and each runtime's `Date.parse` reads other garbage: whoever comes back too early is part of the storm. */

const MONTHS = 'JanFebMarAprMayJunJulAugSepOctNovDec';

// The three forms of RFC 9110, section 5.6.7. The weekday is redundant, so it may be any word of the right shape.
const IMF_FIXDATE =
  /^[A-Z][a-z]{2}, (?<day>\d\d) (?<month>[A-Z][a-z]{2}) (?<year>\d{4}) (?<hour>[01]\d|2[0-3]):(?<minute>[0-5]\d):(?<second>[0-5]\d|60) GMT$/;
const RFC_850 =
  /^[A-Z][a-z]+day, (?<day>\d\d)-(?<month>[A-Z][a-z]{2})-(?<year>\d\d) (?<hour>[01]\d|2[0-3]):(?<minute>[0-5]\d):(?<second>[0-5]\d|60) GMT$/;
const ASCTIME =
  /^[A-Z][a-z]{2} (?<month>[A-Z][a-z]{2}) (?<day>[ \d]\d) (?<hour>[01]\d|2[0-3]):(?<minute>[0-5]\d):(?<second>[0-5]\d|60) (?<year>\d{4})$/;

type DateField = 'day' | 'month' | 'year' | 'hour' | 'minute' | 'second';

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
  const fields = (IMF_FIXDATE.exec(text) ?? RFC_850.exec(text) ?? ASCTIME.exec(text))?.groups as
    | Record<DateField, string>
    | undefined;
  if (!fields) return;
  const now = wallNow();
  const isShort = fields.year.length < 4;
  const thisYear = new Date(now).getUTCFullYear();
  // Two digits mean the next such year, unless that is more than 50 years away: then they mean one in the past, which tells nothing.
  const year = isShort ? thisYear + ((10_000 - thisYear + Number(fields.year)) % 100) : Number(fields.year);
  const month = MONTHS.indexOf(fields.month) / 3;
  const midnight = Date.UTC(year, month, Number(fields.day));
  const seconds = (Number(fields.hour) * 60 + Number(fields.minute)) * 60 + Number(fields.second);
  const at = midnight + seconds * 1000;
  const fiftyYearsOn = new Date(now).setUTCFullYear(thisYear + 50);
  // Date.UTC carries 31 February over into March; an unknown month has no index.
  if (new Date(midnight).getUTCMonth() !== month || (isShort && at > fiftyYearsOn)) return;
  return at - now;
}
