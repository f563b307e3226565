/** @module All that an answer has said so far, put together from its pieces. */

import type { PartialAnswer } from '../core/errors.ts';
import type { ChatChunk, ChatCompletion, ToolCall, Usage } from './types.ts';

/** The pieces of one answer, put together. */
export class Transcript implements PartialAnswer {
  content = '';
  reasoningContent = '';
  toolCalls: readonly ToolCall[] = [];
  finishReason: string | undefined;
  usage: Usage | undefined;
  #first: ChatChunk | undefined;

  /** Whether the caller has been given anything that it would call an answer. */
  get hasContent(): boolean {
    return this.content !== '' || this.reasoningContent !== '' || this.toolCalls.length > 0;
  }

  add(piece: ChatChunk): void {
    this.#first ??= piece;
    this.content += piece.content;
    this.reasoningContent += piece.reasoningContent;
    this.toolCalls = piece.toolCalls;
    if (piece.finishReason !== undefined) this.finishReason = piece.finishReason;
    if (piece.usage) this.usage = piece.usage;
  }

  /** The text so far, as it stands now. */
  partial(): PartialAnswer {
    const { content, reasoningContent } = this;
    return { content, reasoningContent };
  }

  /** The whole answer, as it would have come in one piece. */
  completion(): ChatCompletion {
    const { content, reasoningContent, toolCalls, finishReason, usage } = this;
    const { model, id, raw: first } = this.#first ?? { model: undefined, id: undefined, raw: {} };
    // Thinking shows from the first piece on, also where nothing was thought; in a conversation with tools the field must be sent back.
    const isThinking = reasoningContent !== '' || first.choices?.[0]?.delta?.reasoning_content != null;
    const message = {
      role: 'assistant',
      content,
      ...(isThinking && { reasoning_content: reasoningContent }),
      ...(toolCalls.length > 0 && { tool_calls: toolCalls }),
    };
    const choices = [{ index: 0, message, finish_reason: finishReason ?? null }];
    const raw = { ...first, object: 'chat.completion', choices, ...(usage && { usage }) };
    return { content, reasoningContent, toolCalls, finishReason, usage, model, id, raw };
  }
}
