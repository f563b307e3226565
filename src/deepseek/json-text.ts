/** @module Reading JSON as a model writes it: perhaps in a Markdown fence, perhaps not to its end. */

/** What a text is: JSON with its value, the beginning of JSON, or neither. */
export type JsonReading = { readonly value: unknown } | 'cut' | 'unparsable';

/** Reads a text as JSON. */
export function readJson(text: string): JsonReading {
  const json = withoutFence(text);
  try {
    return { value: JSON.parse(json) };
  } catch {
    return endsInside(json) ? 'cut' : 'unparsable';
  }
}

/** Takes away a code fence around the whole; one that was cut has no end. */
function withoutFence(text: string): string {
  const trimmed = text.trim();
  const inner = trimmed.replace(/^```(?:[a-z]\w*)?/i, '');
  if (inner.length === trimmed.length) return trimmed;
  // No pattern for the end: on a long run of blanks, which models are known for, it would take for ever.
  return (inner.endsWith('```') ? inner.slice(0, -3) : inner).trim();
}

const CLOSERS: Readonly<Record<string, string>> = { '{': '}', '[': ']' };

/** Whether a text begins as JSON does and ends before its string, its array or its object does. */
function endsInside(json: string): boolean {
  if (!/^[{["]/.test(json)) return false;
  const open: string[] = [];
  for (const [token, end] of json.matchAll(/"(?:[^"\\]+|\\.)*("|\\?$)|[{}[\]]/gs)) {
    const closer = CLOSERS[token];
    if (end !== undefined) {
      if (end !== '"') return true;
    } else if (closer) open.push(closer);
    else if (open.pop() !== token) return false;
  }
  return open.length > 0;
}
