// What share of the fabric's CPU the chain's hashing is: private fabrics whose nodes hash once, not at all, and nine times, in turns.

import { pathToFileURL } from 'node:url';
import type { BenchFabric } from './fabric.ts';
import { benchLimits } from './limits.ts';
import { type Bench, measure } from './measure.ts';
import type { ScenarioReport } from './report.ts';
import { type Figure, type Scenario, type Sizes, scenarios } from './scenarios.ts';
import { BenchUsers } from './users.ts';

/** NODE_OPTIONS of nodes that do the hashing of the chain so many times. */
export const hashingOption = (times: number): string =>
  times === 1 ? '' : `--import=${pathToFileURL(`${import.meta.dirname}/hashing-times.ts`).href}?times=${times}`;

export interface HashingShareOptions {
  /** Starts a fabric of its own, with empty stores: what was stored without hashes proves nothing to a node that makes them. */
  readonly start: (nodeOptions: string) => Promise<BenchFabric>;
  readonly sizes: Sizes;
  readonly say: (line: string) => void;
}

/** How many times nodes hash what they hash. Nine: the difference is then more than what two runs of the same differ by. */
const often = 9;
const sides = { once: 1, never: 0, often } as const;
type Side = keyof typeof sides;
/** CPU of all servers for one message, microseconds, by runs. */
type CpuOfRuns = Readonly<Record<Side, readonly number[]>>;
/** Which fabric is measured when; mirrored, so that a machine that gets slower favours none. */
const round: readonly Side[] = ['once', 'never', 'often', 'often', 'never', 'once'];
/** As many messages as fit, in large batches, and as many as the promise of latency speaks of. */
const loads = ['direct', 'across-5000'] as const;

export async function hashingShares({ start, sizes, say }: HashingShareOptions): Promise<ScenarioReport[]> {
  await using once = await start(hashingOption(sides.once));
  await using never = await start(hashingOption(sides.never));
  await using many = await start(hashingOption(sides.often));
  const benchOf = (fabric: BenchFabric): Bench => ({ fabric, sizes, nodes: 1, users: new BenchUsers(fabric.dataDir, say) });
  const benches = { once: benchOf(once), never: benchOf(never), often: benchOf(many) };
  const reports: ScenarioReport[] = [];
  for (const load of scenarios.filter(({ name }) => loads.some((each) => each === name))) reports.push(await ofLoad(load, benches));
  return reports;

  async function ofLoad(load: Scenario, benches: Record<Side, Bench>): Promise<ScenarioReport> {
    const cpu: Record<Side, number[]> = { once: [], never: [], often: [] };
    const wrong: string[] = [];
    // One run each that does not count: compilation, and the first pages of empty stores.
    const warmUp: readonly Side[] = ['once', 'never', 'often'];
    for (const side of [...warmUp, ...Array.from({ length: benchLimits.hashingRounds }, () => round).flat()]) {
      const report = await measure(benches[side], load);
      const each = report.figures.find(({ name }) => name === 'server CPU each')?.value ?? Number.NaN;
      cpu[side].push(each);
      wrong.push(...report.wrong.map((text) => `${side}: ${text}`));
      say(`  ${load.name}, hashed ${side}: ${each.toFixed(1)} µs`);
    }
    const counted = { once: cpu.once.slice(1), never: cpu.never.slice(1), often: cpu.often.slice(1) };
    return shareReport(load.name, counted, { wrong, isSmoke: sizes.scale < 1 });
  }
}

export function shareReport(
  load: string,
  cpu: CpuOfRuns,
  { wrong, isSmoke }: { readonly wrong: readonly string[]; readonly isSmoke: boolean },
): ScenarioReport {
  const { once, never, often: many } = { once: median(cpu.once), never: median(cpu.never), often: median(cpu.often) };
  const each = (many - once) / (often - 1);
  const bound = isSmoke ? {} : { must: 3 };
  const figure = (name: string, value: number, unit: string): Figure => ({ name, value, unit, better: 'less' });
  const spreads = [cpu.once, cpu.never, cpu.often].map(spread);
  return {
    name: `chain-cost ${load}`,
    title: `hashing of the chain, share of the CPU of a message of ${load}; medians of alternating runs`,
    figures: [
      figure('hashed once', once, 'µs'),
      figure('never', never, 'µs'),
      figure(`${often} times`, many, 'µs'),
      figure('once beside never', (once / never - 1) * 100, '%'),
      { ...figure(`by ${often} times`, (each / (once - each)) * 100, '%'), ...bound },
    ],
    wrong,
    notes: [
      `runs hashed once: ${listed(cpu.once)} µs; never: ${listed(cpu.never)} µs; ${often} times: ${listed(cpu.often)} µs`,
      `runs of one side differ by up to ${Math.max(...spreads).toFixed(0)} %: a share far below that, told from once and never, says nothing`,
    ],
    detail: cpu,
  };
}

const spread = (values: readonly number[]): number => (Math.max(...values) / Math.min(...values) - 1) * 100;

const listed = (values: readonly number[]): string => values.map((value) => value.toFixed(1)).join(', ');

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}
