// Looks whether a log's run really lies in the store: sums and heads say what should be there, not that it is.
import { epochParts } from '@weft/proto/positions.ts';
import type { Query } from './entries-table.ts';

// Only the newest entries of each log: the cost must not grow with its history.
const look = `
select l.log_id, l.epoch, l.head - greatest(l.start_seq, l.head - $3::bigint) - (
  select count(*) from entries e
  where e.log_id = l.log_id and e.seq > greatest(l.start_seq, l.head - $3::bigint) and e.seq <= l.head
) as lacking
from logs l
where l.log_id > $1 and l.kind <> 3
order by l.log_id
limit $2`;

const cellsOf = `
select cell from log_cells where log_id = $1`;

export interface RunGap {
  readonly log: bigint;
  readonly owner: number;
  readonly lacking: number;
}

export interface LookPage {
  readonly after: bigint;
  readonly logs: number;
  /** Newest entries of each log that are counted. */
  readonly newest: number;
}

/** The logs of one page that lack entries, and where the next page begins; 0n after the last. */
export async function findRunGaps(query: Query, page: LookPage): Promise<{ gaps: RunGap[]; next: bigint }> {
  const { rows } = await query({ name: 'run-gaps', text: look, values: [page.after, page.logs, page.newest] });
  const found = rows.map((r: { log_id: bigint; epoch: bigint; lacking: bigint }) => ({
    log: r.log_id,
    owner: epochParts(r.epoch).cell,
    lacking: Number(r.lacking),
  }));
  return { gaps: found.filter(({ lacking }) => lacking > 0), next: found.length < page.logs ? 0n : (found.at(-1)?.log ?? 0n) };
}

export async function readCellsOf(query: Query, log: bigint): Promise<number[]> {
  const { rows } = await query({ name: 'run-gap-cells', text: cellsOf, values: [log] });
  return rows.map((r: { cell: number }) => r.cell);
}
