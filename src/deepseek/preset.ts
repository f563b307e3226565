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
import { aFunction, anObject, type Rule, readOptions } from '../core/options.ts';
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
import { normalBaseURL } from './base-url.ts';
import { ConnectionError, messageOf } from './errors.ts';
import { isMaxEffort, isThinking, type ModeFields } from './mode.ts';
import { readText } from './read-text.ts';
import { createChatRequestSchema } from './schemas.ts';

/** The service's own address. */
export const DEEPSEEK_BASE_URL = 'https://api.deepseek.com';

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
  readonly authCheck?: AuthCheckOptions | false | undefined;
  readonly payloadSchema?: Partial<PayloadSchemaOptions> | false | undefined;
  /** The routes, in their order. */
  readonly fallback?: readonly FallbackRoute[] | false | undefined;
  readonly retry?: RetryOptions | false | undefined;
  /** Options, or a breaker of your own to share it or keep its handle: give it {@link circuitKey}. */
  readonly circuitBreaker?: CircuitBreakerOptions | CircuitBreaker | false | undefined;
  readonly streamTimeout?: StreamTimeoutOptions | false | undefined;
  /** Hears everything that happens to every call. */
  readonly onEvent?: Listener | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

const orFalse: Rule = { ...anObject, must: 'an object or false', or: false };

/** What each option of the preset must be. */
export const PRESET_RULES: { readonly [Name in keyof DeepSeekOptions]-?: Rule } = {
  baseURL: { must: 'a string or a URL', type: 'string', orType: 'object' },
  apiKey: { must: 'a string or a function', type: 'string', orType: 'function' },
  authCheck: orFalse,
  payloadSchema: orFalse,
  fallback: { ...orFalse, must: 'an array of routes or false', test: Array.isArray },
  retry: orFalse,
  circuitBreaker: { ...orFalse, must: 'an object, a breaker or false', orType: 'function' },
  streamTimeout: orFalse,
  onEvent: aFunction,
  clock: anObject,
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
  const settings = readOptions('deepseek middleware', options, {}, PRESET_RULES);
  const { clock = systemClock, random = systemRandom, onEvent, apiKey } = settings;
  const { origin } = normalBaseURL(settings.baseURL ?? DEEPSEEK_BASE_URL);
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
    settings.streamTimeout !== false &&
      streamTimeout({
        ...over<StreamTimeoutOptions>({ clock }, settings.streamTimeout),
        limitsFor: modeLimits(settings.streamTimeout),
      }),
    scrubbed,
  ];
  return compose(...layers.filter((layer) => typeof layer === 'function'));
}

/** Takes the body out of a Request, because the model in it matters to every layer, sets the key and forbids redirects. */
function prepare(apiKey: DeepSeekOptions['apiKey']): Middleware {
  return defineMiddleware('deepseek', async (given, next) => {
    const call = given.request ? await loadBody(given) : given;
    if (apiKey === undefined) return next(call.with({ redirect: 'manual' }));
    const key: unknown = typeof apiKey === 'function' ? await apiKey() : apiKey;
    const headers = withKey(call.headers, typeof key === 'string' ? key : undefined);
    return next(call.with({ redirect: 'manual', headers }));
  });
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

function isChat({ url }: Call): boolean {
  return /\/chat\/completions\/?(\?|#|$)/.test(url);
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
async function readLimit(response: Response, { context }: Call, clock: Clock): Promise<void> {
  if (response.status !== 429 || !context.emit) return void response.body?.cancel().catch(() => {});
  const { message } = messageOf(await readText(response, LIMIT_LIMITS, clock));
  const [, inFlight, limit] =
    /concurrency is (\d+), which exceeds your concurrency limit of (\d+)/.exec(message) ?? [];
  if (limit) context.emit({ type: 'limit.told', limit: Number(limit), inFlight: Number(inFlight) });
  if (/remaining balance|top up your balance/i.test(message)) context.emit({ type: 'balance.low' });
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
