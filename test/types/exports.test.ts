import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, it } from 'vitest';

const entry = fileURLToPath(new URL('../../src/index.ts', import.meta.url));
const here = new URL('.', import.meta.url);

/** The names that a user can import, types included. */
function exportsOf(file: string): string[] {
  const program = ts.createProgram([file], { noLib: true, types: [], allowImportingTsExtensions: true });
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(file);
  const module = source && checker.getSymbolAtLocation(source);
  return module ? checker.getExportsOfModule(module).map(({ name }) => name) : [];
}

const exported = exportsOf(entry);
const tests = readdirSync(here)
  .filter((name) => name.endsWith('.test-d.ts'))
  .map((name) => readFileSync(new URL(name, here), 'utf8').replace(/^import [^;]+;$/gm, ''))
  .join('\n');

it('there are exports to test', () => {
  expect(exported).toEqual(expect.arrayContaining(['compose', 'retry', 'Middleware', 'RetryOptions']));
});

it.each(exported)('%s has a type test', (name) => {
  expect(tests).toMatch(new RegExp(`\\b${name}\\b`));
});
