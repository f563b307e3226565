/**
 * @module The minimal request builder: it knows the endpoint, the key and the shape of an answer. Everything that makes a call
 * survive is in the chain below it, which is a fetch; ky is in between, so that every other endpoint is one line.
 */

import ky, { isNetworkError, type KyInstance, type Options } from 'ky';
import type { CallContext } from '../core/attempt.ts';
import { type Clock, systemClock } from '../core/clock.ts';
import { compose } from '../core/compose.ts';
import { defineMiddleware } from '../core/define-middleware.ts';
import { aFunction, aPositiveCount, check, readOptions } from '../core/options.ts';
import type { StandardSchema } from '../core/standard-schema.ts';
import type { FetchLike, Middleware } from '../core/types.ts';
import { RETRY_DEFAULTS, type RetryOptions } from '../middleware/retry.ts';
import { readAnswer } from './answer.ts';
import { normalBaseURL } from './base-url.ts';
import {
  type CallOptions,
  type JsonOptions,
  readJsonOptions,
  readStreamOptions,
  type StreamOptions,
} from './call-options.ts';
import { LiveChatStream } from './chat-stream.ts';
import { readError } from './errors.ts';
import { askForJson, type JsonSettings } from './json-mode.ts';
import { type DeepSeekOptions, deepseek, PRESET_RULES } from './preset.ts';
import { continuationUrl } from './resume.ts';
import type { ChatCompletion, ChatRequest, ChatStream, JsonCompletion } from './types.ts';

/** What {@link createDeepSeek} is told: the options of `deepseek()`, with a key, and the fetch that it all ends in. */
export interface DeepSeekClientOptions extends DeepSeekOptions {
  /** The key, or a function that is asked for it on every call; white space around it is removed. */
  readonly apiKey: string | (() => string | Promise<string>);
  /**
   * What sends the requests.
   * @default the fetch of the runtime
   */
  readonly fetch?: FetchLike | undefined;
  /**
   * The largest single event of a stream that is put together, in bytes. Must be a positive integer.
   * @default 8_388_608
   */
  readonly maxEventBytes?: number | undefined;
}

const MAX_EVENT_BYTES = 8 * 1024 * 1024;
/** How often an empty answer in JSON mode is asked for again. */
const MAX_EMPTY_RETRIES = 2;

/** A client of the service. */
export interface DeepSeek {
  /**
   * Asks for a whole answer.
   *
   * @throws {DeepSeekError | AnswerError | ConnectionError} And what the middlewares throw.
   */
  chat(request: ChatRequest, options?: CallOptions): Promise<ChatCompletion>;
  /**
   * Asks for an answer in pieces. The request goes out when the first piece is asked for; leaving the loop ends it.
   *
   * @throws {TypeError | RangeError} At once, for wrong options.
   * @throws {DeepSeekError | ConnectionError | StreamBrokenError} From the stream; and what the middlewares throw.
   */
  stream(request: ChatRequest, options?: StreamOptions): ChatStream;
  /**
   * Asks for an answer that is JSON, and checks it. Any schema that implements Standard Schema 1 will do; the word "json" must stand
   * somewhere in the messages.
   *
   * @throws {AnswerError} `ANSWER_EMPTY`, `ANSWER_CUT`, `ANSWER_UNPARSABLE` or `ANSWER_INVALID`; and what `chat` throws.
   * @throws {PayloadError} When the word is not there.
   */
  json<Output>(
    schema: StandardSchema<Output>,
    request: ChatRequest,
    options?: JsonOptions,
  ): Promise<JsonCompletion<Output>>;
  /** The ky instance below, with base, key and chain, for every other endpoint. It throws no error for a status. */
  readonly http: KyInstance;
}

/**
 * Creates a client of the service.
 *
 * ky's own retries and timeout are off: the chain does both, and two layers of retries multiply.
 *
 * @throws {TypeError | RangeError} For wrong options.
 *
 * @example One question
 * ```ts
 * import { createDeepSeek } from 'breakwater/deepseek';
 *
 * const ai = createDeepSeek({ apiKey: () => process.env.DEEPSEEK_API_KEY ?? '' });
 * const { content } = await ai.chat({ model: 'deepseek-v4-flash', messages: [{ role: 'user', content: 'ping' }] });
 * if (content === '') throw new Error('no answer');
 * ```
 */
