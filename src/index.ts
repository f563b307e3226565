/**
 * @module breakwater: composable fetch middlewares that keep a call standing when the service is not. The whole of the core and
 * every middleware; each middleware also has an entry of its own.
 */

export { Attempt, type CallContext } from './core/attempt.ts';
export { Call, type CallChanges } from './core/call.ts';
export type { Clock, Random, TimerHandle } from './core/clock.ts';
export { compose } from './core/compose.ts';
export { defineMiddleware } from './core/define-middleware.ts';
export {
  AuthCheckError,
  BreakwaterError,
  CircuitOpenError,
  isBreakwaterError,
  type MiddlewareError,
  type PartialAnswer,
  PayloadError,
  type PayloadIssue,
  StreamBrokenError,
  type StreamProgress,
  StreamTimeoutError,
} from './core/errors.ts';
export type { Cause, ChainEvent, Listener, ObservedEvent, Settlement } from './core/events.ts';
export type { StandardIssue, StandardResult, StandardSchema } from './core/standard-schema.ts';
export type { FetchLike, Middleware } from './core/types.ts';
export * from './middleware/auth-check.ts';
export * from './middleware/circuit-breaker.ts';
export * from './middleware/fallback.ts';
export * from './middleware/observe.ts';
export * from './middleware/payload-schema.ts';
export * from './middleware/retry.ts';
export * from './middleware/stream-timeout.ts';
