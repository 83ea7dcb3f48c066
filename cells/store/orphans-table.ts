// What a newer epoch gave up (R24): moved out of the entries, kept for people to look at.

import { type EpochStart, epochAt } from '@weft/proto/positions.ts';
import { int8Array } from '@weft/runtime/binary-arrays.ts';
import type { Query } from './entries-table.ts';

// The keys twice in each, as for logs: a plan made while the tables were small, and kept, would otherwise read all of them.
const keep = `
insert into orphans (log_id, epoch, seq, ts, ord, author_id, entry_key, kind, body, given_up_ms)
select e.log_id, x.e, e.seq, e.ts, e.ord, e.author_id, e.entry_key, e.kind, e.body, $5::bigint
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) as x (l, e, f, t), entries e
where e.log_id = any ($1::bigint[]) and e.log_id = x.l and e.seq >= x.f and e.seq <= x.t
on conflict (log_id, epoch, seq) do nothing`;

const remove = `
delete from entries
where (log_id, seq) in (
  select e.log_id, e.seq from unnest($1::bigint[], $2::bigint[]) as x (l, b), entries e
  where e.log_id = any ($1::bigint[]) and e.log_id = x.l and e.seq > x.b
)`;

const forgetHashes = `
delete from log_hashes
where (log_id, seq) in (
  select h.log_id, h.seq from unnest($1::bigint[], $2::bigint[]) as x (l, b), log_hashes h
  where h.log_id = any ($1::bigint[]) and h.log_id = x.l and h.seq > x.b
)`;

export interface GivenUp {
  readonly log: bigint;
  readonly base: number;
  /** The epochs as they were known when it was stored. */
  readonly before: readonly EpochStart[];
}

/** Moves what these logs hold above `base` aside. Marks stay as they were set: whoever reads one knows where it stands (R22). */
export function moveOrphans(query: Query, logs: readonly GivenUp[], nowMs: number): Promise<unknown>[] {
  const ranges = logs.flatMap(({ log, base, before }) => rangesAbove(before, base).map((range) => ({ log, ...range })));
  const bases = [int8Array(logs.map((l) => l.log)), int8Array(logs.map((l) => l.base))];
  return [
    query({
      name: 'orphans-keep',
      text: keep,
      values: [
        int8Array(ranges.map((r) => r.log)),
        int8Array(ranges.map((r) => r.epoch)),
        int8Array(ranges.map((r) => r.from)),
        int8Array(ranges.map((r) => r.to)),
        nowMs,
      ],
    }),
    query({ name: 'orphans-remove', text: remove, values: bases }),
    query({ name: 'orphans-hashes', text: forgetHashes, values: bases }),
  ];
}

/** Seqs above `base` by the epoch that gave them. */
function rangesAbove(epochs: readonly EpochStart[], base: number): { epoch: bigint; from: number; to: number }[] {
  return epochs.flatMap((start, at) => {
    const from = Math.max(start.base, base) + 1;
    const to = epochs[at + 1]?.base ?? Number.MAX_SAFE_INTEGER;
    return from <= to ? [{ epoch: epochAt(epochs, from), from, to }] : [];
  });
}
