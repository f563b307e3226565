/** @module The two shapes that everything else is built from. A chain of middlewares is itself a fetch, so whatever accepts a `fetch` accepts a chain. */

/** Anything that can be called as `fetch` is: the runtime's own, a wrapped one, a stub. */
export type FetchLike = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/** Takes a fetch and returns a fetch that does one thing more. */
export type Middleware = (next: FetchLike) => FetchLike;
