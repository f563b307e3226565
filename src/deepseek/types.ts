/** @module What is sent to the service and what comes back, as types. Written out rather than inferred from the schemas, because a published declaration has to stand alone; the compiler holds the two together. Every object may have fields beyond those named. */

/** One part of a message's content. */
export interface ContentPart {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A call of a tool that the model asks for; `arguments` is JSON as text. */
export interface ToolCall {
  readonly id: string;
  readonly type?: string | undefined;
  readonly function: { readonly name: string; readonly arguments: string };
  readonly [field: string]: unknown;
}

/** One turn of a conversation. */
export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool' | 'latest_reminder';
  readonly content?: string | readonly ContentPart[] | null | undefined;
  readonly reasoning_content?: string | null | undefined;
  readonly tool_calls?: readonly ToolCall[] | null | undefined;
  readonly [field: string]: unknown;
}

/** A request for a chat completion, as it goes over the wire. */
export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly thinking?: { readonly type: 'enabled' | 'disabled' | 'adaptive' } | null | undefined;
  readonly reasoning_effort?:
    | 'none'
    | 'minimal'
    | 'low'
    | 'medium'
    | 'high'
    | 'xhigh'
    | 'max'
    | 'ultra'
    | null
    | undefined;
  readonly max_tokens?: number | null | undefined;
  readonly temperature?: number | null | undefined;
  readonly top_p?: number | null | undefined;
  readonly stop?: string | readonly string[] | null | undefined;
  readonly stream?: boolean | null | undefined;
  readonly stream_options?: { readonly include_usage?: boolean | null | undefined } | null | undefined;
  readonly response_format?: { readonly type: 'text' | 'json_object' } | null | undefined;
  readonly tools?:
    | readonly {
        readonly type: 'function';
        readonly function: { readonly name: string; readonly [field: string]: unknown };
      }[]
    | null
    | undefined;
  readonly tool_choice?:
    | 'none'
    | 'auto'
    | 'required'
    | { readonly type: 'function'; readonly function: { readonly name: string } }
    | null
    | undefined;
  readonly logprobs?: boolean | null | undefined;
  readonly top_logprobs?: number | null | undefined;
  readonly user_id?: string | null | undefined;
  readonly [field: string]: unknown;
}

/** The tokens that an answer cost. Any field may be missing. */
export interface Usage {
  readonly prompt_tokens?: number | undefined;
  readonly completion_tokens?: number | undefined;
  readonly total_tokens?: number | undefined;
  readonly prompt_cache_hit_tokens?: number | undefined;
  readonly prompt_cache_miss_tokens?: number | undefined;
  readonly completion_tokens_details?: { readonly reasoning_tokens?: number | undefined } | null | undefined;
  readonly [field: string]: unknown;
}

interface Answered {
  readonly id?: string | undefined;
  readonly model?: string | undefined;
  readonly usage?: Usage | null | undefined;
  readonly [field: string]: unknown;
}

interface Texts {
  readonly content?: string | null | undefined;
  readonly reasoning_content?: string | null | undefined;
}

/** A whole answer as it came. */
export interface ChatAnswer extends Answered {
  readonly choices: readonly {
    readonly finish_reason?: string | null | undefined;
    readonly message: Texts & { readonly tool_calls?: readonly ToolCall[] | null | undefined };
  }[];
}

/** A piece of a tool call in a stream; pieces with the same index belong together. */
export interface ToolCallDelta {
  readonly index?: number | undefined;
  readonly id?: string | null | undefined;
  readonly function?:
    | { readonly name?: string | null | undefined; readonly arguments?: string | null | undefined }
    | null
    | undefined;
  readonly [field: string]: unknown;
}

/** One event of a streamed answer as it came. */
export interface ChatAnswerChunk extends Answered {
  readonly choices?:
    | readonly {
        readonly finish_reason?: string | null | undefined;
        readonly delta?:
          | (Texts & { readonly tool_calls?: readonly ToolCallDelta[] | null | undefined })
          | null
          | undefined;
      }[]
    | null
    | undefined;
  readonly error?: unknown;
}

/** The body of an error. */
export interface ErrorBody {
  readonly error: { readonly message: string; readonly type?: string | null | undefined };
}

interface Told<Raw> {
  /** The answer, or this piece of it. */
  readonly content: string;
  /** What the model thought, or this piece of it. */
  readonly reasoningContent: string;
  /** The calls of tools. In a piece those so far, each as far as it has come; a piece of one is in `raw`. */
  readonly toolCalls: readonly ToolCall[];
  /** Why the answer ended; undefined in all but the last piece. */
  readonly finishReason: string | undefined;
  /** What the answer cost; undefined where it is not told. */
  readonly usage: Usage | undefined;
  /** The model that answered, which may be another than was asked for. */
  readonly model: string | undefined;
  readonly id: string | undefined;
  /** The object as it came. Of a piece it is made when it is asked for, so a spread leaves it behind. */
  readonly raw: Raw;
}

/** A whole answer. */
export interface ChatCompletion extends Told<ChatAnswer> {}

/** One piece of a streamed answer. */
export interface ChatChunk extends Told<ChatAnswerChunk> {}

/** A streamed answer. It can be read once: a second reader gets what the first has left. Leaving a loop over it ends it. */
export interface ChatStream extends AsyncIterable<ChatChunk> {
  /** Asks for the next piece. */
  next(): Promise<IteratorResult<ChatChunk, undefined>>;
  /** Ends the answer, wherever it is: upstream is aborted. */
  return(): Promise<IteratorReturnResult<undefined>>;
  /** Reads to the end and gives the whole content, also of pieces that were read before. */
  text(): Promise<string>;
  /** Reads to the end and gives the whole answer as `chat()` would have, also of pieces that were read before. */
  final(): Promise<ChatCompletion>;
  /** The pieces that are left as they came, each as one line of JSON, for the body of a Response. Nothing is read ahead; cancelling it ends the answer. */
  toReadableStream(): ReadableStream<Uint8Array>;
}

/** A whole answer that is JSON. */
export interface JsonCompletion<Value> extends ChatCompletion {
  /** What the schema made of the JSON. */
  readonly value: Value;
}
