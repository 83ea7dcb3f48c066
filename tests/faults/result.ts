// What came of one trial.
import type { Latency } from './isolation.ts';

export interface Found {
  readonly invariant: string;
  readonly text: string;
  /** The cell whose people were answered late, or too late: nothing else is wrong. */
  readonly lateCell?: string;
}

/** How one cell answered its own people. */
export interface CellService {
  readonly cell: string;
  /** Its people were allowed to notice. */
  readonly suffers: boolean;
  readonly latency: Latency;
  readonly cuts: number;
}

/** Shares of the time, undisturbed and under the fault. */
export interface Shortage {
  /** Nodes that were not hit waited for a processor. */
  readonly waited: readonly [number, number];
  /** A hypervisor gave the processors to others. */
  readonly stolen: readonly [number, number];
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
  readonly shortage: Shortage | undefined;
  readonly rssMb: number;
  readonly notes: readonly string[];
  readonly seconds: number;
}
