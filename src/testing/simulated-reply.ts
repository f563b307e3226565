/** @module A reply before it goes out: what the request deserves, and what its fault puts in the place of that. */

import { page, type ServiceReply } from './service-replies.ts';
import { piecesOf } from './simulated-answer.ts';
import type { PlannedBody } from './simulated-body.ts';
import { MODELS } from './simulated-checks.ts';
import type { Fault } from './simulated-faults.ts';

/** What a request deserves: a reply that is whole, or an answer that takes its time. */
export interface Planned extends PlannedBody {
  readonly status: number;
  readonly contentType: string | null;
}

/** The status and the body that the fault puts in the place of those that were deserved. */
export function disturb(planned: Planned, fault: Fault): Planned {
  if (fault.instead === 'empty') return { ...planned, pieces: [] };
  if (fault.instead === 'blank-lines') return { ...planned, pieces: ['\n', '\n', '\n'] };
  if (fault.instead === 'html') {
    const { contentType, body } = page(planned.status < 400 ? 502 : planned.status, 'nginx/1.26.0');
    return { ...planned, contentType, pieces: piecesOf(body) };
  }
  if (typeof fault.body === 'string') return { ...planned, pieces: piecesOf(fault.body) };
  if (fault.body === undefined) return planned;
  return { ...planned, contentType: 'application/json', pieces: piecesOf(JSON.stringify(fault.body)) };
}

/** The headers of the reply, with those of the fault. */
export function headersOf(planned: Planned, fault: Fault, traceId: string): Headers {
  const headers = new Headers({ 'x-ds-trace-id': traceId });
  if (planned.contentType !== null) headers.set('content-type', planned.contentType);
  if (fault.retryAfter !== undefined) headers.set('retry-after', `${fault.retryAfter}`);
  if (fault.retryAfterMs !== undefined) headers.set('retry-after-ms', `${fault.retryAfterMs}`);
  for (const [name, value] of Object.entries(fault.headers ?? {})) headers.set(name, value);
  return headers;
}

/** Whether a Response of this status may have a body at all. */
export function hasBody(status: number): boolean {
  return status !== 204 && status !== 205 && status !== 304;
}

/** A reply that goes out without a pause. */
export function whole({ status, contentType, body }: ServiceReply): Planned {
  return { status, contentType, pieces: piecesOf(body), keepAlive: '\n', leadMs: 0, pieceMs: 0 };
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
