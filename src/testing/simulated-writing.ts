/** @module How the service writes down what the model says: as one JSON object, or as the events of a stream. */

import type { Random } from '../core/clock.ts';
import { deltasOf, piecesOf } from './letters.ts';
import type { SimulatedText } from './simulated-answer.ts';
import { isThinking } from './simulated-checks.ts';
import type { Fault } from './simulated-faults.ts';
import type { JsonObject } from './simulated-shapes.ts';
import { type Spoken, type SpokenCall, speak, usageOf } from './simulated-speech.ts';

/** What an answer is written down with. */
export interface AnswerFrame {
  readonly id: string;
  /** The time of day, in seconds since 1970. */
  readonly createdSeconds: number;
  readonly fault: Fault;
  readonly random: Random;
}

/** An answer as it goes out: its pieces in order, and how many deltas long the model takes to say it. */
export interface WrittenAnswer {
  readonly contentType: string;
  readonly pieces: readonly string[];
  readonly deltas: number;
}

const FINGERPRINT = 'fp_simulated';

/** Writes down what the model says. */
export function writeAnswer(payload: JsonObject, text: SimulatedText, frame: AnswerFrame): WrittenAnswer {
  const { fault, random } = frame;
  const isStream = payload.stream === true;
  const spoken = speak(payload, text, { finishReason: fault.finishReason, random });
  const parts: Parts = {
    spoken,
    thinks: isThinking(payload),
    deltas: choiceDeltas(spoken, isThinking(payload), random),
    usage: fault.usage === 'none' ? undefined : usageOf(payload, spoken),
    head: {
      id: frame.id,
      object: isStream ? 'chat.completion.chunk' : 'chat.completion',
      created: frame.createdSeconds,
      model: payload.model,
      system_fingerprint: FINGERPRINT,
    },
  };
  const deltas = parts.deltas.length;
  if (!isStream)
    return { contentType: 'application/json', pieces: piecesOf(JSON.stringify(completionOf(parts))), deltas };
  return { contentType: 'text/event-stream; charset=utf-8', pieces: eventsOf(parts, fault.usage), deltas };
}

interface Parts {
  readonly spoken: Spoken;
  readonly thinks: boolean;
  /** The deltas between the first, which bears the role, and the last. */
  readonly deltas: readonly JsonObject[];
  readonly usage: JsonObject | undefined;
  readonly head: JsonObject;
}

function completionOf({ spoken, thinks, usage, head }: Parts): JsonObject {
  const message = {
    role: 'assistant',
    content: spoken.content,
    ...(thinks && { reasoning_content: spoken.reasoning }),
    ...(spoken.calls.length > 0 && { tool_calls: spoken.calls }),
  };
  const choice = { index: 0, message, logprobs: null, finish_reason: spoken.finishReason };
  return { ...head, choices: [choice], usage };
}

function choiceDeltas({ reasoning, content, calls }: Spoken, thinks: boolean, random: Random): JsonObject[] {
  return [
    ...deltasOf(reasoning, random).map((letters) => ({ content: null, reasoning_content: letters })),
    ...deltasOf(content, random).map((letters) =>
      thinks ? { content: letters, reasoning_content: null } : { content: letters },
    ),
    ...callDeltas(calls, random).map((call) => ({ tool_calls: [call] })),
  ];
}

/** Every call is opened, and then their arguments come in turns: only the index tells which piece belongs to which. */
function callDeltas(calls: readonly SpokenCall[], random: Random): JsonObject[] {
  const opened = calls.map((call) => ({ ...call, function: { ...call.function, arguments: '' } }));
  const pieces = calls.map((call) => deltasOf(call.function.arguments, random));
  const rounds = Math.max(0, ...pieces.map(({ length }) => length));
  const turns = Array.from({ length: rounds }, (_, round) =>
    calls.flatMap(({ index }) => {
      const letters = pieces[index]?.[round];
      return letters === undefined ? [] : [{ index, function: { arguments: letters } }];
    }),
  );
  return [...opened, ...turns.flat()];
}

function eventsOf(
  { spoken, thinks, deltas, usage, head }: Parts,
  usagePlace: Fault['usage'] = 'on-finish',
): string[] {
  const event = (choices: readonly JsonObject[], more?: JsonObject): string =>
    `data: ${JSON.stringify({ ...head, choices, ...more })}\n\n`;
  const choice = (delta: JsonObject, finish_reason: string | null = null): JsonObject[] => [
    { index: 0, delta, logprobs: null, finish_reason },
  ];
  const first = thinks ? { content: null, reasoning_content: '' } : { content: '' };
  const last = thinks ? { content: '', reasoning_content: null } : { content: '' };
  const told = usagePlace === 'on-finish' && usage ? { usage } : undefined;
  const events = [
    event(choice({ role: 'assistant', ...first })),
    ...deltas.map((delta) => event(choice(delta))),
    event(choice(last, spoken.finishReason), told),
    'data: [DONE]\n\n',
  ];
  if (!usage || told) return events;
  const apart = event([], { usage });
  if (usagePlace === 'trailing') return events.toSpliced(-1, 0, apart);
  const middle = 1 + Math.ceil(deltas.length / 2);
  return events.toSpliced(-1, 0, apart).toSpliced(middle, 0, apart).toSpliced(1, 0, apart);
}
