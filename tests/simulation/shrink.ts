// The shortest list of faults that still shows what a seed showed: parts are left out, ever smaller ones, while it does.
import type { Fault } from './fault.ts';
import type { Mutation } from './mutation.ts';
import type { OwnerScenario } from './owner-changes.ts';
import type { Shape } from './shape.ts';
import { simulate, type Verdict } from './world.ts';

/** Kinds of violation, such as I1 or liveness: a shrunk run has to show one the whole run showed. */
const kindsOf = (wrong: readonly string[]): Set<string> => new Set(wrong.map((each) => /^(\w+):/.exec(each)?.[1] ?? each.slice(0, 20)));

export async function shrink(
  found: Verdict,
  how: {
    readonly shape?: Shape;
    readonly mutate?: (() => Mutation) | undefined;
    readonly owners?: OwnerScenario | undefined;
    readonly tried?: (left: number) => void;
  } = {},
): Promise<Verdict> {
  const wanted = kindsOf(found.wrong);
  const shows = ({ wrong }: Verdict): boolean => [...kindsOf(wrong)].some((kind) => wanted.has(kind));
  let best = found;
  for (let size = Math.ceil(found.faults.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < best.faults.length; ) {
      const less: readonly Fault[] = [...best.faults.slice(0, at), ...best.faults.slice(at + size)];
      const { shape, mutate, owners } = how;
      const verdict = await simulate({
        seed: found.seed,
        faults: less,
        owners,
        ...(shape && { shape }),
        ...(mutate && { mutation: mutate() }),
      });
      how.tried?.(less.length);
      if (shows(verdict)) best = verdict;
      else at += size;
    }
  }
  return best;
}
