/** @module breakwater/deepseek: the recommended chain for DeepSeek, and a minimal client on top of it. */

export { DEEPSEEK_BASE_URL } from './base-url.ts';
export type { CallOptions, InvalidAnswer, JsonOptions, StreamOptions } from './call-options.ts';
export { classify, type Verdict } from './classify.ts';
export { createDeepSeek, type DeepSeek, type DeepSeekClientOptions } from './client.ts';
export {
  AnswerError,
  ConnectionError,
  type DeepSeekClientError,
  DeepSeekError,
  isBreakwaterError,
} from './errors.ts';
export { KNOWN_MODELS, MAX_OUTPUT_TOKENS, RETIRED_FROM_MS, RETIRED_MODELS } from './facts/models.ts';
export { circuitKey, type DeepSeekOptions, type DeepSeekStreamOptions, deepseek } from './preset.ts';
export { chatAnswerSchema, chatChunkSchema, chatRequestSchema, errorBodySchema } from './schemas.ts';
export type * from './types.ts';
