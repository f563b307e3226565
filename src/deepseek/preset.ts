/**
 * @module The recommended chain with what is known of DeepSeek filled in. It is a middleware, so it stands in front of any fetch, and any
 * client that takes a fetch can stand in front of it.
 */

import { loadBody, payloadOf } from '../core/body.ts';
import { type Call, originOf } from '../core/call.ts';
import { type Clock, type Random, systemClock, systemRandom } from '../core/clock.ts';
import { compose } from '../core/compose.ts';
import { withKey } from '../core/credential.ts';
import { defineMiddleware } from '../core/define-middleware.ts';
import { isBreakwaterError } from '../core/errors.ts';
import type { Listener } from '../core/events.ts';
import { failureKind } from '../core/failure.ts';
import { aClock, aFunction, check, oneOf, type Rule, readOptions } from '../core/options.ts';
import type { Middleware } from '../core/types.ts';
import { type AuthCheckOptions, authCheck } from '../middleware/auth-check.ts';
import {
  type CircuitBreaker,
  type CircuitBreakerOptions,
  circuitBreaker,
} from '../middleware/circuit-breaker.ts';
import { type FallbackRoute, fallback } from '../middleware/fallback.ts';
import { observe } from '../middleware/observe.ts';
import { type PayloadSchemaOptions, payloadSchema } from '../middleware/payload-schema.ts';
import { type RetryOptions, retry } from '../middleware/retry.ts';
import { type StreamTimeoutOptions, streamTimeout } from '../middleware/stream-timeout.ts';
import { adviseOn } from './advice.ts';
import { isChat, normalBaseURL } from './base-url.ts';
import { ConnectionError, messageOf } from './errors.ts';
import { isMaxEffort, isThinking, type ModeFields } from './mode.ts';
import { type CommitOn, detectAnswer } from './progress.ts';
import { readText } from './read-text.ts';
import { createChatRequestSchema } from './schemas.ts';

/** What `streamTimeout` is told here. */
export interface DeepSeekStreamOptions extends StreamTimeoutOptions {
  /**
   * What is waited for before the caller gets the answer, and until when it can be repeated: its first content, of which reasoning is one kind, or
   * the first piece of the answer itself.
   * @default 'content'
   */
  readonly commitOn?: CommitOn | undefined;
}

/** What {@link deepseek} is told. The options of each middleware stand under its name; `false` leaves it out. */
export interface DeepSeekOptions {
  /**
   * Where the service is; its origin is the one that the key may go to. Must be https, or http on a loopback address.
   * A trailing slash, or `/chat/completions` at its end, does no harm.
   * @default 'https://api.deepseek.com'
   */
  readonly baseURL?: string | URL | undefined;
  /**
   * The key, or a function that is asked for it on every call; white space around it is removed.
   * @default the one that the request carries
   */
  readonly apiKey?: string | (() => string | Promise<string>) | undefined;
  /**
   * Options of `authCheck`.
   * @default the key may go to the origin of `baseURL` alone
   */
  readonly authCheck?: AuthCheckOptions | false | undefined;
  /**
   * Options of `payloadSchema`.
   * @default the service's schema, for chat completions
   */
  readonly payloadSchema?: Partial<PayloadSchemaOptions> | false | undefined;
  /**
   * The routes of `fallback`, in their order.
   * @default none
   */
  readonly fallback?: readonly FallbackRoute[] | false | undefined;
  /**
   * Options of `retry`.
   * @default those of `retry`
   */
  readonly retry?: RetryOptions | false | undefined;
  /**
   * Options of `circuitBreaker`, or a breaker of your own to share it or keep its handle: give it {@link circuitKey}.
   * @default a circuit for each model
   */
  readonly circuitBreaker?: CircuitBreakerOptions | CircuitBreaker | false | undefined;
  /**
   * Options of `streamTimeout`. A limit that is set here holds in every mode.
   * @default limits that go by whether the model thinks, and by how hard
   */
  readonly streamTimeout?: DeepSeekStreamOptions | false | undefined;
  /**
   * Hears everything that happens to every call.
   * @default none
   */
  readonly onEvent?: Listener | undefined;
  /**
   * Measures and waits, in all layers.
   * @default the clock of the runtime
   */
  readonly clock?: Clock | undefined;
  /**
   * Spreads waits and probes.
   * @default Math.random
   */
  readonly random?: Random | undefined;
}

