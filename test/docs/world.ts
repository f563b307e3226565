import { createSimulator } from 'breakwater/testing';
import { vi } from 'vitest';

/** A key as the service issues them, and no key of anybody. */
const fakeKey = `sk-${'0123456789abcdef'.repeat(2)}`;

/**
 * The world in which documented code runs: no network, a key in the environment, and a silent console. The simulated
 * service stands behind every https address. Plain http is passed on, because an example may serve something on the
 * loopback interface.
 *
 * @returns A function that puts the real world back.
 */
export function installWorld(): () => void {
  const realFetch = globalThis.fetch;
  const { fetch: serviceFetch } = createSimulator();
  vi.stubEnv('DEEPSEEK_API_KEY', fakeKey);
  vi.stubGlobal('fetch', (input: string | URL | Request, init?: RequestInit) => {
    const url = input instanceof Request ? input.url : String(input);
    return url.startsWith('http://') ? realFetch(input, init) : serviceFetch(input, init);
  });
  for (const method of ['log', 'info', 'warn', 'error'] as const) vi.spyOn(console, method).mockReturnValue();
  return () => {
    vi.unstubAllEnvs();
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  };
}
