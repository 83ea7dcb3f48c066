// `npm test`: the checks, a short run of the bench, then every test. Arguments choose test files by any part of their path;
// `--unit` leaves out what needs servers; other options go to Node's test runner. The runner speaks last.
import { existsSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './root.ts';
import { runVisibly } from './run.ts';

/** Each test by itself and each file as a whole; a link severed for 60 s and healed is one test. */
const testMsMax = 300_000;
const unitTestMsMax = 60_000;
/** All files. On two quiet cores they take about a quarter of an hour; a busy machine may take longer. */
const runnerMsMax = 1_500_000;
const checkMsMax = 300_000;
const smokeMsMax = 180_000;
/** Tests that start real servers own the machine one after the other. */
const serverFilesAtOnce = 1;
const unitFilesAtOnce = 2;

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

async function runTests(files: readonly string[], needServers: boolean): Promise<boolean> {
  const atOnce = needServers ? serverFilesAtOnce : unitFilesAtOnce;
  const timeoutMs = needServers ? testMsMax : unitTestMsMax;
  const args = [
    '--import=./tools/left-running.ts',
    '--test',
    '--test-reporter=spec',
    `--test-concurrency=${atOnce}`,
    `--test-timeout=${timeoutMs}`,
    ...options,
    ...files,
  ];
  return (await runVisibly(process.execPath, args, runnerMsMax)) === 0;
}

const isWhole = wanted.length === 0 && !unitOnly;
const files = testFiles();
const needServers = files.some((path) => path.startsWith('tests/'));
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
if (isWhole && existsSync(join(root, 'bench', 'main.ts')))
  await part('bench smoke run', () => node(smokeMsMax, 'bench/main.ts', '--smoke'));
const before = failed.length === 0 ? '' : `; FAILED before: ${failed.join(', ')}`;
await part(`${files.length} test files${before}`, () => runTests(files, needServers));
if (failed.length > 0) process.exitCode = 1;
