// The books: running sums per link, moved by the transactions that they count, and beside them what really waits in the
// tables, read in the same statement: a row that was lost shows as a difference.
import { int2Array, int8Array } from '@weft/runtime/binary-arrays.ts';
import type { BookClass, BookColumn, BookCount } from '../delivery/books.ts';
import type { Query } from './entries-table.ts';

const add = `
insert into books (peer, class, what, node, lane, n)
select p, c, w, $1::smallint, l, n
from unnest($2::smallint[], $3::smallint[], $4::smallint[], $5::smallint[], $6::bigint[]) as x (p, c, w, l, n)
on conflict (peer, class, what, node, lane) do update set n = books.n + excluded.n`;

// Of one snapshot. What waits is summed from the rows themselves, not from the sums that it is held against.
const readText = `
select peer, class, what, lane, sum(n)::bigint as n, 0::bigint as oldest from books group by peer, class, what, lane
union all
select dst, 1, 10, lane, sum(due)::bigint, min(id) from outbox where class = 1 group by dst, lane
union all
select dst, 2, 10, 0, count(*), 0::bigint from intake group by dst
union all
select b.src, 1, 11, (((b.log_id >> 22) # (b.log_id >> 5) # b.log_id) & 3), sum(greatest(b.known_seq - coalesce(l.head, 0), 0))::bigint, 0::bigint
from behind b left join logs l on l.log_id = b.log_id
group by b.src, (((b.log_id >> 22) # (b.log_id >> 5) # b.log_id) & 3)`;

// As numbers also in the statements that delete what they count: outbox-table.ts, intake-tables.ts.
const classNumbers: Readonly<Record<BookClass, number>> = { entries: 1, intake: 2 };
export const columnNumbers: Readonly<Record<BookColumn, number>> = { accepted: 1, settled: 2, applied: 3, refused: 4, dropped: 5 };

/** What stands in the tables, beside the sums. */
export type WaitingColumn = 'waiting' | 'behind';

export interface BookRow {
  readonly peer: number;
  readonly class: BookClass;
  readonly what: BookColumn | WaitingColumn;
  readonly lane: number;
  readonly n: number;
  /** Lowest id of the frames that wait. */
  readonly oldest: bigint;
}

const classNames: Readonly<Record<number, BookClass>> = { 1: 'entries', 2: 'intake' };
const columnNames: Readonly<Record<number, BookRow['what']>> = {
  1: 'accepted',
  2: 'settled',
  3: 'applied',
  4: 'refused',
  5: 'dropped',
  10: 'waiting',
  11: 'behind',
};

export function addToBooks(query: Query, node: number, counts: readonly BookCount[]): Promise<unknown> {
  const values = [
    node,
    int2Array(counts.map((c) => c.peer)),
    int2Array(counts.map((c) => classNumbers[c.class])),
    int2Array(counts.map((c) => columnNumbers[c.what])),
    int2Array(counts.map((c) => c.lane)),
    int8Array(counts.map((c) => c.n)),
  ];
  return query({ name: 'books-add', text: add, values });
}

export async function readBooks(query: Query): Promise<BookRow[]> {
  const { rows } = await query({ name: 'books-read', text: readText });
  return rows.flatMap((r: { peer: number; class: number; what: number; lane: bigint | number; n: bigint; oldest: bigint }) => {
    const [cls, what] = [classNames[r.class], columnNames[r.what]];
    return cls && what ? [{ peer: r.peer, class: cls, what, lane: Number(r.lane), n: Number(r.n), oldest: r.oldest }] : [];
  });
}
