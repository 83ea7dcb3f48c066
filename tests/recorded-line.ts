// What a recorded device waits for: appends in their order, and how each was answered.
import type { AppendTarget } from './raw-client.ts';

export type Answer =
  | { readonly how: 'accepted'; readonly seq: number; readonly log: bigint }
  | { readonly how: 'pending' }
  | { readonly how: 'refused'; readonly code: string };

export interface Unanswered {
  readonly clientEntryId: bigint;
  readonly text: string;
  inFlight: boolean;
  readonly answered: (answer: Answer) => void;
}

/** Appends to one target, in the order in which they were given. */
export interface Line {
  readonly target: AppendTarget;
  readonly waiting: Unanswered[];
  /** After a fault that says later: nothing goes out until all that is in flight was answered, then again from the first. */
  faulted: boolean;
}
