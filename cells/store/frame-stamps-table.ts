// What became of frames, a few seconds of them in a row: passport/stamp-codec.ts packs them.
import { byteaArray, int2Array, int8Array } from '@weft/runtime/binary-arrays.ts';
import type { Query } from './entries-table.ts';

const insert = `
insert into frame_stamps (peer, way, minute, node, part, stamps)
select p, w, m, $1::smallint, $2::bigint, s
from unnest($3::smallint[], $4::smallint[], $5::bigint[], $6::bytea[]) as x (p, w, m, s)
on conflict (peer, way, minute, node, part) do nothing`;

const read = `
select peer, way, minute, stamps
from frame_stamps
where peer = any ($1::smallint[]) and minute >= $2 and minute <= $3
order by peer, way, minute, node, part
limit $4`;

const forget = `
delete from frame_stamps where minute < $1`;

export interface StampRow {
  readonly peer: number;
  readonly way: 'out' | 'in';
  /** Of the frames' ids, in minutes since the Unix epoch. */
  readonly minute: number;
  readonly stamps: Uint8Array;
}

const ways = ['out', 'in'] as const;

export function insertStamps(query: Query, { node, part }: { node: number; part: number }, rows: readonly StampRow[]): Promise<unknown> {
  const values = [
    node,
    part,
    int2Array(rows.map((r) => r.peer)),
    int2Array(rows.map((r) => ways.indexOf(r.way))),
    int8Array(rows.map((r) => r.minute)),
    byteaArray(rows.map((r) => r.stamps)),
  ];
  return query({ name: 'frame-stamps-insert', text: insert, values });
}

export async function readStamps(
  query: Query,
  of: { readonly peers: readonly number[]; readonly from: number; readonly to: number; readonly limit: number },
): Promise<StampRow[]> {
  const { rows } = await query({ name: 'frame-stamps-read', text: read, values: [int2Array(of.peers), of.from, of.to, of.limit] });
  return rows.map((r: { peer: number; way: number; minute: bigint; stamps: Buffer }) => ({
    peer: r.peer,
    way: ways[r.way] ?? 'out',
    minute: Number(r.minute),
    stamps: r.stamps,
  }));
}

export function forgetStamps(query: Query, beforeMinute: number): Promise<unknown> {
  return query({ name: 'frame-stamps-forget', text: forget, values: [beforeMinute] });
}
