// Signed heads of logs that other cells own, kept as their witness: the newest of each log and epoch.

import type { SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';
import { byteaArray, int8Array, textArray } from '@weft/runtime/binary-arrays.ts';
import type { Query } from './entries-table.ts';

const upsert = `
insert into witnessed_heads (log_id, epoch, seq, hash, signed_ms, kid, signature)
select l, e, s, h, t, k, g
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[], $6::text[], $7::bytea[]) as x (l, e, s, h, t, k, g)
on conflict (log_id, epoch) do update
set seq = excluded.seq, hash = excluded.hash, signed_ms = excluded.signed_ms, kid = excluded.kid, signature = excluded.signature
where excluded.seq > witnessed_heads.seq`;

const read = `
select w.log_id, w.epoch, w.seq, w.hash, w.signed_ms, w.kid, w.signature
from unnest($1::bigint[]) as x (l)
cross join lateral (
  select log_id, epoch, seq, hash, signed_ms, kid, signature from witnessed_heads where log_id = x.l order by epoch desc limit 1
) as w`;

const forget = `
delete from witnessed_heads where signed_ms < $1`;

interface Columns {
  log_id: bigint;
  epoch: bigint;
  seq: bigint;
  hash: Buffer;
  signed_ms: bigint;
  kid: string;
  signature: Buffer;
}

/** Older ones than those kept change nothing. One log at most once. */
export function upsertWitnessedHeads(query: Query, heads: readonly SignedHead[]): Promise<unknown> {
  const values = [
    int8Array(heads.map((h) => h.log)),
    int8Array(heads.map((h) => h.epoch)),
    int8Array(heads.map((h) => h.seq)),
    byteaArray(heads.map((h) => h.hash)),
    int8Array(heads.map((h) => h.ts)),
    textArray(heads.map((h) => h.kid)),
    byteaArray(heads.map((h) => h.signature)),
  ];
  return query({ name: 'witnessed-heads-upsert', text: upsert, values });
}

/** The head of the newest epoch of each of these logs. */
export async function readWitnessedHeads(query: Query, logs: readonly bigint[]): Promise<Map<bigint, SignedHead>> {
  const { rows } = await query({ name: 'witnessed-heads-read', text: read, values: [int8Array(logs)] });
  return new Map(
    rows.map((r: Columns) => [
      r.log_id,
      { log: r.log_id, epoch: r.epoch, seq: r.seq, hash: r.hash, ts: r.signed_ms, kid: r.kid, signature: r.signature },
    ]),
  );
}

export function forgetWitnessedHeads(query: Query, signedBeforeMs: number): Promise<unknown> {
  return query({ name: 'witnessed-heads-forget', text: forget, values: [signedBeforeMs] });
}
