/** @module The bodies with which the service, and the gateways before it, refuse a call, as they have been captured. */

/** A reply that is already whole: status, type and text. */
export interface ServiceReply {
  readonly status: number;
  /** Null where the service sends none. */
  readonly contentType: string | null;
  readonly body: string;
}

const JSON_TYPE = 'application/json';
/** What the service calls the JSON, and the plain text, of the checks it makes itself. */
export const UNTYPED = 'application/octet-stream';

/** The error object of the service. Its `code` says next to nothing, whatever the status. */
export function errorBody(message: string, type: string, code = 'invalid_request_error'): string {
  return JSON.stringify({ error: { message, type, param: null, code } });
}

/** The reply that stands behind a status when a test names nothing but the status. */
export function replyOf(status: number): ServiceReply {
  const captured = REPLIES[status];
  if (captured) return { status, ...captured };
  if (status < 400) return { status, contentType: null, body: '' };
  return { status, ...page(status, 'nginx/1.26.0') };
}

/** The error page of a gateway. */
export function page(status: number, server: string): Omit<ServiceReply, 'status'> {
  const title = `${status} ${PHRASES[status] ?? 'Error'}`;
  const body = [
    '<html>',
    `<head><title>${title}</title></head>`,
    '<body>',
    `<center><h1>${title}</h1></center>`,
    `<hr><center>${server}</center>`,
    '</body>',
    '</html>',
    '',
  ].join('\r\n');
  return { contentType: 'text/html', body };
}

/** What a scripted status answers: always JSON, so that a test of an error reader has something to read. */
export function plainReplyOf(status: number): ServiceReply {
  if (status < 400) return { status, contentType: JSON_TYPE, body: '{"ok":true}' };
  const captured = REPLIES[status];
  if (captured?.contentType === JSON_TYPE) return { status, ...captured };
  const message = PHRASES[status] ?? `Scripted reply with status ${status}`;
  const type = status >= 500 ? 'server_error' : 'invalid_request_error';
  return { status, contentType: JSON_TYPE, body: errorBody(message, type) };
}

const PHRASES: Readonly<Record<number, string>> = {
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Not Allowed',
  408: 'Request Time-out',
  409: 'Conflict',
  413: 'Request Entity Too Large',
  425: 'Too Early',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Temporarily Unavailable',
  504: 'Gateway Time-out',
};

const REPLIES: Readonly<Record<number, Omit<ServiceReply, 'status'>>> = {
  400: { contentType: JSON_TYPE, body: errorBody('Content Exists Risk', 'invalid_request_error') },
  401: {
    contentType: JSON_TYPE,
    body: errorBody('Authentication Fails (no such user)', 'authentication_error'),
  },
  402: { contentType: JSON_TYPE, body: errorBody('Insufficient Balance', 'unknown_error') },
  404: { contentType: null, body: '' },
  422: {
    contentType: UNTYPED,
    body: "Failed to deserialize the JSON body into the target type: missing field 'messages' at line 4 column 1",
  },
  429: {
    contentType: JSON_TYPE,
    body: errorBody(
      'Too many requests. Your current concurrency is 26, which exceeds your concurrency limit of 25 based on your remaining balance. Please top up your balance to restore your concurrency.',
      'rate_limit_error',
    ),
  },
  500: page(500, 'openresty'),
  503: {
    contentType: JSON_TYPE,
    body: errorBody(
      'Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.',
      'service_unavailable_error',
      'service_unavailable_error',
    ),
  },
};
