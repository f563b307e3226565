import {
  circuitBreaker,
  type FetchLike,
  type Middleware,
  payloadSchema,
  type StandardSchema,
} from 'breakwater';
import {
  type AnswerError,
  type CallOptions,
  type ChatAnswer,
  type ChatAnswerChunk,
  type ChatChunk,
  type ChatCompletion,
  type ChatMessage,
  type ChatRequest,
  type ChatStream,
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
  type InvalidAnswer,
  isBreakwaterError,
  type JsonCompletion,
  type JsonOptions,
  KNOWN_MODELS,
  MAX_OUTPUT_TOKENS,
  RETIRED_FROM_MS,
  RETIRED_MODELS,
  type StreamOptions,
  type ToolCall,
  type ToolCallDelta,
  type Usage,
  type Verdict,
} from 'breakwater/deepseek';
import type { KyInstance } from 'ky';
import * as v from 'valibot';
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
    expectTypeOf<DeepSeek['stream']>().parameters.toEqualTypeOf<
      [ChatRequest, (StreamOptions | undefined)?]
    >();
    expectTypeOf<DeepSeek['stream']>().returns.toEqualTypeOf<ChatStream>();
    expectTypeOf<DeepSeek['http']>().toEqualTypeOf<KyInstance>();
    expectTypeOf<CallOptions>().toEqualTypeOf<{ readonly signal?: AbortSignal | undefined }>();
  });

  it('bounds single events, for all calls or for one', () => {
    expectTypeOf<{ apiKey: string; maxEventBytes: number }>().toExtend<DeepSeekClientOptions>();
    expectTypeOf<{ maxEventBytes: number; resume: { maxResumes: number } }>().toExtend<StreamOptions>();
    expectTypeOf<{ resume: true }>().not.toExtend<StreamOptions>();
    expectTypeOf<{ resume: object }>().not.toExtend<StreamOptions>();
    expectTypeOf<StreamOptions>().toExtend<CallOptions>();
  });
});

describe('stream()', () => {
  it('gives pieces, the text, the whole, or a stream', () => {
    expectTypeOf<ChatStream>().toExtend<AsyncIterable<ChatChunk>>();
    expectTypeOf<ChatStream>().toExtend<AsyncIterator<ChatChunk, undefined>>();
    expectTypeOf<ChatStream['text']>().returns.toEqualTypeOf<Promise<string>>();
    expectTypeOf<ChatStream['final']>().returns.toEqualTypeOf<Promise<ChatCompletion>>();
    expectTypeOf<ChatStream['toReadableStream']>().returns.toEqualTypeOf<ReadableStream<Uint8Array>>();
    expectTypeOf<ReturnType<ChatStream['toReadableStream']>>().toExtend<BodyInit>();
    expectTypeOf<Awaited<ReturnType<ChatStream['next']>>>().toEqualTypeOf<
      IteratorResult<ChatChunk, undefined>
    >();
  });
});

describe('json()', () => {
  const json = {} as DeepSeek['json'];
  const request = {} as ChatRequest;

  it('gives what the schema makes of the answer', () => {
    const schema = v.pipe(
      v.object({ at: v.string(), tags: v.optional(v.array(v.string()), []) }),
      v.transform(({ at, tags }) => ({ at: Number(at), tags })),
    );
    expectTypeOf(json(schema, request)).resolves.toEqualTypeOf<
      JsonCompletion<{ at: number; tags: string[] }>
    >();
    const slow = v.objectAsync({ at: v.string() });
    expectTypeOf(json(slow, request)).resolves.toEqualTypeOf<JsonCompletion<{ at: string }>>();
    expectTypeOf<JsonCompletion<7>['value']>().toEqualTypeOf<7>();
    expectTypeOf<JsonCompletion<7>>().toExtend<ChatCompletion>();
  });

  it('takes any Standard Schema, also one that tells its types nowhere but in its results', () => {
    interface StandardSchemaV1<Input, Output> {
      readonly '~standard': {
        readonly version: 1;
        readonly vendor: string;
        readonly validate: (
          value: unknown,
          options?: { readonly libraryOptions?: Record<string, unknown> | undefined },
        ) =>
          | { readonly value: Output; readonly issues?: undefined }
          | {
              readonly issues: readonly {
                readonly message: string;
                readonly path?: readonly PropertyKey[];
              }[];
            };
        readonly types?: { readonly input: Input; readonly output: Output } | undefined;
      };
    }
    expectTypeOf(json({} as StandardSchemaV1<string, Date>, request)).resolves.toEqualTypeOf<
      JsonCompletion<Date>
    >();
    const own = { '~standard': { version: 1, vendor: 'own', validate: () => ({ value: 7 }) } } as const;
    expectTypeOf(json(own, request)).resolves.toEqualTypeOf<JsonCompletion<number>>();
    expectTypeOf(json({} as StandardSchema, request)).resolves.toEqualTypeOf<JsonCompletion<unknown>>();
    expectTypeOf<object>().not.toExtend<Parameters<typeof json>[0]>();
  });

  it('lets one request be repaired, at once or later', () => {
    expectTypeOf<JsonOptions>().toExtend<CallOptions>();
    expectTypeOf<NonNullable<JsonOptions['onInvalid']>>().parameters.toEqualTypeOf<[InvalidAnswer]>();
    expectTypeOf<InvalidAnswer>().toEqualTypeOf<{
      readonly error: AnswerError;
      readonly request: ChatRequest;
    }>();
    expectTypeOf<{ onInvalid: (invalid: InvalidAnswer) => ChatRequest }>().toExtend<JsonOptions>();
    expectTypeOf<{ onInvalid: () => Promise<undefined> }>().toExtend<JsonOptions>();
    expectTypeOf<{ onInvalid: () => string }>().not.toExtend<JsonOptions>();
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
    expectTypeOf<ChatChunk['toolCalls'][number]>().toEqualTypeOf<ToolCall>();
    type Choice = NonNullable<ChatAnswerChunk['choices']>[number];
    type Deltas = NonNullable<NonNullable<Choice['delta']>['tool_calls']>;
    expectTypeOf<Deltas[number]>().toEqualTypeOf<ToolCallDelta>();
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
        case 'ANSWER_CUT':
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
        case 'STREAM_EMPTY':
        case 'STREAM_RESET':
        case 'STREAM_TRUNCATED':
        case 'STREAM_FAILED':
        case 'STREAM_MALFORMED':
        case 'STREAM_OVERFLOW':
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
