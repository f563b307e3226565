/**
 * @module The DeepSeek service as a fetch: no network, no key, no cost, and every failure on demand. It is written from
 * what the service was seen to answer, odd content types included, because a client that has only met tidy answers meets
 * the others in production.
 */

import { type Clock, systemClock } from '../core/clock.ts';
import type { FetchLike } from '../core/types.ts';
import { checkMembers, checkMs, checkType, refusal } from './checks.ts';
import { Exchange, withUrl } from './exchange.ts';
import { requestOf, signalOf } from './request-parts.ts';
import { hexOf, seededRandom, uuidOf } from './seeded-random.ts';
import { replyOf } from './service-replies.ts';
import {
  checkAnswer,
  defaultAnswer,
  type SimulatedAnswer,
  type SimulatedRequest,
} from './simulated-answer.ts';
import { connectionReset, transmit } from './simulated-body.ts';
import { readPayload, refuseKey } from './simulated-checks.ts';
import { type Fault, faultOf, type ScriptedFault } from './simulated-faults.ts';
import { balance, disturb, hasBody, headersOf, modelList, type Planned, whole } from './simulated-reply.ts';
import type { JsonObject } from './simulated-shapes.ts';
import { writeAnswer } from './simulated-writing.ts';

export interface SimulatorOptions {
  /**
   * What ids, trace ids and the lengths of deltas are drawn from. Must be a finite number.
   * @default 1
   */
  readonly seed?: number | undefined;
  /**
   * The clock that measures every pause.
   * @default the clock of the runtime
   */
  readonly clock?: Clock | undefined;
  /**
   * The keys that are accepted.
   * @default every key of printable characters that begins with `sk-`
   */
  readonly apiKeys?: readonly string[] | undefined;
  /**
   * How long the headers take, in milliseconds. Must be a non-negative number.
   * @default 0
   */
  readonly latencyMs?: number | undefined;
  /**
   * The time between two chunks, in milliseconds; an answer that is not streamed takes as long before its first byte.
   * Must be a non-negative number. With 0 there is no timer at all.
   * @default 0
   */
  readonly tokenMs?: number | undefined;
  /**
   * What the model says: a text, or a function of the request. Content, reasoning and calls of tools are told apart by
   * an object.
   * @default the gist of the prompt, or a call of the tool that the request insists on
   */
  readonly answer?: SimulatedAnswer | undefined;
}

/** The DeepSeek service, simulated. */
export interface Simulator {
  /** The service itself: pass it wherever a fetch is taken. */
  readonly fetch: FetchLike;
  /** Every request so far, in the order of arrival. */
  readonly requests: readonly SimulatedRequest[];
  /** How many calls are open: on their way, or with a body that has neither ended, failed nor been cancelled. */
  readonly active: number;
  /** Adds faults, one for each call to come; calls beyond the script are answered as they deserve. */
  script(...faults: ScriptedFault[]): void;
}

const BETA_PATH = '/beta/chat/completions';
const CHAT_PATHS = ['/chat/completions', '/v1/chat/completions', BETA_PATH];
const CREDENTIALS = ['authorization', 'x-api-key', 'cookie', 'proxy-authorization'];
const OPTION_NAMES = ['seed', 'clock', 'apiKeys', 'latencyMs', 'tokenMs', 'answer'];

/**
 * Creates a DeepSeek service that runs in the process. It checks the key and the payload as the service does, answers
 * streamed or whole, thinking or not, and lets each call fail as its script says. It serves chat completions, the list
 * of models and the balance; any other path is a 404.
 *
 * @param options Seed, clock, keys, pace and what the model says.
 * @returns The simulator; its `fetch` is the service.
 * @throws {TypeError | RangeError} When an option is unknown, of the wrong type or out of range.
 *
 * @example A call that is refused once
 * ```ts
 * import { createSimulator } from 'breakwater/testing';
 *
 * const simulator = createSimulator({ answer: 'pong' });
 * simulator.script({ status: 429, retryAfter: 2 }, 'ok');
 * const ask = () => simulator.fetch('https://api.deepseek.com/chat/completions', {
 *   method: 'POST',
 *   headers: { authorization: 'Bearer sk-simulated' },
 *   body: JSON.stringify({ model: 'deepseek-v4-flash', messages: [{ role: 'user', content: 'ping' }] }),
 * });
 * const refused = await ask();
 * if (refused.status !== 429 || refused.headers.get('retry-after') !== '2') throw new Error('no 429');
 * await refused.body?.cancel();
 * const answered = await ask();
 * if (!(await answered.text()).includes('pong')) throw new Error('no answer');
 * if (simulator.active !== 0) throw new Error('something is left open');
 * ```
 */
export function createSimulator(options: SimulatorOptions = {}): Simulator {
  checkOptions(options);
  return new Service(options);
}

