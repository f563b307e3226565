/**
 * Prepares a checkout and then runs a program in it, on the Node that the project pins:
 *
 *     node scripts/setup.mjs [--build] [--install <folder>] [<program> ...arguments]
 *
 * Plain JavaScript without dependencies, because it is the first thing that runs on a fresh clone, on whatever
 * Node the host has. The program is started from here, not by the package script: the shell that runs the script
 * has looked `node` up before the pinned one was installed, and would use the host's.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const nodeBinary = join(root, 'node_modules/node/bin/node');
const buildStamp = join(root, 'node_modules/.cache/breakwater-build');
const buildInputs = [
  'src',
  'scripts/entries.mjs',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsup.config.ts',
];

const args = process.argv.slice(2);
const options = { build: false, install: '' };
while (args[0]?.startsWith('--')) {
  const flag = args.shift();
  if (flag === '--build') options.build = true;
  else if (flag === '--install') options.install = args.shift() ?? '';
  else fail(`setup: unknown option ${flag}`);
}

install(root, 'dependencies (about 30 s)');
if (options.install) install(join(root, options.install), `dependencies of ${options.install} (about 10 s)`);
if (options.build) build();
if (args.length > 0) start(args);

/**
 * Installs what the lock file says, unless exactly that is installed already.
 * @param {string} folder
 * @param {string} what
 */
function install(folder, what) {
  if (isInstalled(folder)) return;
  console.log(`Installing ${what} ...`);
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], folder);
}

/**
 * npm records what it has installed in node_modules/.package-lock.json. Comparing that with the lock file also holds
 * after an `npm install` by hand, where a stamp of our own would be missing.
 * @param {string} folder
 */
function isInstalled(folder) {
  const recordFile = join(folder, 'node_modules/.package-lock.json');
  if (!existsSync(recordFile)) return false;
  const wanted = Object.entries(readJson(join(folder, 'package-lock.json')).packages);
  const installed = readJson(recordFile).packages;
  return wanted.every(([path, { version, integrity, optional, devOptional }]) => {
    if (path === '') return true;
    const found = installed[path];
    if (!found) return Boolean(optional || devOptional); // meant for another platform
    return found.version === version && found.integrity === integrity;
  });
}

/** Builds `dist`, unless it was built from exactly these sources. */
function build() {
  const hash = createHash('sha256');
  for (const file of buildInputs.flatMap(filesUnder))
    hash.update(file).update(readFileSync(join(root, file)));
  const digest = hash.digest('hex');
  const built = existsSync(join(root, 'dist/index.js')) && existsSync(buildStamp);
  if (built && readFileSync(buildStamp, 'utf8') === digest) return;
  console.log('Building dist (about 5 s) ...');
  run(pinnedNode(), ['node_modules/tsup/dist/cli-default.js', '--silent'], root);
  mkdirSync(dirname(buildStamp), { recursive: true });
  writeFileSync(buildStamp, digest);
}

/**
 * Starts the program and ends as it ends. Ctrl-C reaches the program by itself: it decides how to end, not we.
 * @param {string[]} command
 */
function start(command) {
  const child = spawn(pinnedNode(), command, { cwd: root, stdio: 'inherit' });
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('error', (error) => fail(`setup: ${error.message}`));
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 1;
    if (signal) process.removeAllListeners(signal).kill(process.pid, signal);
  });
}

/** The Node of the project, or the host's where install scripts are switched off and it is recent enough. */
function pinnedNode() {
  if (existsSync(nodeBinary)) return nodeBinary;
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major >= 24 || (major === 22 && minor >= 18)) return process.execPath;
  fail(
    "setup: the project's own Node is missing, because npm ran no install scripts. Run: npm rebuild node --ignore-scripts=false",
  );
}

/**
 * @param {string} command
 * @param {string[]} parameters
 * @param {string} cwd
 */
function run(command, parameters, cwd) {
  const { status, error } = spawnSync(command, parameters, {
    cwd,
    stdio: ['inherit', 'ignore', 'inherit'], // one line says what is done; errors are shown
    shell: process.platform === 'win32',
  });
  if (error) fail(`setup: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}

/**
 * @param {string} path
 * @returns {string[]}
 */
function filesUnder(path) {
  if (!statSync(join(root, path)).isDirectory()) return [path];
  const names = readdirSync(join(root, path)).sort();
  return names.flatMap((name) => filesUnder(join(path, name)));
}

/** @param {string} file */
function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

/**
 * @param {string} message
 * @returns {never}
 */
function fail(message) {
  console.error(message);
  process.exit(1);
}
