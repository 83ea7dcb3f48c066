// Entries as they leave the store: each with the hash of the one before. Hashes are not stored with entries, so a range is
// read from the check point below it and the chain is made again.
import type { Chain } from '@weft/proto/chain.ts';
import type { EpochStart } from '@weft/proto/positions.ts';
import { chained, checkPointBelow, type FreshEntry, genesis, type ProvedFrom } from '../delivery/chain-of.ts';
import type { Entry } from '../delivery/entry.ts';
import type { EntriesTable, Query, Range } from './entries-table.ts';
import { readCheckPoint } from './log-hashes-table.ts';

interface Ground {
  readonly entries: EntriesTable;
  readonly chain: Chain;
  readonly epochs: readonly EpochStart[];
}

/** from <= seq <= to, ascending. */
export async function readProved(query: Query, range: Range, { entries, chain, epochs }: Ground): Promise<Entry[]> {
  const { log, from, limit } = range;
  const below = checkPointBelow(from);
  // The entries first: what they show is committed, so their check point is found a moment later.
  const [read, point] = await Promise.all([
    entries.readForwards(query, { ...range, from: below + 1, limit: limit + from - 1 - below }, epochs),
    from > 1 ? readCheckPoint(query, log, from - 1) : genesis,
  ]);
  const proved = prove(chain, point ?? genesis, read);
  // Of a run that begins between the two, fewer lie below than were counted.
  return from === below + 1 ? proved : proved.filter((entry) => entry.seq >= from).slice(0, limit);
}

/** What cannot be proved (rows are gone that should be there) goes out without a prev, and nobody takes it for proved. */
export function prove(chain: Pick<Chain, 'next'>, from: ProvedFrom, read: FreshEntry[]): Entry[] {
  const run = read[0] && read[0].seq <= from.seq ? read.filter((entry) => entry.seq > from.seq) : read;
  const isDense = run.every((entry, at) => entry.seq === from.seq + 1 + at);
  return isDense ? chained(chain, from, run) : read;
}
