// `npm test`: the checks, then every test and beside them a short run of the bench. Arguments choose test files by any part of
// their path; `--unit` leaves out what needs servers; other options go to Node's test runner.
//
// Files over real servers run one after the other. Beside them run, and are printed in one piece each: what does little but wait, and,
// with what all of these leave of the machine, what needs no servers: unit tests, all in one process, as starting one for each file
// would be three quarters of their CPU, and the simulator, whose time is virtual.
import { globSync } from 'node:fs';
import { root } from './root.ts';
import { type Priority, runBeside, runVisibly } from './run.ts';

/** Each test by itself and each file as a whole; the short list of faults is one file, and takes three to five minutes. */
const testMsMax = 480_000;
const unitTestMsMax = 60_000;
/** All files. On two quiet cores they take about a quarter of an hour; a busy machine may take longer. */
const runnerMsMax = 1_500_000;
const checkMsMax = 300_000;
const smokeMsMax = 180_000;
/** Of files with a process each, in each run. */
const filesAtOnce = 1;
/** Under `tests/`, and yet without a server; in a process each. */
const withoutServers = /^tests\/((ownership|restore)-)?simulation/;
/**
 * Over servers, and yet nothing but waiting for most of their time; a load by the clock, which the lowest priority would starve; and,
 * last, a Go program that is built anew on one core where there is no cache of it.
 */
const waiting = [
  'bench/load.test.ts',
  ...['books', 'bounds', 'broker-model', 'directory-outage', 'local', 'outages'].map((name) => `tests/${name}.test.ts`),
  ...['short', 'stop'].map((name) => `tests/faults/${name}.test.ts`),
  'tests/sql-grammar.test.ts',
];
/** Files that hold the fabric to a clock come last: beside them runs nothing but what has the lowest priority. */
const last = ['tests/faults.test.ts', 'tests/overload.test.ts'];

const options = process.argv.slice(2).filter((arg) => arg.startsWith('-') && arg !== '--unit');
const wanted = process.argv.slice(2).filter((arg) => !arg.startsWith('-'));
const unitOnly = process.argv.includes('--unit');

function testFiles(): string[] {
  const exclude = ['**/node_modules', 'proto/gen', 'docs'];
  const all = globSync('**/*.test.ts', { cwd: root, exclude }).map((path) => path.replaceAll('\\', '/'));
  const units = all.filter((path) => !path.startsWith('tests/')).sort();
  const overServers = all.filter((path) => path.startsWith('tests/')).sort();
  const chosen = unitOnly ? units : [...units, ...overServers];
  return wanted.length === 0 ? chosen : chosen.filter((path) => wanted.some((part) => path.includes(part.replace(/^\.\//, ''))));
}

/** Before any test, so that a download neither spends a test's time nor runs twice. */
async function fetchAllServers(): Promise<boolean> {
  try {
    const { fetchServers } = await import('../local/fetch-servers.ts');
    await fetchServers(['postgres', 'nats-server', 'valkey-server'], (line) => console.log(line));
    return true;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return false;
  }
}

function runnerArgs(files: readonly string[]): string[] {
  return [
    '--import=./tools/left-running.ts',
    '--test',
    '--test-reporter=spec',
    files.every(isUnit) ? '--test-isolation=none' : `--test-concurrency=${filesAtOnce}`,
    `--test-timeout=${unitOnly ? unitTestMsMax : testMsMax}`,
    ...options,
    ...files,
  ];
}

async function runTests(files: readonly string[]): Promise<boolean> {
  if (files.length === 0) return true;
  return (await runVisibly(process.execPath, runnerArgs(files), runnerMsMax)) === 0;
}

async function aside(what: string, args: readonly string[], limits: { priority: Priority; timeoutMs: number }): Promise<boolean> {
  const startedMs = performance.now();
  const { ok, output } = await runBeside(process.execPath, args, limits);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
  console.log(`\nweft test: ${what}\n${output}`);
  console.log(`weft test: ${what} ${ok ? 'ok' : 'FAILED'} after ${seconds} s\n`);
  return ok;
}

async function filesAside(what: string, files: readonly string[], priority: Priority): Promise<boolean> {
  return files.length === 0 || aside(`${files.length} files ${what}`, runnerArgs(files), { priority, timeoutMs: runnerMsMax });
}

/** Files over servers, and beside them the others; alone, what was asked for is shown as it runs. */
async function runAll(): Promise<boolean> {
  if ([isUnit, isWithoutServers, isOverServers].some((isOfKind) => files.every(isOfKind))) return runTests(files);
  const oneByOne = files.filter((path) => isOverServers(path) && !waiting.includes(path));
  const waits = files.filter((path) => isOverServers(path) && waiting.includes(path));
  const lowest = async (): Promise<boolean> => {
    const units = await filesAside('without servers, in one process', files.filter(isUnit), 'lowest');
    return (await filesAside('without servers', files.filter(isWithoutServers), 'lowest')) && units;
  };
  const ordinary = async (): Promise<boolean> => {
    const smoke =
      !isWhole || (await aside('bench smoke run', ['bench/main.ts', '--smoke'], { priority: 'ordinary', timeoutMs: smokeMsMax }));
    return (await filesAside('that wait', waits, 'ordinary')) && smoke;
  };
  const without = lowest();
  // In two runs: the runner sorts the files of one.
  const first = await Promise.all([ordinary(), runTests(oneByOne.filter((path) => !last.includes(path)))]);
  const then = await runTests(oneByOne.filter((path) => last.includes(path)));
  return [await without, ...first, then].every(Boolean);
}

const isWhole = wanted.length === 0 && !unitOnly;
const files = testFiles();
const isUnit = (path: string): boolean => !path.startsWith('tests/') && (unitOnly || !waiting.includes(path));
const isWithoutServers = (path: string): boolean => withoutServers.test(path);
const isOverServers = (path: string): boolean => !isUnit(path) && !isWithoutServers(path);
const needServers = files.some(isOverServers);
const failed: string[] = [];

async function part(name: string, run: () => Promise<boolean>): Promise<void> {
  console.log(`\nweft test: ${name}`);
  const startedMs = performance.now();
  const ok = await run();
  if (!ok) failed.push(name);
  console.log(`weft test: ${name} ${ok ? 'ok' : 'FAILED'} after ${((performance.now() - startedMs) / 1000).toFixed(0)} s`);
}

const node = (timeoutMs: number, ...args: string[]): Promise<boolean> =>
  runVisibly(process.execPath, args, timeoutMs).then((code) => code === 0);

if (files.length === 0) {
  console.error(`weft test: no test file matches ${wanted.join(', ')}`);
  process.exit(1);
}
if (isWhole) await part('check', () => node(checkMsMax, 'tools/check.ts'));
if (needServers) await part('servers', fetchAllServers);
const before = failed.length === 0 ? '' : `; FAILED before: ${failed.join(', ')}`;
await part(`${files.length} test files${before}`, runAll);
if (failed.length > 0) process.exitCode = 1;
