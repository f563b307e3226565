import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { entries, specifier } from '../../scripts/entries.mjs';

const root = new URL('../../', import.meta.url);
const readJson = (path: string) => JSON.parse(readFileSync(new URL(path, root), 'utf8'));
const packageJson = readJson('package.json');
const jsrJson = readJson('jsr.json');
const tsconfig = readJson('tsconfig.json');
const subpath = (name: string) => specifier(name).replace('breakwater', '.');

describe('the list of entries', () => {
  it.each(Object.entries(entries))('names a source that exists: %s', (_name, source) => {
    expect(existsSync(new URL(source, root))).toBe(true);
  });

  it('agrees with the exports of package.json', () => {
    const expected = Object.keys(entries).map((name) => [
      subpath(name),
      { types: `./dist/${name}.d.ts`, default: `./dist/${name}.js` },
    ]);
    expect(packageJson.exports).toStrictEqual(Object.fromEntries(expected));
  });

  it('agrees with the exports of jsr.json', () => {
    const expected = Object.entries(entries).map(([name, source]) => [subpath(name), `./${source}`]);
    expect(jsrJson.exports).toStrictEqual(Object.fromEntries(expected));
  });

  it.each(Object.entries(entries))('agrees with the paths of tsconfig.json: %s', (name, source) => {
    const paths: Record<string, string[]> = tsconfig.compilerOptions.paths;
    const middleware = paths['breakwater/*']?.[0]?.replace('*', name);
    expect(paths[specifier(name)]?.[0] ?? middleware).toBe(`./${source}`);
  });
});

describe('jsr.json', () => {
  it('has the version and the license of package.json', () => {
    expect(jsrJson).toMatchObject({ version: packageJson.version, license: packageJson.license });
  });

  it('imports the dependencies of package.json in the same versions', () => {
    const imported = Object.entries<string>(jsrJson.imports)
      .filter(([name]) => !name.includes('/'))
      .map(([name, target]) => [name, target.replace(`npm:${name}@`, '')]);
    expect(Object.fromEntries(imported)).toStrictEqual(packageJson.dependencies);
  });
});

describe('package.json', () => {
  it('pins every dependency to one version', () => {
    const { dependencies, devDependencies } = packageJson;
    const loose = Object.entries<string>({ ...dependencies, ...devDependencies }).filter(
      ([, version]) => !/^(npm:[^@]+@)?\d+\.\d+\.\d+$/.test(version),
    );
    expect(loose).toStrictEqual([]);
  });

  it('keeps registry addresses out of the lock file', () => {
    const lock = readJson('package-lock.json');
    const resolved = Object.values<{ resolved?: string }>(lock.packages).filter((entry) => entry.resolved);
    expect(resolved).toStrictEqual([]);
  });
});
