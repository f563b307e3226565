/** @module breakwater/deepseek: the recommended chain for DeepSeek, and a minimal client on top of it. */

export { isBreakwaterError } from '../core/errors.ts';
export { classify, type Verdict } from './classify.ts';
export { type CallOptions, createDeepSeek, type DeepSeek, type DeepSeekClientOptions } from './client.ts';
export { AnswerError, ConnectionError, type DeepSeekClientError, DeepSeekError } from './errors.ts';
export { KNOWN_MODELS, MAX_OUTPUT_TOKENS, RETIRED_FROM_MS, RETIRED_MODELS } from './facts/models.ts';
export { circuitKey, DEEPSEEK_BASE_URL, type DeepSeekOptions, deepseek } from './preset.ts';
export { chatAnswerSchema, chatChunkSchema, chatRequestSchema, errorBodySchema } from './schemas.ts';
export type * from './types.ts';
