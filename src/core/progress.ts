/**
 * @module What in the bytes of an answer is progress, and whether its end is one. A connection that lives is no answer that comes:
 * a queued call sends comments and blank lines for minutes, and a stream that is cut ends as cleanly as one that is finished.
 */

import type { StreamBrokenError } from './errors.ts';

/** What a detector can find wrong with an answer. */
export type StreamFault = Exclude<StreamBrokenError['code'], 'STREAM_RESET'>;

/** Watches one answer go by. The guard asks after every chunk, so whatever is learned is a field. */
export interface ProgressDetector {
  /** Whether the caller may have the answer now: what comes before can still be thrown away unseen. Never goes back to false. */
  readonly isCommitted: boolean;
  /** Whether the answer says that it is over, although the body goes on. */
  readonly isDone: boolean;
  /** What the answer says that went wrong with it. */
  readonly fault: StreamFault | undefined;
  /** Signs of life so far that were no progress. */
  readonly keepAlives: number;
  /** Why the answer says that it ended. */
  readonly finishReason?: string | undefined;
  /** Whether some of the answer has come, although the caller may not have it yet: from then on it is `idleMs` that counts. */
  readonly hasContent?: boolean | undefined;
  /** Looks at the next bytes, which may end anywhere, and says whether they were progress. The bytes must not be kept: their buffer goes on to the caller. */
  push(chunk: Uint8Array): boolean;
  /** Judges a body that has ended, or said that it is over; undefined when nothing is wrong. */
  end(): StreamFault | undefined;
  /** The answer is larger than may be held, so it is handed over unjudged. */
  release?(): void;
}

/** Finds out what can be known of any answer: of an event stream whether it has events, and of a chat completion in one whether it is finished; of other bodies whether they are more than blanks. */
export function detectProgress({ headers }: Response): ProgressDetector {
  return isEventStream(headers) ? new EventStreamDetector() : new BodyDetector();
}

export function isEventStream(headers: Headers): boolean {
  return /^text\/event-stream/i.test(headers.get('content-type') ?? '');
}

/** Any body that is no event stream. Whether it is whole, only its reader can say. */
export class BodyDetector implements ProgressDetector {
  isCommitted = false;
  readonly isDone: boolean = false;
  fault: StreamFault | undefined;
  keepAlives = 0;
  protected isBegun = false;

  push(chunk: Uint8Array): boolean {
    const isProgress = this.look(chunk);
    if (isProgress) this.isCommitted = true;
    return isProgress;
  }

  /** Whether a chunk holds more than blanks. Blank lines are signs of life only before an answer: within one they are its layout. */
  protected look(chunk: Uint8Array): boolean {
    const inkAt = chunk.findIndex(isInk);
    const blanks = this.isBegun ? 0 : inkAt < 0 ? chunk.length : inkAt;
    for (let at = 0; at < blanks; at++) if (chunk[at] === 0x0a) this.keepAlives++;
    if (inkAt >= 0) this.isBegun = true;
    return inkAt >= 0;
  }

  end(): StreamFault | undefined {
    return undefined;
  }
}

/** Whether a byte is more than white space. */
function isInk(byte: number): boolean {
  return byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09;
}

/** The largest event that is put together, in characters. */
const MAX_EVENT_LENGTH = 8 * 1024 * 1024;
const CHAT_FINISH = /"finish_reason":\s*"(\w+)"/;
const STREAMING = { stream: true };

/** An event stream, whose lines may be cut anywhere: within a comment, a character or a CR LF. */
export class EventStreamDetector implements ProgressDetector {
  isCommitted = false;
  isDone = false;
  fault: StreamFault | undefined;
  keepAlives = 0;
  finishReason: string | undefined;
  #isChat = false;
  readonly #decoder: TextDecoder = new TextDecoder();
  /** The unfinished line, whether it bears data, and the data of the unfinished event. */
  #line = '';
  #isData: boolean | undefined;
  #data: string | undefined;
  /** How the pieces of this answer end, and how many more may be looked at to find out. */
  #tail: Uint8Array | undefined;
  #lessons = 8;
  /** A line ended with a CR at the end of a chunk: an LF at the beginning of the next belongs to it. */
  #endedWithCr = false;

