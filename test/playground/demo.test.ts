import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { createSimulator } from 'breakwater/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { run } from '../../playground/command.ts';
import { wordsOf } from '../../playground/event-words.ts';
import { runDemo } from '../../playground/scenes.ts';
import { serve } from '../../playground/serve.ts';
import { ANSWER } from '../../playground/stage.ts';
import { Timeline } from '../../playground/timeline.ts';

afterEach(() => {
  vi.unstubAllGlobals();
  vi.unstubAllEnvs();
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Collects what is written, without colours. */
class Paper extends Writable {
  text = '';
  onText: (text: string) => void = () => {};

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.text += stripVTControlCharacters(chunk.toString());
    this.onText(this.text);
    done();
  }
}

/** A terminal, of which only its width and colours are asked. */
class Screen extends Writable {
  readonly isTTY = true;
  readonly columns: number;
  text = '';

  constructor(columns: number) {
    super();
    this.columns = columns;
  }

  getColorDepth(): number {
    return 4;
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

function playOn(paper: Paper, signal = new AbortController().signal): Promise<void> {
  return runDemo(new Timeline(paper), { pace: 0.03, signal });
}

/** The second column of the part with this number. */
function eventsOf(text: string, scene: number): string[] {
  const part = text.split(/^\d {2}.*\n/m)[scene] ?? '';
  return [...part.matchAll(/^ +\d+\.\d\d {2}(.{1,17})/gm)].map(([, event = '']) => event.trim());
}

describe('the demo', () => {
  it('tells what happens to every call, in order', async () => {
    const paper = new Paper();
    await playOn(paper);
    const expectEvents = (scene: number, ...expected: string[]) =>
      // Others may come between them: some come when they please, and the library will learn to tell more.
      expect(eventsOf(paper.text, scene).filter((event) => expected.includes(event))).toEqual(expected);
    expectEvents(1, 'call', 'attempt 1', '429', 'attempt 2', '503', 'attempt 3', 'first token', 'call ends');
    expectEvents(2, ...['503', '503', 'breaker opens', 'waiting', 'probe', 'breaker closes']);
    expectEvents(3, 'call', 'call ends', 'refused');
    expectEvents(4, 'call', 'call ends', 'refused');
    for (const line of ANSWER.split('\n')) expect(paper.text).toContain(`│ ${line}\n`);
    expect(paper.text).toMatch(/CircuitOpenError +nothing was sent/);
    expect(paper.text).toMatch(/AuthCheckError +Key .*: it is a placeholder/);
    expect(paper.text).toMatch(/messages\[1\]\.role +must be one of system, /);
    expect(paper.text).toMatch(/temperature +must be a number from 0 to 2/);
    expect(paper.text).toMatch(/\nAll four went as told, in .*\.\n$/);
    expect(paper.text).not.toContain('sk-');
    expect(Math.max(...paper.text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  it.each(['attempt 1', 'attempt 3', '│ A b', 'breaker opens', 'waiting'])(
    'stops at once and closes the service when it is aborted at "%s"',
    async (moment) => {
      const stop = new AbortController();
      const reason = new Error('enough');
      const paper = new Paper();
      paper.onText = (text) => {
        if (text.includes(moment)) stop.abort(reason);
      };
      await expect(playOn(paper, stop.signal)).rejects.toBe(reason);
      const [url = ''] = /http:\S+(?=,)/.exec(paper.text) ?? [];
      await expect(fetch(url)).rejects.toThrow(TypeError);
    },
  );

  it('does not go as told when the answer does not arrive', async () => {
    const headers = { 'content-type': 'text/event-stream' };
    vi.stubGlobal('fetch', async () => new Response('data: [DONE]\n\n', { headers }));
    await expect(playOn(new Paper())).rejects.toThrow(/^Answer is empty: 14 bytes had arrived$/);
  });
});

describe('Timeline', () => {
  it('has colours on a terminal that can show them, and nowhere else', () => {
    vi.stubEnv('FORCE_COLOR', undefined);
    vi.stubEnv('NO_COLOR', undefined);
    const [screen, file] = [new Screen(80), new Screen(80)];
    Object.defineProperty(file, 'isTTY', { value: false });
    for (const output of [screen, file]) {
      new Timeline(output).entry({ event: 'refused', meaning: 'nothing was sent', tone: 'bad' });
    }
    expect(file.text).toBe('   0.00  refused           nothing was sent\n');
    expect(screen.text).not.toBe(file.text);
    expect(stripVTControlCharacters(screen.text)).toBe(file.text);
  });

  it.each([0, 60, 80, 200])('breaks what is too long for %i columns between words', (columns) => {
    const screen = new Screen(columns);
    const meaning = 'so that every word can be read '.repeat(6).trim();
    new Timeline(screen).entry({ event: 'long', meaning, tone: 'quiet' });
    const lines = stripVTControlCharacters(screen.text).trimEnd().split('\n');
    expect(lines.map((line) => line.slice(27)).join(' ')).toBe(meaning);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns || 100);
  });

  it('begins a new line for what happens in the middle of an answer', () => {
    const paper = new Paper();
    const timeline = new Timeline(paper);
    timeline.say('Half an ');
    timeline.say('ans');
    timeline.detail('', 'something');
    expect(paper.text.split('\n').map((line) => line.trim())).toEqual(['│ Half an ans', 'something', '']);
  });
});

describe('wordsOf()', () => {
  it('calls an event that it has no words for by its name', () => {
    const event = { type: 'call.foreseen', callId: 1, at: 0 };
    expect(wordsOf(event as never)).toEqual({ event: 'call.foreseen', meaning: '', tone: 'quiet' });
  });
});

const secret = 'sk-feedfacefeedfacefeedfacefeedface';

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command in this process. */
async function command(args: string[], env: Record<string, string | undefined> = {}): Promise<Ended> {
  const [output, errors] = [new Paper(), new Paper()];
  const code = await run(args, { env, output, errors, signal: new AbortController().signal });
  return { code, stdout: output.text, stderr: errors.text };
}

describe('npm start', () => {
  it('explains itself', async () => {
    const { code, stdout, stderr } = await command(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const word of ['--live', 'DEEPSEEK_API_KEY', 'DEEPSEEK_BASE_URL']) expect(stdout).toContain(word);
  });

  it.each([
    ['--hlep', "Unknown option '--hlep'"],
    ['live', "Unexpected argument 'live'"],
    ['--live=yes', "Option '--live' does not take an argument"],
  ])('refuses %s in one sentence', async (argument, sentence) => {
    const stderr = `${sentence}: see npm start -- --help.\n`;
    expect(await command([argument])).toEqual({ code: 2, stdout: '', stderr });
  });

  it('ends with 1 and one sentence when it does not go as told', async () => {
    vi.stubGlobal('fetch', async () => new Response('gone', { status: 410 }));
    const { code, stderr } = await command([]);
    expect(code).toBe(1);
    expect(stderr).toBe('The demo did not go as told: DeepSeek answered 410: gone.\n');
  });

  it('ends with 1 when it hangs', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const hangs = (_: unknown, { signal }: RequestInit) =>
      new Promise((_, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason));
        vi.advanceTimersByTime(18_000);
      });
    vi.stubGlobal('fetch', hangs);
    const { code, stderr } = await command([]);
    expect(code).toBe(1);
    expect(stderr).toBe('The demo did not go as told: it did not end within 18 s.\n');
  });

  it('ends with 130 at a Ctrl-C, at once and without a word of error', async () => {
    const program = fileURLToPath(new URL('../../playground/demo.ts', import.meta.url));
    const onSources = new URL('./on-sources.mjs', import.meta.url).href;
    const child = spawn(process.execPath, ['--import', onSources, program]);
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (data: Buffer) => {
      stdout += data;
      if (stdout.includes('attempt 1') && !child.killed) child.kill('SIGINT');
    });
    child.stderr.on('data', (data: Buffer) => {
      stderr += data;
    });
    expect(await once(child, 'close')).toEqual([130, null]);
    expect(stripVTControlCharacters(stdout)).toMatch(/interrupted +nothing is left open\n$/);
    expect(stderr).toBe('');
  });
});

describe('npm start -- --live', () => {
  async function callWith(apiKey: string): Promise<Ended> {
    const served = await serve(createSimulator({ answer: 'pong', apiKeys: [secret] }).fetch);
    const env = { DEEPSEEK_API_KEY: apiKey, DEEPSEEK_BASE_URL: served.url };
    return command(['--live'], env).finally(served.close);
  }

  it('shows status and message', async () => {
    const { code, stdout, stderr } = await callWith(secret);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^ +status +200\n +message +pong\n/m);
  });

  it('shows status and message of a refusal too, and never the key', async () => {
    const { code, stdout, stderr } = await callWith('sk-ofnobodyofnobodyofnobody');
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(stdout).toMatch(/^ +status +401\n +message +DeepSeek answered 401: /m);
    expect(stdout).not.toContain('body');
  });

  it.each([undefined, '', ' '])('asks for a key when it is %j', async (apiKey) => {
    const stderr = 'A live call needs a key: set DEEPSEEK_API_KEY.\n';
    const ended = await command(['--live'], { DEEPSEEK_API_KEY: apiKey });
    expect(ended).toEqual({ code: 1, stdout: '', stderr });
  });

  it('says so when there is no network, and never the key', async () => {
    const refused = Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' });
    vi.spyOn(Math, 'random').mockReturnValue(0); // no waits between the attempts
    vi.stubGlobal('fetch', async (_: unknown, init: RequestInit) => {
      const { authorization } = Object.fromEntries(new Headers(init.headers));
      throw new TypeError(`fetch failed with ${authorization}`, { cause: refused });
    });
    const { code, stdout, stderr } = await command(['--live'], { DEEPSEEK_API_KEY: secret });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^Connection to https:\S+ failed: .*ENOTFOUND; is there a network\?\n$/);
    expect(stdout + stderr).not.toContain(secret.slice(3));
  });
});
