// Marks: how far a user has received and read a log. They only move forward (R22). Kept as they were set, whatever newer epochs
// gave up since: cells hear of marks and of epochs in any order, and end with the same rows. Where one stands now is for its
// readers to say (`clampMark`).
import { int2Array, int8Array } from '@weft/runtime/binary-arrays.ts';
import type { Mark, MarkToTell } from '../delivery/marks.ts';
import type { Query } from './entries-table.ts';

const columns = '(log_id, user_id, delivered_epoch, delivered_seq, seen_epoch, seen_seq)';
const forward = `
set
  delivered_epoch = case when (excluded.delivered_epoch, excluded.delivered_seq) > (marks.delivered_epoch, marks.delivered_seq)
    then excluded.delivered_epoch else marks.delivered_epoch end,
  delivered_seq = case when (excluded.delivered_epoch, excluded.delivered_seq) > (marks.delivered_epoch, marks.delivered_seq)
    then excluded.delivered_seq else marks.delivered_seq end,
  seen_epoch = case when (excluded.seen_epoch, excluded.seen_seq) > (marks.seen_epoch, marks.seen_seq)
    then excluded.seen_epoch else marks.seen_epoch end,
  seen_seq = case when (excluded.seen_epoch, excluded.seen_seq) > (marks.seen_epoch, marks.seen_seq)
    then excluded.seen_seq else marks.seen_seq end`;
// A statement is read as it stands: the same for the other table.
const waitingForward = `
set
  delivered_epoch = case when (excluded.delivered_epoch, excluded.delivered_seq) > (marks_out.delivered_epoch, marks_out.delivered_seq)
    then excluded.delivered_epoch else marks_out.delivered_epoch end,
  delivered_seq = case when (excluded.delivered_epoch, excluded.delivered_seq) > (marks_out.delivered_epoch, marks_out.delivered_seq)
    then excluded.delivered_seq else marks_out.delivered_seq end,
  seen_epoch = case when (excluded.seen_epoch, excluded.seen_seq) > (marks_out.seen_epoch, marks_out.seen_seq)
    then excluded.seen_epoch else marks_out.seen_epoch end,
  seen_seq = case when (excluded.seen_epoch, excluded.seen_seq) > (marks_out.seen_epoch, marks_out.seen_seq)
    then excluded.seen_seq else marks_out.seen_seq end`;
const arrays = `
select l, u, de, ds, se, ss
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) as x (l, u, de, ds, se, ss)`;

const merge = `
insert into marks ${columns} ${arrays}
on conflict (log_id, user_id) do update ${forward}
returning log_id, user_id, delivered_epoch, delivered_seq, seen_epoch, seen_seq`;

const readText = `
select log_id, user_id, delivered_epoch, delivered_seq, seen_epoch, seen_seq from marks where log_id = $1`;

// Both or neither: a mark that is here and waits for nobody would never be told. In the same order everywhere: statements that
// overlap wait for each other instead of failing.
const set = `
with merged as (${merge}), waiting as (
  insert into marks_out (dst, log_id, user_id, delivered_epoch, delivered_seq, seen_epoch, seen_seq)
  select d, log_id, user_id, delivered_epoch, delivered_seq, seen_epoch, seen_seq
  from merged
  join unnest($7::smallint[], $8::bigint[], $9::bigint[]) as y (d, l, u) on log_id = l and user_id = u
  order by d, log_id, user_id
  on conflict (dst, log_id, user_id) do update ${waitingForward}
  returning dst
)
select log_id, user_id, delivered_epoch, delivered_seq, seen_epoch, seen_seq from merged`;

// Of a user who left, another cell would not take it: it waits until they are back.
const readWaiting = `
select o.dst, o.log_id, o.user_id, o.delivered_epoch, o.delivered_seq, o.seen_epoch, o.seen_seq
from marks_out o
cross join lateral (select 1 from members m where m.log_id = o.log_id and m.user_id = o.user_id limit 1) as present
where o.dst = $1
order by o.log_id, o.user_id
limit $2`;

const told = `
delete from marks_out
where (dst, log_id, user_id, delivered_epoch, delivered_seq, seen_epoch, seen_seq) in (
  select d, l, u, de, ds, se, ss
  from unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) as x (d, l, u, de, ds, se, ss)
)`;

export type { Mark };

interface Row {
  log_id: bigint;
  user_id: bigint;
  delivered_epoch: bigint;
  delivered_seq: bigint;
  seen_epoch: bigint;
  seen_seq: bigint;
}

/** Merges by maximum; one mark per (log, user). Resolves to the marks as they are now. */
export async function mergeMarks(query: Query, marks: readonly Mark[]): Promise<Mark[]> {
  const { rows } = await query({ name: 'marks-merge', text: merge, values: markArrays(marks) });
  return rows.map(toMark);
}

export async function readMarks(query: Query, log: bigint): Promise<Mark[]> {
  const { rows } = await query({ name: 'marks-read', text: readText, values: [log] });
  return rows.map(toMark);
}

/** Merges marks, one of each log and user, and notes the cells each is to be told to. Two that cross on their way here leave the further one. */
export async function setMarks(query: Query, marks: readonly MarkToTell[]): Promise<Mark[]> {
  const told = marks.flatMap(({ mark, dsts }) => dsts.map((dst) => ({ dst, mark })));
  const waiting = [
    int2Array(told.map(({ dst }) => dst)),
    int8Array(told.map(({ mark }) => mark.log)),
    int8Array(told.map(({ mark }) => mark.user)),
  ];
  const { rows } = await query({ name: 'marks-set', text: set, values: [...markArrays(marks.map(({ mark }) => mark)), ...waiting] });
  return rows.map(toMark);
}

export async function readWaitingMarks(query: Query, dst: number, limit: number): Promise<Mark[]> {
  const { rows } = await query({ name: 'marks-out-read', text: readWaiting, values: [dst, limit] });
  return rows.map(toMark);
}

/** A waiting mark goes when the acknowledged position equals it. */
export function toldMarks(query: Query, dst: number, marks: readonly Mark[]): Promise<unknown> {
  return query({ name: 'marks-out-told', text: told, values: [int2Array(marks.map(() => dst)), ...markArrays(marks)] });
}

const markArrays = (marks: readonly Mark[]): Buffer[] => [
  int8Array(marks.map((m) => m.log)),
  int8Array(marks.map((m) => m.user)),
  int8Array(marks.map((m) => m.deliveredEpoch)),
  int8Array(marks.map((m) => m.delivered)),
  int8Array(marks.map((m) => m.seenEpoch)),
  int8Array(marks.map((m) => m.seen)),
];

const toMark = (r: Row): Mark => ({
  log: r.log_id,
  user: r.user_id,
  deliveredEpoch: r.delivered_epoch,
  delivered: Number(r.delivered_seq),
  seenEpoch: r.seen_epoch,
  seen: Number(r.seen_seq),
});
