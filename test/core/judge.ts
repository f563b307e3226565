/** @module A detector at work: it is fed as the guard feeds it, and asked what it makes of the answer. */

import { expect } from 'vitest';
import type { ProgressDetector, StreamFault } from '../../src/core/progress.ts';

/** What a detector makes of an answer. */
export interface Judgement {
  /** What is wrong with it; undefined for a good one. */
  readonly fault: StreamFault | undefined;
  readonly finishReason: string | undefined;
  readonly keepAlives: number;
  readonly isDone: boolean;
  /** How many bytes had been fed when the detector committed; -1 when it never did. */
  readonly committedAt: number;
}

/** Feeds the pieces until the answer says that it is over. */
export function judge(detector: ProgressDetector, pieces: Iterable<Uint8Array>): Judgement {
  let fed = 0;
  let committedAt = -1;
  for (const piece of pieces) {
    if (piece.length === 0) continue; // nor does the guard show those
    detector.push(piece);
    fed += piece.length;
    if (detector.isCommitted && committedAt < 0) committedAt = fed;
    if (detector.isDone || detector.fault) break;
  }
  const { fault = detector.end(), finishReason, keepAlives, isDone } = detector;
  return { fault, finishReason, keepAlives, isDone, committedAt };
}

/** The same judgement, as it must be when the bytes come in these pieces: it is committed by the piece that completes the content. */
export function inPieces(reference: Judgement, pieces: readonly Uint8Array[]): Judgement {
  let end = 0;
  for (const { length } of pieces) {
    if (end >= reference.committedAt) break;
    end += length;
  }
  return reference.committedAt < 0 ? reference : { ...reference, committedAt: end };
}

/** Every byte in a piece of its own. */
export function* byteByByte(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at++) yield bytes.subarray(at, at + 1);
}

/** The bytes cut behind each blank line, which is how the service sends them: most pieces are one event. */
export function eventByEvent(bytes: Uint8Array): Uint8Array[] {
  const text = Buffer.from(bytes).toString('latin1');
  return cut(bytes, text.match(/.*?(\n\n|\r\n\r\n|\r\r|$)/gs)?.map(({ length }) => length) ?? []);
}

/** Pieces of these lengths, and the rest. */
export function cut(bytes: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const length of lengths) {
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return [...pieces, bytes.subarray(at)];
}

/** Cuts the bytes in two at every place, and expects the same judgement each time. */
export function expectNoSplitToMatter(
  make: () => ProgressDetector,
  bytes: Uint8Array,
  reference: Judgement,
): void {
  for (let at = 0; at <= bytes.length; at++) {
    const pieces = [bytes.subarray(0, at), bytes.subarray(at)];
    const judgement = judge(make(), pieces);
    const expected = inPieces(reference, pieces);
    // A matcher for each of a hundred thousand splits would take minutes.
    if (!isSame(judgement, expected)) expect({ at, ...judgement }).toEqual({ at, ...expected });
  }
}

function isSame(one: Judgement, other: Judgement): boolean {
  return (
    one.fault === other.fault &&
    one.finishReason === other.finishReason &&
    one.keepAlives === other.keepAlives &&
    one.isDone === other.isDone &&
    one.committedAt === other.committedAt
  );
}

/** The same stream with other line ends. A line feed within JSON is escaped, so every one here ends a line. */
export function withLineEnds(bytes: Uint8Array, lineEnd: '\r\n' | '\r'): Uint8Array {
  return Buffer.from(Buffer.from(bytes).toString('latin1').replaceAll('\n', lineEnd), 'latin1');
}

/** The same stream with a byte order mark. */
export function withMark(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from('\uFEFF'), bytes]);
}
