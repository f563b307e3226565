/** @module A timeline in a terminal, in three columns: when, what, and what it means. Whether colours are wanted is for Node's styleText to say, which knows pipes, NO_COLOR and FORCE_COLOR. */

import { styleText } from 'node:util';

/** How an entry is to be taken. */
export type Tone = 'good' | 'bad' | 'waiting' | 'quiet';

/** One thing that happened. */
export interface Entry {
  readonly event: string;
  readonly meaning: string;
  readonly tone: Tone;
}

/** Where a timeline is written; a terminal also has a width. */
export type Output = NodeJS.WritableStream & { readonly columns?: number };

const STYLES = { good: 'green', bad: 'red', waiting: 'yellow', quiet: 'dim' } as const;
const TIME_WIDTH = 7;
const EVENT_WIDTH = 17;
const MEANING_AT = TIME_WIDTH + 2 + EVENT_WIDTH + 1;
const MAX_WIDTH = 100;
/** A narrower terminal breaks the lines as well as we would. */
const MIN_WIDTH = 60;

/** Writes a timeline, whose time begins anew with each title. */
export class Timeline {
  readonly #output: Output;
  #startedAt = performance.now();
  /** Whether the last line is waiting for more of the answer. */
  #isOpen = false;

  constructor(output: Output) {
    this.#output = output;
  }

  /** Begins a part, and the time anew. */
  title(text: string): void {
    this.#line('');
    this.#line(this.#paint('bold', text));
    this.#line('');
    this.#startedAt = performance.now();
  }

  /** Something that happened now. */
  entry({ event, meaning, tone }: Entry): void {
    const time = ((performance.now() - this.#startedAt) / 1000).toFixed(2).padStart(TIME_WIDTH);
    this.#row(this.#paint('dim', time), this.#paint(STYLES[tone], event.padEnd(EVENT_WIDTH)), meaning);
  }

  /** More about the entry before. */
  detail(name: string, meaning: string): void {
    this.#row(' '.repeat(TIME_WIDTH), name.padEnd(EVENT_WIDTH), meaning);
  }

  /** A piece of an answer, which goes on where the piece before has ended. */
  say(piece: string): void {
    if (piece === '') return;
    const margin = `${' '.repeat(MEANING_AT - 2)}${this.#paint('dim', '│')} `;
    const lines = piece.split('\n').map((line) => (line === '' ? '' : this.#paint('cyan', line)));
    this.#output.write((this.#isOpen ? '' : margin) + lines.join(`\n${margin}`));
    this.#isOpen = true;
  }

  /** A sentence across all columns. */
  prose(text: string, tone?: Tone): void {
    for (const line of wrap(text, this.#width)) this.#line(tone ? this.#paint(STYLES[tone], line) : line);
  }

  /** Ends an answer that may have come only in part. */
  endLine(): void {
    if (this.#isOpen) this.#output.write('\n');
    this.#isOpen = false;
  }

  #row(time: string, event: string, meaning: string): void {
    const [first = '', ...rest] = wrap(meaning, this.#width - MEANING_AT);
    this.#line(`${time}  ${event} ${first}`);
    for (const line of rest) this.#line(' '.repeat(MEANING_AT) + line);
  }

  #line(text: string): void {
    this.endLine();
    this.#output.write(`${text.trimEnd()}\n`);
  }

  #paint(style: Parameters<typeof styleText>[0], text: string): string {
    return styleText(style, text, { stream: this.#output });
  }

  get #width(): number {
    const columns = this.#output.columns || MAX_WIDTH; // some terminals say 0
    return Math.min(Math.max(columns, MIN_WIDTH), MAX_WIDTH);
  }
}

/** The text in lines of at most `width` letters, broken between words where there are any. */
function wrap(text: string, width: number): string[] {
  const lines = text.match(new RegExp(`(?!\\s).{1,${width}}(?=\\s|$)|\\S{1,${width}}`, 'g')) ?? [''];
  return lines.map((line) => line.trimEnd());
}
