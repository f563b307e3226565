/** @module The same chain against the real service, once: whoever wonders what is wrong asks this first. */

import { isBreakwaterError } from 'breakwater';
import { ConnectionError, DEEPSEEK_BASE_URL } from 'breakwater/deepseek';
import { connect, NotAsTold, PING } from './stage.ts';
import type { Timeline } from './timeline.ts';

export interface LiveOptions {
  readonly apiKey: string;
  /**
   * Where the service is.
   * @default the service's own address
   */
  readonly baseURL?: string | undefined;
  readonly signal: AbortSignal;
}

/**
 * Makes the smallest call there is, shows status and message, and says whether it was answered.
 *
 * @throws {NotAsTold} When the service cannot be reached.
 */
export async function runLive(timeline: Timeline, options: LiveOptions): Promise<boolean> {
  const { apiKey, baseURL = DEEPSEEK_BASE_URL, signal } = options;
  let status: number | undefined;
  const ai = connect(
    { timeline, url: baseURL },
    {
      apiKey,
      retry: { maxRetries: 2 },
      onEvent: (event) => {
        if (event.type === 'call.settled') status = event.status;
      },
    },
  );
  timeline.title('The real service, one smoke call');
  try {
    const { content } = await ai.chat(PING, { signal });
    timeline.detail('status', `${status}`);
    timeline.detail('message', content);
    return true;
  } catch (error) {
    if (error instanceof ConnectionError) throw new NotAsTold(`${error.message}; is there a network?`);
    if (!isBreakwaterError(error)) throw error;
    if (status !== undefined) timeline.detail('status', `${status}`);
    timeline.detail('message', error.message);
    return false;
  }
}
