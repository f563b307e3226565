/** @module How a body goes out: queued, late, dripping, stalled, reset or cut, as its fault says. Every chunk is made when it is asked for. */

import type { Clock } from '../core/clock.ts';
import type { Exchange } from './exchange.ts';
import { type Fault, KEEP_ALIVE_EVERY_MS } from './simulated-faults.ts';

/** A body before anything happens to it. */
export interface PlannedBody {
  readonly pieces: readonly string[];
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
  yield* keepAlives(plan, fault, exchange, clock);
  await exchange.sleep(clock, plan.leadMs + (fault.firstTokenMs ?? 0));
  const end = endOf(plan.pieces.length, fault);
  for (const [index, piece] of plan.pieces.slice(0, end.afterPieces).entries()) {
    if (index > 0) await exchange.sleep(clock, plan.pieceMs);
    yield* drip(encoder.encode(piece), fault, exchange, clock);
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
    const afterPieces = chunks < 0 ? Math.max(0, total + chunks) : Math.min(total, chunks);
    ends.push({ how, afterPieces });
  };
  add('stall', fault.stallAfterChunks);
  add('reset', fault.resetAfterChunks);
  add('cut', fault.cutAfterChunks ?? Number.POSITIVE_INFINITY);
  return ends.reduce((first, end) => (end.afterPieces < first.afterPieces ? end : first));
}

async function* keepAlives(
  { keepAlive }: PlannedBody,
  { keepAliveMs = 0, everyMs = KEEP_ALIVE_EVERY_MS }: Fault,
  exchange: Exchange,
  clock: Clock,
): AsyncGenerator<Uint8Array, void> {
  let queuedMs = 0;
  for (; queuedMs + everyMs <= keepAliveMs; queuedMs += everyMs) {
    await exchange.sleep(clock, everyMs);
    yield encoder.encode(keepAlive);
  }
  await exchange.sleep(clock, keepAliveMs - queuedMs);
}

async function* drip(
  bytes: Uint8Array,
  { dripMs, dripBytes = 1 }: Fault,
  exchange: Exchange,
  clock: Clock,
): AsyncGenerator<Uint8Array, void> {
  if (dripMs === undefined) {
    yield bytes;
    return;
  }
  for (let start = 0; start < bytes.length; start += dripBytes) {
    await exchange.sleep(clock, dripMs);
    yield bytes.slice(start, start + dripBytes);
  }
}
