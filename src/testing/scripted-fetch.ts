/**
 * @module A fetch that plays a script, so that a test reads as a dialogue: it replies 503, 503, 200, and two bodies must
 * have been cancelled. It is as strict as a network about what happens besides: it honours the signal, counts every body
 * that is left open, and has no reply for a call that the test did not foresee.
 */

import { type Clock, systemClock } from '../core/clock.ts';
import type { FetchLike } from '../core/types.ts';
import { checkMembers, checkMs, checkStatus } from './checks.ts';
import { type ChunkSource, Exchange, withUrl } from './exchange.ts';
import { requestOf, signalOf } from './request-parts.ts';
import { plainReplyOf } from './service-replies.ts';

/** A reply in parts. */
export interface ReplyParts {
  /**
   * The status. Must be an integer from 200 to 599.
   * @default 200
   */
  readonly status?: number | undefined;
  /**
   * The headers; they win over those that the body brings.
   * @default none
   */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /**
   * The body. Text, bytes and streams go out as they are; any other object goes out as JSON.
   * @default what the status alone would have
   */
  readonly body?: string | Uint8Array | ReadableStream<Uint8Array> | object | null | undefined;
  /**
   * How long the headers take, in milliseconds. Must be a non-negative number.
   * @default 0
   */
  readonly delayMs?: number | undefined;
  /**
   * The clock that measures `delayMs`.
   * @default the clock of the runtime
   */
  readonly clock?: Clock | undefined;
}

/**
 * What a scripted fetch does with one call: it answers with a status, with parts, or with a Response; it rejects with an
 * Error; it answers with what a function makes of the call; or it hangs until the caller aborts.
 */
export type ScriptedReply =
  | number
  | ReplyParts
  | Error
  | Response
  | 'hang'
  | ((call: ScriptedCall) => Response | Promise<Response>);

/** One call as a scripted fetch received it. */
export interface ScriptedCall {
  readonly url: string;
  readonly method: string;
  readonly headers: Headers;
  /** The body as it was given; for a body that came in a Request, its stream. */
  readonly body: BodyInit | null;
  /** The body as text, once it has been read: at once when it was given as text; null when there was none. */
  readonly text: string | null;
  readonly signal: AbortSignal | null;
  /** The second argument of the call, as it was. */
  readonly init: RequestInit | undefined;
}

/** A fetch that plays a script. */
export interface ScriptedFetch extends FetchLike {
  /** Every call so far, in order, also those that were refused. */
  readonly calls: readonly ScriptedCall[];
  /** How many bodies were cancelled by whoever received them. */
  readonly cancelled: number;
  /** How many calls are still open: waiting for their reply, or with a body that has neither ended, failed nor been cancelled. */
  readonly active: number;
  /** Adds replies to the end of the script. */
  reply(...replies: ScriptedReply[]): ScriptedFetch;
  /** Sets the reply to every call that the script does not cover. */
  always(reply: ScriptedReply): ScriptedFetch;
}

/**
 * Creates a fetch that gives the scripted replies, one a call, and rejects when none is left. Use it where a test is
 * about your own code and not about the service: for that there is `createSimulator()`.
 *
 * @param replies The replies, in order.
 * @returns The fetch, with a record of its calls.
 * @throws {TypeError | RangeError} When a reply cannot be given.
 *
 * @example A dialogue
 * ```ts
 * import { createScriptedFetch } from 'breakwater/testing';
 *
 * const fetch = createScriptedFetch(503, { body: { answer: 42 } });
 * const busy = await fetch('https://api.example/ask', { method: 'POST', body: 'why?' });
 * await busy.body?.cancel();
 * const response = await fetch('https://api.example/ask');
 * const { answer } = (await response.json()) as { answer: number };
 * if (answer !== 42 || fetch.calls[0]?.text !== 'why?') throw new Error('wrong dialogue');
 * if (fetch.cancelled !== 1 || fetch.active !== 0) throw new Error('something is left open');
 * ```
 */
export function createScriptedFetch(...replies: ScriptedReply[]): ScriptedFetch {
  const script = new Script(replies);
  const fetch: FetchLike = async function scriptedFetch(input, init) {
    const request = requestOf(input, init);
    const call = recordOf(request, signalOf(input, init), init);
    script.calls.push(call);
    call.signal?.throwIfAborted();
    const reply = script.take(call);
    script.active++;
    const exchange = new Exchange(call.signal, (ending) => {
      script.active--;
      if (ending === 'cancelled') script.cancelled++;
    });
    return exchange.answer(async () => {
      if (request.body && call.text === null) call.text = await exchange.until(request.text());
      return give(reply, call, exchange);
    });
  };
  const scripted: ScriptedFetch = Object.assign(fetch, {
    calls: script.calls,
    cancelled: 0,
    active: 0,
    reply: (...more: ScriptedReply[]) => {
      script.add(more);
      return scripted;
    },
    always: (reply: ScriptedReply) => {
      script.setRest(reply);
      return scripted;
    },
  });
  return Object.defineProperties(scripted, {
    cancelled: { get: () => script.cancelled },
    active: { get: () => script.active },
  });
}

