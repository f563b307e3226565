import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { classify, deepseek } from 'breakwater/deepseek';
import { createFakeClock, createScriptedFetch } from 'breakwater/testing';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { root } from './docs/blocks.ts';
import { defaultsOf, interfaces, membersOf, parseSource } from './docs/interfaces.ts';

/** A table of a page; a cell is its text without backticks. */
interface Table {
  readonly page: string;
  /** What the first column is called: the type whose options it lists, or "event". */
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const tables = globSync('docs/*.md', { cwd: root }).sort().flatMap(tablesOf);
const optionTables = tables.filter(({ title }) => interfaces.has(title));
const eventTables = tables.filter(({ title }) => title === 'event');
const events = eventTypes();

describe('the pages of the middlewares', () => {
  const files = globSync('src/middleware/*.ts', { cwd: root }).sort();

  it.each(files)('has the template for %s', (file) => {
    const page = file.replace('src/middleware/', 'docs/').replace('.ts', '.md');
    const titles = [...readFileSync(join(root, page), 'utf8').matchAll(/^## (.*)/gm)].map(
      ([, title]) => title,
    );
    const template = ['What it is for', 'Usage', 'What the caller sees', 'Defaults', 'Events'];
    expect(titles.slice(0, 5)).toEqual(template);
    expect(titles.slice(5)).toEqual(['Precedence', 'Anti-patterns']);
  });

  it('lists the options of every middleware', () => {
    const optionTypes = [...interfaces.values()].filter(
      ({ file, exported, name }) => exported && name.endsWith('Options') && files.includes(file),
    );
    expect(optionTables.map(({ title }) => title)).toEqual(
      expect.arrayContaining(optionTypes.map(({ name }) => name)),
    );
  });
});

describe.each(optionTables)('$title in $page', ({ title, rows }) => {
  const type = interfaces.get(title)!;
  const members = new Map(membersOf(type).map((member) => [member.name, member]));

  it('names every option, and no other', () => {
    expect(rows.map(([name]) => name).sort()).toEqual([...members.keys()].sort());
  });

  it.each(rows)('tells what %s is by default: %s', async (name = '', cell = '') => {
    const defaults = new Map(Object.entries((await defaultsOf(type)) ?? {}));
    if (members.get(name)?.required) expect(cell).toBe('required');
    else if (defaults.has(name)) expect(meaningOf(cell)).toBe(defaults.get(name));
    else expect(meaningOf(cell)).toEqual(expect.not.stringMatching(/^['\d]|^required$/));
  });
});

describe.each(eventTables)('the events in $page', ({ rows, columns }) => {
  it('has the columns of its kind', () => {
    expect(columns).toEqual(['event', 'holds', 'when']);
  });

  it.each(rows)('describes %s as it is', (name = '', holds = '') => {
    const fields = events.get(name);
    expect(fields).toBeDefined();
    expect(holds === 'nothing' ? [] : holds.split(', ')).toEqual(fields);
  });
});

it('has a page for every event', () => {
  const described = new Set(eventTables.flatMap(({ rows }) => rows.map(([name]) => name)));
  expect([...described].sort()).toEqual([...events.keys()].sort());
});

describe('README.md', () => {
  const [{ rows } = { rows: [] }] = tablesOf('README.md').filter(({ title }) => title === 'middleware');

  it('is read in one go', () => {
    expect(readFileSync(join(root, 'README.md'), 'utf8').split('\n').length).toBeLessThanOrEqual(300);
  });

  it('names every middleware, and the sizes that `npm run size` allows', { timeout: 30_000 }, () => {
    const { stdout } = spawnSync(process.execPath, ['scripts/size.mjs'], { cwd: root, encoding: 'utf8' });
    const limits = new Map(
      [...stdout.matchAll(/^(\w.*?) {2,}\d+ +\d+ +\d+ +(\d+)/gm)].map(([, title, limit]) => [title, limit]),
    );
    const said = rows.map(([name = '', , size = '']) => [name, `${parseFloat(size) * 1000}`]);
    const files = globSync('src/middleware/*.ts', { cwd: root }).map((file) => basename(file, '.ts'));
    const allowed = files.map((file) => [`[${camelCase(file)}](docs/${file}.md)`, limits.get(file)]);
    expect(said.slice(0, -1).sort()).toEqual(allowed.sort());
    expect(said.at(-1)).toEqual(['compose and the first five', limits.get('compose + five')]);
  });
});

describe('links', () => {
  const pages = [
    'README.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    ...globSync('docs/*.md', { cwd: root }).sort(),
  ];

  it.each(pages)('lead somewhere from %s', (page) => {
    const text = readFileSync(join(root, page), 'utf8');
    const targets = [...text.matchAll(/\]\(([^):]*)\)/g)].map(([, target = '']) => target);
    const dead = targets.filter((target) => !isThere(join(dirname(page), target)));
    expect(dead).toEqual([]);
  });

  function isThere(target: string): boolean {
    const [file = '', anchor] = target.split('#');
    if (!existsSync(join(root, file))) return false;
    const titles = [...readFileSync(join(root, file), 'utf8').matchAll(/^#+ (.*)$/gm)].map(
      ([, title = '']) => title,
    );
    return anchor === undefined || titles.some((title) => anchorOf(title) === anchor);
  }

  function anchorOf(title: string): string {
    return title
      .toLowerCase()
      .replaceAll(/[^\w -]/g, '')
      .replaceAll(' ', '-');
  }
});

describe('the statuses in docs/deepseek.md', () => {
  const { rows } = find('status');

  it.each(rows)('classifies %s as %s, with %s retries', async (statuses = '', verdict = '', retries = '') => {
    for (const status of statuses.split(', ').map(Number)) {
      expect(classify(status)).toBe(verdict);
      const clock = createFakeClock();
      const service = createScriptedFetch().always(status);
      const chain = deepseek({ apiKey: 'sk-simulated', clock, circuitBreaker: false })(service);
      const response = await clock.runUntil(chain('https://api.deepseek.com/models'));
      expect(response.status).toBe(status);
      expect(service.calls.length - 1).toBe(Number(retries));
    }
  });
});

describe('the clocks in docs/deepseek.md', () => {
  const { rows } = find('mode');
  const requests: Record<string, object> = {
    'not thinking': { thinking: { type: 'disabled' } },
    'not thinking, streamed': { thinking: { type: 'disabled' }, stream: true },
    thinking: {},
    'thinking, streamed': { stream: true },
    'thinking at effort max': { reasoning_effort: 'max' },
    'thinking at effort max, streamed': { reasoning_effort: 'max', stream: true },
  };

  it.each(rows)('bounds %s by %s ms, %s ms and %s ms', async (mode = '', headers, firstToken, idle) => {
    const silent = () => new ReadableStream<Uint8Array>();
    const first = mode.endsWith('streamed') ? 'data: {"choices":[{"delta":{"content":"po"}}]}\n\n' : '{';
    const begun = () =>
      new ReadableStream({ start: (sink) => sink.enqueue(new TextEncoder().encode(first)) });
    expect(await limitOf('hang')).toBe(meaningOf(headers));
    expect(await limitOf({ body: silent() })).toBe(meaningOf(firstToken));
    expect(await limitOf({ body: begun() })).toBe(meaningOf(idle));

    async function limitOf(reply: Parameters<typeof createScriptedFetch>[0]): Promise<unknown> {
      const clock = createFakeClock();
      const chain = deepseek({ apiKey: 'sk-simulated', clock, retry: false })(createScriptedFetch(reply!));
      const messages = [{ role: 'user', content: 'ping' }];
      const body = JSON.stringify({ model: 'deepseek-v4-flash', messages, ...requests[mode] });
      const url = 'https://api.deepseek.com/chat/completions';
      const answer = chain(url, { method: 'POST', body }).then((response) => response.text());
      return clock.runUntil(answer).catch(({ limitMs }: { limitMs: number }) => limitMs);
    }
  });

  it('has a row for every mode', () => {
    expect(rows.map(([mode]) => mode)).toEqual(Object.keys(requests));
  });
});

function find(title: string): Table {
  const [table, ...others] = tables.filter((each) => each.title === title);
  if (!table || others.length > 0) throw new Error(`There must be one table of "${title}" in the docs`);
  return table;
}

function tablesOf(page: string): Table[] {
  const text = readFileSync(join(root, page), 'utf8');
  return [...text.matchAll(/(?:^\|.*\n)+/gm)].map(([table]) => {
    const [columns = [], , ...rows] = table.trim().split('\n').map(cellsOf);
    return { page, title: columns[0] ?? '', columns, rows };
  });
}

function cellsOf(line: string): string[] {
  return line
    .slice(1, -1)
    .replaceAll('`', '')
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());
}

function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** The value that a cell stands for, where it is a number or a text in quotes; else the cell. */
function meaningOf(cell = ''): unknown {
  const [quoted] = /^'[^']*'/.exec(cell) ?? [];
  if (quoted) return quoted.slice(1, -1);
  return /^[\d,.]+$/.test(cell) ? Number(cell.replaceAll(',', '')) : cell;
}

/** The fields of every event beside its type, in their order. */
function eventTypes(): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const statement of parseSource('src/core/events.ts').statements) {
    if (!ts.isTypeAliasDeclaration(statement) || statement.name.text !== 'ChainEvent') continue;
    if (!ts.isUnionTypeNode(statement.type)) continue;
    for (const member of statement.type.types) {
      if (!ts.isTypeLiteralNode(member)) continue;
      const [type, ...fields] = member.members.filter(ts.isPropertySignature);
      const name = type?.type?.getText().slice(1, -1) ?? '';
      found.set(
        name,
        fields.map((field) => field.name.getText()),
      );
    }
  }
  return found;
}
