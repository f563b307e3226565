import { defineConfig } from 'vitest/config';
import base from './vitest.config.ts';

// For `npm run mutation`: the tests of the core alone, and in threads, which take no `--expose-gc`.
export default defineConfig({
  ...base,
  test: { ...base.test, include: ['test/core/**/*.test.ts'], execArgv: [], typecheck: { enabled: false } },
});