  push(chunk: Uint8Array): boolean {
    const isFresh = this.#line === '' && this.#data === undefined && !this.#endedWithCr;
    if (this.isCommitted && isFresh && this.#tail && isOneEvent(chunk, this.#tail)) return true;
    const text = this.#decoder.decode(chunk, STREAMING);
    if (isFresh && this.#lessons > 0) this.#learn(chunk, text);
    return this.#scan(text);
  }

  /** Each service ends the pieces of an unfinished chat completion in one way of its own. */
  #learn(chunk: Uint8Array, text: string): void {
    this.#lessons--;
    const [tail] = UNFINISHED.exec(text) ?? [];
    if (!tail) return;
    this.#isChat = true;
    this.#tail = chunk.slice(-tail.length);
  }

  end(): StreamFault | undefined {
    // The last line breaks are often forgotten.
    if (this.#data === '[DONE]' || /^data: ?\[DONE\]$/.test(this.#line)) this.isDone = true;
    if (this.isDone || this.finishReason !== undefined || (this.isCommitted && !this.#isChat))
      return this.isCommitted ? undefined : 'STREAM_EMPTY';
    return this.isCommitted || this.isBegun ? 'STREAM_TRUNCATED' : 'STREAM_EMPTY';
  }

  /** Whether an event has begun and not ended. */
  protected get isBegun(): boolean {
    return this.#data !== undefined || this.#isData === true;
  }

  /** Takes one event. A `[DONE]` alone is no answer. */
  protected onEvent(data: string): void {
    if (data === '[DONE]') this.isDone = true;
    else if (/^\s*\{\s*"error":\s*[{"]/.test(data) && !data.includes('"choices"'))
      this.fault = 'STREAM_FAILED';
    else {
      this.isCommitted = true;
      this.#isChat ||= data.includes('"choices"');
      if (this.#isChat) this.finishReason = CHAT_FINISH.exec(data)?.[1] ?? this.finishReason;
    }
  }

  #scan(text: string): boolean {
    let isProgress = false;
    let at = this.#endedWithCr && text.startsWith('\n') ? 1 : 0;
    if (text !== '') this.#endedWithCr = text.endsWith('\r');
    const hasCr = text.includes('\r');
    let end = lineEnd(text, at, hasCr);
    for (; end >= 0 && !this.isDone && !this.fault; end = lineEnd(text, at, hasCr)) {
      if (this.#endLine(this.#line + text.slice(at, end))) isProgress = true;
      at = end + (text.startsWith('\r\n', end) ? 2 : 1);
    }
    return this.#carry(text.slice(at)) || isProgress;
  }

  /** Keeps the beginning of a line. Bytes of an event that is not whole yet are progress too, or a slow large one would be taken for silence. */
  #carry(rest: string): boolean {
    this.#line += rest;
    // Looked at once: a growing text is only cheap as long as nobody looks into it.
    if (this.#line.length > 4) this.#isData ??= this.#line.startsWith('data:');
    if (this.#line.length + (this.#data?.length ?? 0) > MAX_EVENT_LENGTH) this.fault ??= 'STREAM_OVERFLOW';
    return rest !== '' && this.#isData === true;
  }

  #endLine(line: string): boolean {
    this.#line = '';
    this.#isData = undefined;
    if (line === '') return this.#endEvent();
    if (line.startsWith(':')) this.keepAlives++;
    if (!/^data(:|$)/.test(line)) return false;
    const value = line.slice(line[5] === ' ' ? 6 : 5);
    this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`;
    return value !== '';
  }

  #endEvent(): boolean {
    const data = this.#data;
    this.#data = undefined;
    if (!data) return false;
    this.onEvent(data);
    return true;
  }
}

function lineEnd(text: string, from: number, hasCr: boolean): number {
  const lf = text.indexOf('\n', from);
  const cr = hasCr ? text.indexOf('\r', from) : -1;
  return cr < 0 || (lf >= 0 && lf < cr) ? lf : cr;
}

/** The end of an event that holds a piece of an unfinished chat completion; in ASCII, so that its letters are its bytes. */
const UNFINISHED = /"finish_reason": ?null[ -~]*\n\n$/;

/** Whether a chunk is exactly one event that ends like the one that was learned from: nearly all do, and to see that much is all that they need. */
function isOneEvent(chunk: Uint8Array, tail: Uint8Array): boolean {
  const tailAt = chunk.length - tail.length;
  if (tailAt < 0) return false;
  for (let at = tail.length - 1; at >= 0; at--) if (chunk[tailAt + at] !== tail[at]) return false;
  return chunk[0] === 0x64 && chunk[4] === 0x3a && chunk.indexOf(0x0a) === chunk.length - 2; // d, :, and no other line
}
