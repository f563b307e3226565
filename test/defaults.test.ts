import { basename } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { defaultsName, defaultsOf, interfaces, membersOf } from './docs/interfaces.ts';

const optionTypes = [...interfaces.values()].filter(
  ({ name, file, exported }) => exported && name.endsWith('Options') && file.startsWith('src/middleware/'),
);

it('there are options to check', () => {
  const files = optionTypes.map(({ file }) => basename(file));
  expect(files).toEqual(expect.arrayContaining(['retry.ts', 'circuit-breaker.ts', 'stream-timeout.ts']));
});

describe.each(optionTypes)('$name', ({ name, file, exported: _, ...type }) => {
  const members = membersOf({ name, file, exported: true, ...type });

  it.each(members)('describes $name', ({ text }) => {
    expect(text).not.toBe('');
  });

  it.each(members)('says whether $name is required or what its default is', ({ required, documented }) => {
    expect(documented === undefined).toBe(required);
  });

  it(`documents the defaults that ${defaultsName(name)} holds`, async () => {
    const defaults = await defaultsOf({ name, file });
    const values = members.map((member) => [member.name, literal(member.documented)] as const);
    const documented = Object.fromEntries(values.filter(([, value]) => value !== notLiteral));
    expect(documented).toStrictEqual({ ...defaults });
    expect(isDeeplyFrozen(defaults)).toBe(true);
  });
});

const notLiteral = Symbol('not a literal');

/** The value that a `@default` writes down; prose, such as "none" or "the clock of the runtime", is not a literal. */
function literal(text: string | undefined): unknown {
  if (text === undefined) return notLiteral;
  const source = ts.createSourceFile(
    'default.ts',
    `(${text.replaceAll('`', '')})`,
    ts.ScriptTarget.Latest,
    true,
  );
  const [statement, ...others] = source.statements;
  if (!statement || others.length > 0 || !ts.isExpressionStatement(statement)) return notLiteral;
  return evaluate(statement.expression);
}

function evaluate(node: ts.Expression): unknown {
  if (ts.isParenthesizedExpression(node)) return evaluate(node.expression);
  if (ts.isNumericLiteral(node)) return Number(node.text);
  if (ts.isStringLiteral(node)) return node.text;
  if (node.kind === ts.SyntaxKind.TrueKeyword) return true;
  if (node.kind === ts.SyntaxKind.FalseKeyword) return false;
  if (ts.isIdentifier(node) && node.text === 'Infinity') return Number.POSITIVE_INFINITY;
  if (ts.isArrayLiteralExpression(node)) return node.elements.map(evaluate);
  return notLiteral;
}

function isDeeplyFrozen(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return Object.isFrozen(value) && Object.values(value).every(isDeeplyFrozen);
}