const orFalse: Rule = {
  must: 'an object or false',
  types: 'object boolean',
  test: (value: unknown) => value !== true,
};

/** What each option of the preset must be. */
export const PRESET_RULES: { readonly [Name in keyof DeepSeekOptions]-?: Rule } = {
  baseURL: { must: 'a string or a URL', types: 'string object' },
  apiKey: { must: 'a string or a function', types: 'string function' },
  authCheck: orFalse,
  payloadSchema: orFalse,
  fallback: { ...orFalse, must: 'an array of routes or false', types: 'array boolean' },
  retry: orFalse,
  circuitBreaker: { ...orFalse, must: 'an object, a breaker or false', types: 'object function boolean' },
  streamTimeout: orFalse,
  onEvent: aFunction,
  clock: aClock,
  random: aFunction,
};

/**
 * Creates the recommended chain for DeepSeek: key check, schema, fallback, retries, breaker and stream clocks, each with the
 * service's own numbers.
 *
 * Redirects are not followed, because they would carry the prompt elsewhere. What fetch throws becomes a
 * {@link ConnectionError} that holds no word of it.
 *
 * @throws {TypeError | RangeError} From the factory, for wrong options.
 *
 * @example In front of a fetch
 * ```ts
 * import { deepseek } from 'breakwater/deepseek';
 *
 * const chain = deepseek({ apiKey: process.env.DEEPSEEK_API_KEY })(fetch);
 * const response = await chain('https://api.deepseek.com/models');
 * if (!response.ok) throw new Error(`got ${response.status}`);
 * ```
 */
export function deepseek(options?: DeepSeekOptions): Middleware {
  const subject = 'deepseek middleware';
  const settings = readOptions(subject, options, {}, PRESET_RULES);
  const { clock = systemClock, random = systemRandom, onEvent, apiKey } = settings;
  const { origin } = normalBaseURL(subject, settings.baseURL);
  const layers: (Middleware | false | undefined)[] = [
    onEvent && observe(onEvent, { clock }),
    prepare(apiKey),
    settings.authCheck !== false &&
      authCheck(over<AuthCheckOptions>({ origins: [origin] }, settings.authCheck)),
    settings.payloadSchema !== false && payloadSchema(schemaOptions(settings.payloadSchema, clock)),
    settings.fallback && fallback(...settings.fallback),
    settings.retry !== false &&
      retry(
        over<RetryOptions>(
          { clock, random, onDiscard: (unread, call) => void readLimit(unread, call, clock) },
          settings.retry,
        ),
      ),
    settings.circuitBreaker !== false && breaker(settings.circuitBreaker, clock, random),
    settings.streamTimeout !== false && guard(settings.streamTimeout, clock),
    scrubbed,
  ];
  return compose(...layers.filter((layer) => typeof layer === 'function'));
}

/** Takes the body out of a Request, because the model in it matters to every layer, sets the key and forbids redirects. */
function prepare(apiKey: DeepSeekOptions['apiKey']): Middleware {
  return defineMiddleware('deepseek', async (given, next) => {
    const call = given.request ? await loadBody(given) : given;
    if (apiKey === undefined) return next(call.with({ redirect: 'manual' }));
    const key: unknown = typeof apiKey === 'function' ? await orAbort(apiKey(), call.signal) : apiKey;
    const headers = withKey(call.headers, typeof key === 'string' ? key : undefined);
    return next(call.with({ redirect: 'manual', headers }));
  });
}

/** The value, unless the caller aborts first: a store of keys may be slow, and nobody waits for it any more. */
async function orAbort<T>(value: T | Promise<T>, signal: AbortSignal | null | undefined): Promise<T> {
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal?.reason);
  });
  signal?.addEventListener('abort', abort);
  if (signal?.aborted) abort();
  try {
    return await Promise.race([aborted, value]);
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** The preset's options under the user's, of which an `undefined` one counts as not given. */
function over<Options extends object>(preset: Options, given: Partial<Options> = {}): Options {
  const told = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...preset, ...Object.fromEntries(told) };
}

