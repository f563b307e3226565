/**
 * @module One request as the middlewares see it. A Call is itself a `RequestInit`, so it can be handed to any fetch, and
 * the next layer recognises it: a request is normalised once, however many layers there are, and no layer pays
 * for a `new Request`.
 */

import { Attempt, type CallContext } from './attempt.ts';
import { copyHeaders } from './headers.ts';

/** Marks an init as a Call, and holds its attempt. A spread keeps it, so a foreign wrapper in the chain does no harm. */
const BRAND: unique symbol = Symbol.for('breakwater.call.1') as never;

interface Branded {
  [BRAND]?: Attempt;
}

/** What a fork of a call may change. */
export interface CallChanges {
  readonly url?: string;
  readonly headers?: Headers;
  readonly body?: BodyInit | null;
  readonly signal?: AbortSignal | null;
  readonly redirect?: RequestRedirect;
  readonly attempt?: Attempt;
}

/** One request, frozen by convention: {@link Call.with} makes a changed fork. Fields of the init that are not named here are kept, and reach the real fetch. */
export class Call implements RequestInit {
  declare readonly url: string;
  /** The Request that was given, if one was: it carries what an init cannot. Keeping it also keeps its signal alive. */
  declare readonly request: Request | undefined;
  declare readonly method: string;
  declare readonly headers: Headers;
  /** The Request that was left behind when the URL changed: on Node its signal dies with it. */
  declare readonly kept?: Request;
  /** Undefined where there is none, and where it still lies in {@link Call.request}. */
  declare readonly body?: BodyInit | null;
  declare readonly signal?: AbortSignal | null;

  constructor(input: string | URL | Request, init: (RequestInit & Handoff) | undefined) {
    const request = isRequest(input) ? input : undefined;
    const fields = this as unknown as Record<PropertyKey, unknown>;
    // In this order for every call, so that the engine sees one shape.
    fields.url = request ? request.url : String(input);
    fields.request = request;
    fields.method = init?.method ?? request?.method ?? 'GET';
    fields.headers = copyHeaders(init?.headers ?? request?.headers);
    fields.body = init?.body;
    fields.signal = init?.signal === undefined ? request?.signal : init.signal;
    fields[BRAND] = (init as Branded | undefined)?.[BRAND] ?? new Attempt({}, 1);
    // Not Object.assign: a Request may be given as the init, and its fields are getters of its prototype. Nor a field that is called like a member of ours.
    for (const key in init) if (!(key in this)) fields[key] = init[key as keyof RequestInit];
    if (init?.breakwater) {
      const { payload, body } = init.breakwater;
      fields.body = body;
      this.context.payload = { body, value: payload };
      delete fields.breakwater;
    }
  }

  /** What the layers know of the whole call. */
  get context(): CallContext {
    return this.attempt.context;
  }

  /** The try that this call is. */
  get attempt(): Attempt {
    return (this as unknown as Required<Branded>)[BRAND];
  }

  /** A fork with some fields changed. One that changes the URL leaves the Request behind, and takes over what it carried. */
  with({ attempt, ...changes }: CallChanges): Call {
    const fork = Object.assign(Object.create(Call.prototype), this, changes);
    if (attempt) fork[BRAND] = attempt;
    if (changes.url !== undefined && this.request) {
      for (const name of carried) fork[name] ??= this.request[name as 'cache'];
      fork.kept = this.request;
      fork.request = undefined;
    }
    return fork;
  }
}

/** How the DeepSeek builder hands the parsed body past ky, which forwards string-named options and drops symbols. */
export interface Handoff {
  breakwater?: { readonly payload: unknown; readonly body: string };
}

const carried = 'cache credentials integrity keepalive mode redirect referrer referrerPolicy cf'.split(' ');

/** The Call that a fetch was called with, or a new one. */
export function toCall(input: string | URL | Request, init?: RequestInit): Call {
  return init instanceof Call && input === (init.request ?? init.url) ? init : new Call(input, init);
}

function isRequest(input: string | URL | Request): input is Request {
  return typeof input === 'object' && 'url' in input;
}

let lastUrl: string | undefined;
let lastOrigin = '';

/** The origin of a URL, in browsers also of a relative one. Remembers the last, because parsing costs more than the rest of a layer. */
export function originOf(url: string): string {
  if (url !== lastUrl) {
    lastUrl = url;
    lastOrigin = parseUrl(url)?.origin ?? '(no origin)';
  }
  return lastOrigin;
}

/** A URL as it may be shown: without query, fragment or user info. */
export function shownUrl(url: string): string {
  const { origin, pathname } = parseUrl(url) ?? { origin: '', pathname: '(not a URL)' };
  return origin + pathname;
}

/** The URL as an object, or undefined where fetch would refuse it. */
export function parseUrl(url: string): URL | undefined {
  try {
    return new URL(url, typeof location === 'undefined' ? undefined : location.href);
  } catch {
    return undefined;
  }
}
