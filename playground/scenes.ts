/** @module Four bad moments of a service, and what the chain makes of each. A scene that does not end as it promises throws, so the demo is a check too. */

import { setTimeout as wait } from 'node:timers/promises';
import { AuthCheckError, CircuitOpenError, circuitBreaker, type Listener, PayloadError } from 'breakwater';
import { type ChatRequest, circuitKey, DeepSeekError } from 'breakwater/deepseek';
import { timeOf } from './event-words.ts';
import { ANSWER, becomes, connect, failureOf, mustHold, openStage, PING, type Stage } from './stage.ts';
import type { Timeline } from './timeline.ts';

export interface DemoOptions {
  /**
   * The share of every wait that is waited in fact: 1 is for people, less for tests.
   * @default 1
   */
  readonly pace?: number;
  /** Ends the demo at once. */
  readonly signal: AbortSignal;
}

/** Timers may fire a little before their time. */
const TIMER_SLACK_MS = 5;

const QUESTION: ChatRequest = {
  ...PING,
  messages: [{ role: 'user', content: 'What is a breakwater for?' }],
  max_tokens: 200,
};

/** Plays every scene against a service of their own, and leaves nothing open. */
export async function runDemo(timeline: Timeline, { pace = 1, signal }: DemoOptions): Promise<void> {
  const begunAt = performance.now();
  const stage = await openStage({ timeline, pace, signal });
  try {
    timeline.title('breakwater, on a bad day of the service');
    timeline.prose(`A simulated DeepSeek answers on ${stage.url}, over real HTTP.`);
    timeline.prose('The first column counts the seconds of each scene.');
    for (const play of [streamedAnswer, outage, wrongKey, badPayload]) await play(stage);
  } catch (error) {
    signal.throwIfAborted(); // nothing that follows from an abort is news
    throw error;
  } finally {
    await stage.close();
  }
  timeline.prose('');
  timeline.prose(`All four went as told, in ${timeOf(performance.now() - begunAt)}.`, 'good');
}

async function streamedAnswer(stage: Stage): Promise<void> {
  const { timeline, simulator, pace, signal } = stage;
  timeline.title('1  One streamed answer, in spite of a rate limit, an outage and a queue');
  const toldMs = 1000 * pace;
  const queuedMs = 1500 * pace;
  const queue = { keepAliveMs: queuedMs, everyMs: queuedMs / 3 };
  simulator.script({ status: 429, retryAfter: toldMs / 1000 }, 503, queue);

  const attemptsAt: number[] = [];
  let isOver = false;
  const onEvent: Listener = ({ type }) => {
    if (type === 'attempt.started') attemptsAt.push(performance.now());
    if (type === 'call.settled') isOver = true;
  };
  const ai = connect(stage, { onEvent, retry: { baseDelayMs: 500 * pace } });
  let answer = '';
  for await (const { content } of ai.stream(QUESTION, { signal })) {
    if (answer === '' && content !== '') tellFirstToken(stage, attemptsAt, queuedMs);
    timeline.say(content);
    answer += content;
  }
  const hasEnded = await becomes(() => isOver, signal); // the end of the answer need not be that of the call
  mustHold(hasEnded, 'the call did not end with its answer');

  const [first = 0, second = 0] = attemptsAt;
  mustHold(attemptsAt.length === 3, `there should have been 3 attempts, not ${attemptsAt.length}`);
  mustHold(second - first >= toldMs - TIMER_SLACK_MS, 'the second attempt came before the Retry-After time');
  mustHold(answer === ANSWER, 'the answer did not arrive whole');
  timeline.detail('answer', 'whole, and the program has seen nothing else');
}

function tellFirstToken({ timeline }: Stage, attemptsAt: readonly number[], queuedMs: number): void {
  const afterMs = performance.now() - (attemptsAt.at(-1) ?? 0);
  mustHold(afterMs >= queuedMs - TIMER_SLACK_MS, 'the first token came before the queue was over');
  const meaning = `after ${timeOf(afterMs)} in a queue: a 200 at once, then keep-alives alone, then this`;
  timeline.entry({ event: 'first token', meaning, tone: 'good' });
}

async function outage(stage: Stage): Promise<void> {
  const { timeline, simulator, pace, signal } = stage;
  timeline.title('2  An outage: the breaker opens, spares the service, and finds out when it is back');
  simulator.script(503, 503, 503);
  const before = simulator.requests.length;
  const probeEveryMs = 1000 * Math.max(pace, 0.4); // or a busy machine is too late to be refused
  const breaker = circuitBreaker({ maxFailures: 3, probeEveryMs, key: circuitKey });
  const ai = connect(stage, { circuitBreaker: breaker, retry: { baseDelayMs: 200 * pace } });

  const failed = await failureOf(ai.chat(PING, { signal }));
  mustHold(failed instanceof DeepSeekError && failed.status === 503, 'the outage should have shown as a 503');
  timeline.detail(failed.name, failed.message);

  const refused = await failureOf(ai.chat(PING, { signal }));
  mustHold(refused instanceof CircuitOpenError, 'the open breaker should have refused the next call');
  timeline.detail(refused.name, 'nothing was sent');
  const { retryAfterMs = 0 } = refused;
  timeline.entry({
    event: 'waiting',
    meaning: `${timeOf(retryAfterMs)}, as the error says`,
    tone: 'waiting',
  });
  await wait(retryAfterMs + TIMER_SLACK_MS, undefined, { signal });

  const { content } = await ai.chat(PING, { signal });
  mustHold(content === 'pong', 'the service should have answered the probe');
  const states = breaker.snapshot().map(({ state }) => state);
  mustHold(states.join() === 'closed', 'the breaker should have closed');
  const sent = simulator.requests.length - before;
  mustHold(sent === 4, `the service should have seen 4 requests, not ${sent}`);
  timeline.detail('answer', content);
}

async function wrongKey(stage: Stage): Promise<void> {
  const { timeline, signal } = stage;
  timeline.title('3  A key that cannot be one: its variable was never loaded');
  const ai = connect(stage, { apiKey: `${process.env.BREAKWATER_NO_SUCH_VARIABLE}` });
  const refused = await unsent(stage, ai.chat(PING, { signal }));
  mustHold(refused instanceof AuthCheckError, 'the key should have been refused');
  timeline.detail(refused.name, refused.message);
}

async function badPayload(stage: Stage): Promise<void> {
  const { timeline, signal } = stage;
  timeline.title('4  A request with two mistakes');
  const messages = [...PING.messages, { role: 'asistant', content: 'pong' }];
  const request = { ...PING, messages, temperature: 2.5 } as ChatRequest;
  const refused = await unsent(stage, connect(stage).chat(request, { signal }));
  mustHold(refused instanceof PayloadError, 'the request should have been refused');
  const paths = refused.issues.map(({ path }) => path);
  mustHold(paths.join() === 'messages[1].role,temperature', 'both mistakes should have been named');
  for (const { path, message } of refused.issues) timeline.detail(path, message);
}

/** What a call has failed with before anything was sent. */
async function unsent({ simulator, timeline }: Stage, call: Promise<unknown>): Promise<unknown> {
  const before = simulator.requests.length;
  const error = await failureOf(call);
  mustHold(simulator.requests.length === before, 'nothing should have been sent');
  timeline.entry({ event: 'refused', meaning: 'before anything was sent', tone: 'good' });
  return error;
}
