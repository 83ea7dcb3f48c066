// Heads of the logs two cells share, page by page, for the comparison of digests. Their statements have no names, so they are
// planned anew each time: a plan that was made while the tables were small, and kept, would read them whole for each page.
import type { Query } from './entries-table.ts';

// The owner's number is in the epoch (proto/positions.ts). A cell whose last member left has all it gets at until_seq.
const ownedHere = `
select l.log_id, l.epoch, case when c.until_seq = 0 then l.head else c.until_seq end as head
from log_cells c, logs l
where c.cell = $1 and l.log_id = c.log_id and l.log_id > $2 and ((l.epoch >> 20) & 4095) = $3
order by l.log_id
limit $4`;

const keptHere = `
select log_id, epoch, head
from logs
where log_id > $1 and kind <> 3 and ((epoch >> 20) & 4095) = $2
order by log_id
limit $3`;

export interface SharedHead {
  readonly log: bigint;
  readonly epoch: bigint;
  readonly head: number;
}

/** Logs this cell (`owner`) owns and `keeper` keeps, after `after`. */
export async function readOwnedHeads(
  query: Query,
  of: { owner: number; keeper: number },
  page: { after: bigint; limit: number },
): Promise<SharedHead[]> {
  const { rows } = await query({ text: ownedHere, values: [of.keeper, page.after, of.owner, page.limit] });
  return rows.map(toHead);
}

/** Logs kept here that `owner` owns, after `after`. */
export async function readKeptHeads(query: Query, owner: number, page: { after: bigint; limit: number }): Promise<SharedHead[]> {
  const { rows } = await query({ text: keptHere, values: [page.after, owner, page.limit] });
  return rows.map(toHead);
}

const toHead = (r: { log_id: bigint; epoch: bigint; head: bigint }): SharedHead => ({
  log: r.log_id,
  epoch: r.epoch,
  head: Number(r.head),
});