export function createDeepSeek(options: DeepSeekClientOptions): DeepSeek {
  const subject = 'DeepSeek client';
  const rules = { ...PRESET_RULES, fetch: aFunction, maxEventBytes: aPositiveCount };
  const settings = readOptions(subject, options, { maxEventBytes: MAX_EVENT_BYTES }, rules);
  const { fetch: send = (input, init) => fetch(input, init), maxEventBytes, ...chainOptions } = settings;
  check(subject, '"apiKey"', settings.apiKey, PRESET_RULES.apiKey); // an option that is undefined passes for not given
  const { clock = systemClock } = settings;
  const { href } = normalBaseURL(subject, settings.baseURL);
  const { seen, contextOf } = contexts();
  const http = createHttp(href, compose(seen, deepseek(chainOptions))(send));
  const ask = asker(http, clock);
  const chat: DeepSeek['chat'] = async ({ stream: _, ...request }, { signal } = {}) => {
    const response = await ask(request as ChatRequest, signal);
    return readAnswer(await response.text());
  };
  return {
    http,
    chat,
    stream(request, given) {
      const open = async (asked: ChatRequest, isContinuation: boolean, signal: AbortSignal) => {
        const payload = { ...asked, stream: true };
        const { body } = await ask(payload, signal, isContinuation ? continuationUrl(href) : undefined);
        return { body, emit: contextOf(payload)?.emit };
      };
      return new LiveChatStream({ ...readStreamOptions(given, maxEventBytes), request, open, clock });
    },
    async json(schema, request, given) {
      const { signal, ...callOptions } = readJsonOptions(given);
      const chatAsTold = (asked: ChatRequest) => chat(asked, { signal });
      const limits = emptyRetries(settings.retry);
      return askForJson(schema, request, callOptions, { chat: chatAsTold, clock, ...limits });
    },
  };
}

function createHttp(prefix: string, fetch: FetchLike): KyInstance {
  return ky.create({
    prefix,
    fetch,
    retry: 0,
    timeout: false,
    throwHttpErrors: false,
    // The chain scrubs what fetch throws, but a key that is fetched can fail alike: ky would wrap it together with the request.
    hooks: { beforeError: [({ error }) => (isNetworkError(error) ? (error.cause as Error) : error)] },
  });
}

type Ask = (
  payload: ChatRequest,
  signal: AbortSignal | undefined,
  url?: string | URL | undefined,
) => Promise<Response>;

/** Asks for a chat completion; what is no 2xx becomes an error. */
function asker(http: KyInstance, clock: Clock): Ask {
  return async (payload, signal, url = 'chat/completions') => {
    const body = JSON.stringify(payload);
    const handedOver = {
      body,
      signal,
      headers: { 'content-type': 'application/json' },
      breakwater: { payload, body },
    };
    const response = await http.post(url, handedOver as Options);
    if (response.ok) return response;
    const error = await readError(response, clock, signal);
    signal?.throwIfAborted();
    throw error;
  };
}

/** How often an empty answer in JSON mode is asked for again, and until when: who wants no retries wants none here either. */
function emptyRetries(retry: DeepSeekOptions['retry']): Pick<JsonSettings, 'maxRetries' | 'budgetMs'> {
  const given: RetryOptions = retry === false ? { maxRetries: 0 } : (retry ?? {});
  const { maxRetries = RETRY_DEFAULTS.maxRetries, budgetMs = RETRY_DEFAULTS.budgetMs } = given;
  return { maxRetries: Math.min(MAX_EMPTY_RETRIES, maxRetries), budgetMs };
}

/** Finds what the chain knows of a call by the payload that was sent: how the client tells the observer what happens above the chain. */
function contexts(): { seen: Middleware; contextOf(payload: object): CallContext | undefined } {
  const known = new WeakMap<object, CallContext>();
  const seen = defineMiddleware('client', (call, next) => {
    const payload = call.context.payload?.value;
    if (payload instanceof Object) known.set(payload, call.context);
    return next(call);
  });
  return { seen, contextOf: (payload) => known.get(payload) };
}
