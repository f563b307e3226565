/**
 * @module The minimal request builder: it knows the endpoint, the key and the shape of an answer. Everything that makes a call
 * survive is in the chain below it, which is a fetch; ky is in between, so that every other endpoint is one line.
 */

import ky, { isNetworkError, type KyInstance, type Options } from 'ky';
import { systemClock } from '../core/clock.ts';
import { aFunction, check, readOptions } from '../core/options.ts';
import type { FetchLike } from '../core/types.ts';
import { readAnswer } from './answer.ts';
import { normalBaseURL } from './base-url.ts';
import { readError } from './errors.ts';
import { readEvents } from './events.ts';
import { type DeepSeekOptions, deepseek, PRESET_RULES } from './preset.ts';
import type { ChatChunk, ChatCompletion, ChatRequest } from './types.ts';

/** What {@link createDeepSeek} is told: the options of `deepseek()`, with a key, and the fetch that it all ends in. */
export interface DeepSeekClientOptions extends DeepSeekOptions {
  /** The key, or a function that is asked for it on every call; white space around it is removed. */
  readonly apiKey: string | (() => string | Promise<string>);
  /**
   * What sends the requests.
   * @default the fetch of the runtime
   */
  readonly fetch?: FetchLike | undefined;
}

/** What may be told with a single call. */
export interface CallOptions {
  /** Aborts the call, its waits and its answer. */
  readonly signal?: AbortSignal | undefined;
}

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
   * @throws {DeepSeekError | ConnectionError | StreamBrokenError} And what the middlewares throw.
   */
  stream(request: ChatRequest, options?: CallOptions): AsyncGenerator<ChatChunk, void, undefined>;
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
  const settings = readOptions(subject, options, {}, { ...PRESET_RULES, fetch: aFunction });
  const { fetch: send = (input, init) => fetch(input, init), ...chainOptions } = settings;
  check(subject, '"apiKey"', settings.apiKey, PRESET_RULES.apiKey); // an option that is undefined passes for not given
  const { clock = systemClock } = settings;
  const http = ky.create({
    prefix: normalBaseURL(subject, settings.baseURL).href,
    fetch: deepseek(chainOptions)(send),
    retry: 0,
    timeout: false,
    throwHttpErrors: false,
    // The chain scrubs what fetch throws, but a key that is fetched can fail alike: ky would wrap it together with the request.
    hooks: { beforeError: [({ error }) => (isNetworkError(error) ? (error.cause as Error) : error)] },
  });
  const ask = async (payload: ChatRequest, { signal }: CallOptions = {}): Promise<Response> => {
    const body = JSON.stringify(payload);
    const handedOver = {
      body,
      signal,
      headers: { 'content-type': 'application/json' },
      breakwater: { payload, body },
    };
    const response = await http.post('chat/completions', handedOver as Options);
    if (response.ok) return response;
    const error = await readError(response, clock, signal);
    signal?.throwIfAborted();
    throw error;
  };
  return {
    http,
    async chat({ stream: _, ...request }, callOptions) {
      const response = await ask(request as ChatRequest, callOptions);
      return readAnswer(await response.text());
    },
    async *stream(request, callOptions) {
      const { body } = await ask({ ...request, stream: true }, callOptions);
      yield* readEvents(body, clock, callOptions?.signal);
    },
  };
}
