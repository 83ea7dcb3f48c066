// The results: a table for people, JSON for comparisons, each with the machine, the commit and the date.

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LoadResult } from './load-job.ts';
import type { Figure } from './scenarios.ts';

export interface ScenarioReport {
  readonly name: string;
  readonly title: string;
  readonly figures: readonly Figure[];
  /** What must not be there: lost or disordered messages, refusals, a failed run. */
  readonly wrong: readonly string[];
  /** What explains the numbers: faults that were met and cured by a retry. */
  readonly notes: readonly string[];
  readonly result?: LoadResult;
  readonly serverCpuMs?: Readonly<Record<string, number>>;
  readonly memoryKib?: Readonly<Record<string, number>>;
  readonly storedBytes?: Readonly<Record<string, number>>;
  readonly detail?: unknown;
}

export interface BenchReport {
  readonly date: string;
  readonly commit: string;
  readonly node: string;
  readonly machine: { readonly cpu: string; readonly cores: number; readonly memoryGib: number; readonly kernel: string };
  readonly fabric: string;
  readonly smoke: boolean;
  readonly scenarios: readonly ScenarioReport[];
}

export function describeRun(fabric: string, smoke: boolean): Omit<BenchReport, 'scenarios'> {
  const [first] = cpus();
  return {
    date: new Date().toISOString(),
    commit: commit(),
    node: process.version,
    machine: { cpu: first?.model ?? 'unknown', cores: cpus().length, memoryGib: Math.round(totalmem() / 2 ** 30), kernel: release() },
    fabric,
    smoke,
  };
}

function commit(): string {
  const git = (args: string[]): string =>
    execFileSync('git', args, {
      cwd: fileURLToPath(new URL('..', import.meta.url)),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    return git(['rev-parse', '--short', 'HEAD']) + (git(['status', '--porcelain']) === '' ? '' : ' with changes');
  } catch {
    return 'none';
  }
}

export const holds = ({ value, must, better }: Figure): boolean | undefined =>
  must === undefined ? undefined : better === 'more' ? value >= must : value <= must;

const shown = (value: number): string => {
  if (!Number.isFinite(value)) return 'n/a';
  if (value >= 1_000) return Math.round(value).toLocaleString('en-US');
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2);
};

/** Lines of one scenario for the table. */
export function table({ title, figures, wrong, notes }: ScenarioReport): string[] {
  const rows = figures.map((figure) => {
    const must = figure.must === undefined ? '' : `${figure.better === 'more' ? '≥' : '≤'} ${shown(figure.must)}`;
    const ok = holds(figure);
    return `  ${figure.name.padEnd(20)}${shown(figure.value).padStart(10)} ${figure.unit.padEnd(18)}${must.padStart(10)}  ${ok === undefined ? '' : ok ? 'ok' : 'MISSED'}`.trimEnd();
  });
  return [title, ...rows, ...notes.map((text) => `  ${text}`), ...wrong.map((text) => `  WRONG: ${text}`)];
}

/** Writes bench/results/<date>.json and gives its path. */
export function write(report: BenchReport): string {
  const folder = fileURLToPath(new URL('results', import.meta.url));
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${report.date.replaceAll(/[:.]/g, '-')}.json`);
  writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
  return file;
}
