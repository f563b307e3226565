/**
 * The entry points of the package, once: the name in `dist` and the source it is built from.
 * The build, the test aliases and the sizes read this list; package.json and jsr.json are tested against it.
 *
 * @type {Record<string, string>}
 */
export const entries = {
  index: 'src/index.ts',
  'auth-check': 'src/middleware/auth-check.ts',
  'payload-schema': 'src/middleware/payload-schema.ts',
  retry: 'src/middleware/retry.ts',
  'circuit-breaker': 'src/middleware/circuit-breaker.ts',
  'stream-timeout': 'src/middleware/stream-timeout.ts',
  observe: 'src/middleware/observe.ts',
  fallback: 'src/middleware/fallback.ts',
  deepseek: 'src/deepseek/index.ts',
  testing: 'src/testing/index.ts',
};

/** The specifier under which a user imports an entry: `index` is `breakwater`, `retry` is `breakwater/retry`. */
export function specifier(/** @type {string} */ name) {
  return name === 'index' ? 'breakwater' : `breakwater/${name}`;
}
