// The speed of the simulator: the large fabric, over and over in one process.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { roomForTheYoung } from './jobs.ts';
import { benchShape } from './shape.ts';
import type { Verdict } from './verdict.ts';
import { World } from './world.ts';

/** The first run is less than a third as fast as the sixteenth, the eighth still a tenth slower: V8 compiles more of it each time. */
const warmRuns = 16;
const measuredRuns = 5;

/** In a process of its own, as jobs are. False when something was wrong. */
export async function runBench(): Promise<boolean> {
  if (!process.execArgv.includes(roomForTheYoung[0])) {
    const main = fileURLToPath(new URL('./main.ts', import.meta.url));
    return spawnSync(process.execPath, [...roomForTheYoung, main, '--bench'], { stdio: 'inherit' }).status === 0;
  }
  const first = await benchOnce();
  const { counts, faults, virtualMs, wrong } = first.verdict;
  const { cells, nodes, usersPerCell } = benchShape;
  const eventsEach = (counts.events / counts.sent).toFixed(0);
  console.log(
    `${cells} cells of ${nodes} nodes, ${cells * usersPerCell} people, ${faults.length} faults, ${(virtualMs / 1_000).toFixed(0)} s:`,
  );
  console.log(`${counts.sent} messages sent, ${counts.shown} shown, ${eventsEach} events for each that was sent`);
  console.log(`the first run: ${describe(first)}`);
  for (let run = 2; run <= warmRuns; run++) await benchOnce();
  const measured: Run[] = [];
  for (let run = 0; run < measuredRuns; run++) measured.push(await benchOnce());
  measured.sort((a, b) => a.cpuSeconds - b.cpuSeconds);
  const [fastest, median, slowest] = [measured[0], measured[Math.floor(measuredRuns / 2)], measured.at(-1)] as [Run, Run, Run];
  console.log(`warm, the median of ${measuredRuns}: ${describe(median)}`);
  console.log(`warm, from ${rateOf(slowest)} to ${rateOf(fastest)}`);
  for (const each of wrong) console.log(each);
  return wrong.length === 0;
}

interface Run {
  readonly verdict: Verdict;
  readonly cpuSeconds: number;
}

async function benchOnce(): Promise<Run> {
  const cpu = process.cpuUsage();
  const verdict = await new World({ seed: 1, shape: benchShape }).run();
  const { user, system } = process.cpuUsage(cpu);
  return { verdict, cpuSeconds: (user + system) / 1_000_000 };
}

const rateOf = ({ verdict, cpuSeconds }: Run): string => (verdict.counts.sent / cpuSeconds).toFixed(0);

const describe = (run: Run): string =>
  `${run.cpuSeconds.toFixed(2)} CPU seconds, ${rateOf(run)} messages a CPU second, ${(run.verdict.virtualMs / 1_000 / run.cpuSeconds).toFixed(0)} fabric hours a CPU hour`;
