// What a simulated run is asked for, and what comes of it.
import type { Fault } from './fault.ts';
import type { Mutation } from './mutation.ts';
import type { OwnerScenario } from './owner-changes.ts';
import type { Shape } from './shape.ts';

export interface Verdict {
  readonly seed: number;
  /** Of everything that happened, in order. */
  readonly hash: string;
  readonly wrong: readonly string[];
  readonly faults: readonly Fault[];
  readonly counts: Readonly<Record<'events' | 'sent' | 'accepted' | 'pending' | 'refused' | 'shown', number>>;
  /** Virtual milliseconds: of all, and from the healing to rest. */
  readonly virtualMs: number;
  readonly restMs: number;
}

export interface WorldOptions {
  readonly seed: number;
  readonly shape?: Shape;
  /** Instead of those drawn from the seed. */
  readonly faults?: readonly Fault[];
  readonly mutation?: Mutation;
  /** Restores from backups in more of the seeds, or in none; in a few of them where nothing is said. */
  readonly restores?: boolean | undefined;
  /** Owners that change beside everything else; without restores, unless these are asked for. */
  readonly owners?: OwnerScenario | undefined;
}
