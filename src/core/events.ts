/** @module What happens inside a chain, for whoever watches. With no observer nothing is built: every emit is `context.emit?.({ … })`. */

import type { PayloadIssue } from './errors.ts';

/** How a call, or one attempt of it, ended: its body was read to the end, broke, was cancelled, or was never read. */
export type Settlement =
  | { readonly outcome: 'complete' | 'cancelled' | 'abandoned' }
  | { readonly outcome: 'failed'; readonly error: unknown };

/** What set off a retry or a fallback: a status, or the code or name of an error. */
export type Cause = number | string;

/** One thing that happened. It holds names, numbers and codes, and never a key, a query string, a header or a body. */
export type ChainEvent =
  | { readonly type: 'call.started'; readonly method: string; readonly url: string }
  | {
      readonly type: 'call.settled';
      readonly outcome: Settlement['outcome'];
      readonly status: number | undefined;
      readonly cause: Cause | undefined;
      readonly durationMs: number;
    }
  | { readonly type: 'attempt.started'; readonly attempt: number }
  | {
      readonly type: 'retry.scheduled';
      readonly attempt: number;
      readonly cause: Cause;
      readonly delayMs: number;
      readonly toldMs?: number | undefined;
    }
  | {
      readonly type: 'retry.refused';
      readonly attempt: number;
      readonly cause: Cause;
      readonly reason: 'limit' | 'budget' | 'deadline' | 'retry-budget' | 'single-attempt';
      readonly toldMs?: number | undefined;
    }
  | { readonly type: 'retry.pressure'; readonly retriesPerMinute: number }
  | { readonly type: 'body.single-attempt' }
  | { readonly type: 'breaker.opened'; readonly key: string; readonly retryAfterMs: number }
  | { readonly type: 'breaker.probed'; readonly key: string }
  | { readonly type: 'breaker.closed'; readonly key: string }
  | { readonly type: 'call.queued' }
  | { readonly type: 'stream.keep-alive'; readonly keepAlives: number; readonly afterMs: number }
  | { readonly type: 'stream.first-token'; readonly afterMs: number }
  | { readonly type: 'stream.unheld'; readonly heldBytes: number }
  | {
      readonly type: 'stream.resumed';
      readonly attempt: number;
      readonly receivedChars: number;
      readonly cause: Cause;
    }
  | { readonly type: 'fallback.advanced'; readonly route: string; readonly cause: Cause }
  | { readonly type: 'payload.skipped' }
  | { readonly type: 'payload.advice'; readonly issues: readonly PayloadIssue[] }
  | { readonly type: 'limit.told'; readonly limit: number; readonly inFlight: number }
  | { readonly type: 'balance.low' };

/** What a listener is given: the event, which call it belongs to, and when it happened. */
export type ObservedEvent = ChainEvent & {
  /** Counts the calls of one observer from 1. */
  readonly callId: number;
  /** Milliseconds on the observer's clock. */
  readonly at: number;
};

/** Takes the events of a chain; what it throws is swallowed. */
export type Listener = (event: ObservedEvent) => void;
