import { kinds } from '../delivery/entry.ts';
import type { Run } from '../wire/frames.ts';

/** A removal is seen before what follows it in any other log (R19). */
export function selfLogsFirst(runs: readonly Run[]): Run[] {
  const isSelf = (run: Run): boolean => (run.entries[0]?.kind ?? 0) >= kinds.logJoined;
  return [...runs.filter(isSelf), ...runs.filter((run) => !isSelf(run))];
}
