/**
 * @module What a call can end with, one class per decision that a caller can take. The names are none of those that
 * ky and others match by name, and nothing here holds a key, a query string, a header's value or a body: an error
 * ends in logs, and logs are read by many.
 */

const BRAND: symbol = Symbol.for('breakwater.error.1');

/** The ancestor of every error of ours. Ask {@link isBreakwaterError}, which also knows those of a second installed copy. */
export abstract class BreakwaterError<Code extends string = string> extends Error {
  /** Says exactly what happened; the set of codes is closed. */
  readonly code: Code;

  constructor(code: Code, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** The error as a log wants it: its name, code, message and figures, without stack or cause. */
  toJSON(): object {
    return Object.assign({ name: this.name, message: this.message }, this);
  }
}

/** The request was not sent, because its credential is missing or cannot be right. */
export class AuthCheckError extends BreakwaterError<'AUTH_MISSING' | 'AUTH_MALFORMED' | 'AUTH_ORIGIN'> {
  override get name(): 'AuthCheckError' {
    return 'AuthCheckError';
  }
}

/** One mistake in a request's body. */
export interface PayloadIssue {
  /** Where it is, as in `messages[1].role`; empty for the body as a whole. */
  readonly path: string;
  /** What is wrong there. */
  readonly message: string;
}

/** The request was not sent, because the service would surely refuse its body. */
export class PayloadError extends BreakwaterError<'PAYLOAD_INVALID'> {
  readonly issues: readonly PayloadIssue[];

  constructor(issues: readonly PayloadIssue[]) {
    const first = issues.slice(0, 3).map(({ path, message }) => (path ? `${path}: ${message}` : message));
    const rest = issues.length > 3 ? `; and ${issues.length - 3} more` : '';
    super('PAYLOAD_INVALID', `Request body is invalid: ${first.join('; ')}${rest}`);
    this.issues = issues;
  }

  override get name(): 'PayloadError' {
    return 'PayloadError';
  }
}

/** The request was not sent, because the service has failed too often of late. */
export class CircuitOpenError extends BreakwaterError<'CIRCUIT_OPEN'> {
  /** Which circuit is open. */
  readonly key: string;
  /** Milliseconds until a call may be let through again; undefined when the circuit was isolated by hand. */
  readonly retryAfterMs: number | undefined;
  /** The status that this call had met before, when it is a retry of it that found the circuit open. */
  readonly lastStatus: number | undefined;

  constructor(key: string, retryAfterMs: number | undefined, lastStatus?: number) {
    const next =
      retryAfterMs === undefined ? 'it was isolated' : `next probe in ${Math.ceil(retryAfterMs)} ms`;
    super('CIRCUIT_OPEN', `Circuit of ${key} is open: ${next}`);
    this.key = key;
    this.retryAfterMs = retryAfterMs;
    this.lastStatus = lastStatus;
  }

  override get name(): 'CircuitOpenError' {
    return 'CircuitOpenError';
  }
}

/** How far an answer had come when it ended badly. */
export interface StreamProgress {
  /** Bytes of the body that had arrived. */
  readonly receivedBytes: number;
  /** Whether the caller had been given some of the answer; if not, another attempt does no harm. */
  readonly committed: boolean;
}

const clocks = {
  TIMEOUT_HEADERS: 'Response headers did not arrive within',
  TIMEOUT_FIRST_TOKEN: 'Response brought no content within',
  TIMEOUT_IDLE: 'Stream sent no data for',
  TIMEOUT_TOTAL: 'Call did not end within',
};

/** One of the four clocks of `streamTimeout` ran out. */
export class StreamTimeoutError extends BreakwaterError<keyof typeof clocks> implements StreamProgress {
  /** The limit that was passed, in milliseconds. */
  readonly limitMs: number;
  readonly receivedBytes: number;
  readonly committed: boolean;

  constructor(code: keyof typeof clocks, limitMs: number, { receivedBytes, committed }: StreamProgress) {
    super(code, `${clocks[code]} ${limitMs} ms: ${receivedBytes} bytes had arrived`);
    this.limitMs = limitMs;
    this.receivedBytes = receivedBytes;
    this.committed = committed;
  }

  override get name(): 'StreamTimeoutError' {
    return 'StreamTimeoutError';
  }
}

const breakages = {
  STREAM_RESET: 'Connection was lost in the answer',
  STREAM_TRUNCATED: 'Answer ended before it was finished',
  STREAM_FAILED: 'Service reported an error in the answer',
  STREAM_MALFORMED: 'Answer holds what is no part of an answer',
};

/** The answer broke off. */
export class StreamBrokenError extends BreakwaterError<keyof typeof breakages> implements StreamProgress {
  readonly receivedBytes: number;
  readonly committed: boolean;

  constructor(code: keyof typeof breakages, { receivedBytes, committed }: StreamProgress, cause?: unknown) {
    super(
      code,
      `${breakages[code]}: ${receivedBytes} bytes had arrived`,
      cause === undefined ? cause : scrub(cause),
    );
    this.receivedBytes = receivedBytes;
    this.committed = committed;
  }

  override get name(): 'StreamBrokenError' {
    return 'StreamBrokenError';
  }
}

/** Every error that the middlewares throw of their own: `switch (error.code)` over it is exhaustive. */
export type MiddlewareError =
  | AuthCheckError
  | PayloadError
  | CircuitOpenError
  | StreamTimeoutError
  | StreamBrokenError;

/** Tells our errors from all others, also across two installed copies and across realms. */
export function isBreakwaterError(value: unknown): value is MiddlewareError {
  return typeof value === 'object' && value !== null && BRAND in value;
}

/**
 * A foreign error without its words: runtimes put addresses, query strings and header values into the text of a
 * network error. Its name and its codes remain, which say as much.
 */
export function scrub(error: unknown): Error {
  const names: string[] = [];
  for (let each = error, depth = 0; each instanceof Error && depth < 4; each = each.cause, depth++) {
    const { name, code } = each as Error & { code?: unknown };
    names.push(typeof code === 'string' && /^\w+$/.test(code) ? `${name} ${code}` : name);
  }
  return new Error(names.join(': ') || 'unknown cause');
}
