/** @module Whether a request makes the model think, which decides how long silence is normal. */

/** The part of a request that says so. */
export interface ModeFields {
  readonly thinking?: { readonly type?: unknown } | null | undefined;
  readonly reasoning_effort?: unknown;
}

/** Thinking is on unless it is turned off. Source: the service's guide to thinking mode, 2026-11. */
export function isThinking({ thinking, reasoning_effort }: ModeFields): boolean {
  return thinking?.type !== 'disabled' && reasoning_effort !== 'none';
}

/** The longest kind of thinking; `ultra` is served as `max`. */
export function isMaxEffort({ reasoning_effort }: ModeFields): boolean {
  return reasoning_effort === 'max' || reasoning_effort === 'ultra';
}
