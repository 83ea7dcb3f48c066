// What a fault is to the runner.
import type { ControlCell } from './control.ts';
import type { Crowd } from './crowd.ts';
import type { Need } from './machine.ts';
import type { Stage } from './stage.ts';

export interface Scene {
  readonly stage: Stage;
  readonly crowd: Crowd;
  readonly seed: number;
  /** Ends when the run is stopped. */
  readonly signal: AbortSignal;
  /** Says what was seen, for the report. */
  readonly note: (text: string) => void;
  /** Says what should not have been; `lateCell` where that is nothing but latency. */
  readonly violate: (invariant: string, text: string, lateCell?: string) => void;
  /** Says what happens, while it does. */
  readonly say: (text: string) => void;
  /** The control cell; without one latency is measured and not judged. */
  readonly control: ControlCell | undefined;
}

export type Heal = () => Promise<unknown> | unknown;

export interface Fault {
  /** Number in the list of faults. */
  readonly id: string;
  /** One way to make it, unique in the id. */
  readonly variant: string;
  readonly text: string;
  readonly needs: readonly Need[];
  /** Cells whose own people may notice; the people of all others may not (I12, I13). */
  readonly suffers: readonly string[];
  readonly holdMs?: number;
  /** Appends a second of all people together, where it is not the usual number. */
  readonly perSecond?: number;
  /** Only when asked for by name: it takes many minutes. */
  readonly long?: boolean;
  /** Part of the short list. */
  readonly short?: boolean;
  /** Invariants it aims at beyond I1 to I8, which are always judged. */
  readonly aims: readonly string[];
  /** Breaks something under full traffic; the result heals it. A fault that heals by itself has none. */
  readonly inject: (scene: Scene) => Promise<Heal | undefined>;
}

/** A fault of the list that cannot be made yet. */
export interface Unbuilt {
  readonly id: string;
  readonly text: string;
  readonly reason: string;
}

export const nameOf = ({ id, variant }: Pick<Fault, 'id' | 'variant'>): string => `${id} ${variant}`;
