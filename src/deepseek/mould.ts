/**
 * @module Reading an event without parsing it. Nearly all events of one answer are the same but for a few letters, and parsing each costs more
 * than everything else about it together. What begins and ends with the same bytes as an event that has been parsed can only
 * differ in the inside of the same string: so it is compared, and the string is cut out.
 */

import type { ChatAnswerChunk, ChatChunk } from './types.ts';

/** The field that holds the text of a piece. */
export type TextField = 'content' | 'reasoning_content';

/** What the text of a JSON string cannot hold as it is. */
const ESCAPED = /["\\]|[^ -\uffff]/;
/** Stands in the place of the text, to see whether that is where it seems to be. */
const PROBE = '\u2060probe\u2060';
/** Up to this length a text is put together letter by letter, which costs less than to call a decoder. */
const MAX_SHORT = 16;

/** An event with a hole in the place of its text. */
export class Mould {
  readonly field: TextField;
  /** The piece that the mould was made of: all others have its model and its id. */
  readonly model: ChatChunk;
  /** Where the event ends that was read last. */
  end = 0;
  /** Around the text, as text and as it comes over the wire. */
  readonly #before: string;
  readonly #after: string;
  readonly #head: Uint8Array;
  readonly #tail: Uint8Array;
  readonly #decoder: TextDecoder = new TextDecoder('utf-8', { ignoreBOM: true });

  private constructor(data: string, start: number, model: ChatChunk, field: TextField) {
    const encoder = new TextEncoder();
    this.field = field;
    this.model = model;
    this.#before = data.slice(0, start);
    this.#after = data.slice(start + (model.content || model.reasoningContent).length);
    this.#head = encoder.encode(`data: ${this.#before}`);
    this.#tail = encoder.encode(`${this.#after}\n\n`);
  }

  /** The mould of an event that brings one text and nothing else; undefined where its text cannot be told from the rest for sure. */
  static of(data: string, piece: ChatChunk): Mould | undefined {
    const { content, reasoningContent } = piece;
    const text = content || reasoningContent;
    if (!text || (content && reasoningContent) || ESCAPED.test(text)) return undefined;
    const field: TextField = content ? 'content' : 'reasoning_content';
    const [key = ''] = new RegExp(`"${field}": ?"`).exec(data) ?? [];
    const start = data.indexOf(key) + key.length;
    if (!key || !data.startsWith(`${text}"`, start)) return undefined;
    const mould = new Mould(data, start, piece, field);
    const probe = parse(mould.data(PROBE)) as ChatAnswerChunk | undefined;
    return probe?.choices?.[0]?.delta?.[field] === PROBE ? mould : undefined;
  }

  /** The text of an event whose data is known; undefined where it does not fit. */
  cut(data: string): string | undefined {
    const start = this.#before.length;
    const end = data.length - this.#after.length;
    // Slices are compared, because `startsWith` takes up to ten times as long.
    if (end < start || data.slice(0, start) !== this.#before || data.slice(end) !== this.#after)
      return undefined;
    const text = data.slice(start, end);
    return ESCAPED.test(text) ? (parse(`"${text}"`) as string | undefined) : text;
  }

  /** The text of the event that begins at `from`; undefined where none does, or one that does not fit. */
  read(bytes: Uint8Array, from: number): string | undefined {
    const head = this.#head;
    const start = from + head.length;
    if (start + this.#tail.length > bytes.length || !isAt(bytes, from, head)) return undefined;
    let isAscii = true;
    let isEscaped = false;
    let end = start;
    for (let byte = bytes[end]; byte !== QUOTE; byte = bytes[++end]) {
      if (byte === undefined || byte < SPACE) return undefined;
      if (byte > 0x7f) isAscii = false;
      if (byte !== BACKSLASH) continue;
      isEscaped = true;
      end++;
    }
    if (!isAt(bytes, end, this.#tail)) return undefined;
    this.end = end + this.#tail.length;
    if (!isEscaped && isAscii && end - start <= MAX_SHORT) return lettersOf(bytes, start, end);
    const text = this.#decoder.decode(bytes.subarray(start, end));
    return isEscaped ? (parse(`"${text}"`) as string | undefined) : text;
  }

  /** What the event with this text says, as JSON. */
  data(text: string): string {
    return this.#before + JSON.stringify(text).slice(1, -1) + this.#after;
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;

/** Four bytes a turn, because a turn costs more than a byte: it takes less than half the time. */
function isAt(bytes: Uint8Array, from: number, expected: Uint8Array): boolean {
  const { length } = expected;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    if (
      bytes[from + at] !== expected[at] ||
      bytes[from + at + 1] !== expected[at + 1] ||
      bytes[from + at + 2] !== expected[at + 2] ||
      bytes[from + at + 3] !== expected[at + 3]
    )
      return false;
  }
  for (; at < length; at++) if (bytes[from + at] !== expected[at]) return false;
  return true;
}

function lettersOf(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let at = start; at < end; at++) text += String.fromCharCode(bytes[at] ?? 0);
  return text;
}

/** The value of a JSON text; undefined where it is none. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
