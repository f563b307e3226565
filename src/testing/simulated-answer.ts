/** @module What a simulated model says: what a test has it say, or else the gist of the prompt. */

import { checkMembers, refusal } from './checks.ts';
import { messagesOf, textOf } from './simulated-checks.ts';
import { isObject, type JsonObject } from './simulated-shapes.ts';

/** One request as the simulator received it. */
export interface SimulatedRequest {
  readonly method: string;
  readonly url: string;
  /** The headers, by their names in lower case; credentials are replaced by `[redacted]`. */
  readonly headers: Readonly<Record<string, string>>;
  /** The body, as text. */
  readonly body: string;
  /** What the body says; undefined when it is no JSON. */
  readonly payload: unknown;
  /** When it arrived, in milliseconds of the simulator's clock: the waits between attempts are differences of these. */
  readonly atMs: number;
}

/** A call of a tool that a simulated model asks for. */
export interface SimulatedToolCall {
  readonly name: string;
  /**
   * What the tool is called with: an object, or text that goes out as it is, also when it is no JSON.
   * @default an empty object
   */
  readonly arguments?: object | string | undefined;
}

/** What a simulated model says, in its parts. */
export interface SimulatedText {
  /** The answer itself. */
  readonly content: string;
  /**
   * The reasoning before it, which is said only in thinking mode.
   * @default a sentence about the prompt
   */
  readonly reasoningContent?: string | undefined;
  /**
   * The calls of tools after it, which are made only when the request offers tools. A stream sends several of them
   * interleaved, as the service does.
   * @default none
   */
  readonly toolCalls?: readonly SimulatedToolCall[] | undefined;
}

/** What a simulated model says: the answer itself, its parts, or a function of the request. */
export type SimulatedAnswer =
  | string
  | SimulatedText
  | ((request: SimulatedRequest) => string | SimulatedText);

const GIST_LENGTH = 60;
const TEXT_MEMBERS = ['content', 'reasoningContent', 'toolCalls'];

/** Throws unless `answer` is left out or something that a model can say. */
export function checkAnswer(subject: string, answer: unknown): void {
  if (answer === undefined || typeof answer === 'string' || typeof answer === 'function') return;
  if (!isObject(answer))
    throw new TypeError(refusal(subject, 'answer', 'a string, an object or a function', answer));
  checkMembers(subject, answer, TEXT_MEMBERS);
}

/** What the model says when the test does not care. */
export function defaultAnswer(payload: JsonObject): SimulatedText {
  const tool = demandedTool(payload);
  if (tool !== undefined) return { content: '', toolCalls: [{ name: tool }] };
  const gist = gistOf(payload);
  const format = payload.response_format;
  const isJson = isObject(format) && format.type === 'json_object';
  return { content: isJson ? JSON.stringify({ answer: gist }) : `You said: ${gist}` };
}

/** The name of the tool that the request insists on. */
function demandedTool({ tools, tool_choice: choice }: JsonObject): string | undefined {
  const demanded: unknown = choice === 'required' && Array.isArray(tools) ? tools[0] : choice;
  const tool = isObject(demanded) ? demanded.function : undefined;
  return isObject(tool) ? `${tool.name}` : undefined;
}

/** The beginning of what the user said last, so that answers can be told apart. */
export function gistOf(payload: JsonObject): string {
  const last = messagesOf(payload).findLast(({ role }) => role === 'user');
  const letters = [
    ...textOf(last ?? {})
      .trim()
      .replaceAll(/\s+/g, ' '),
  ];
  return letters.length > GIST_LENGTH ? `${letters.slice(0, GIST_LENGTH).join('')}…` : letters.join('');
}