type MutableCall = { -readonly [Key in keyof ScriptedCall]: ScriptedCall[Key] };

function recordOf(request: Request, signal: AbortSignal | null, init: RequestInit | undefined): MutableCall {
  const body = init?.body ?? request.body;
  return {
    url: request.url,
    method: request.method,
    headers: request.headers,
    body,
    text: typeof body === 'string' ? body : null,
    signal,
    init,
  };
}

class Script {
  readonly calls: MutableCall[] = [];
  cancelled = 0;
  active = 0;
  readonly #replies: ScriptedReply[] = [];
  #rest: ScriptedReply | undefined;
  #scripted = 0;

  constructor(replies: readonly ScriptedReply[]) {
    this.add(replies);
  }

  add(replies: readonly ScriptedReply[]): void {
    for (const reply of replies) checkReply(reply);
    this.#replies.push(...replies);
    this.#scripted += replies.length;
  }

  setRest(reply: ScriptedReply): void {
    checkReply(reply);
    this.#rest = reply;
  }

  take({ method, url }: ScriptedCall): ScriptedReply {
    const reply = this.#replies.shift() ?? this.#rest;
    if (reply !== undefined) return reply;
    const target = `${method} ${url.split('?')[0]}`;
    throw new Error(
      `Scripted fetch has no reply left: ${this.#scripted} were scripted, and call ${this.calls.length} is ${target}`,
    );
  }
}

function checkReply(reply: ScriptedReply): void {
  if (reply === 'hang' || typeof reply === 'function') return;
  if (reply instanceof Error || reply instanceof Response) return;
  const parts = typeof reply === 'number' ? { status: reply } : reply;
  checkMembers('script reply', parts, ['status', 'headers', 'body', 'delayMs', 'clock']);
  checkStatus('script reply', 'status', parts.status);
  checkMs('script reply', 'delayMs', parts.delayMs);
}

async function give(reply: ScriptedReply, call: ScriptedCall, exchange: Exchange): Promise<Response> {
  if (reply === 'hang') return exchange.hang();
  if (reply instanceof Error) throw reply;
  if (reply instanceof Response) return watched(reply, call, exchange);
  if (typeof reply === 'function')
    return watched(await exchange.until(Promise.resolve(reply(call))), call, exchange);
  const parts = typeof reply === 'number' ? { status: reply } : reply;
  await exchange.sleep(parts.clock ?? systemClock, parts.delayMs ?? 0);
  return watched(responseOf(parts), call, exchange);
}

function responseOf({ status = 200, headers = {}, body }: ReplyParts): Response {
  if (status === 204 || status === 205 || status === 304) return new Response(null, { status, headers });
  if (body === undefined) {
    const reply = plainReplyOf(status);
    return new Response(reply.body, { status, headers: { 'content-type': 'application/json', ...headers } });
  }
  const isJson = body !== null && typeof body === 'object' && !isRaw(body);
  if (isJson) return Response.json(body, { status, headers });
  const response = new Response(body as BodyInit | null, { status, headers });
  // A Response calls every text "text/plain"; the service is not as polite.
  if (!new Headers(headers).has('content-type')) response.headers.delete('content-type');
  return response;
}

function isRaw(body: object): boolean {
  return body instanceof ReadableStream || body instanceof Uint8Array;
}

/** The same answer with a body that the exchange sees the end of. */
function watched(reply: Response, { url }: ScriptedCall, exchange: Exchange): Response {
  if (reply.bodyUsed)
    throw new Error('Scripted Response was given before: script a function that makes a new one');
  const { status, statusText, headers } = reply;
  const body = reply.body && exchange.body(sourceOf(reply.body));
  const response = new Response(body, { status, statusText, headers });
  return withUrl(response, reply.url || url);
}

function sourceOf(stream: ReadableStream<Uint8Array>): ChunkSource {
  const reader = stream.getReader();
  return {
    next: () => reader.read(),
    cancel: (reason) => {
      reader.cancel(reason).catch(() => undefined); // a source that refuses is no concern of the caller
    },
  };
}
