// Logs whose owner is known to have more than is stored here, until a pull or later frames have caught up.
import { int2Array, int8Array } from '@weft/runtime/binary-arrays.ts';
import type { Query } from './entries-table.ts';

const upsert = `
insert into behind (log_id, known_seq, src)
select l, k, s from unnest($1::bigint[], $2::bigint[], $3::smallint[]) as x (l, k, s)
on conflict (log_id) do update
set known_seq = greatest(behind.known_seq, excluded.known_seq), src = excluded.src`;

const clear = `
delete from behind
where (log_id, known_seq) in (
  select b.log_id, b.known_seq
  from unnest($1::bigint[], $2::bigint[]) as x (l, h), behind b
  where b.log_id = x.l and b.known_seq <= x.h
)`;

const read = `
select log_id, known_seq, src from behind order by log_id limit $1`;

const readOne = `
select known_seq from behind where log_id = $1`;

export interface BehindRow {
  readonly log: bigint;
  readonly known: number;
  readonly src: number;
}

/** One row a log: `on conflict` may not meet the same row twice in a statement. */
export function upsertBehind(query: Query, rows: readonly BehindRow[]): Promise<unknown> {
  const last = new Map<bigint, BehindRow>();
  for (const row of rows) if (row.known >= (last.get(row.log)?.known ?? 0)) last.set(row.log, row);
  const each = [...last.values()];
  return query({
    name: 'behind-upsert',
    text: upsert,
    values: [int8Array(each.map((r) => r.log)), int8Array(each.map((r) => r.known)), int2Array(each.map((r) => r.src))],
  });
}

export function clearBehind(query: Query, rows: readonly { log: bigint; head: number }[]): Promise<unknown> {
  return query({ name: 'behind-clear', text: clear, values: [int8Array(rows.map((r) => r.log)), int8Array(rows.map((r) => r.head))] });
}

export async function readBehind(query: Query, limit: number): Promise<BehindRow[]> {
  const { rows } = await query({ name: 'behind-read', text: read, values: [limit] });
  return rows.map((r: { log_id: bigint; known_seq: bigint; src: number }) => ({ log: r.log_id, known: Number(r.known_seq), src: r.src }));
}

/** The seq a log is known to have elsewhere; 0 when it is not behind. */
export async function readBehindOf(query: Query, log: bigint): Promise<number> {
  const { rows } = await query({ name: 'behind-read-one', text: readOne, values: [log] });
  return Number(rows[0]?.known_seq ?? 0);
}
