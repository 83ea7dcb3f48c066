// Latency on a shared machine is believed when it comes again: a trial with nothing wrong but a late cell is made anew.
import { limits } from './limits.ts';
import type { Found, Trial } from './result.ts';

/** The first trial whose violations are beyond doubt, or in which no cell is late that was late in all before. */
export async function untilSure(makeTrial: () => Promise<Trial>, timesMax: number = limits.lateTimes): Promise<Trial> {
  let suspects: ReadonlySet<string> | undefined;
  const lates: string[] = [];
  for (let times = 1; ; times++) {
    const trial = await makeTrial();
    const late = trial.violations.filter(isLate);
    const again = new Set(late.flatMap(({ lateCell }) => (lateCell !== undefined && suspects?.has(lateCell) !== false ? [lateCell] : [])));
    const others = trial.violations.filter((found) => !isLate(found));
    if (others.length > 0 || (again.size > 0 && times >= timesMax)) return trial;
    lates.push(...late.map(({ text }) => text));
    if (again.size === 0) {
      const notes = [...trial.notes, ...lates.map((text) => `late in one of ${times} trials, and not in the next: ${text}`)];
      return { ...trial, result: 'held', violations: [], notes };
    }
    suspects = again;
  }
}

const isLate = ({ lateCell }: Found): boolean => lateCell !== undefined;
