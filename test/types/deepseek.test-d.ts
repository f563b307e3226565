import { circuitBreaker, type FetchLike, type Middleware, payloadSchema } from 'breakwater';
import {
  type AnswerError,
  type CallOptions,
  type ChatAnswer,
  type ChatAnswerChunk,
  type ChatChunk,
  type ChatCompletion,
  type ChatMessage,
  type ChatRequest,
  type ConnectionError,
  type ContentPart,
  type chatAnswerSchema,
  type chatChunkSchema,
  chatRequestSchema,
  circuitKey,
  classify,
  createDeepSeek,
  DEEPSEEK_BASE_URL,
  type DeepSeek,
  type DeepSeekClientError,
  type DeepSeekClientOptions,
  type DeepSeekError,
  type DeepSeekOptions,
  deepseek,
  type ErrorBody,
  type errorBodySchema,
  isBreakwaterError,
  KNOWN_MODELS,
  MAX_OUTPUT_TOKENS,
  RETIRED_FROM_MS,
  RETIRED_MODELS,
  type ToolCall,
  type ToolCallDelta,
  type Usage,
  type Verdict,
} from 'breakwater/deepseek';
import type { KyInstance } from 'ky';
import type * as v from 'valibot';
import { describe, expectTypeOf, it } from 'vitest';

describe('createDeepSeek()', () => {
  it('needs a key, as a text or as a function', () => {
    expectTypeOf(createDeepSeek).parameters.toEqualTypeOf<[DeepSeekClientOptions]>();
    expectTypeOf(createDeepSeek).returns.toEqualTypeOf<DeepSeek>();
    expectTypeOf<{ apiKey: string }>().toExtend<DeepSeekClientOptions>();
    expectTypeOf<{ apiKey: () => Promise<string> }>().toExtend<DeepSeekClientOptions>();
    expectTypeOf<{ apiKey: string; fetch: typeof fetch }>().toExtend<DeepSeekClientOptions>();
    expectTypeOf<object>().not.toExtend<DeepSeekClientOptions>();
    expectTypeOf<{ apiKey: string | undefined }>().not.toExtend<DeepSeekClientOptions>();
  });

  it('chats, streams, and leaves the rest to ky', () => {
    expectTypeOf<DeepSeek['chat']>().parameters.toEqualTypeOf<[ChatRequest, (CallOptions | undefined)?]>();
    expectTypeOf<DeepSeek['chat']>().returns.toEqualTypeOf<Promise<ChatCompletion>>();
    expectTypeOf<DeepSeek['stream']>().returns.toEqualTypeOf<AsyncGenerator<ChatChunk, void, undefined>>();
    expectTypeOf<DeepSeek['http']>().toEqualTypeOf<KyInstance>();
    expectTypeOf<CallOptions>().toEqualTypeOf<{ readonly signal?: AbortSignal | undefined }>();
  });
});

describe('deepseek()', () => {
  it('is a middleware that needs no options', () => {
    expectTypeOf(deepseek).toBeCallableWith();
    expectTypeOf(deepseek).parameter(0).toEqualTypeOf<DeepSeekOptions | undefined>();
    expectTypeOf(deepseek).returns.toEqualTypeOf<Middleware>();
    expectTypeOf(deepseek()).toBeCallableWith(fetch);
    expectTypeOf(deepseek()(fetch)).toEqualTypeOf<FetchLike>();
  });

  it('takes the options of each middleware, or false', () => {
    expectTypeOf<{ retry: false; authCheck: false; streamTimeout: false }>().toExtend<DeepSeekOptions>();
    expectTypeOf<{ retry: { maxRetries: 1 } }>().toExtend<DeepSeekOptions>();
    expectTypeOf<{ retry: true }>().not.toExtend<DeepSeekOptions>();
    expectTypeOf<{ baseURL: URL }>().toExtend<DeepSeekOptions>();
    expectTypeOf<{ apiKey: undefined }>().toExtend<DeepSeekOptions>();
    expectTypeOf(DEEPSEEK_BASE_URL).toExtend<NonNullable<DeepSeekOptions['baseURL']>>();
  });

  it('shares its key of a circuit with a breaker of your own', () => {
    expectTypeOf(circuitBreaker).toBeCallableWith({ key: circuitKey });
    expectTypeOf(circuitBreaker({ key: circuitKey })).toExtend<DeepSeekOptions['circuitBreaker']>();
    expectTypeOf(circuitKey).returns.toBeString();
  });
});

describe('what is sent', () => {
  it('has a model and messages, and whatever the service may add', () => {
    expectTypeOf<{ model: string; messages: [{ role: 'user'; content: string }] }>().toExtend<ChatRequest>();
    expectTypeOf<{ model: string }>().not.toExtend<ChatRequest>();
    expectTypeOf<{ model: string; messages: []; temperature: string }>().not.toExtend<ChatRequest>();
    expectTypeOf<ChatRequest['seed']>().toBeUnknown();
    expectTypeOf<ChatRequest['messages'][number]>().toEqualTypeOf<ChatMessage>();
    expectTypeOf<{ role: 'developer'; content: string }>().not.toExtend<ChatMessage>();
    expectTypeOf<{ role: 'user'; content: [{ type: 'text'; text: string }] }>().toExtend<ChatMessage>();
    expectTypeOf<NonNullable<ChatMessage['content']>>().toEqualTypeOf<string | readonly ContentPart[]>();
    expectTypeOf<NonNullable<ChatMessage['tool_calls']>[number]>().toEqualTypeOf<ToolCall>();
  });

  it('is what its schema infers, and fits any middleware', () => {
    expectTypeOf<v.InferOutput<typeof chatRequestSchema>>().toEqualTypeOf<ChatRequest>();
    expectTypeOf(payloadSchema).toBeCallableWith(chatRequestSchema);
  });
});

