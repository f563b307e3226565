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

/** What every call has. */
type Fields = Pick<Call, 'url' | 'request' | 'method' | 'headers' | 'body' | 'signal'>;

/** One request, frozen by convention: {@link Call.with} makes a changed fork. Fields of the init that are not named here are kept, and reach the real fetch. */
export class Call implements RequestInit {
  readonly url: string;
  /** The Request that was given, if one was: it carries what an init cannot. Keeping it also keeps its signal alive. */
  readonly request: Request | undefined;
  readonly method: string;
  readonly headers: Headers;
  /** Undefined where there is none, and where it still lies in {@link Call.request}. */
  declare readonly body?: BodyInit | null;
  declare readonly signal?: AbortSignal | null;

  /** Calls are made by the middlewares; `others` are the fields of an init beyond those that every call has. */
  constructor(fields: Fields, attempt: Attempt, others: object | undefined) {
    const self = this as unknown as Record<PropertyKey, unknown>;
    // In this order for every call, so that the engine sees one shape.
    this.url = fields.url;
    this.request = fields.request;
    this.method = fields.method;
    this.headers = fields.headers;
    self.body = fields.body;
    self.signal = fields.signal;
    self[BRAND] = attempt;
    // Not Object.assign: a Request may be given as the init, and its fields are getters of its prototype. Nor a field that is called like a member of ours.
    for (const name in others)
      if (!(name in this || name === HANDOFF)) self[name] = (others as typeof self)[name];
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
  with(changes: CallChanges): Call {
    const fork = new Call(this, changes.attempt ?? this.attempt, this);
    const fields = fork as unknown as Record<string, unknown>;
    for (const name in changes) if (name !== 'attempt') fields[name] = changes[name as keyof CallChanges];
    if (changes.url !== undefined && this.request) {
      for (const name of carried) fields[name] ??= this.request[name as 'cache'];
      leftBehind.set(this.context, this.request);
      fields.request = undefined;
    }
    return fork;
  }
}

/** On Node the signal of a Request dies with it, so a Request that a call has left behind lives as long as the call. */
const leftBehind = new WeakMap<CallContext, Request>();

const HANDOFF = 'breakwater';

/** How the DeepSeek builder hands the parsed body past ky, which forwards string-named options and drops symbols. */
export interface Handoff {
  breakwater?: { readonly payload: unknown; readonly body: string };
}

const carried = 'cache credentials integrity keepalive mode redirect referrer referrerPolicy cf'.split(' ');

/** The Call that a fetch was called with, or a new one. */
export function toCall(input: string | URL | Request, init?: RequestInit & Handoff & Branded): Call {
  if (init instanceof Call && input === (init.request ?? init.url)) return init;
  const request = isRequest(input) ? input : undefined;
  const handoff = init?.breakwater;
  const fields = {
    url: request ? request.url : String(input),
    request,
    method: init?.method ?? request?.method ?? 'GET',
    headers: copyHeaders(init?.headers ?? request?.headers),
    body: handoff ? handoff.body : init?.body,
    signal: init?.signal === undefined ? request?.signal : init.signal,
  };
  const call = new Call(fields as Fields, init?.[BRAND] ?? new Attempt({}, 1), init);
  if (handoff) call.context.payload = { body: handoff.body, value: handoff.payload };
  return call;
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
