// What a frame's row names may have been given up since (R24): its places are a newer epoch's now, in which its destination
// may have nobody in the log.
import { epochParts } from '@weft/proto/positions.ts';
import type { Entry } from './entry.ts';
import { type CellInterval, isWithin } from './log-state.ts';
import type { LogStore } from './ports.ts';

/** Of entries that are sent again, those that `dst` is still to get: of its interval of the log, or its own people's (R12, R18). */
export async function stillDue(
  entries: readonly Entry[],
  dst: number,
  { store, homeOf }: { readonly store: Pick<LogStore, 'readRow'>; readonly homeOf: (user: bigint) => number },
): Promise<readonly Entry[]> {
  // Where a log's first epoch stands, nothing was given up.
  const logs = new Set(entries.filter(({ epoch }) => epochParts(epoch).count > 1).map(({ log }) => log));
  if (logs.size === 0) return entries;
  const intervals = new Map<bigint, CellInterval | undefined>();
  for (const log of logs) intervals.set(log, (await store.readRow(log))?.state.cells.get(dst));
  const isDue = ({ log, seq, author }: Entry): boolean => isWithin(intervals.get(log), seq) || (author !== 0n && homeOf(author) === dst);
  return entries.filter((entry) => !logs.has(entry.log) || isDue(entry));
}
