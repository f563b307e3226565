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

  /** `facts` are what the error carries beside its code: they become properties. */
  constructor(code: Code, message: string, facts?: object, cause?: Error) {
    super(message, cause && { cause });
    this.code = code;
    Object.assign(this, facts);
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
  declare readonly issues: readonly PayloadIssue[];

  constructor(issues: readonly PayloadIssue[]) {
    const shown = issues.slice(0, 3).map(({ path, message }) => (path ? `${path}: ${message}` : message));
    if (issues.length > 3) shown.push(`and ${issues.length - 3} more`);
    super('PAYLOAD_INVALID', `Request body is invalid: ${shown.join('; ')}`, { issues });
  }

  override get name(): 'PayloadError' {
    return 'PayloadError';
  }
}

/** The request was not sent, because the service has failed too often of late. */
export class CircuitOpenError extends BreakwaterError<'CIRCUIT_OPEN'> {
  /** Which circuit is open. */
  declare readonly key: string;
  /** Milliseconds until a call may be let through again; undefined when the circuit was isolated by hand. */
  declare readonly retryAfterMs: number | undefined;
  /** The status that this call had met before, when it is a retry of it that found the circuit open. */
  declare readonly lastStatus: number | undefined;

  constructor(key: string, retryAfterMs: number | undefined, lastStatus?: number) {
    const next = retryAfterMs === undefined ? 'it was isolated' : `next probe in ${retryAfterMs} ms`;
    super('CIRCUIT_OPEN', `Circuit of ${key} is open: ${next}`, { key, retryAfterMs, lastStatus });
  }

  override get name(): 'CircuitOpenError' {
    return 'CircuitOpenError';
  }
}

/** How far an answer had come when it ended badly. */
export interface StreamProgress {
  /** Bytes of the body that had arrived. */
  readonly receivedBytes: number;
  /** Signs of life without content: comments in an event stream, blank lines elsewhere. */
  readonly keepAlives: number;
  /** Whether the caller had been given some of the answer; if not, another attempt does no harm. */
  readonly committed: boolean;
  /** Why the answer says that it ended; undefined where it does not. */
  readonly finishReason?: string | undefined;
}

/** The text of an answer that had arrived before it broke off. */
export interface PartialAnswer {
  readonly content: string;
  readonly reasoningContent: string;
}

/** What the two errors of a stream have in common. */
abstract class StreamError<Code extends string> extends BreakwaterError<Code> implements StreamProgress {
  declare readonly receivedBytes: number;
  declare readonly keepAlives: number;
  declare readonly committed: boolean;
  declare readonly finishReason: string | undefined;
  /** What had arrived, where a client has read it. Not enumerable, so that no log shows it unasked. */
  declare readonly partial: PartialAnswer | undefined;

  /** Puts the text so far on the error. */
  withPartial(partial: PartialAnswer): this {
    return Object.defineProperty(this, 'partial', { value: partial, configurable: true });
  }
}

const clocks = {
  TIMEOUT_HEADERS: 'Response headers did not arrive within',
  TIMEOUT_FIRST_TOKEN: 'Response brought no content within',
  TIMEOUT_IDLE: 'Stream sent no data for',
  TIMEOUT_TOTAL: 'Call did not end within',
};

/** One of the four clocks of `streamTimeout` ran out. */
export class StreamTimeoutError extends StreamError<keyof typeof clocks> {
  /** The limit that was passed, in milliseconds. */
  declare readonly limitMs: number;

  constructor(code: keyof typeof clocks, limitMs: number, progress: StreamProgress) {
    super(code, `${clocks[code]} ${limitMs} ms: ${arrived(progress)}`, { limitMs, ...progress });
  }

  override get name(): 'StreamTimeoutError' {
    return 'StreamTimeoutError';
  }
}

const breakages = {
  STREAM_EMPTY: 'Answer is empty',
  STREAM_RESET: 'Connection was lost in the answer',
  STREAM_TRUNCATED: 'Answer ended before it was finished',
  STREAM_FAILED: 'Service reported an error in the answer',
  STREAM_MALFORMED: 'Answer holds what is no part of an answer',
  STREAM_OVERFLOW: 'Answer holds an event that is too large',
};

/** The answer broke off, or was none. */
export class StreamBrokenError extends StreamError<keyof typeof breakages> {
  constructor(code: keyof typeof breakages, progress: StreamProgress, cause?: unknown) {
    const message = `${breakages[code]}: ${arrived(progress)}`;
    super(code, message, progress, cause === undefined ? cause : scrub(cause));
  }

  override get name(): 'StreamBrokenError' {
    return 'StreamBrokenError';
  }
}

function arrived({ receivedBytes, keepAlives, finishReason }: StreamProgress): string {
  const signs = keepAlives > 0 ? ` and ${keepAlives} keep-alives` : '';
  return `${receivedBytes} bytes${signs} had arrived${finishReason ? `, ending with ${finishReason}` : ''}`;
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
  return BRAND in Object(value);
}

/**
 * A foreign error without its words: runtimes put addresses, query strings and header values into the text of a
 * network error. Its name and its codes remain, which say as much.
 */
export function scrub(error: unknown): Error {
  const names: string[] = [];
  for (let each = error; each instanceof Error && names.length < 4; each = each.cause) {
    const { name, code } = each as Error & { code?: unknown };
    names.push(/^[A-Z]\w+$/.test(String(code)) ? `${name} ${code}` : name);
  }
  return new Error(names.join(': ') || 'unknown cause');
}