function schemaOptions(given: Partial<PayloadSchemaOptions> | undefined, clock: Clock): PayloadSchemaOptions {
  const schema = createChatRequestSchema(() => clock.wall());
  return over<PayloadSchemaOptions>({ schema, shouldValidate: isChat, advise: adviseOn }, given);
}

function breaker(
  given: CircuitBreakerOptions | CircuitBreaker | undefined,
  clock: Clock,
  random: Random,
): Middleware {
  return typeof given === 'function'
    ? given
    : circuitBreaker(over<CircuitBreakerOptions>({ key: circuitKey, clock, random }, given));
}

/** The key of a call's circuit: its origin and its model, because each model has limits and outages of its own. */
export function circuitKey(call: Call): string {
  const { model } = (payloadOf(call) ?? {}) as { model?: unknown };
  return typeof model === 'string' ? `${originOf(call.url)} ${model}` : originOf(call.url);
}

function guard({ commitOn = 'content', ...given }: DeepSeekStreamOptions = {}, clock: Clock): Middleware {
  check('deepseek middleware', '"commitOn"', commitOn, oneOf('content', 'answer'));
  const options = over<StreamTimeoutOptions>({ clock, detect: detectAnswer(commitOn) }, given);
  return streamTimeout({ ...options, limitsFor: modeLimits(given) });
}

type LimitsFor = StreamTimeoutOptions['limitsFor'];

/** The silences that are normal in each mode; what the user set holds in all, and for a single call what the user's own function says. */
function modeLimits({
  headersMs = 60_000,
  firstTokenMs,
  idleMs,
  limitsFor,
}: StreamTimeoutOptions = {}): LimitsFor {
  if (limitsFor !== undefined && typeof limitsFor !== 'function') return limitsFor; // for streamTimeout to refuse
  const limits = (first: number, idle: number) => ({
    headersMs,
    firstTokenMs: firstTokenMs ?? first,
    idleMs: idleMs ?? idle,
  });
  const direct = limits(180_000, 60_000);
  const thinking = limits(300_000, 120_000);
  const thinkingHard = limits(600_000, 120_000);
  const limitsOf = (call: Call) => {
    const payload = payloadOf(call) as (ModeFields & { stream?: unknown }) | undefined;
    if (typeof payload !== 'object' || payload === null || !isThinking(payload)) return direct;
    return isMaxEffort(payload) && payload.stream !== true ? thinkingHard : thinking;
  };
  return limitsFor ? (call) => over(limitsOf(call), limitsFor(call)) : limitsOf;
}

/** What a 429 says about the limit is worth a second, while the wait runs anyway. */
const LIMIT_LIMITS = { maxBytes: 64 * 1024, maxMs: 1000 };

/** Reads why there were too many requests, and tells. Source of the wording: answers captured in September 2026. */
async function readLimit({ status, body }: Response, call: Call, clock: Clock): Promise<void> {
  const { emit } = call.context;
  if (status !== 429 || !emit) return void body?.cancel().catch(() => {});
  const { message } = messageOf(await readText(body, LIMIT_LIMITS, clock, call.signal));
  const [, inFlight, limit] =
    /concurrency is (\d+), which exceeds your concurrency limit of (\d+)/.exec(message) ?? [];
  if (limit) emit({ type: 'limit.told', limit: Number(limit), inFlight: Number(inFlight) });
  if (/remaining balance|top up your balance/i.test(message)) emit({ type: 'balance.low' });
}

/** Innermost: no raw error of a fetch gets out, because ky would wrap it together with the request and its key. */
const scrubbed: Middleware = defineMiddleware('scrubbed', async (call, next) => {
  try {
    return await next(call);
  } catch (error) {
    if (call.signal?.aborted) throw call.signal.reason;
    if (isBreakwaterError(error) || failureKind(error, call) !== 'network') throw error;
    throw new ConnectionError(originOf(call.url), error);
  }
});
