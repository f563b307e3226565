import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const globals = 'lint/style/noRestrictedGlobals';
const imports = 'lint/style/noRestrictedImports';
const cycles = 'lint/suspicious/noImportCycles';
const plugin = 'plugin';
const bans = new Set([globals, imports, cycles, plugin]);

/** A file, the code in it, and the rule that must refuse it; no rule where the code is legal. */
type Fixture = readonly [file: string, code: string, rule?: string];

const clockBans: Fixture[] = [
  ['core', 'Date.now()', plugin],
  ['core', 'Date?.now()', plugin],
  ['core', "Date['now']()", plugin],
  ['core', 'const { now } = Date', plugin],
  ['core', 'const time = Date', plugin],
  ['core', 'new Date()', plugin],
  ['core', 'Date()', plugin],
  ['core', 'Math.random()', plugin],
  ['core', 'const { min, random } = Math', plugin],
  ['core', 'globalThis.Date.now()', globals],
  ['core', 'const { setTimeout: later } = globalThis', globals],
  ['core', 'performance.now()', globals],
  ['core', 'setTimeout(() => {}, 1)', globals],
  ['core', 'const later: typeof setTimeout = start', globals],
  ['core', 'setInterval(() => {}, 1)', globals],
  ['core', 'setImmediate(() => {})', globals],
  ['core', 'clearTimeout(1)', globals],
  ['core', 'clearInterval(1)', globals],
  ['middleware', 'setTimeout(() => {}, 1)', globals],
  ['deepseek', 'Date.now()', plugin],
  ['deepseek/facts', 'Date.now()', plugin],
  ['testing', 'Math.random()', plugin],
  ['stores', 'setTimeout(() => {}, 1)', globals],
];

const platformBans: Fixture[] = [
  ['core', 'process.env', globals],
  ['core', 'Buffer.from(text)', globals],
  ['core', 'window.location', globals],
  ['core', 'document.title', globals],
  ['core', "console.log('x')", globals],
  ['core', 'self.location', globals],
  ['core', 'global.gc', globals],
  ['core', 'AbortSignal.timeout(1)', plugin],
  ['core', 'AbortSignal.any([])', plugin],
  ['core', "AbortSignal['any']([])", plugin],
  ['core', 'const { any } = AbortSignal', plugin],
  ['core/clock.ts', 'console.log(process, AbortSignal)', globals],
  ['core/clock.ts', 'AbortSignal.timeout(1)', plugin],
  ['deepseek', 'process.env', globals],
  ['testing', 'Buffer.from(text)', globals],
];

const importBans: Fixture[] = [
  ['core', "import 'node:fs'", imports],
  ['core', "import 'fs'", imports],
  ['core', "import 'ky'", imports],
  ['core', "import '../middleware/retry.ts'", imports],
  ['core', "import './../middleware/retry.ts'", imports],
  ['core', "import type { A } from '../deepseek/index.ts'", imports],
  ['core', "export * from '../testing/index.ts'", imports],
  ['core', "import '../index.ts'", imports],
  ['core', "await import('../middleware/retry.ts')", imports],
  ['core', "let a: import('../middleware/retry.ts').A", plugin],
  ['middleware', "import './retry.ts'", imports],
  ['middleware', "import type { RetryOptions } from './retry.ts'", imports],
  ['middleware', "import '../deepseek/index.ts'", imports],
  ['middleware', "import '../testing/index.ts'", imports],
  ['middleware', "import 'valibot'", imports],
  ['middleware', "import 'node:fs'", imports],
  ['deepseek', "import '../testing/index.ts'", imports],
  ['deepseek', "import '../stores/redis.ts'", imports],
  ['deepseek', "import '../index.ts'", imports],
  ['deepseek', "import 'openai'", imports],
  ['deepseek', "import 'node:fs'", imports],
  ['deepseek/facts', "import '../../testing/index.ts'", imports],
  ['deepseek/facts', "import 'node:fs'", imports],
  ['testing', "import '../middleware/retry.ts'", imports],
  ['testing', "import '../deepseek/index.ts'", imports],
  ['testing', "import 'node:http'", imports],
  ['stores', "import '../middleware/circuit-breaker.ts'", imports],
  ['stores', "import 'redis'", imports],
  ['.', "import './deepseek/index.ts'", imports],
  ['.', "import './testing/index.ts'", imports],
  ['.', "import './cli/index.ts'", imports],
  ['core', "import '../cli/index.ts'", imports],
  ['middleware', "import '../cli/index.ts'", imports],
  ['deepseek', "import '../cli/index.ts'", imports],
  ['testing', "import '../cli/index.ts'", imports],
  ['stores', "import '../cli/index.ts'", imports],
  ['core/cycle-a.ts', "import { b } from './cycle-b.ts'; export const a = b", cycles],
  ['core/cycle-b.ts', "import { a } from './cycle-a.ts'; export const b = a", cycles],
  ['core/type-cycle-a.ts', "import type { B } from './type-cycle-b.ts'; export type A = B", cycles],
  ['core/type-cycle-b.ts', "import type { A } from './type-cycle-a.ts'; export type B = A", cycles],
];

