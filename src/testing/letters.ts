/** @module Texts in pieces: between letters, never inside one, however many code units it has. */

import type { Random } from '../core/clock.ts';

/** The letters in a delta: the real ones are as short. */
const MAX_DELTA_LETTERS = 3;
const PIECE_LETTERS = 48;

/** The text in deltas of one to three letters. */
export function deltasOf(text: string, random: Random): string[] {
  return split(text, () => 1 + Math.floor(random() * MAX_DELTA_LETTERS));
}

/** The pieces in which a text that is not a stream of events goes out. */
export function piecesOf(text: string): string[] {
  return split(text, () => PIECE_LETTERS);
}

function split(text: string, nextLength: () => number): string[] {
  const letters = [...text];
  const parts: string[] = [];
  for (let start = 0; start < letters.length; ) {
    const end = start + nextLength();
    parts.push(letters.slice(start, end).join(''));
    start = end;
  }
  return parts;
}
