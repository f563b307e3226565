/** @module What a command line needs around the demo: arguments, one sentence for whatever goes wrong, and exit codes. */

import { parseArgs, styleText } from 'node:util';
import { runLive } from './live.ts';
import { runDemo } from './scenes.ts';
import { NotAsTold } from './stage.ts';
import { type Output, Timeline } from './timeline.ts';

const HELP = `Usage: npm start [-- --live | --help]

Plays four bad moments of a simulated DeepSeek service, and what the chain makes of
them, in some eight seconds. It needs no key and no network.

  --live      makes one small call to the real service instead, and prints status and
              message; the key is taken from DEEPSEEK_API_KEY, and another address
              from DEEPSEEK_BASE_URL
  -h, --help  prints this

Exit codes: 0 as told, 1 not as told, 2 wrong arguments, 130 interrupted.
`;

/** Whatever hangs, the demo ends. */
const LONGEST_MS = 18_000;

/** What the command has of its process. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly output: Output;
  readonly errors: Output;
  /** Is aborted by a Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Runs the command, and answers with its exit code. */
export async function run(args: string[], { env, output, errors, signal }: Surroundings): Promise<number> {
  const timeline = new Timeline(output);
  const fail = (problem: string, exitCode = 1): number => {
    timeline.endLine();
    const sentence = /[.?]$/.test(problem) ? problem : `${problem}.`;
    errors.write(`${styleText('red', sentence, { stream: errors })}\n`);
    return exitCode;
  };

  const { problem, isLive, isHelp } = readArguments(args);
  if (problem) return fail(`${problem}: see npm start -- --help`, 2);
  if (isHelp) {
    output.write(HELP);
    return 0;
  }
  if (isLive && !env.DEEPSEEK_API_KEY?.trim()) return fail('A live call needs a key: set DEEPSEEK_API_KEY');
  try {
    return await (isLive ? live(timeline, env, signal) : demo(timeline, signal));
  } catch (error) {
    if (signal.aborted) {
      timeline.entry({ event: 'interrupted', meaning: 'nothing is left open', tone: 'bad' });
      return 130;
    }
    const message = error instanceof Error ? error.message : String(error);
    return fail(isLive ? message : `The demo did not go as told: ${message}`);
  }
}

interface Arguments {
  readonly problem?: string | undefined;
  readonly isLive?: boolean;
  readonly isHelp?: boolean;
}

function readArguments(args: string[]): Arguments {
  const options = { live: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const;
  try {
    const { live = false, help = false } = parseArgs({ args, options }).values;
    return { isLive: live, isHelp: help };
  } catch (error) {
    return { problem: (error as Error).message.split('. ')[0] }; // the rest is advice to programmers
  }
}

async function demo(timeline: Timeline, signal: AbortSignal): Promise<number> {
  const overtime = new AbortController();
  const timer = setTimeout(() => {
    overtime.abort(new NotAsTold(`it did not end within ${LONGEST_MS / 1000} s`));
  }, LONGEST_MS);
  try {
    await runDemo(timeline, { signal: AbortSignal.any([signal, overtime.signal]) });
    return 0;
  } finally {
    clearTimeout(timer);
  }
}

async function live(timeline: Timeline, env: Surroundings['env'], signal: AbortSignal): Promise<number> {
  const { DEEPSEEK_API_KEY: apiKey = '', DEEPSEEK_BASE_URL: baseURL } = env;
  const isAnswered = await runLive(timeline, { apiKey, baseURL: baseURL || undefined, signal });
  return isAnswered ? 0 : 1;
}
