/** @module What can go wrong with a simulated call. One flat shape whose members compose, because real failures do: a call is queued, then starts late, then is cut. */

import { checkMembers, checkMs, checkStatus, checkType, refusal } from './checks.ts';

/** What happens to one call. Every member may be left out, and members compose: `{ keepAliveMs: 24_000, cutAfterChunks: 3 }` queues, then breaks off. */
export interface Fault {
  /**
   * The status. From 300 on it is answered whatever the request says, with the body that the service is known to send.
   * Must be an integer from 200 to 599.
   * @default what the request deserves
   */
  readonly status?: number | undefined;
  /**
   * The value of the `Retry-After` header: seconds, or any text.
   * @default no header
   */
  readonly retryAfter?: number | string | undefined;
  /**
   * The value of the `retry-after-ms` header, in milliseconds.
   * @default no header
   */
  readonly retryAfterMs?: number | undefined;
  /**
   * More headers; they win over the usual ones.
   * @default none
   */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /**
   * A body in the place of the usual one: text as it is, an object as JSON.
   * @default the usual body
   */
  readonly body?: string | object | undefined;
  /**
   * What comes in the place of an answer: nothing, blank lines alone, or the error page of a gateway. Excludes `body`.
   * @default the usual body
   */
  readonly instead?: 'empty' | 'blank-lines' | 'html' | undefined;
  /**
   * How long the headers take, in milliseconds.
   * @default the simulator's `latencyMs`
   */
  readonly latencyMs?: number | undefined;
  /**
   * Never sends the headers.
   * @default false
   */
  readonly stallBeforeHeaders?: boolean | undefined;
  /**
   * Resets the connection in the place of the headers: fetch rejects.
   * @default false
   */
  readonly resetBeforeHeaders?: boolean | undefined;
  /**
   * How long the call is queued after its headers, in milliseconds: comments in a stream, blank lines elsewhere.
   * `Infinity` queues for ever.
   * @default 0
   */
  readonly keepAliveMs?: number | undefined;
  /**
   * The time between two keep-alives, in milliseconds. Must be a positive number.
   * @default 12_000
   */
  readonly everyMs?: number | undefined;
  /**
   * The silence before the first chunk, after the keep-alives if there are any, in milliseconds.
   * @default 0
   */
  readonly firstTokenMs?: number | undefined;
  /**
   * Falls silent with the connection open after this many chunks of the answer; the one that bears the role counts, the
   * keep-alives do not. A negative number counts from the end, as in `slice()`; `Infinity` lingers after the last.
   * @default never
   */
  readonly stallAfterChunks?: number | undefined;
  /**
   * Resets the connection after this many chunks, counted likewise: the body fails. 0 is right after the headers.
   * @default never
   */
  readonly resetAfterChunks?: number | undefined;
  /**
   * Ends the body cleanly after this many chunks, counted likewise: -1 leaves out `[DONE]`.
   * @default never
   */
  readonly cutAfterChunks?: number | undefined;
  /**
   * Sends the body in pieces of `dripBytes`, this many milliseconds apart. 0 makes pieces without a pause.
   * @default whole chunks
   */
  readonly dripMs?: number | undefined;
  /**
   * The size of a piece when `dripMs` is set, in bytes. Must be a positive integer.
   * @default 1
   */
  readonly dripBytes?: number | undefined;
  /**
   * The finish reason of the answer, for example `insufficient_system_resource`.
   * @default `stop`, or `length` when `max_tokens` was reached
   */
  readonly finishReason?: string | undefined;
}

/** One line of a simulator's script: a fault, a status alone, or nothing wrong. */
export type ScriptedFault = Fault | number | 'ok';

/** The pause between keep-alives, as it was seen on the wire. */
export const KEEP_ALIVE_EVERY_MS = 12_000;

const SUBJECT = 'script fault';
const TIMES = ['retryAfterMs', 'latencyMs', 'firstTokenMs', 'dripMs'] as const;
const CHUNK_COUNTS = ['stallAfterChunks', 'resetAfterChunks', 'cutAfterChunks'] as const;
const FLAGS = ['stallBeforeHeaders', 'resetBeforeHeaders'] as const;
const OTHERS = [
  'status',
  'retryAfter',
  'headers',
  'body',
  'instead',
  'keepAliveMs',
  'everyMs',
  'dripBytes',
  'finishReason',
] as const;
const INSTEAD: readonly unknown[] = ['empty', 'blank-lines', 'html', undefined];

/** The fault that a line of the script stands for. */
export function faultOf(scripted: ScriptedFault): Fault {
  if (scripted === 'ok') return {};
  const fault = typeof scripted === 'number' ? { status: scripted } : scripted;
  checkFault(fault);
  return fault;
}

function checkFault(fault: Fault): void {
  checkMembers(SUBJECT, fault, [...TIMES, ...CHUNK_COUNTS, ...FLAGS, ...OTHERS]);
  checkStatus(SUBJECT, 'status', fault.status);
  for (const name of TIMES) checkMs(SUBJECT, name, fault[name]);
  for (const name of FLAGS) checkType(SUBJECT, name, fault[name], 'boolean');
  for (const name of CHUNK_COUNTS) checkChunks(name, fault[name]);
  if (fault.keepAliveMs !== Number.POSITIVE_INFINITY) checkMs(SUBJECT, 'keepAliveMs', fault.keepAliveMs);
  checkMs(SUBJECT, 'everyMs', fault.everyMs);
  if (fault.everyMs === 0) throw new RangeError(refusal(SUBJECT, 'everyMs', 'a positive number', 0));
  checkType(SUBJECT, 'dripBytes', fault.dripBytes, 'number');
  if (fault.dripBytes !== undefined && !(Number.isInteger(fault.dripBytes) && fault.dripBytes > 0))
    throw new RangeError(refusal(SUBJECT, 'dripBytes', 'a positive integer', fault.dripBytes));
  checkType(SUBJECT, 'finishReason', fault.finishReason, 'string');
  if (!INSTEAD.includes(fault.instead))
    throw new TypeError(refusal(SUBJECT, 'instead', '"empty", "blank-lines" or "html"', fault.instead));
  if (fault.instead !== undefined && fault.body !== undefined)
    throw new TypeError(refusal(SUBJECT, 'instead', 'left out when "body" is set', fault.instead));
}

function checkChunks(name: string, value: unknown): void {
  checkType(SUBJECT, name, value, 'number');
  if (value === undefined || Number.isInteger(value) || value === Number.POSITIVE_INFINITY) return;
  throw new RangeError(refusal(SUBJECT, name, 'an integer or Infinity', value));
}
