/** Who reads the stream: each subject takes a fetch that answers with it, and says how many events it saw. */
import { createDeepSeek as createAiSdk } from '@ai-sdk/deepseek';
import { streamText } from 'ai';
import { createParser } from 'eventsource-parser';
import ky from 'ky';
import OpenAI from 'openai';
import { createDeepSeek, deepseek } from '../../dist/deepseek.js';
import { streamTimeout } from '../../dist/index.js';

export const url = 'https://api.deepseek.com/chat/completions';
const apiKey = `sk-${'0123456789abcdef'.repeat(2)}`;
const model = 'deepseek-v4-flash';
const messages = [{ role: 'user', content: 'ping' }];
export const request = {
  method: 'POST',
  headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
  body: JSON.stringify({ model, messages, stream: true }),
};

/** The layers of the preset that do not touch the body are left out. */
const guardOnly = { authCheck: false, payloadSchema: false, retry: false, circuitBreaker: false };

/**
 * In the order in which they are measured: neighbours make about as much garbage.
 * @type {Record<string, (fetch: typeof globalThis.fetch) => () => Promise<number>>}
 */
export const subjects = {
  bare: (fetch) => () => read(fetch),
  'guard (streamTimeout)': (fetch) => {
    const guarded = streamTimeout()(fetch);
    return () => read(guarded);
  },
  'guard (DeepSeek preset)': (fetch) => {
    const guarded = deepseek(guardOnly)(fetch);
    return () => read(guarded);
  },
  'eventsource-parser': (fetch) => () => parse(fetch, () => {}),
  'eventsource-parser, JSON.parse': (fetch) => () =>
    parse(fetch, ({ data }) => {
      if (data !== '[DONE]') JSON.parse(data);
    }),
  'ky, onDownloadProgress': (fetch) => {
    const client = ky.create({ fetch, retry: 0, timeout: false, onDownloadProgress: () => {} });
    return () => read(client);
  },
  'guard and decoder (ai.stream)': (fetch) => {
    const ai = createDeepSeek({ apiKey, fetch });
    return () => count(ai.stream({ model, messages }));
  },
  'openai SDK': (fetch) => {
    const client = new OpenAI({ apiKey, baseURL: 'https://api.deepseek.com', fetch });
    return async () => count(await client.chat.completions.create({ model, messages, stream: true }));
  },
  'AI SDK, streamText': (fetch) => {
    const provider = createAiSdk({ apiKey, fetch });
    return () => count(streamText({ model: provider(model), messages }).textStream);
  },
};

async function read(fetch) {
  const { body } = await fetch(url, request);
  const reader = body.getReader();
  let chunks = 0;
  while (!(await reader.read()).done) chunks++;
  return chunks;
}

async function parse(fetch, onEvent) {
  const { body } = await fetch(url, request);
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let events = 0;
  const parser = createParser({
    onEvent(event) {
      events++;
      onEvent(event);
    },
  });
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return events;
    parser.feed(decoder.decode(value, { stream: true }));
  }
}

async function count(pieces) {
  let events = 0;
  for await (const _ of pieces) events++;
  return events;
}
