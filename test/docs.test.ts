import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { generateBlocks, generated, root } from './docs/blocks.ts';
import { installWorld } from './docs/world.ts';

const blocks = generateBlocks();
const pages = Map.groupBy(blocks, (block) => block.page);
let restoreWorld: () => void;

beforeEach(() => {
  restoreWorld = installWorld();
});

afterEach(() => restoreWorld());

it('README.md has code that runs', () => {
  expect(pages.has('README.md')).toBe(true);
});

it('every documented block compiles', () => {
  const compiler = join(root, 'node_modules/typescript7/bin/tsc');
  const { stdout, status } = spawnSync(process.execPath, [compiler, '-p', generated], { encoding: 'utf8' });
  expect(stdout).toBe('');
  expect(status).toBe(0);
});

for (const [page, blocksOfPage] of pages) {
  describe(page, { shuffle: false }, () => {
    for (const { line, kind, file } of blocksOfPage.filter((block) => block.kind !== 'type-only')) {
      it(`${page}:${line} ${kind}`, async () => {
        const running = import(/* @vite-ignore */ join(generated, file));
        if (kind === 'throws') await expect(running).rejects.toBeDefined();
        else await running;
      });
    }
  });
}
