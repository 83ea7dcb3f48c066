// Many seeds one after another, until one of them shows something wrong.
import type { Mutation } from './mutation.ts';
import type { OwnerScenario } from './owner-changes.ts';
import { simulate, type Verdict } from './world.ts';

export interface SeedRun {
  readonly from: number;
  readonly to: number;
  /** Stops early, after the seed under way. */
  readonly secondsMax?: number;
  /** A fresh one for each run: some keep what they have seen. */
  readonly mutate?: () => Mutation;
  readonly owners?: OwnerScenario | undefined;
  readonly restores?: boolean | undefined;
  readonly ran?: (verdict: Verdict) => void;
}

export interface SeedSum {
  readonly ran: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly sum: Verdict['counts'] & { readonly virtualMs: number; readonly restMsMax: number };
  readonly violation: Verdict | undefined;
}

export async function runSeeds({
  from,
  to,
  secondsMax = Number.POSITIVE_INFINITY,
  mutate,
  owners,
  restores,
  ran: told,
}: SeedRun): Promise<SeedSum> {
  const startedMs = performance.now();
  const cpu = process.cpuUsage();
  const sum = { events: 0, sent: 0, accepted: 0, pending: 0, refused: 0, shown: 0, virtualMs: 0, restMsMax: 0 };
  let violation: Verdict | undefined;
  let ran = 0;
  const seconds = (): number => (performance.now() - startedMs) / 1_000;
  for (let seed = from; seed <= to && !violation && seconds() < secondsMax; seed++) {
    const verdict = await simulate({ seed, restores, owners, ...(mutate && { mutation: mutate() }) });
    ran += 1;
    for (const what of Object.keys(verdict.counts) as (keyof Verdict['counts'])[]) sum[what] += verdict.counts[what];
    sum.virtualMs += verdict.virtualMs;
    sum.restMsMax = Math.max(sum.restMsMax, verdict.restMs);
    told?.(verdict);
    if (verdict.wrong.length > 0) violation = verdict;
  }
  const { user, system } = process.cpuUsage(cpu);
  return { ran, seconds: seconds(), cpuSeconds: (user + system) / 1_000_000, sum, violation };
}
