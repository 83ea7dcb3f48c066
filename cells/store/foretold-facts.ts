// What a transaction will find under its locks, where this node can tell: its people go on with logs that nobody else writes.
// The decision is made on that, and the transaction's first statements make sure of it under the locks that they take.
import type { LogState } from '../delivery/log-state.ts';
import type { Facts, LogRow, WriteKeys } from '../delivery/ports.ts';
import { refusalsToFind } from '../delivery/self-entries.ts';
import type { Query } from './entries-table.ts';
import type { KnownRows } from './known-rows.ts';
import { lockRowsAsKnown } from './logs-table.ts';
import { beginAndWait, type FactsOptions, factsOfRows, isDecidedElsewhere } from './write-facts.ts';

// A value that is no number is an error in every engine: it ends the transaction.
const lockLane = `
with held as (select lane from lanes where node = $1 and lane = $2 for update)
select cast(case when count(*) = 1 then '1' else 'gone' end as bigint) as held from held`;

/**
 * Undefined where something would have to be looked up: a log that this node did not write last, one that is or may be decided
 * elsewhere, a conversation that is being opened. Ids that are stored already are not looked for: their key is unique, so the
 * transaction ends at them.
 */
export function foretoldFacts(
  keys: WriteKeys,
  known: Pick<KnownRows, 'get'>,
  options: Pick<FactsOptions, 'cell' | 'generation' | 'states'>,
): Facts | undefined {
  const others = [keys.pairs, keys.decided, keys.moves, keys.settles, keys.cuts, keys.targets];
  if (keys.logs.length === 0 || others.some(({ length }) => length > 0)) return undefined;
  const rows = new Map<bigint, LogRow>();
  const states = new Map<bigint, LogState>();
  for (const log of keys.logs) {
    const row = known.get(log);
    const state = options.states.get(log);
    if (row === undefined || state === undefined || state.version !== row.version || state.epoch !== row.epoch) return undefined;
    rows.set(log, row);
    states.set(log, state);
  }
  const isStored = ({ log, from }: WriteKeys['runs'][number]): boolean => from <= (rows.get(log)?.head ?? from);
  const isIntake = ({ log, stream }: WriteKeys['intakes'][number]): boolean =>
    stream !== undefined || isDecidedElsewhere(states.get(log), rows.get(log), options);
  if (keys.runs.some(isStored) || keys.intakes.some(isIntake)) return undefined;
  return refusalsToFind(keys.refusals, states, options.cell).length === 0 ? factsOfRows(rows, states) : undefined;
}

/** Sends `begin` and the locks, in the order of R4; they end the transaction where they do not find these rows. */
export function lockForetold(
  query: Query,
  { lane, keys }: { readonly lane: number; readonly keys: WriteKeys },
  rows: readonly LogRow[],
  { node }: Pick<FactsOptions, 'node'>,
): Promise<unknown>[] {
  return [
    ...beginAndWait(query, keys),
    query({ name: 'lanes-lock-held', text: lockLane, values: [node, lane] }),
    lockRowsAsKnown(query, rows),
  ];
}