const legal: Fixture[] = [
  ['core', 'clock.setTimeout(() => {}, 1)'],
  ['core', 'clock.now(); random()'],
  ['core', 'new Date(0); Date.parse(text); Math.min(1, 2)'],
  ['core', 'queueMicrotask(() => {}); structuredClone(1); fetch(url)'],
  ['core', 'new AbortController().signal instanceof AbortSignal'],
  ['core', "import './errors.ts'"],
  [
    'core/clock.ts',
    'Date.now(); performance.now(); setTimeout(() => {}, 1); Math.random(); globalThis.fetch',
  ],
  ['middleware', "import '../core/call.ts'"],
  ['deepseek', "import 'ky'; import 'valibot'; import 'eventsource-parser'; import './schemas.ts'"],
  ['deepseek', "import '../core/call.ts'; import '../middleware/retry.ts'; import './facts/models.ts'"],
  ['deepseek/facts', "import './a.ts'; import '../schemas.ts'; import '../../core/call.ts'"],
  ['testing', "import '../core/clock.ts'; import './simulator.ts'"],
  ['.', "import './core/compose.ts'; import './middleware/retry.ts'"],
  ['cli', "import 'node:fs'; import '../deepseek/index.ts'; console.log(process.argv, Date.now())"],
];

interface Report {
  diagnostics: { severity: string; category: string; location: { path: string } }[];
}

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'bans-'));
const found = new Map<string, Set<string>>();

// A fixture that names only a folder gets a file of its own in it. Those for clock.ts share a name, so each is
// linted in a project of its own.
const fixtures = [...clockBans, ...platformBans, ...importBans, ...legal].map(
  ([place, code, rule], index) => {
    const file = join('src', place.endsWith('.ts') ? place : `${place}/fixture-${index}.ts`);
    return { file, code, rule, group: place === 'core/clock.ts' ? index : 0 };
  },
);

beforeAll(() => {
  for (const group of new Set(fixtures.map((fixture) => fixture.group))) lint(group);
}, 20_000);

afterAll(() => rmSync(folder, { recursive: true }));

describe('the linter refuses', () => {
  it.each(fixtures.filter(({ rule }) => rule))('$code in $file', (fixture) => {
    expect(found.get(key(fixture))).toContain(fixture.rule);
  });
});

describe('the linter accepts', () => {
  it.each(fixtures.filter(({ rule }) => !rule))('$code in $file', (fixture) => {
    expect([...(found.get(key(fixture)) ?? [])].filter((rule) => bans.has(rule))).toStrictEqual([]);
  });
});

function key({ file, group }: { file: string; group: number }): string {
  return `${group}:${file}`;
}

/** Lints all fixtures of a group in one run. */
function lint(group: number): void {
  const project = join(folder, String(group));
  for (const file of ['biome.json', 'package.json', 'scripts/lint']) {
    cpSync(join(root, file), join(project, file), { recursive: true });
  }
  for (const { file, code } of fixtures.filter((fixture) => fixture.group === group)) {
    mkdirSync(dirname(join(project, file)), { recursive: true });
    writeFileSync(join(project, file), `${code};\n`);
  }
  const biome = join(root, 'node_modules/@biomejs/biome/bin/biome');
  const options = ['lint', '--reporter=json', '--max-diagnostics=none', 'src'];
  const run = spawnSync(process.execPath, [biome, ...options], { cwd: project, encoding: 'utf8' });
  const report: Report = JSON.parse(run.stdout);
  for (const { severity, category, location } of report.diagnostics) {
    if (severity !== 'error') continue; // would not fail the run
    const name = key({ file: location.path, group });
    found.set(name, (found.get(name) ?? new Set()).add(category));
  }
}
