/** @module The pieces of a streamed answer, whatever the chunks that they come in. */

import { createParser, type EventSourceParser } from 'eventsource-parser';
import type { Clock } from '../core/clock.ts';
import type { ChunkDecoder } from './chunk-decoder.ts';
import { readText } from './read-text.ts';
import type { ChatChunk } from './types.ts';

/** What still follows the last event is read, so that the connection can be used again, but not for long. */
const REST_LIMITS = { maxBytes: 64 * 1024, maxMs: 250 };
/** Up to three bytes in UTF-8 for what has the length 1 in a string. */
const MAX_BYTES_PER_UNIT = 3;
const FIELD = 'data: ';
const DONE = '[DONE]';
const LF = 0x0a;
/** The parser takes the mark at the very beginning away; elsewhere it is a letter. */
const KEEP_MARK = { ignoreBOM: true };
const STREAMING = { stream: true };

/** Reads the events of one body. */
export class EventReader {
  receivedBytes = 0;
  keepAlives = 0;
  readonly #body: ReadableStream<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #pieces: ChunkDecoder;
  readonly #maxEventBytes: number;
  readonly #parser: EventSourceParser;
  readonly #decoder: TextDecoder = new TextDecoder('utf-8', KEEP_MARK);
  /** Has the beginning of a letter that was cut; the other decoder never does, and is twice as fast for that. */
  readonly #cutDecoder: TextDecoder = new TextDecoder('utf-8', KEEP_MARK);
  #isCut = false;
  /** Whether what came so far ends with an event, and not within one. */
  #isBetween = false;
  /** What has arrived: events as text, or pieces where a look was enough. */
  #arrived: (string | ChatChunk)[] = [];
  #next = 0;
  #overflow = false;
  #hasEvents = false;
  #isDone = false;

  constructor(body: ReadableStream<Uint8Array>, maxEventBytes: number, pieces: ChunkDecoder) {
    this.#body = body;
    this.#reader = body.getReader();
    this.#maxEventBytes = maxEventBytes;
    this.#pieces = pieces;
    this.#parser = createParser({
      onEvent: ({ data }) => this.#add(data),
      onComment: () => {
        this.keepAlives++;
      },
      onError: ({ type }) => {
        if (type === 'max-buffer-size-exceeded') this.#overflow = true;
      },
      // In letters, and with the name of the field. What has more bytes than letters is measured when it is whole.
      maxBufferSize: maxEventBytes + FIELD.length,
    });
  }

  /** Whether the stream has said that it is over. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** Whether an event has begun at all; known when the stream is at its end. */
  get hasEvents(): boolean {
    return this.#hasEvents;
  }

  /** Whether an event was too large. Those before it can still be taken. */
  get isOverfull(): boolean {
    return this.#overflow && this.#next >= this.#arrived.length;
  }

  /** The next piece that has arrived, or what is wrong with it; undefined when there is none yet, or no more. */
  take(): ReturnType<ChunkDecoder['read']> | undefined {
    if (this.#isDone || this.#next >= this.#arrived.length) return undefined;
    const event = this.#arrived[this.#next++];
    if (typeof event !== 'string') return event;
    if (event !== DONE) return this.#pieces.read(event);
    this.#isDone = true;
    return undefined;
  }

  /** Reads on, when all that had arrived is taken. What comes must be given to `accept`. */
  read(): Promise<ReadableStreamReadResult<Uint8Array>> {
    return this.#reader.read();
  }

  /** Takes in what was read, and says whether there can be more. */
  accept({ done, value }: ReadableStreamReadResult<Uint8Array>): boolean {
    this.#arrived.length = 0;
    this.#next = 0;
    if (done) {
      this.#feed('\n\n'); // a last `[DONE]` without its line break is one; any other event is cut
      this.#isDone ||= this.#arrived[0] === DONE;
      this.#arrived.length = 0;
    } else if (value.byteLength > 0) {
      this.receivedBytes += value.byteLength;
      const at = this.#isBetween ? this.#peek(value) : 0;
      if (at < value.length) this.#decode(at === 0 ? value : value.subarray(at));
    }
    return !done;
  }

  /** Ends the stream, wherever it is. */
  cancel(): void {
    this.#isDone = true;
    this.#reader.cancel().catch(() => {});
  }

  /** Reads what little may follow the end. */
  finish(clock: Clock, signal: AbortSignal | undefined): void {
    this.#reader.releaseLock();
    void readText(this.#body, REST_LIMITS, clock, signal);
  }

  /** Takes the events for which a look is enough, and says where the others begin. */
  #peek(bytes: Uint8Array): number {
    let from = 0;
    for (;;) {
      const piece = this.#pieces.peek(bytes, from);
      if (!piece || this.#pieces.end - from > this.#maxEventBytes) return from;
      this.#arrived.push(piece);
      from = this.#pieces.end;
    }
  }

  #decode(bytes: Uint8Array): void {
    const last = bytes.length - 1;
    const isInCut = this.#isCut;
    this.#isCut = (bytes[last] ?? 0) > 0x7f;
    this.#isBetween = bytes[last] === LF && bytes[last - 1] === LF;
    const isWhole = !isInCut && !this.#isCut;
    this.#feed(isWhole ? this.#decoder.decode(bytes) : this.#cutDecoder.decode(bytes, STREAMING));
  }

  #feed(text: string): void {
    if (!this.#overflow) this.#parser.feed(text);
  }

  #add(data: string): void {
    this.#hasEvents = true;
    if (this.#overflow) return;
    const { length } = data;
    const max = this.#maxEventBytes;
    if (length * MAX_BYTES_PER_UNIT > max && (length > max || new TextEncoder().encode(data).length > max))
      this.#overflow = true;
    else this.#arrived.push(data);
  }
}
