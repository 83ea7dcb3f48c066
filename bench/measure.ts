// Runs one scenario: makes its users, starts the load process, samples the servers at its marks.

import { type CollectedMemory, collectedMemory } from './collected-memory.ts';
import type { BenchFabric } from './fabric.ts';
import { runLoad } from './load.ts';
import type { ScenarioReport } from './report.ts';
import type { Crowd, Scenario, Sizes } from './scenarios.ts';
import { canMeasure, cpuMs, difference } from './server-cost.ts';
import { storeSize } from './stored-bytes.ts';
import type { BenchUsers } from './users.ts';

export interface Bench {
  readonly fabric: BenchFabric;
  readonly users: BenchUsers;
  readonly sizes: Sizes;
  /** Nodes of a cell that take connections. */
  readonly nodes: number;
}

/** Users of the first cell are made first: their ids are smaller, so that they own the direct logs across. */
export async function gather(bench: Bench, scenarios: readonly Scenario[]): Promise<Crowd> {
  const needs = scenarios.map((scenario) => scenario.users(bench.sizes));
  const [first, second] = bench.fabric.cells;
  if (first === undefined) throw new Error('the fabric has no cell');
  const [here, there] = [Math.max(0, ...needs.map(([n]) => n)), Math.max(0, ...needs.map(([, n]) => n))];
  if (there > 0 && second === undefined) throw new Error('this scenario wants two cells');
  const crowd = { here: await bench.users.makeUsers(here, first, bench.nodes) };
  return { ...crowd, there: second === undefined ? [] : await bench.users.makeUsers(there, second, bench.nodes) };
}

/** One scenario from its users to its figures. A failure of the load is a WRONG line, not an exception. */
export async function measure(bench: Bench, scenario: Scenario): Promise<ScenarioReport> {
  const { name, title } = scenario;
  try {
    return { name, title, ...(await run(bench, scenario)) };
  } catch (error) {
    return { name, title, figures: [], notes: [], wrong: [error instanceof Error ? error.message : String(error)] };
  }
}

async function run(bench: Bench, scenario: Scenario): Promise<Omit<ScenarioReport, 'name' | 'title'>> {
  const crowd = await gather(bench, [scenario]);
  const database = bench.fabric.cells[0]?.database ?? '';
  const pids = bench.fabric.servers();
  const sizeBefore = scenario.name === 'stored' ? await storeSize(database) : undefined;
  let cpuBefore = new Map<string, number>();
  let cpuAfter = new Map<string, number>();
  const memory: Promise<CollectedMemory>[] = [];
  const readMemory = (): void => {
    if (scenario.name !== 'idle') return;
    const reading = collectedMemory(pids, bench.fabric.collectFolder);
    // Met below, when the load is done.
    reading.catch(() => undefined);
    memory.push(reading);
  };
  const result = await runLoad(scenario.job(crowd, bench.sizes), {
    begin: () => {
      cpuBefore = cpuMs(pids);
      readMemory();
    },
    end: () => {
      cpuAfter = cpuMs(pids);
      readMemory();
    },
  });
  const { kib, heapKib } = growth(await Promise.all(memory));
  const sizeAfter = sizeBefore === undefined ? undefined : await storeSize(database);
  const cpu = difference(cpuBefore, cpuAfter);
  const size = difference(new Map(Object.entries(sizeBefore?.byTable ?? {})), new Map(Object.entries(sizeAfter?.byTable ?? {})));
  const figures = scenario.figures({
    result,
    serverCpuMs: canMeasure ? cpu.sum : Number.NaN,
    memoryKib: canMeasure ? grown(kib.byServer) : Number.NaN,
    heapKib: heapKib.sum,
    storedBytes: size.sum,
  });
  const wrong = [
    ...(result.missing === 0 ? [] : [`${result.missing} missing`]),
    ...(result.disordered === 0 ? [] : [`${result.disordered} out of order`]),
    ...(result.done > 0 ? [] : ['nothing was done in the measured time']),
    ...(result.refused === 0 ? [] : [`${result.refused} refused`]),
  ];
  const notes = Object.entries(result.faults).map(([code, count]) => `met ${count} × ${code}`);
  return {
    // A tiny run says nothing about a bound.
    figures: bench.sizes.scale === 1 ? figures : figures.map(({ must: _, ...figure }) => figure),
    wrong,
    notes,
    result,
    serverCpuMs: cpu.byServer,
    ...(scenario.name === 'idle' ? { memoryKib: kib.byServer, heapKib: heapKib.byServer } : {}),
    ...(sizeAfter === undefined ? {} : { storedBytes: size.byServer }),
  };
}

/** What shrank meanwhile (an idle session of another cell's pool that ended) is nobody's merit. */
const grown = (byServer: Readonly<Record<string, number>>): number =>
  Object.values(byServer).reduce((sum, value) => sum + Math.max(0, value), 0);

/** From the first to the last reading; nothing grew where nothing was read. */
function growth(readings: readonly CollectedMemory[]): Record<'kib' | 'heapKib', ReturnType<typeof difference>> {
  const none = { kib: new Map<string, number>(), heapKib: new Map<string, number>() };
  const [before, after] = [readings[0] ?? none, readings.at(-1) ?? none];
  const heapKib = difference(before.heapKib, after.heapKib);
  return {
    kib: difference(before.kib, after.kib),
    heapKib: after.heapKib.size === 0 ? { ...heapKib, sum: Number.NaN } : heapKib,
  };
}