describe('what comes back', () => {
  it('has the same names whole and in pieces', () => {
    expectTypeOf<keyof ChatCompletion>().toEqualTypeOf<keyof ChatChunk>();
    expectTypeOf<keyof ChatCompletion>().toEqualTypeOf<
      'content' | 'reasoningContent' | 'toolCalls' | 'finishReason' | 'usage' | 'model' | 'id' | 'raw'
    >();
    expectTypeOf<ChatCompletion['content']>().toBeString();
    expectTypeOf<ChatCompletion['usage']>().toEqualTypeOf<Usage | undefined>();
    expectTypeOf<ChatCompletion['toolCalls'][number]>().toEqualTypeOf<ToolCall>();
    expectTypeOf<ChatChunk['toolCalls'][number]>().toEqualTypeOf<ToolCallDelta>();
    expectTypeOf<ChatCompletion['raw']>().toEqualTypeOf<ChatAnswer>();
    expectTypeOf<ChatChunk['raw']>().toEqualTypeOf<ChatAnswerChunk>();
    expectTypeOf<Usage['total_tokens']>().toEqualTypeOf<number | undefined>();
  });

  it('is what its schemas infer', () => {
    expectTypeOf<v.InferOutput<typeof chatAnswerSchema>>().toEqualTypeOf<ChatAnswer>();
    expectTypeOf<v.InferOutput<typeof chatChunkSchema>>().toEqualTypeOf<ChatAnswerChunk>();
    expectTypeOf<v.InferOutput<typeof errorBodySchema>>().toEqualTypeOf<ErrorBody>();
    expectTypeOf<ErrorBody['error']['message']>().toBeString();
  });
});

describe('what is thrown', () => {
  it('is told by a guard, and then by its code, to the last one', () => {
    const decide = (thrown: unknown): string => {
      if (!isBreakwaterError(thrown)) return 'not ours';
      expectTypeOf(thrown).toEqualTypeOf<DeepSeekClientError>();
      switch (thrown.code) {
        case 'API_ERROR':
          expectTypeOf(thrown).toEqualTypeOf<DeepSeekError>();
          return thrown.type ?? '';
        case 'CONNECTION_FAILED':
          expectTypeOf(thrown).toEqualTypeOf<ConnectionError>();
          return thrown.message;
        case 'ANSWER_EMPTY':
        case 'ANSWER_UNPARSABLE':
        case 'ANSWER_INVALID':
          expectTypeOf(thrown).toEqualTypeOf<AnswerError>();
          return thrown.rawText;
        case 'AUTH_MISSING':
        case 'AUTH_MALFORMED':
        case 'AUTH_ORIGIN':
        case 'PAYLOAD_INVALID':
        case 'CIRCUIT_OPEN':
        case 'TIMEOUT_HEADERS':
        case 'TIMEOUT_FIRST_TOKEN':
        case 'TIMEOUT_IDLE':
        case 'TIMEOUT_TOTAL':
        case 'STREAM_RESET':
        case 'STREAM_TRUNCATED':
        case 'STREAM_FAILED':
        case 'STREAM_MALFORMED':
          return thrown.name;
        default:
          expectTypeOf(thrown).toBeNever();
          return thrown;
      }
    };
    expectTypeOf(decide).returns.toBeString();
  });

  it('bears literal names, and what the caller needs next', () => {
    expectTypeOf<DeepSeekError['name']>().toEqualTypeOf<'DeepSeekError'>();
    expectTypeOf<ConnectionError['name']>().toEqualTypeOf<'ConnectionError'>();
    expectTypeOf<AnswerError['name']>().toEqualTypeOf<'AnswerError'>();
    expectTypeOf<DeepSeekError['status']>().toBeNumber();
    expectTypeOf<DeepSeekError['retryAfterMs']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<DeepSeekError['traceId']>().toEqualTypeOf<string | undefined>();
    expectTypeOf<AnswerError['usage']>().toEqualTypeOf<Usage | undefined>();
  });

  it('is classified, whatever it is', () => {
    expectTypeOf(classify).parameters.toEqualTypeOf<[unknown]>();
    expectTypeOf(classify).returns.toEqualTypeOf<Verdict>();
    expectTypeOf<Verdict>().toEqualTypeOf<'success' | 'transient' | 'persistent' | 'aborted'>();
  });
});

describe('what is known', () => {
  it('cannot be changed', () => {
    expectTypeOf(KNOWN_MODELS).toEqualTypeOf<readonly string[]>();
    expectTypeOf(RETIRED_MODELS).toEqualTypeOf<Readonly<Record<string, string>>>();
    expectTypeOf(RETIRED_FROM_MS).toBeNumber();
    expectTypeOf(MAX_OUTPUT_TOKENS).toBeNumber();
  });
});
