import type { Simulator } from 'breakwater/testing';

export const base = 'https://api.deepseek.com';
export const key = `Bearer sk-${'0123456789abcdef'.repeat(2)}`;

export function user(content: string): object[] {
  return [{ role: 'user', content }];
}

export const ping = { model: 'deepseek-v4-flash', messages: user('ping') };

/** Posts a chat completion with a good key, unless `init` says otherwise. */
export function ask(
  { fetch }: Pick<Simulator, 'fetch'>,
  payload: unknown,
  init: RequestInit = {},
): Promise<Response> {
  const headers = { authorization: key, 'content-type': 'application/json' };
  return fetch(`${base}/chat/completions`, {
    method: 'POST',
    headers,
    body: JSON.stringify(payload) ?? null,
    ...init,
  });
}

interface Chunk {
  readonly id: string;
  readonly usage?: object;
  readonly choices: readonly {
    readonly delta: { readonly content?: string | null; readonly reasoning_content?: string | null };
    readonly finish_reason: string | null;
  }[];
}

/** The chunks of a stream that has been read to its end. */
export function chunksOf(text: string): Chunk[] {
  return text
    .split('\n\n')
    .filter((event) => event.startsWith('data: {'))
    .map((event) => JSON.parse(event.slice('data: '.length)) as Chunk);
}