function checkOptions(options: SimulatorOptions): void {
  const subject = 'create simulator';
  checkMembers(subject, options, OPTION_NAMES);
  const { seed, apiKeys, answer } = options;
  checkType(subject, 'seed', seed, 'number');
  if (seed !== undefined && !Number.isFinite(seed))
    throw new RangeError(refusal(subject, 'seed', 'a finite number', seed));
  if (apiKeys !== undefined && !Array.isArray(apiKeys))
    throw new TypeError(refusal(subject, 'apiKeys', 'an array of strings', apiKeys));
  checkAnswer(subject, answer);
  checkMs(subject, 'latencyMs', options.latencyMs);
  checkMs(subject, 'tokenMs', options.tokenMs);
}

class Service implements Simulator {
  readonly requests: SimulatedRequest[] = [];
  active = 0;
  readonly #options: SimulatorOptions;
  readonly #faults: Fault[] = [];
  #calls = 0;

  constructor(options: SimulatorOptions) {
    this.#options = options;
  }

  readonly script = (...faults: ScriptedFault[]): void => {
    this.#faults.push(...faults.map(faultOf));
  };

  readonly fetch: FetchLike = async (input, init) => {
    const request = requestOf(input, init);
    const signal = signalOf(input, init);
    signal?.throwIfAborted();
    const fault = this.#faults.shift() ?? {};
    // Each call has chance of its own, so that calls in parallel cannot disturb each other.
    const call = { fault, random: seededRandom((this.#options.seed ?? 1) + 7919 * this.#calls++) };
    this.active++;
    const exchange = new Exchange(signal, () => {
      this.active--;
    });
    return exchange.answer(() => this.#serve(request, call, exchange));
  };

  async #serve(request: Request, { fault, random }: ServedCall, exchange: Exchange): Promise<Response> {
    const clock = this.#options.clock ?? systemClock;
    const atMs = clock.now();
    const record = recordOf(request, await exchange.until(request.text()), atMs);
    this.requests.push(record);
    await exchange.sleep(clock, fault.latencyMs ?? this.#options.latencyMs ?? 0);
    if (fault.stallBeforeHeaders) await exchange.hang();
    if (fault.resetBeforeHeaders) throw connectionReset('fetch failed');
    const planned = disturb(this.#plan(request, record, { fault, random }), fault);
    const body = hasBody(planned.status) ? exchange.body(transmit(planned, fault, exchange, clock)) : null;
    const headers = headersOf(planned, fault, hexOf(random, 32));
    return withUrl(new Response(body, { status: planned.status, headers }), request.url);
  }

  #plan(request: Request, record: SimulatedRequest, call: ServedCall): Planned {
    const { status } = call.fault;
    if (status !== undefined && status >= 300) return whole(replyOf(status));
    const route = `${request.method} ${new URL(request.url).pathname}`;
    const isChat = CHAT_PATHS.some((path) => route === `POST ${path}`);
    const isLookup = route === 'GET /models' || route === 'GET /user/balance';
    if (!isChat && !isLookup) return whole(replyOf(404));
    const refused = refuseKey(request.headers.get('authorization'), this.#options.apiKeys);
    if (refused) return whole(refused);
    if (isLookup) return whole(route === 'GET /models' ? modelList() : balance());
    const read = readPayload(record.body, route === `POST ${BETA_PATH}`);
    return read.refusal ? whole(read.refusal) : this.#complete(read.payload, record, call);
  }

  #complete(payload: JsonObject, record: SimulatedRequest, { fault, random }: ServedCall): Planned {
    const { clock = systemClock, tokenMs = 0 } = this.#options;
    const answer = fault.answer ?? this.#options.answer ?? defaultAnswer(payload);
    const said = typeof answer === 'function' ? answer(record) : answer;
    const { contentType, pieces, deltas } = writeAnswer(
      payload,
      typeof said === 'string' ? { content: said } : said,
      { id: uuidOf(random), createdSeconds: Math.floor(clock.wall() / 1000), fault, random },
    );
    const isStream = payload.stream === true;
    return {
      status: fault.status ?? 200,
      contentType,
      isStream,
      pieces,
      keepAlive: isStream ? ': keep-alive\n\n' : '\n',
      leadMs: isStream ? 0 : tokenMs * deltas,
      pieceMs: isStream ? tokenMs : 0,
    };
  }
}

interface ServedCall {
  readonly fault: Fault;
  readonly random: () => number;
}

function recordOf(request: Request, body: string, atMs: number): SimulatedRequest {
  const headers = Object.fromEntries(request.headers);
  for (const name of CREDENTIALS) if (name in headers) headers[name] = '[redacted]';
  return { method: request.method, url: request.url, headers, body, payload: parse(body), atMs };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
