import { defineConfig } from 'tsup';
import { entries } from './scripts/entries.mjs';

export default defineConfig({
  entry: entries,
  format: 'esm',
  target: 'es2022',
  platform: 'neutral',
  splitting: true,
  sourcemap: true,
  dts: true,
  clean: true,
});
