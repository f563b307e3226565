import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { root } from './blocks.ts';

/** An interface of the sources, as it is written. */
export interface Found {
  readonly name: string;
  readonly file: string;
  readonly exported: boolean;
  readonly extended: readonly string[];
  readonly members: readonly Member[];
}

export interface Member {
  readonly name: string;
  readonly required: boolean;
  readonly text: string;
  /** What stands behind `@default`. */
  readonly documented: string | undefined;
}

const sources = globSync('src/**/*.ts', { cwd: root }).sort();

/** Every interface of the sources, by its name. */
export const interfaces: ReadonlyMap<string, Found> = new Map(
  sources.flatMap(interfacesOf).map((found) => [found.name, found]),
);

/** The syntax tree of a file of the project. */
export function parseSource(file: string): ts.SourceFile {
  return ts.createSourceFile(file, readFileSync(join(root, file), 'utf8'), ts.ScriptTarget.Latest, true);
}

function interfacesOf(file: string): Found[] {
  return parseSource(file)
    .statements.filter(ts.isInterfaceDeclaration)
    .map((node) => ({
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
export function membersOf(type: Found): Member[] {
  const inherited = type.extended.flatMap((name) => {
    const base = interfaces.get(name);
    return base ? membersOf(base) : [];
  });
  return [...inherited, ...type.members];
}

/** The exported constant that holds the defaults of a type of options: `RETRY_DEFAULTS` for `RetryOptions`. */
export function defaultsName(name: string): string {
  const words = name.replace(/Options$/, '').replace(/(?<=[a-z])(?=[A-Z])/g, '_');
  return `${words.toUpperCase()}_DEFAULTS`;
}

/** The defaults that the module of a type of options exports; none where it exports no such constant. */
export async function defaultsOf({ name, file }: Pick<Found, 'name' | 'file'>): Promise<object | undefined> {
  const module: Record<string, unknown> = await import(/* @vite-ignore */ join(root, file));
  return module[defaultsName(name)] as object | undefined;
}
