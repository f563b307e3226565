import { globSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A code block of the documentation: it `runs`, it `throws`, or it is `type-only` and merely compiles. */
export interface Block {
  readonly page: string;
  /** Where the code begins on its page. */
  readonly line: number;
  readonly code: string;
  readonly kind: 'runs' | 'throws' | 'type-only';
  /** The module that the block has been written to. */
  readonly file: string;
}

export const root: string = fileURLToPath(new URL('../..', import.meta.url));
export const generated: string = join(root, 'test/.generated');

const kinds: Record<string, Block['kind']> = {
  ts: 'runs',
  'ts throws': 'throws',
  'ts type-only': 'type-only',
};
const scriptLanguages = /^(ts|js|typescript|javascript|tsx|jsx|mts|mjs)\b/;

/** Finds every block of the documentation and writes each as a module of its own. */
export function generateBlocks(): Block[] {
  const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...find('docs/**/*.md')];
  const blocks = [
    ...pages.flatMap((page) => blocksOf(page, read(page))),
    ...find('src/**/*.ts').flatMap((source) => blocksOf(source, commentsOf(source))),
  ];
  writeGenerated(blocks);
  return blocks;
}

function find(pattern: string): string[] {
  const found = globSync(pattern, { cwd: root }).sort();
  if (found.length === 0) throw new Error(`There is no ${pattern}`);
  return found;
}

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** The text of the doc comments of a source, on the lines where they stand; every other line is empty. */
function commentsOf(source: string): string {
  let inComment = false;
  const lines = read(source)
    .split('\n')
    .map((line) => {
      if (/^\s*\/\*\*/.test(line)) inComment = true;
      const text = inComment ? line.replace(/^\s*\/?\*+ ?/, '') : '';
      if (line.includes('*/')) inComment = false;
      return text;
    });
  for (const [index, line] of lines.entries()) {
    if (line.startsWith('@example') && !lines[index + 1]?.startsWith('```ts')) {
      throw new Error(`${source}:${index + 1}: no \`\`\`ts block follows this @example`);
    }
  }
  return lines.join('\n');
}

function blocksOf(page: string, text: string): Block[] {
  return [...text.matchAll(/^( *)```([^\n]+)\n([\s\S]*?)^ *```$/gm)].flatMap((match) => {
    const [, indent = '', info = '', code = ''] = match;
    if (!scriptLanguages.test(info)) return [];
    const line = text.slice(0, match.index).split('\n').length + 1;
    const kind = kinds[info.trim()];
    if (!kind)
      throw new Error(`${page}:${line}: write \`ts\`, \`ts throws\` or \`ts type-only\`, not \`${info}\``);
    const file = `${page.replace(/\W+/g, '-')}-${line}.ts`;
    return [{ page, line, kind, code: code.replaceAll(new RegExp(`^${indent}`, 'gm'), ''), file }];
  });
}

/** Rewrites only what has changed, lest a watching test run starts itself over and over. */
function writeGenerated(blocks: readonly Block[]): void {
  const files = new Map(blocks.map(({ file, code }) => [file, code]));
  const compilerOptions = { noUnusedLocals: false };
  files.set(
    'tsconfig.json',
    JSON.stringify({ extends: '../tsconfig.json', compilerOptions, files: [...files.keys()], include: [] }),
  );
  mkdirSync(generated, { recursive: true });
  for (const stale of readdirSync(generated).filter((name) => !files.has(name)))
    rmSync(join(generated, stale));
  for (const [name, content] of files) {
    const path = join(generated, name);
    if (!readdirSync(generated).includes(name) || readFileSync(path, 'utf8') !== content)
      writeFileSync(path, content);
  }
}
