/** @module From an event of a stream to a piece of an answer. */

import * as v from 'valibot';
import { Mould, parse } from './mould.ts';
import { chatChunkSchema } from './schemas.ts';
import type { ChatAnswerChunk, ChatChunk, ToolCall, ToolCallDelta, Usage } from './types.ts';
import { addUsage } from './usage.ts';

const NO_CALLS: readonly ToolCall[] = Object.freeze([]);

/** One piece. What came is parsed when somebody asks for it, unless it had to be parsed anyway. */
class Piece implements ChatChunk {
  content = '';
  reasoningContent = '';
  toolCalls: readonly ToolCall[] = NO_CALLS;
  finishReason: string | undefined = undefined;
  usage: Usage | undefined = undefined;
  model: string | undefined;
  id: string | undefined;
  #raw: ChatAnswerChunk | undefined;
  readonly #mould: Mould | undefined;

  constructor(
    { model, id }: Pick<ChatAnswerChunk, 'model' | 'id'>,
    raw: ChatAnswerChunk | undefined,
    mould?: Mould,
  ) {
    this.model = model;
    this.id = id;
    this.#raw = raw;
    this.#mould = mould;
  }

  get raw(): ChatAnswerChunk {
    this.#raw ??= parse(this.#mould?.data(this.content || this.reasoningContent) ?? '{}') as ChatAnswerChunk;
    return this.#raw;
  }
}

/** So many events in a row that do not fit the one before: they differ in more than their text, and no mould is worth its making. */
const MAX_MISFITS = 16;

/** Reads the events of one answer, in their order. */
export class ChunkDecoder {
  /** Where the event ends that `peek` has read. */
  end = 0;
  #mould: Mould | undefined;
  #misfits = 0;
  readonly #calls: Map<number, ToolCall> = new Map();
  #toolCalls: readonly ToolCall[] = NO_CALLS;
  #spent: Usage | undefined;

  /** From now on usage is told together with that of an earlier part of the answer. */
  continueFrom(spent: Usage | undefined): void {
    this.#spent = spent;
  }

  /** The piece that begins at `from`, if it is one as the last was; undefined where that takes a closer look. */
  peek(bytes: Uint8Array, from: number): ChatChunk | undefined {
    const mould = this.#mould;
    const text = mould?.read(bytes, from);
    if (!mould || text === undefined) return undefined;
    this.end = mould.end;
    return this.#cast(mould, text);
  }

  /** The piece that an event holds, or what is wrong with it. */
  read(data: string): ChatChunk | 'STREAM_MALFORMED' | 'STREAM_FAILED' {
    const text = this.#mould?.cut(data);
    return this.#mould && text !== undefined ? this.#cast(this.#mould, text) : this.#parse(data);
  }

  #cast(mould: Mould, text: string): ChatChunk {
    this.#misfits = 0;
    const piece = new Piece(mould.model, undefined, mould);
    piece.toolCalls = this.#toolCalls;
    if (mould.field === 'content') piece.content = text;
    else piece.reasoningContent = text;
    return piece;
  }

  #parse(data: string): ReturnType<ChunkDecoder['read']> {
    const raw = parse(data);
    if (!v.is(chatChunkSchema, raw)) return 'STREAM_MALFORMED';
    const [choice] = raw.choices ?? [];
    if (!choice && raw.error != null) return 'STREAM_FAILED';
    const { content, reasoning_content, tool_calls } = choice?.delta ?? {};
    if (tool_calls?.length) this.#assemble(tool_calls);
    const piece = new Piece(raw, raw);
    piece.content = content ?? '';
    piece.reasoningContent = reasoning_content ?? '';
    piece.toolCalls = this.#toolCalls;
    piece.finishReason = choice?.finish_reason ?? undefined;
    piece.usage = raw.usage ? addUsage(this.#spent, raw.usage) : undefined;
    const isPlain = !tool_calls?.length && piece.finishReason === undefined && !piece.usage;
    if (isPlain && this.#misfits++ < MAX_MISFITS) this.#mould = Mould.of(data, piece) ?? this.#mould;
    return piece;
  }

  /** Parallel calls come interleaved. A call's name and id come whole; only its arguments come in pieces. */
  #assemble(deltas: readonly ToolCallDelta[]): void {
    for (const [at, delta] of deltas.entries()) {
      const index = delta.index ?? at;
      const before = this.#calls.get(index);
      const { name, arguments: more } = delta.function ?? {};
      this.#calls.set(index, {
        id: delta.id || before?.id || '',
        type: 'function',
        function: {
          name: name || before?.function.name || '',
          arguments: (before?.function.arguments ?? '') + (more ?? ''),
        },
      });
    }
    const inOrder = [...this.#calls].sort(([one], [other]) => one - other);
    this.#toolCalls = inOrder.map(([, call]) => call);
  }
}
