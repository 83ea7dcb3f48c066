// One fault, from undisturbed traffic to the judgement.
//
// 1. Baseline: everybody talks, and the probes of each cell tell how fast it answers.
// 2. The fault is made and holds, under the same traffic.
// 3. It is healed. Everybody says one thing everywhere; when everybody was shown all of it, the fabric has recovered.
// 4. The talk ends, everything converges, and the history of the whole run is judged.
import { systemClock } from '@weft/runtime/clock.ts';
import { checkHistory } from '../history-checker.ts';
import { audit } from './audit.ts';
import type { ControlCell } from './control.ts';
import { Course } from './course.ts';
import { Crowd } from './crowd.ts';
import { type Fault, nameOf } from './fault.ts';
import { describeLatency } from './isolation.ts';
import { limits } from './limits.ts';
import type { CellService, Found, Trial } from './result.ts';
import type { Stage } from './stage.ts';

export interface TrialOptions {
  readonly stage: Stage;
  readonly fault: Fault;
  readonly seed: number;
  readonly label: string;
  readonly signal: AbortSignal;
  /** Asked in the same rounds; without it the latency of cells that are not hit is measured and not judged. */
  readonly control?: ControlCell | undefined;
  /** Share of the ordinary times; 1 when absent. */
  readonly pace?: number;
  readonly say: (line: string) => void;
}

export async function runTrial(options: TrialOptions): Promise<Trial> {
  const { stage, fault, seed, signal, say, control, pace = 1 } = options;
  const found: Found[] = [];
  const notes: string[] = [];
  await using crowd = await Crowd.gather(stage, options.label, control);
  const course = new Course(options, crowd);
  crowd.talk(fault.perSecond);
  try {
    await systemClock.sleep(limits.baselineMs * pace);
    say(`${nameOf(fault)}: making it`);
    course.faultBegins();
    const heal = await fault.inject({
      ...{ stage, crowd, seed, signal, say: (text: string) => say(`${nameOf(fault)}: ${text}`) },
      control,
      note: (text) => notes.push(text),
      violate: (invariant, text, lateCell) => found.push({ invariant, text, ...(lateCell === undefined ? {} : { lateCell }) }),
    });
    await systemClock.sleep((fault.holdMs ?? limits.holdMs) * pace);
    await heal?.();
    course.healed();
    say(`${nameOf(fault)}: healed`);
    await stage.fabric.settle();
    await crowd.recovered(limits.recoveryMsMax);
    course.recovered();
    await systemClock.sleep(limits.afterMs * pace);
    await crowd.hush();
    course.ends();
    await crowd.converge(limits.convergeMsMax);
    found.push(...checkHistory(await crowd.history()).violations, ...audit(crowd.people));
    const services = course.services();
    found.push(...judgeServices(services));
    return course.finish({ services, found, notes });
  } catch (error) {
    if (signal.aborted) throw error;
    found.push({ invariant: 'I15', text: error instanceof Error ? error.message : String(error) });
    await crowd.hush();
    course.ends();
    await stage.restore();
    return course.finish({ services: [], found, notes });
  }
}

/** I12 and I13: nobody outside the cells that are hit notices. */
function judgeServices(services: readonly CellService[]): Found[] {
  return services.flatMap(({ cell, suffers, latency, cuts }) => {
    if (suffers) return [];
    const found: Found[] = [];
    if (latency.errors > latency.asked * limits.errorRatioMax)
      found.push({
        invariant: 'I12',
        text: `${cell}: ${latency.errors} of ${latency.asked} appends without an answer in time`,
        lateCell: cell,
      });
    if (cuts > 0) found.push({ invariant: 'I12', text: `${cell}: ${cuts} connections were cut` });
    if (latency.unjudged === '' && latency.late > latency.lateMax)
      found.push({ invariant: 'I12', text: `${cell}: ${describeLatency(latency)}`, lateCell: cell });
    return found;
  });
}
