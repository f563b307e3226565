/** @module A reply before it goes out: what the request deserves, and what its fault puts in the place of that. */

import { piecesOf } from './letters.ts';
import { page, type ServiceReply } from './service-replies.ts';
import type { PlannedBody } from './simulated-body.ts';
import { MODELS } from './simulated-checks.ts';
import type { Fault } from './simulated-faults.ts';

/** What a request deserves: a reply that is whole, or an answer that takes its time. */
export interface Planned extends PlannedBody {
  readonly status: number;
  readonly contentType: string | null;
}

/** The body that the fault leaves of what was deserved, or puts in its place. */
export function disturb(planned: Planned, fault: Fault): Planned {
  const { isStream } = planned;
  const ended = (text: string): string =>
    isStream ? text.replaceAll(/\r?\n/g, LINE_ENDS[fault.lineEnds ?? 'lf']) : text;
  const written = { ...planned, pieces: planned.pieces.map(ended), keepAlive: ended(planned.keepAlive) };
  const put = replacement(planned, fault);
  if (!put) return written;
  const kept = written.pieces.slice(0, fault.insteadAfterChunks ?? 0);
  return {
    ...written,
    contentType: kept.length > 0 ? planned.contentType : (put.contentType ?? planned.contentType),
    pieces: [...kept, ...(put.isRaw ? put.pieces : put.pieces.map(ended))],
    endless: put.endless,
  };
}

const LINE_ENDS = { lf: '\n', crlf: '\r\n', cr: '\r' };
const UPSTREAM_ERROR = 'upstream error: read ECONNRESET';
/** A number as the code, as gateways have it: the service itself has words. */
const GATEWAY_ERROR = { error: { message: UPSTREAM_ERROR, type: 'server_error', param: null, code: 502 } };
const ENDLESS_LETTERS = 'x'.repeat(64 * 1024);

/** What comes in the place of an answer, or of its rest. */
interface Replacement {
  readonly pieces: readonly string[];
  /** The content type that it brings. */
  readonly contentType?: string | null | undefined;
  /** Whether it goes out to the letter. */
  readonly isRaw?: boolean;
  readonly endless?: string | undefined;
}

function replacement(planned: Planned, fault: Fault): Replacement | undefined {
  const { isStream } = planned;
  switch (fault.instead) {
    case 'empty':
      return { pieces: [] };
    case 'blank-lines':
      return { pieces: ['\n', '\n', '\n'] };
    case 'html': {
      const { contentType, body } = page(planned.status < 400 ? 502 : planned.status, 'nginx/1.26.0');
      return { pieces: piecesOf(body), contentType, isRaw: true };
    }
    case 'error':
      return isStream ? { pieces: [eventOf(GATEWAY_ERROR)] } : jsonOf(GATEWAY_ERROR);
    case 'not-json':
      return { pieces: [isStream ? `data: ${UPSTREAM_ERROR}\n\n` : UPSTREAM_ERROR] };
    case 'bare-text':
      return { pieces: [`${UPSTREAM_ERROR}\n`] };
    case 'endless-event': {
      const begun = '{"choices":[{"index":0,"delta":{"content":"';
      return { pieces: [isStream ? `data: ${begun}` : begun], endless: ENDLESS_LETTERS };
    }
    case undefined:
      return bodyOf(fault, isStream);
  }
}

function bodyOf({ body, insteadAfterChunks }: Fault, isStream: boolean): Replacement | undefined {
  if (body === undefined) return undefined;
  if (typeof body === 'string') return { pieces: piecesOf(body), isRaw: true };
  if (isStream && insteadAfterChunks !== undefined) return { pieces: [eventOf(body)] };
  return jsonOf(body);
}

function jsonOf(body: object): Replacement {
  return { pieces: piecesOf(JSON.stringify(body)), contentType: 'application/json' };
}

function eventOf(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}

/** The headers of the reply, with those of the fault. */
export function headersOf(planned: Planned, fault: Fault, traceId: string): Headers {
  const headers = new Headers({ 'x-ds-trace-id': traceId });
  if (planned.contentType !== null) headers.set('content-type', planned.contentType);
  if (fault.retryAfter !== undefined) headers.set('retry-after', `${fault.retryAfter}`);
  if (fault.retryAfterMs !== undefined) headers.set('retry-after-ms', `${fault.retryAfterMs}`);
  for (const [name, value] of Object.entries(fault.headers ?? {})) {
    if (value === null) headers.delete(name);
    else headers.set(name, value);
  }
  return headers;
}

/** Whether a Response of this status may have a body at all. */
export function hasBody(status: number): boolean {
  return status !== 204 && status !== 205 && status !== 304;
}

/** A reply that goes out without a pause. */
export function whole({ status, contentType, body }: ServiceReply): Planned {
  const pieces = piecesOf(body);
  return { status, contentType, isStream: false, pieces, keepAlive: '\n', leadMs: 0, pieceMs: 0 };
}

function json(body: object): ServiceReply {
  return { status: 200, contentType: 'application/json', body: JSON.stringify(body) };
}

/** What `GET /models` lists. */
export function modelList(): ServiceReply {
  return json({ object: 'list', data: MODELS.map((id) => ({ id, object: 'model', owned_by: 'deepseek' })) });
}

/** What `GET /user/balance` says. */
export function balance(): ServiceReply {
  const info = {
    currency: 'USD',
    total_balance: '110.00',
    granted_balance: '10.00',
    topped_up_balance: '100.00',
  };
  return json({ is_available: true, balance_infos: [info] });
}
