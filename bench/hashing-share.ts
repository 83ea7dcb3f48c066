// What share of the fabric's CPU the chain's hashing is: two private fabrics, one whose nodes do not hash, measured in turns.

import { pathToFileURL } from 'node:url';
import type { BenchFabric } from './fabric.ts';
import { benchLimits } from './limits.ts';
import { type Bench, measure } from './measure.ts';
import type { ScenarioReport } from './report.ts';
import { type Scenario, type Sizes, scenarios } from './scenarios.ts';
import { BenchUsers } from './users.ts';

/** NODE_OPTIONS of nodes that do not hash. */
export const noHashingOption = `--import=${pathToFileURL(`${import.meta.dirname}/no-hashing.ts`).href}`;

export interface HashingShareOptions {
  /** Starts a fabric of its own, with empty stores: what was stored without hashes proves nothing to a node that makes them. */
  readonly start: (nodeOptions: string) => Promise<BenchFabric>;
  readonly sizes: Sizes;
  readonly say: (line: string) => void;
}

type Side = 'hashing' | 'without';
/** Which fabric is measured when; mirrored, so that a machine that gets slower favours neither. */
const round: readonly Side[] = ['hashing', 'without', 'without', 'hashing'];

/** CPU of all servers for one message of `direct`, by runs. */
export async function hashingShare({ start, sizes, say }: HashingShareOptions): Promise<ScenarioReport> {
  const direct = scenarios.find(({ name }) => name === 'direct') as Scenario;
  await using hashing = await start('');
  await using without = await start(noHashingOption);
  const benchOf = (fabric: BenchFabric): Bench => ({ fabric, sizes, nodes: 1, users: new BenchUsers(fabric.dataDir, say) });
  const benches = { hashing: benchOf(hashing), without: benchOf(without) };
  const cpu: Record<Side, number[]> = { hashing: [], without: [] };
  const wrong: string[] = [];
  // One run each that does not count: compilation, and the first pages of empty stores.
  for (const side of ['hashing', 'without', ...Array.from({ length: benchLimits.hashingRounds }, () => round).flat()] as Side[]) {
    const report = await measure(benches[side], direct);
    const each = report.figures.find(({ name }) => name === 'server CPU each')?.value ?? Number.NaN;
    cpu[side].push(each);
    wrong.push(...report.wrong.map((text) => `${side}: ${text}`));
    say(`  ${side}: ${each.toFixed(1)} µs`);
  }
  return shareReport({ hashing: cpu.hashing.slice(1), without: cpu.without.slice(1) }, { wrong, isSmoke: sizes.scale < 1 });
}

export function shareReport(
  cpu: Readonly<Record<Side, readonly number[]>>,
  { wrong, isSmoke }: { readonly wrong: readonly string[]; readonly isSmoke: boolean },
): ScenarioReport {
  const [on, off] = [median(cpu.hashing), median(cpu.without)];
  const bound = isSmoke ? {} : { must: 3 };
  return {
    name: 'chain-cost',
    title: 'the hashing of the chain, share of the CPU of a message of direct; medians of alternating runs',
    figures: [
      { name: 'with', value: on, unit: 'µs', better: 'less' },
      { name: 'without', value: off, unit: 'µs', better: 'less' },
      { name: 'hashing', value: (on / off - 1) * 100, unit: '%', better: 'less', ...bound },
    ],
    wrong,
    notes: [
      `runs with: ${listed(cpu.hashing)} µs`,
      `without: ${listed(cpu.without)} µs`,
      `runs of one side differ by up to ${Math.max(spread(cpu.hashing), spread(cpu.without)).toFixed(0)} %: a share far below that says nothing`,
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
