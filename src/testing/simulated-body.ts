/** @module How a body goes out: queued, late, dripping, stalled, reset or cut, as its fault says. Every chunk is made when it is asked for. */

import type { Clock } from '../core/clock.ts';
import type { Exchange } from './exchange.ts';
import { type Fault, KEEP_ALIVE_EVERY_MS } from './simulated-faults.ts';

/** A body before anything happens to it. */
export interface PlannedBody {
  /** Whether it is a stream of events. */
  readonly isStream: boolean;
  readonly pieces: readonly string[];
  /** What is sent over and over after the last piece. */
  readonly endless?: string | undefined;
  /** What keeps the connection alive before the first piece. */
  readonly keepAlive: string;
  /** The time before the first piece and between two pieces, in milliseconds. */
  readonly leadMs: number;
  readonly pieceMs: number;
}

const encoder = new TextEncoder();

/** The bytes of `plan` as `fault` lets them through. */
export async function* transmit(
  plan: PlannedBody,
  fault: Fault,
  exchange: Exchange,
  clock: Clock,
): AsyncGenerator<Uint8Array, void> {
  if (fault.byteOrderMark) yield* drip('\uFEFF', fault, exchange, clock);
  const total = plan.endless === undefined ? plan.pieces.length : Number.POSITIVE_INFINITY;
  const queueAt = placeOf(plan.isStream ? (fault.keepAliveAfterChunks ?? 0) : 0, total);
  const end = endOf(total, fault);
  for (let index = 0; ; index++) {
    if (index === queueAt) yield* keepAlives(plan, fault, exchange, clock);
    if (index === 0) await exchange.sleep(clock, plan.leadMs + (fault.firstTokenMs ?? 0));
    if (index >= end.afterPieces) break;
    if (index > 0) await exchange.sleep(clock, plan.pieceMs);
    yield* drip(plan.pieces[index] ?? plan.endless ?? '', fault, exchange, clock);
  }
  if (end.how === 'stall') await exchange.hang();
  if (end.how === 'reset') throw connectionReset('terminated');
}

/** What a runtime's fetch throws when the connection is reset. */
export function connectionReset(message: 'fetch failed' | 'terminated'): TypeError {
  const cause = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' });
  return new TypeError(message, { cause });
}

interface BodyEnd {
  readonly afterPieces: number;
  readonly how: 'stall' | 'reset' | 'cut';
}

/** The end that comes first: a stall, a reset or a cut, or else the last piece. */
function endOf(total: number, fault: Fault): BodyEnd {
  const ends: BodyEnd[] = [];
  const add = (how: BodyEnd['how'], chunks: number | undefined): void => {
    if (chunks === undefined) return;
    ends.push({ how, afterPieces: placeOf(chunks, total) });
  };
  add('stall', fault.stallAfterChunks);
  add('reset', fault.resetAfterChunks);
  add('cut', fault.cutAfterChunks ?? Number.POSITIVE_INFINITY);
  return ends.reduce((first, end) => (end.afterPieces < first.afterPieces ? end : first));
}

/** Counts as `slice()` does: a negative number from the end. */
function placeOf(chunks: number, total: number): number {
  return chunks < 0 ? Math.max(0, total + chunks) : Math.min(total, chunks);
}

async function* keepAlives(
  { keepAlive }: PlannedBody,
  fault: Fault,
  exchange: Exchange,
  clock: Clock,
): AsyncGenerator<Uint8Array, void> {
  const { keepAliveMs = 0, everyMs = KEEP_ALIVE_EVERY_MS } = fault;
  let queuedMs = 0;
  for (; queuedMs + everyMs <= keepAliveMs; queuedMs += everyMs) {
    await exchange.sleep(clock, everyMs);
    yield* drip(keepAlive, fault, exchange, clock);
  }
  await exchange.sleep(clock, keepAliveMs - queuedMs);
}

async function* drip(
  text: string,
  { dripMs, dripBytes = dripMs === undefined ? Number.POSITIVE_INFINITY : 1 }: Fault,
  exchange: Exchange,
  clock: Clock,
): AsyncGenerator<Uint8Array, void> {
  const bytes = encoder.encode(text);
  for (let start = 0; start < bytes.length; start += dripBytes) {
    await exchange.sleep(clock, dripMs ?? 0);
    yield bytes.slice(start, start + dripBytes);
  }
}
