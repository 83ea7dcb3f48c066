// Check points of the hash chain: what a page is proved from.
import { byteaArray, int8Array } from '@weft/runtime/binary-arrays.ts';
import type { ProvedFrom } from '../delivery/chain-of.ts';
import type { CheckPoint } from '../delivery/ports.ts';
import type { Query } from './entries-table.ts';

// A run that begins anew where it ended, or once began, has its point already.
const insert = `
insert into log_hashes (log_id, seq, hash)
select l, s, h from unnest($1::bigint[], $2::bigint[], $3::bytea[]) as x (l, s, h)
on conflict (log_id, seq) do nothing`;

const readBelow = `
select seq, hash from log_hashes where log_id = $1 and seq <= $2 order by seq desc limit 1`;

const readBelowMany = `
select x.i, p.seq, p.hash
from unnest($1::bigint[], $2::bigint[]) with ordinality as x (l, s, i)
cross join lateral (
  select seq, hash from log_hashes where log_hashes.log_id = x.l and log_hashes.seq <= x.s order by seq desc limit 1
) as p`;

export function insertCheckPoints(query: Query, points: readonly CheckPoint[]): Promise<unknown> {
  const values = [int8Array(points.map((p) => p.log)), int8Array(points.map((p) => p.seq)), byteaArray(points.map((p) => p.hash))];
  return query({ name: 'log-hashes-insert', text: insert, values });
}

/** The newest check point at or below `seq`. */
export async function readCheckPoint(query: Query, log: bigint, seq: number): Promise<{ seq: number; hash: Buffer } | undefined> {
  const { rows } = await query({ name: 'log-hashes-below', text: readBelow, values: [log, seq] });
  const row = rows[0] as { seq: bigint; hash: Buffer } | undefined;
  return row && { seq: Number(row.seq), hash: row.hash };
}

/** The newest check point at or below each of these; nothing for those that have none. */
export async function readCheckPoints(
  query: Query,
  below: readonly { readonly log: bigint; readonly seq: number }[],
): Promise<Map<number, ProvedFrom>> {
  if (below.length === 0) return new Map();
  const values = [int8Array(below.map(({ log }) => log)), int8Array(below.map(({ seq }) => seq))];
  const { rows } = await query({ name: 'log-hashes-below-many', text: readBelowMany, values });
  return new Map(rows.map((r: { i: bigint; seq: bigint; hash: Buffer }) => [Number(r.i) - 1, { seq: Number(r.seq), hash: r.hash }]));
}
