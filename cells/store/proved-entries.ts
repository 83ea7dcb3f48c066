// Entries as they leave the store: each with the hash of the one before. Hashes are not stored with entries, so a range is
// read from the check point below it and the chain is made again.
import type { Chain } from '@weft/proto/chain.ts';
import { chained, checkPointBelow, type FreshEntry, genesis, type ProvedFrom } from '../delivery/chain-of.ts';
import type { Entry } from '../delivery/entry.ts';
import type { EpochStart } from '../delivery/epochs.ts';
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
  return from === below + 1 ? proved : proved.filter((entry) => entry.seq >= from);
}

/** from <= seq < to, the last `limit`, ascending. */
export async function readProvedBack(query: Query, range: Range, { entries, chain, epochs }: Ground): Promise<Entry[]> {
  const read = await entries.readBackwards(query, range, epochs);
  const first = read[0]?.seq ?? 1;
  if (first === 1) return prove(chain, genesis, read);
  const { log } = range;
  const below = checkPointBelow(first);
  const [between, point] = await Promise.all([
    entries.readForwards(query, { log, from: below + 1, to: first - 1, limit: first - 1 - below }, epochs),
    readCheckPoint(query, log, first - 1),
  ]);
  return prove(chain, point ?? genesis, [...between, ...read]).filter((entry) => entry.seq >= first);
}

/** What cannot be proved (rows are gone that should be there) goes out without a prev, and nobody takes it for proved. */
export function prove(chain: Pick<Chain, 'next'>, from: ProvedFrom, read: FreshEntry[]): Entry[] {
  const run = read[0] && read[0].seq <= from.seq ? read.filter((entry) => entry.seq > from.seq) : read;
  const isDense = run.every((entry, at) => entry.seq === from.seq + 1 + at);
  return isDense ? chained(chain, from, run) : read;
}
