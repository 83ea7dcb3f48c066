// One fault, from undisturbed traffic to the judgement.
//
// 1. Baseline: everybody talks, and the probes of each cell tell how fast it answers.
// 2. The fault is made and holds, under the same traffic.
// 3. It is healed. Everybody says one thing everywhere; when everybody was shown all of it, the fabric has recovered.
// 4. The talk ends, everything converges, and the history of the whole run is judged.
import { systemClock } from '@weft/runtime/clock.ts';
import { checkHistory } from '../history-checker.ts';
import { Crowd, type Probe } from './crowd.ts';
import { type Fault, nameOf } from './fault.ts';
import { limits } from './limits.ts';
import type { Stage } from './stage.ts';

export interface Found {
  readonly invariant: string;
  readonly text: string;
}

/** How one cell answered its own people. */
export interface CellService {
  readonly cell: string;
  /** Its people were allowed to notice. */
  readonly suffers: boolean;
  readonly baselineP99Ms: number;
  readonly faultP99Ms: number;
  readonly asked: number;
  readonly errors: number;
  readonly cuts: number;
}

export interface Trial {
  readonly fault: string;
  readonly text: string;
  readonly result: 'held' | 'violated' | 'skipped';
  /** Why it was skipped. */
  readonly reason: string;
  readonly judged: readonly string[];
  readonly violations: readonly Found[];
  readonly appendsPerSecond: number;
  readonly accepted: number;
  readonly recoveryMs: number;
  readonly services: readonly CellService[];
  readonly rssMb: number;
  readonly notes: readonly string[];
  readonly seconds: number;
}

const historyInvariants = ['I1', 'I2', 'I3', 'I4', 'I5', 'I6', 'I7', 'I8'] as const;

export interface TrialOptions {
  readonly stage: Stage;
  readonly fault: Fault;
  readonly seed: number;
  readonly label: string;
  readonly signal: AbortSignal;
  /** Judge the latency of cells that are not hit: only where nothing else needs the machine. */
  readonly judgesLatency: boolean;
  /** Share of the ordinary times; 1 when absent. */
  readonly pace?: number;
  readonly say: (line: string) => void;
}

export async function runTrial(options: TrialOptions): Promise<Trial> {
  const { stage, fault, seed, signal, say, pace = 1 } = options;
  const startedMs = performance.now();
  const found: Found[] = [];
  const notes: string[] = [];
  await using crowd = await Crowd.gather(stage, options.label);
  stage.takeRssMb();
  const times = { talkMs: performance.now(), faultMs: 0, healedMs: 0, endMs: 0 };
  let recoveryMs = Number.NaN;
  crowd.talk();
  try {
    await systemClock.sleep(limits.baselineMs * pace);
    const cutsBefore = cutsOf(crowd, stage.cells);
    say(`${nameOf(fault)}: making it`);
    times.faultMs = performance.now();
    const heal = await fault.inject({
      ...{ stage, crowd, seed, signal, judgesLatency: options.judgesLatency },
      note: (text) => notes.push(text),
      violate: (invariant, text) => found.push({ invariant, text }),
    });
    await systemClock.sleep((fault.holdMs ?? limits.holdMs) * pace);
    await heal?.();
    times.healedMs = performance.now();
    say(`${nameOf(fault)}: healed`);
    await stage.fabric.settle();
    await crowd.recovered(limits.recoveryMsMax);
    recoveryMs = performance.now() - times.healedMs;
    await systemClock.sleep(limits.afterMs * pace);
    await crowd.hush();
    times.endMs = performance.now();
    await crowd.converge(limits.convergeMsMax);
    found.push(...checkHistory(await crowd.history()).violations);
    const services = stage.cells.map((cell) => serviceOf({ crowd, cell, fault, times, cutsBefore }));
    found.push(...judgeServices(services, options.judgesLatency));
    return finish({ options, crowd, times, recoveryMs, services, found, notes, startedMs });
  } catch (error) {
    if (signal.aborted) throw error;
    found.push({ invariant: 'I15', text: error instanceof Error ? error.message : String(error) });
    await crowd.hush();
    times.endMs = performance.now();
    await stage.restore();
    return finish({ options, crowd, times, recoveryMs, services: [], found, notes, startedMs });
  }
}

