/**
 * @module One try at a call, and the call that it belongs to: how layers cooperate without importing each other. An attempt
 * has two moments. It is committed when the caller is given the first content, because from then on it cannot be
 * repeated unseen; it is settled when its body has ended, whichever way.
 */

import type { ChainEvent, Settlement } from './events.ts';

/** A body as parsed JSON, and those that were known before: each route of a fallback may send another. */
interface KnownPayload {
  readonly body: unknown;
  readonly value: unknown;
  readonly before?: KnownPayload | undefined;
}

/** What the layers know of one call, over all of its attempts. Times are on the clock of the layer that wrote them. */
export interface CallContext {
  /** When the outermost layer that has a clock first saw the call, in milliseconds. */
  startedAt?: number;
  /** When the call has to be over, in milliseconds; no wait is begun that would pass it. */
  deadlineAt?: number;
  /** When the reader of the answer last asked for more, in milliseconds: what it had been given came before. */
  lastProgressAt?: number;
  /** The body as parsed JSON, valid for exactly this body; {@link payloadOf} reads it. */
  payload?: KnownPayload;
  /** Tells the observer; undefined when there is none. */
  emit?: ((event: ChainEvent) => void) | undefined;
}

const COMPLETE: Settlement = { outcome: 'complete' };

/** One try at a call. */
export class Attempt {
  readonly context: CallContext;
  /** 1 for the first try. */
  readonly number: number;
  /** Whether a layer guards the body and will say when the attempt is committed and settled. */
  claimed = false;
  committed = false;
  settlement: Settlement | undefined;
  /** Whether this attempt's failure is the one that opened its circuit: then it is not repeated. */
  tripped = false;
  /** Lets go of what a layer holds for a body that it does not guard; set by that layer. */
  release: (() => void) | undefined;
  #committedListeners: (() => void)[] | undefined;
  #settledListeners: ((settlement: Settlement) => void)[] | undefined;

  constructor(context: CallContext, number: number) {
    this.context = context;
    this.number = number;
  }

  /** Called by a layer that guards the body, before it returns its Response. */
  claim(): void {
    this.claimed = true;
  }

  /** Called by whoever awaited the Response: nobody guards the body of an unclaimed attempt, so the headers are all that is known. */
  arrive(): void {
    if (this.claimed) return;
    this.commit();
    this.settle(COMPLETE);
  }

  /** The caller is given the first content. Later calls do nothing. */
  commit(): void {
    if (this.committed) return;
    this.committed = true;
    this.#committedListeners?.forEach((listener) => void listener());
  }

  /** The body is over. Later calls do nothing. */
  settle(settlement: Settlement): void {
    if (this.settlement) return;
    this.settlement = settlement;
    this.#settledListeners?.forEach((listener) => void listener(settlement));
  }

  /** Calls back at the commit point, at once if that has passed. */
  onCommitted(listener: () => void): void {
    if (this.committed) listener();
    else this.#committedListeners = [...(this.#committedListeners ?? []), listener];
  }

  /** Calls back when the attempt settles, at once if it has. */
  onSettled(listener: (settlement: Settlement) => void): void {
    if (this.settlement) listener(this.settlement);
    else this.#settledListeners = [...(this.#settledListeners ?? []), listener];
  }

  /** Throws away the answer of this attempt, because another will be given. The body is handed to `take`, or cancelled: unread, and not awaited, since beside an unread clone that would wait for ever. */
  discard(response: Response, take?: (response: Response) => void): void {
    this.release?.();
    if (take) take(response);
    else response.body?.cancel().catch(() => {});
  }

  /** Takes over the moments of the try whose answer is returned as the answer of this one. */
  follow(inner: Attempt): void {
    this.claimed = inner.claimed;
    this.tripped = inner.tripped;
    this.release = inner.release;
    // Most calls are over by now, and a closure for nothing is what a chain costs.
    if (inner.committed) this.commit();
    else inner.onCommitted(() => this.commit());
    if (inner.settlement) this.settle(inner.settlement);
    else inner.onSettled((settlement) => this.settle(settlement));
  }
}
