/** @module What can go wrong with a simulated call. One flat shape whose members compose, because real failures do: a call is queued, then starts late, then is cut. */

import { checkMembers, checkMs, checkOneOf, checkStatus, checkType, refusal } from './checks.ts';
import { checkAnswer, type SimulatedAnswer } from './simulated-answer.ts';

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
   * More headers; they win over the usual ones, and null takes one away.
   * @default none
   */
  readonly headers?: Readonly<Record<string, string | null>> | undefined;
  /**
   * What the model says to this call.
   * @default the simulator's `answer`
   */
  readonly answer?: SimulatedAnswer | undefined;
  /**
   * The finish reason of the answer, for example `insufficient_system_resource` or `aborted`.
   * @default `stop`, `tool_calls` when tools are called, or `length` when `max_tokens` was reached
   */
  readonly finishReason?: string | undefined;
  /**
   * Where a streamed answer tells its usage: on the chunk that finishes it, in a chunk without choices after that, in
   * several chunks without choices along the way, or nowhere. An answer that is not streamed tells it unless this is
   * `none`.
   * @default 'on-finish'
   */
  readonly usage?: 'on-finish' | 'trailing' | 'scattered' | 'none' | undefined;
  /**
   * A body in the place of the usual one: text as it is, an object as JSON.
   * @default the usual body
   */
  readonly body?: string | object | undefined;
  /**
   * What comes in the place of an answer. Excludes `body`.
   *
   * - `empty`: nothing.
   * - `blank-lines`: blank lines alone.
   * - `html`: the error page of a gateway.
   * - `error`: an error told in band, as gateways do: an event with an error object in a stream, the object elsewhere.
   * - `not-json`: an event in a stream, or else a body, that is plain text.
   * - `bare-text`: a line of text that is not even an event.
   * - `endless-event`: an event, or a JSON text, that goes on for ever, 64 KiB at a time. `cutAfterChunks` makes an end.
   * @default the usual body
   */
  readonly instead?:
    | 'empty'
    | 'blank-lines'
    | 'html'
    | 'error'
    | 'not-json'
    | 'bare-text'
    | 'endless-event'
    | undefined;
  /**
   * Lets so many chunks of the answer go out before `instead` or `body`, which then takes the place of the rest. Counted
   * as for `stallAfterChunks`. A `body` that is an object becomes an event where the answer is a stream.
   * @default the whole answer is replaced
   */
  readonly insteadAfterChunks?: number | undefined;
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
   * After how many chunks of a streamed answer the keep-alives come, counted as for `stallAfterChunks`. An answer that is
   * not streamed has them before its first byte in any case.
   * @default 0
   */
  readonly keepAliveAfterChunks?: number | undefined;
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
   * Sends chunks and keep-alives in pieces of `dripBytes`, this many milliseconds apart. 0 makes pieces without a pause.
   * @default 0 with `dripBytes`, otherwise whole chunks
   */
  readonly dripMs?: number | undefined;
  /**
   * The size of a piece, in bytes: small ones cut letters, comments and line ends. Must be a positive integer.
   * @default 1 with `dripMs`, otherwise whole chunks
   */
  readonly dripBytes?: number | undefined;
  /**
   * How the lines of a stream end. A `body` is sent as it is.
   * @default 'lf'
   */
  readonly lineEnds?: 'lf' | 'crlf' | 'cr' | undefined;
  /**
   * Puts a byte order mark before everything else.
   * @default false
   */
  readonly byteOrderMark?: boolean | undefined;
}

/** One line of a simulator's script: a fault, a status alone, or nothing wrong. */
export type ScriptedFault = Fault | number | 'ok';

/** The pause between keep-alives, as it was seen on the wire. */
export const KEEP_ALIVE_EVERY_MS = 12_000;

