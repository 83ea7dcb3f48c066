// `npm run faults`: the real fabric, broken on purpose, and judged.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { faults, inOrder, pickFaults, unbuilt } from './catalogue.ts';
import { type Fault, nameOf } from './fault.ts';
import { limits } from './limits.ts';
import { lookAtMachine, reasonAgainst } from './machine.ts';
import { clearLeftovers as clearNetworks } from './network.ts';
import { asMarkdown, asText, type Run } from './report.ts';
import { runAll, skipped } from './run.ts';
import { clearLeftovers as clearDisks } from './small-disk.ts';

const usage = `npm run faults -- [options]
  --list             every fault, what it needs, and why it is skipped here
  --only F16,F17     these faults, or one way to make one ("F5 hub")
  --ci               the short list
  --minutes N        picks faults at random until N minutes are over
  --seed N           of the order and of everything drawn
  --no-latency       without a control cell: the latency of cells that are not hit is measured and not judged
  --json FILE        the whole result
  --record           writes docs/track-record.md
  --from A,B         with --record: of earlier results (--json) instead of a new run`;

const { values: given } = parseArgs({
  options: {
    list: { type: 'boolean' },
    only: { type: 'string' },
    ci: { type: 'boolean' },
    minutes: { type: 'string' },
    seed: { type: 'string' },
    'no-latency': { type: 'boolean' },
    json: { type: 'string' },
    record: { type: 'boolean' },
    from: { type: 'string' },
    help: { type: 'boolean' },
  },
});

const root = fileURLToPath(new URL('../..', import.meta.url));
const lacks = lookAtMachine();

function list(): void {
  for (const fault of faults) {
    const against = reasonAgainst(lacks, fault.needs);
    console.log(
      `${nameOf(fault).padEnd(20)} ${fault.text}${fault.short ? ' · short list' : ''}${fault.long ? ' · only by name' : ''}${against === undefined ? '' : ` · skipped here: ${against}`}`,
    );
  }
  for (const { id, text, reason } of unbuilt) console.log(`${id.padEnd(20)} ${text} · not made: ${reason}`);
}

function wholeNumber(name: string, text: string | undefined, most: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0 && value <= most) return value;
  throw new Error(`--${name} must be a whole number up to ${most}, not ${text}`);
}

const commitNow = (): string => {
  const git = (...args: readonly string[]): string => execFileSync('git', [...args], { cwd: root, encoding: 'utf8' }).trim();
  return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain', '--untracked-files=no') === '' ? '' : ' with changes'}`;
};

/** Results of pieces of one list, as one. JSON has no NaN, so what was not measured comes back as null. */
function recordFrom(files: readonly string[]): void {
  const runs = files.map((file) => JSON.parse(readFileSync(file, 'utf8'), (_key, value: unknown) => value ?? Number.NaN) as Run);
  const [first] = runs;
  if (first === undefined) throw new Error('--from names no file');
  const commits = [...new Set(runs.map(({ commit }) => commit))].join(', ');
  const judgesLatency = runs.every((run) => run.judgesLatency);
  const place = [...new Set(runs.map((run) => run.place))].join('; ');
  const trials = runs.flatMap((run) => run.trials);
  record({ ...first, trials, commit: commits, judgesLatency, place });
}

/** What was not in the run stands there too, with its reason. */
function record(run: Run): void {
  const made = new Set(run.trials.map(({ fault }) => fault));
  const left = faults.filter((fault) => !made.has(nameOf(fault)));
  const absent = [
    ...left.map((fault) => skipped(fault, fault.long ? 'it takes many minutes of a machine of its own' : 'not in this run')),
    ...unbuilt.map(({ id, text, reason }) => skipped({ id, variant: '', text }, `not made: ${reason}`)),
  ];
  writeFileSync(`${root}/docs/track-record.md`, asMarkdown({ ...run, trials: [...run.trials, ...absent].sort(inOrder) }));
}

async function run(chosen: readonly Fault[]): Promise<number> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort());
  const seed = wholeNumber('seed', given.seed, 2 ** 31 - 1) ?? 1;
  const minutes = wholeNumber('minutes', given.minutes, limits.minutesMax);
  const judgesLatency = !given['no-latency'];
  const { trials, place } = await runAll({
    chosen,
    lacks,
    seed,
    minutes,
    judgesLatency,
    signal: stop.signal,
    say: (line) => console.log(line),
  });
  console.log(`\n${asText(trials)}`);
  const machine = `${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GB`;
  const result: Run = { trials, seed, commit: commitNow(), date: new Date().toISOString().slice(0, 10), machine, place, judgesLatency };
  if (given.json !== undefined) writeFileSync(given.json, `${JSON.stringify(result, null, 2)}\n`);
  if (given.record) record(result);
  if (stop.signal.aborted) return 130;
  return trials.some((trial) => trial.result === 'violated') ? 1 : 0;
}

try {
  if (given.help) console.log(usage);
  else if (given.list) list();
  else if (given.from !== undefined) recordFrom(given.from.split(','));
  else {
    const chosen =
      given.only !== undefined
        ? pickFaults(given.only.split(',').map((one) => one.trim()))
        : faults.filter(({ short, long }) => (given.ci ? short : !long));
    process.exitCode = await run(chosen);
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
} finally {
  if (lacks.size === 0) {
    clearNetworks();
    clearDisks(true);
  }
}
process.exit();
