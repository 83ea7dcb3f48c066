// Logs whose owner is known to have more than is stored here, until a pull or later frames have caught up.
import { int2Array, int8Array } from '@weft/runtime/binary-arrays.ts';
import type { BehindRow, CaughtUp } from '../delivery/ports.ts';
import type { Query } from './entries-table.ts';

const upsert = `
insert into behind (log_id, epoch, known_seq, src)
select l, e, k, s from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[]) as x (l, e, k, s)
on conflict (log_id) do update
set epoch = greatest(behind.epoch, excluded.epoch),
  known_seq = case
    when excluded.epoch > behind.epoch then excluded.known_seq
    when excluded.epoch = behind.epoch then greatest(behind.known_seq, excluded.known_seq)
    else behind.known_seq
  end,
  src = excluded.src`;

const clear = `
delete from behind
where (log_id, epoch, known_seq) in (
  select b.log_id, b.epoch, b.known_seq
  from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as x (l, e, h),
  lateral (select log_id, epoch, known_seq from behind where log_id = x.l limit 1) b
  where (b.epoch, b.known_seq) <= (x.e, x.h)
)`;

const read = `
select log_id, epoch, known_seq, src from behind order by log_id limit $1`;

const readOne = `
select known_seq from behind where log_id = $1`;

/** Whether it tells less than `other`: of an earlier epoch, or less of the same. */
export const isBefore = (row: BehindRow, other: BehindRow | undefined): boolean =>
  other !== undefined && (row.epoch < other.epoch || (row.epoch === other.epoch && row.known < other.known));

/** One row a log: `on conflict` may not meet the same row twice in a statement. */
export function upsertBehind(query: Query, rows: readonly BehindRow[]): Promise<unknown> {
  const last = new Map<bigint, BehindRow>();
  for (const row of rows) if (!isBefore(row, last.get(row.log))) last.set(row.log, row);
  const each = [...last.values()];
  return query({
    name: 'behind-upsert',
    text: upsert,
    values: [
      int8Array(each.map((r) => r.log)),
      int8Array(each.map((r) => r.epoch)),
      int8Array(each.map((r) => r.known)),
      int2Array(each.map((r) => r.src)),
    ],
  });
}

export function clearBehind(query: Query, rows: readonly CaughtUp[]): Promise<unknown> {
  const values = [int8Array(rows.map((r) => r.log)), int8Array(rows.map((r) => r.epoch)), int8Array(rows.map((r) => r.head))];
  return query({ name: 'behind-clear', text: clear, values });
}

export async function readBehind(query: Query, limit: number): Promise<BehindRow[]> {
  const { rows } = await query({ name: 'behind-read', text: read, values: [limit] });
  return rows.map((r: { log_id: bigint; epoch: bigint; known_seq: bigint; src: number }) => ({
    log: r.log_id,
    epoch: r.epoch,
    known: Number(r.known_seq),
    src: r.src,
  }));
}

/** The seq a log is known to have elsewhere; 0 when it is not behind. */
export async function readBehindOf(query: Query, log: bigint): Promise<number> {
  const { rows } = await query({ name: 'behind-read-one', text: readOne, values: [log] });
  return Number(rows[0]?.known_seq ?? 0);
}
