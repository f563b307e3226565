/** @module What the service accepts and a user would still want to know. */

import type { PayloadIssue } from '../core/errors.ts';
import { KNOWN_MODELS, replacementOf } from './facts/models.ts';
import { isMaxEffort, isThinking } from './mode.ts';
import type { ChatRequest } from './types.ts';

/** Finds what is unwise in a request that is valid. */
export function adviseOn(payload: unknown): PayloadIssue[] {
  const request = (payload ?? {}) as ChatRequest; // another schema may take anything
  const advice: PayloadIssue[] = [];
  const replacement = replacementOf(request.model);
  if (replacement)
    advice.push({ path: 'model', message: `retires on 2026-07-24 at 15:59 UTC: use ${replacement}` });
  else if (!KNOWN_MODELS.includes(request.model))
    advice.push({ path: 'model', message: 'is not a model that was known when this version was made' });
  if (request.stream !== true && isThinking(request) && isMaxEffort(request)) {
    advice.push({
      path: 'stream',
      message: 'is worth setting at this effort: Node ends a body that is silent for 300 s',
    });
  }
  return advice;
}