const SUBJECT = 'script fault';
const TIMES = ['retryAfterMs', 'latencyMs', 'firstTokenMs', 'dripMs'] as const;
const CHUNK_COUNTS = [
  'insteadAfterChunks',
  'keepAliveAfterChunks',
  'stallAfterChunks',
  'resetAfterChunks',
  'cutAfterChunks',
] as const;
const FLAGS = ['stallBeforeHeaders', 'resetBeforeHeaders', 'byteOrderMark'] as const;
const CHOICES = {
  instead: ['empty', 'blank-lines', 'html', 'error', 'not-json', 'bare-text', 'endless-event'],
  usage: ['on-finish', 'trailing', 'scattered', 'none'],
  lineEnds: ['lf', 'crlf', 'cr'],
} as const satisfies { readonly [Name in keyof Fault]: readonly Fault[Name][] };
const OTHERS = [
  'status',
  'retryAfter',
  'headers',
  'answer',
  'finishReason',
  'body',
  'keepAliveMs',
  'everyMs',
  'dripBytes',
] as const;
const MEMBERS: readonly string[] = [...TIMES, ...CHUNK_COUNTS, ...FLAGS, ...Object.keys(CHOICES), ...OTHERS];

/** The fault that a line of the script stands for. */
export function faultOf(scripted: ScriptedFault): Fault {
  if (scripted === 'ok') return {};
  const fault = typeof scripted === 'number' ? { status: scripted } : scripted;
  checkFault(fault);
  return fault;
}

function checkFault(fault: Fault): void {
  checkMembers(SUBJECT, fault, MEMBERS);
  checkStatus(SUBJECT, 'status', fault.status);
  for (const name of TIMES) checkMs(SUBJECT, name, fault[name]);
  for (const name of FLAGS) checkType(SUBJECT, name, fault[name], 'boolean');
  for (const name of CHUNK_COUNTS) checkChunks(name, fault[name]);
  for (const [name, choices] of Object.entries(CHOICES))
    checkOneOf(SUBJECT, name, fault[name as keyof typeof CHOICES], choices);
  if (fault.keepAliveMs !== Number.POSITIVE_INFINITY) checkMs(SUBJECT, 'keepAliveMs', fault.keepAliveMs);
  checkMs(SUBJECT, 'everyMs', fault.everyMs);
  if (fault.everyMs === 0) throw new RangeError(refusal(SUBJECT, 'everyMs', 'a positive number', 0));
  checkType(SUBJECT, 'dripBytes', fault.dripBytes, 'number');
  if (fault.dripBytes !== undefined && !(Number.isInteger(fault.dripBytes) && fault.dripBytes > 0))
    throw new RangeError(refusal(SUBJECT, 'dripBytes', 'a positive integer', fault.dripBytes));
  checkAnswer(SUBJECT, fault.answer);
  checkType(SUBJECT, 'finishReason', fault.finishReason, 'string');
  checkCompany(fault);
}

/** Refuses members that exclude each other, and members that nobody would read without another. */
function checkCompany({ instead, insteadAfterChunks, body, keepAliveMs, keepAliveAfterChunks }: Fault): void {
  if (instead !== undefined && body !== undefined)
    throw new TypeError(refusal(SUBJECT, 'instead', 'left out when "body" is set', instead));
  if (insteadAfterChunks !== undefined && instead === undefined && body === undefined)
    throw new TypeError(
      refusal(SUBJECT, 'insteadAfterChunks', 'left out without "instead" or "body"', insteadAfterChunks),
    );
  if (keepAliveAfterChunks !== undefined && keepAliveMs === undefined)
    throw new TypeError(
      refusal(SUBJECT, 'keepAliveAfterChunks', 'left out without "keepAliveMs"', keepAliveAfterChunks),
    );
}

function checkChunks(name: string, value: unknown): void {
  checkType(SUBJECT, name, value, 'number');
  if (value === undefined || Number.isInteger(value) || value === Number.POSITIVE_INFINITY) return;
  throw new RangeError(refusal(SUBJECT, name, 'an integer or Infinity', value));
}
