/**
 * @module When every retry has failed, another model or another service may still answer. Which failures that is true of is the whole
 * point: a request that is wrong is wrong everywhere, and a key must never travel to a service that it is not for.
 */

import { Attempt } from '../core/attempt.ts';
import { isReplayable, loadBody, payloadOf } from '../core/body.ts';
import { type Call, originOf, parseUrl } from '../core/call.ts';
import { withKey } from '../core/credential.ts';
import { defineMiddleware } from '../core/define-middleware.ts';
import { isBreakwaterError } from '../core/errors.ts';
import { causeOf, failureKind, retriesForStatus } from '../core/failure.ts';
import { withoutOtherSecrets } from '../core/headers.ts';
import { isCount, type Rule, readOptions, refuse } from '../core/options.ts';
import type { Middleware } from '../core/types.ts';

/** Where a call goes when the route before has failed. */
export interface FallbackRoute {
  /**
   * What events call the route.
   * @default the model, or else the origin
   */
  readonly name?: string | undefined;
  /**
   * The model to ask for, written into the JSON body.
   * @default the call's own
   */
  readonly model?: string | undefined;
  /**
   * The service to ask, as an http or https URL without the endpoint: the call's path is appended, without a leading `/v1` or
   * `/beta`. Must come with an `apiKey`.
   * @default the call's own
   */
  readonly baseURL?: string | URL | undefined;
  /**
   * The key of that service, or a function that is asked for it on every call.
   * @default the call's own
   */
  readonly apiKey?: string | (() => string | Promise<string>) | undefined;
  /**
   * Statuses on which this route is tried besides the transient ones: 402, for instance, with an account elsewhere.
   * @default none
   */
  readonly on?: readonly number[] | undefined;
}

const subject = 'fallback middleware';
const text: Rule = {
  must: 'a non-empty string',
  types: 'string',
  test: (value: unknown) => String(value).trim() !== '',
};
const keyOrFunction: Rule = {
  ...text,
  must: 'a non-empty string or a function',
  types: 'string function',
};
const statuses: Rule = {
  must: 'an array of statuses',
  types: 'array',
  test: (list: number[]) => list.every((status) => isCount(status) && status >= 100 && status <= 599),
};

interface Route extends FallbackRoute {
  readonly base: URL | undefined;
}

/**
 * Tries one route after another, when the one before has failed in a way that another may not: a transient status that outlived
 * its retries, a lost connection, a timeout, an open circuit, an answer that broke off before it began.
 *
 * Never after 400, 401, 402, 403, 404 or 422, unless the route's `on` names it, nor when the caller aborted or a check of ours refused the
 * call. The caller sees the outcome of the last route that was tried. On a route to another origin all credential
 * headers of the call are removed, the route's own key is set and checked.
 *
 * @param routes In the order in which they are tried, after the call as it came.
 * @throws {TypeError | RangeError} From the factory, for wrong routes.
 * @throws {AuthCheckError} From the fetch, when a route's key cannot be right.
 *
 * @example A smaller model when the larger one is busy
 * ```ts
 * import { fallback } from 'breakwater';
 *
 * const busy = async (_url: unknown, init?: RequestInit) =>
 *   new Response(init?.body as string, { status: String(init?.body).includes('pro') ? 503 : 200 });
 * const body = JSON.stringify({ model: 'deepseek-v4-pro' });
 * const response = await fallback({ model: 'deepseek-v4-flash' })(busy)('https://api.deepseek.com', { method: 'POST', body });
 * if ((await response.text()) !== '{"model":"deepseek-v4-flash"}') throw new Error('not the other model');
 * ```
 */
export function fallback(...routes: FallbackRoute[]): Middleware {
  const checked = routes.map(checkedRoute);
  return defineMiddleware('fallback', async (original, next) => {
    const call = original.request ? await loadBody(original) : original;
    let route: Route | undefined;
    for (let index = 0; ; index++) {
      const attempt = new Attempt(call.context, 1);
      const following = checked[index];
      let response: Response | undefined;
      let error: unknown;
      const routed = call.with({ attempt });
      const sent = route ? await reroute(routed, route) : routed; // a key that cannot be had is no failure of the service
      try {
        response = await next(sent);
        attempt.arrive();
      } catch (thrown) {
        error = thrown;
      }
      if (!following || response?.ok || !advances(response ?? error, call, following)) {
        call.attempt.follow(attempt);
        if (response) return response;
        throw error;
      }
      if (response) attempt.discard(response);
      call.context.emit?.({
        type: 'fallback.advanced',
        route: nameOf(following),
        cause: causeOf(response ?? error),
      });
      route = following;
    }
  });
}

function checkedRoute(route: FallbackRoute): Route {
  const rules = {
    name: text,
    model: text,
    baseURL: { ...text, types: 'string object' },
    apiKey: keyOrFunction,
    on: statuses,
  };
  const checked = readOptions(subject, route, {}, rules);
  const { baseURL, apiKey, model } = checked;
  if (model === undefined && baseURL === undefined)
    refuse(subject, 'a route must have a "model" or a "baseURL": it has neither');
  if (baseURL === undefined) return { ...checked, base: undefined };
  const base = parseUrl(String(baseURL));
  if (!base || !/^https?:$/.test(base.protocol))
    refuse(subject, '"baseURL" must be an http or https URL: the current one is none');
  if (apiKey === undefined)
    refuse(subject, '"apiKey" must be given with a "baseURL": a key for one service must not go to another');
  return { ...checked, base };
}

function nameOf({ name, model, base }: Route): string {
  return name ?? model ?? base?.origin ?? '';
}

/** Whether the failure is one that the route may not meet. A refusal by the breaker left the body untouched; after any other, a stream is used up. */
function advances(failure: unknown, call: Call, { on = [] }: Route): boolean {
  if (call.signal?.aborted) return false;
  if (isBreakwaterError(failure) && failure.code === 'CIRCUIT_OPEN') return true;
  if (!isReplayable(call)) return false;
  if (failure instanceof Response)
    return on.includes(failure.status) || retriesForStatus(failure.status, 1) > 0;
  return /^(timeout|network)$/.test(`${failureKind(failure, call)}`);
}

async function reroute(call: Call, { model, base, apiKey }: Route): Promise<Call> {
  const url = base ? rebase(call.url, base) : call.url;
  const isElsewhere = originOf(url) !== originOf(call.url);
  const key = typeof apiKey === 'function' ? await apiKey() : apiKey;
  const keyed = isElsewhere || key !== undefined ? withKey(call.headers, key) : new Headers(call.headers);
  const headers = isElsewhere ? withoutOtherSecrets(keyed) : keyed;
  const body = model === undefined ? undefined : withModel(call, model);
  if (body !== undefined) headers.delete('content-length'); // the body has another length
  return call.with({ headers, ...(base && { url }), ...(body !== undefined && { body }) });
}

/** The call's path on another base. Its query goes no further than its origin: it may hold a key. */
function rebase(url: string, base: URL): string {
  const { pathname, search, origin } = parseUrl(url) ?? { pathname: url, search: '', origin: '' };
  const path = pathname.replace(/^\/(v1|beta)(?=\/)/, '');
  return (
    base.origin + base.pathname.replace(/\/+$/, '') + path + (origin === base.origin ? search : base.search)
  );
}

/** The body with another model; undefined where the body is no JSON object. The context takes over the new payload, so that it is not parsed again. */
function withModel(call: Call, model: string): string | undefined {
  const payload = payloadOf(call);
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) return undefined;
  const value = { ...payload, model };
  const body = JSON.stringify(value);
  call.context.payload = { body, value, before: call.context.payload };
  return body;
}
