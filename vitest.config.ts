import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { entries, specifier } from './scripts/entries.mjs';

// Tests and documented code import the package by name and run on the sources.
const alias = Object.entries(entries).map(([name, source]) => ({
  find: new RegExp(`^${specifier(name)}$`),
  replacement: fileURLToPath(new URL(source, import.meta.url)),
}));

export default defineConfig({
  resolve: { alias },
  test: {
    name: 'node',
    include: ['test/**/*.test.ts'],
    exclude: ['test/bench/**', 'test/.generated/**'],
    pool: 'forks',
    execArgv: ['--expose-gc'],
    sequence: { shuffle: true },
    reporters: ['default', './test/totals-reporter.ts'],
    typecheck: {
      enabled: true,
      include: ['test/types/**/*.test-d.ts'],
      ignoreSourceErrors: true, // `npm run types` reports them
      tsconfig: 'test/tsconfig.json',
    },
  },
});