interface Times {
  talkMs: number;
  faultMs: number;
  healedMs: number;
  endMs: number;
}

function finish(parts: {
  options: TrialOptions;
  crowd: Crowd;
  times: Times;
  recoveryMs: number;
  services: readonly CellService[];
  found: Found[];
  notes: readonly string[];
  startedMs: number;
}): Trial {
  const { options, crowd, times, found } = parts;
  const rssMb = options.stage.takeRssMb();
  if (rssMb > limits.rssMbMax) found.push({ invariant: 'I14', text: `a process took ${rssMb} MB` });
  const seconds = (times.endMs - times.talkMs) / 1_000;
  const appends = crowd.counts.said + crowd.counts.probes;
  return {
    fault: nameOf(options.fault),
    text: options.fault.text,
    result: found.length === 0 ? 'held' : 'violated',
    reason: '',
    judged: [...historyInvariants, ...new Set(['I12', 'I14', 'I15', ...options.fault.aims])],
    violations: found.map(({ invariant, text }) => ({ invariant, text })),
    appendsPerSecond: Math.round(appends / seconds),
    accepted: appends - crowd.people.reduce((sum, { waiting }) => sum + waiting.size, 0),
    recoveryMs: Math.round(parts.recoveryMs),
    services: parts.services,
    rssMb,
    notes: parts.notes,
    seconds: Math.round((performance.now() - parts.startedMs) / 1_000),
  };
}

function serviceOf(parts: {
  crowd: Crowd;
  cell: string;
  fault: Fault;
  times: Times;
  cutsBefore: ReadonlyMap<string, number>;
}): CellService {
  const { crowd, cell, fault, times, cutsBefore } = parts;
  const own = crowd.probes.filter((probe) => probe.cell === cell);
  const baseline = own.filter(({ sentMs }) => sentMs < times.faultMs);
  const during = own.filter(({ sentMs }) => sentMs >= times.faultMs && sentMs < times.healedMs);
  return {
    cell,
    suffers: fault.suffers.includes(cell),
    baselineP99Ms: p99(baseline),
    faultP99Ms: p99(during),
    asked: during.length,
    errors: during.filter((probe) => probe.atMs - probe.sentMs > limits.errorAfterMs).length,
    cuts: (cutsOf(crowd, [cell]).get(cell) ?? 0) - (cutsBefore.get(cell) ?? 0),
  };
}

/** I12 and I13: nobody outside the cells that are hit notices. */
function judgeServices(services: readonly CellService[], judgesLatency: boolean): Found[] {
  return services.flatMap((service) => {
    const { cell, suffers, asked, errors, cuts, baselineP99Ms, faultP99Ms } = service;
    if (suffers) return [];
    const found: Found[] = [];
    if (errors > asked * limits.errorRatioMax)
      found.push({ invariant: 'I12', text: `${cell}: ${errors} of ${asked} appends without an answer in time` });
    if (cuts > 0) found.push({ invariant: 'I12', text: `${cell}: ${cuts} connections were cut` });
    const allowedMs = Math.max(baselineP99Ms * limits.latencyFactorMax, baselineP99Ms + limits.latencyMoreMsMax);
    if (judgesLatency && faultP99Ms > allowedMs)
      found.push({ invariant: 'I12', text: `${cell}: p99 was ${Math.round(faultP99Ms)} ms, undisturbed ${Math.round(baselineP99Ms)} ms` });
    return found;
  });
}

/** Connections of the probes that were cut so far, by cell. */
const cutsOf = (crowd: Crowd, cells: readonly string[]): Map<string, number> =>
  new Map(
    cells.map((cell) => [cell, crowd.of(cell).reduce((sum, { name, counts }) => sum + (name.includes('-probe') ? counts.cuts : 0), 0)]),
  );

function p99(probes: readonly Probe[]): number {
  const sorted = probes.map(({ sentMs, atMs }) => atMs - sentMs).sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.99))] ?? Number.NaN;
}
