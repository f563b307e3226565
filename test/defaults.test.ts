import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = globSync('src/**/*.ts', { cwd: root }).sort();
const interfaces = new Map(sources.flatMap(interfacesOf).map((found) => [found.name, found]));
const optionTypes = [...interfaces.values()].filter(
  ({ name, file, exported }) => exported && name.endsWith('Options') && file.startsWith('src/middleware/'),
);

interface Found {
  readonly name: string;
  readonly file: string;
  readonly exported: boolean;
  readonly extended: readonly string[];
  readonly members: readonly Member[];
}

interface Member {
  readonly name: string;
  readonly required: boolean;
  readonly text: string;
  /** What stands behind `@default`. */
  readonly documented: string | undefined;
}

it('there are options to check', () => {
  const files = optionTypes.map(({ file }) => basename(file));
  expect(files).toEqual(expect.arrayContaining(['retry.ts', 'circuit-breaker.ts', 'stream-timeout.ts']));
});

describe.each(optionTypes)('$name', ({ name, file, exported: _, ...type }) => {
  const members = membersOf({ name, file, exported: true, ...type });
  const constant = `${name
    .replace(/Options$/, '')
    .replace(/(?<=[a-z])(?=[A-Z])/g, '_')
    .toUpperCase()}_DEFAULTS`;

  it.each(members)('describes $name', ({ text }) => {
    expect(text).not.toBe('');
  });

  it.each(members)('says whether $name is required or what its default is', ({ required, documented }) => {
    expect(documented === undefined).toBe(required);
  });

  it(`documents the defaults that ${constant} holds`, async () => {
    const module: Record<string, unknown> = await import(/* @vite-ignore */ join(root, file));
    const values = members.map((member) => [member.name, literal(member.documented)] as const);
    const documented = Object.fromEntries(values.filter(([, value]) => value !== notLiteral));
    expect(documented).toStrictEqual({ ...(module[constant] ?? {}) });
    expect(isDeeplyFrozen(module[constant])).toBe(true);
  });
});

function interfacesOf(file: string): Found[] {
  const source = ts.createSourceFile(
    file,
    readFileSync(join(root, file), 'utf8'),
    ts.ScriptTarget.Latest,
    true,
  );
  return source.statements.filter(ts.isInterfaceDeclaration).map((node) => ({
    name: node.name.text,
    file,
    exported: node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) ?? false,
    extended:
      node.heritageClauses?.flatMap(({ types }) => types.map((type) => type.expression.getText())) ?? [],
    members: node.members.map(memberOf),
  }));
}

function memberOf(node: ts.TypeElement): Member {
  const comments = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc);
  const tag = ts.getJSDocTags(node).find(({ tagName }) => tagName.text === 'default');
  return {
    name: node.name?.getText() ?? node.getText(),
    required: node.questionToken === undefined,
    text: comments.map(({ comment }) => ts.getTextOfJSDocComment(comment) ?? '').join(''),
    documented: tag && (ts.getTextOfJSDocComment(tag.comment) ?? ''),
  };
}

/** The members of an interface and of those that it extends, where they are ours. */
function membersOf(type: Found): Member[] {
  const inherited = type.extended.flatMap((name) => {
    const base = interfaces.get(name);
    return base ? membersOf(base) : [];
  });
  return [...inherited, ...type.members];
}

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
