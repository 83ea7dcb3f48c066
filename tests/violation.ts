// One finding of the history checker.
import { describeEntry, type Invariant, type SeenEntry, type Violation } from './history.ts';

/** Violations listed for each invariant, and entries for each violation; the rest is counted in the text. */
export const listedMax = 10;

export const violation = (invariant: Invariant, text: string, entries: readonly (SeenEntry | undefined)[] = []): Violation => ({
  invariant,
  text,
  entries: entries
    .filter((entry) => entry !== undefined)
    .slice(0, listedMax)
    .map(describeEntry),
});
