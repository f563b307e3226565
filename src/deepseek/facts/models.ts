/** @module What is known of the models, with source and date. Ids move, so an unknown one is never refused. */

/** Where these facts stand: the service's price page as of 2026-11-15, and its answers to wrong ids in autumn 2026. */
export const KNOWN_MODELS: readonly string[] = Object.freeze([
  'deepseek-flash',
  'deepseek-v4-pro',
  'deepseek-v4-flash',
  'deepseek-v4-flash-vision-exp',
]);

/** The instant from which the old ids are answered with 400: 2026-07-24 15:59 UTC, as announced; seen from 2026-07-25 on. */
export const RETIRED_FROM_MS: number = Date.UTC(2026, 6, 24, 15, 59);

/** The ids that are gone, and what the same work is asked of now. */
export const RETIRED_MODELS: Readonly<Record<string, string>> = Object.freeze({
  'deepseek-chat': 'deepseek-v4-flash',
  'deepseek-reasoner': 'deepseek-v4-flash',
  'deepseek-coder': 'deepseek-v4-flash',
});

/** What to ask in place of a retired id; undefined for every other. */
export function replacementOf(model: string): string | undefined {
  return Object.hasOwn(RETIRED_MODELS, model) ? RETIRED_MODELS[model] : undefined;
}

/** The most tokens that an answer may be allowed: price page, 2026-11-15. */
export const MAX_OUTPUT_TOKENS = 393_216;
