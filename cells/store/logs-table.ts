// Logs: the locked row of each log, and what changes with its state.
import { chainStart } from '@weft/proto/chain.ts';
import { byteaArray, int2Array, int8Array } from '@weft/runtime/binary-arrays.ts';
import type { BinaryRow } from '@weft/runtime/binary-rows.ts';
import type { ProvedFrom } from '../delivery/chain-of.ts';
import type { LogKind, LogState } from '../delivery/log-state.ts';
import type { LogRow, LogStatus } from '../delivery/ports.ts';
import type { PreparedStatement, Query } from './entries-table.ts';

const lock = `
select log_id, status, epoch, head, head_ts, head_ord, head_hash, version
from logs
where log_id = any ($1::bigint[])
order by log_id
for update`;

// Arrays in the order of the locks; where a row is missing or differs in anything, or where they come in another order, the cast fails.
const lockAsKnownText = `
with locked as (
  select log_id, status, epoch, head, head_ts, head_ord, head_hash, version
  from logs
  where log_id = any ($1::bigint[])
  order by log_id
  for update
)
select cast(case when array_agg(log_id) = $1::bigint[] and array_agg(status) = $2::smallint[] and array_agg(epoch) = $3::bigint[]
  and array_agg(head) = $4::bigint[] and array_agg(head_ts) = $5::bigint[] and array_agg(head_ord) = $6::bigint[]
  and array_agg(head_hash) = $7::bytea[] and array_agg(version) = $8::bigint[]
  then '1' else 'moved' end as bigint) as held
from locked`;

const insert = `
insert into logs
  (log_id, kind, status, epoch, epoch_base, head, head_ts, head_ord, head_hash, version, start_seq, floor, low, high, changed_ms)
select l, k, st, e, 0, h, t, o, hh, v, s, s, lo, hi, $13::bigint
from unnest($1::bigint[], $2::smallint[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
  $9::bigint[], $10::bigint[], $11::bigint[], $12::bytea[]) as x (l, k, st, e, h, t, o, v, s, lo, hi, hh)`;

// The keys twice: a plan made while the table was small, and kept, would otherwise read all of it for each batch.
const update = `
update logs
set head = x.h, head_ts = x.t, head_ord = x.o, head_hash = x.hh, version = x.v, status = x.s, changed_ms = $8::bigint
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::smallint[], $7::bytea[]) as x (l, h, t, o, v, s, hh)
where logs.log_id = any ($1::bigint[]) and logs.log_id = x.l`;

const moveStarts = `
update logs
set start_seq = x.s, floor = x.s
from unnest($1::bigint[], $2::bigint[]) as x (l, s)
where logs.log_id = any ($1::bigint[]) and logs.log_id = x.l`;

const readStates = `
select l.log_id, l.kind, l.epoch, l.epoch_base, l.version, l.low, l.high, g.title, g.members_max, g.creator
from logs l
left join lateral (select title, members_max, creator from groups where groups.log_id = l.log_id limit 1) as g on true
where l.log_id = any ($1::bigint[])`;

const readOne = `
select log_id, status, epoch, head, head_ts, head_ord, head_hash, version, start_seq
from logs
where log_id = $1`;

// With the check point that proves what comes from seq f on; none is looked for where f is 0.
const readForUsersText = `
select x.i, r.log_id, r.status, r.epoch, r.head, r.head_ts, r.head_ord, r.head_hash, r.version, r.start_seq, r.from_seq, r.until_seq,
  r.point, r.point_hash
from unnest($1::bigint[], $2::bigint[], $3::bigint[]) with ordinality as x (u, l, f, i)
cross join lateral (
  select l.log_id, l.status, l.epoch, l.head, l.head_ts, l.head_ord, l.head_hash, l.version, l.start_seq, u.from_seq, u.until_seq,
    coalesce(p.seq, 0) as point, coalesce(p.hash, l.head_hash) as point_hash
  from user_logs u, logs l
  left join lateral (
    select seq, hash from log_hashes where x.f > 0 and log_hashes.log_id = l.log_id and log_hashes.seq < x.f order by seq desc limit 1
  ) as p on true
  where u.user_id = x.u and u.log_id = x.l and l.log_id = u.log_id
  offset 0
) as r`;

const unsettled = `
select log_id, status from logs where status > 2 order by log_id limit $1`;
// Only if it still is what was looked at: a head that moved on has been compared by its next entry.
const freezeText = `
update logs set status = 2 where log_id = $1 and epoch = $2 and head = $3 and head_hash <> $4 and status = 0`;

const readHeadHashesText = `
select log_id, epoch, head, head_hash from logs where log_id = any ($1::bigint[])`;

const insertSelf = `
insert into logs
  (log_id, kind, status, epoch, epoch_base, head, head_ts, head_ord, head_hash, version, start_seq, floor, low, high, changed_ms)
values ($1, 3, 0, $2, 0, 0, 0, 0, $4, 1, 0, 0, $1, 0, $3)
on conflict (log_id) do nothing`;

const kindNumbers = { direct: 1, group: 2, self: 3 } as const;
const kindNames: readonly LogKind[] = ['direct', 'direct', 'group', 'self'];
const statusNumbers = { open: 0, opening: 1, frozen: 2, intake: 3, stopped: 4 } as const;
const statusNames: readonly LogStatus[] = ['open', 'opening', 'frozen', 'intake', 'stopped'];

export const kindName = (number: number): LogKind => kindNames[number] ?? 'group';

interface LockedRow {
  log_id: bigint;
  status: number;
  epoch: bigint;
  head: bigint;
  head_ts: bigint;
  head_ord: bigint;
  head_hash: Buffer;
  version: bigint;
  start_seq?: bigint;
}

export async function lockLogs(query: Query, logs: readonly bigint[]): Promise<Map<bigint, LogRow>> {
  const { rows } = await query({ name: 'logs-lock', text: lock, values: [int8Array(logs)] });
  return new Map(rows.map((row: LockedRow) => [row.log_id, toRow(row)]));
}

/** Locks these rows, which are in id order. Fails with 22P02 unless they are exactly what is stored. */
export function lockRowsAsKnown(query: Query, rows: readonly LogRow[]): Promise<unknown> {
  const values = [
    int8Array(rows.map((r) => r.log)),
    int2Array(rows.map((r) => statusNumbers[r.status])),
    int8Array(rows.map((r) => r.epoch)),
    int8Array(rows.map((r) => r.head)),
    int8Array(rows.map((r) => r.ts)),
    int8Array(rows.map((r) => r.ord)),
    byteaArray(rows.map((r) => r.hash)),
    int8Array(rows.map((r) => r.version)),
  ];
  return query({ name: 'logs-lock-known', text: lockAsKnownText, values });
}

export async function readLog(query: Query, log: bigint): Promise<{ row: LogRow; start: number } | undefined> {
  const { rows } = await query({ name: 'logs-read', text: readOne, values: [log] });
  const row = rows[0] as LockedRow | undefined;
  return row && { row: toRow(row), start: Number(row.start_seq) };
}

/** A log as one of its users may read it. */
export interface ReadableLog {
  readonly row: LogRow;
  readonly start: number;
  readonly interval: { readonly from: number; readonly until: number };
}

export interface ReadableAsk {
  readonly user: bigint;
  readonly log: bigint;
  /** Where what is to be proved begins; 0 when it needs no check point. */
  readonly from: number;
}

export type Readable = ReadableLog & { readonly point: ProvedFrom | undefined };

/** `take` gets what each finds, with its place among those that ask; nothing for a log the user never was in. */
export const readableLogs = (asks: readonly ReadableAsk[], take: (at: number, found: Readable) => void): PreparedStatement => ({
  name: 'logs-read-for-users',
  text: readForUsersText,
  values: [int8Array(asks.map(({ user }) => user)), int8Array(asks.map(({ log }) => log)), int8Array(asks.map(({ from }) => from))],
  read: (row) => take(row.number() - 1, readReadable(row)),
});

function readReadable(row: BinaryRow): Readable {
  const log = row.int8();
  const status = statusNames[row.int2()] ?? 'frozen';
  const epoch = row.int8();
  const [head, ts, ord] = [row.number(), row.number(), row.number()];
  const hash = row.bytes();
  const [version, start, from, until] = [row.number(), row.number(), row.number(), row.number()];
  const point = { seq: row.number(), hash: row.bytes() };
  return {
    row: { log, status, epoch, head, ts, ord, hash, version },
    start,
    interval: { from, until },
    point: point.seq === 0 ? undefined : point,
  };
}

export function insertLogs(
  query: Query,
  created: readonly { row: LogRow; state: LogState; start: number }[],
  nowMs: number,
): Promise<unknown> {
  const values = [
    int8Array(created.map((c) => c.row.log)),
    int2Array(created.map((c) => kindNumbers[c.state.kind])),
    int2Array(created.map((c) => statusNumbers[c.row.status])),
    int8Array(created.map((c) => c.row.epoch)),
    int8Array(created.map((c) => c.row.head)),
    int8Array(created.map((c) => c.row.ts)),
    int8Array(created.map((c) => c.row.ord)),
    int8Array(created.map((c) => c.row.version)),
    int8Array(created.map((c) => c.start)),
    int8Array(created.map((c) => c.state.low)),
    int8Array(created.map((c) => c.state.high)),
    byteaArray(created.map((c) => c.row.hash)),
    nowMs,
  ];
  return query({ name: 'logs-insert', text: insert, values });
}

export function updateLogs(query: Query, rows: readonly LogRow[], nowMs: number): Promise<unknown> {
  const values = [
    int8Array(rows.map((r) => r.log)),
    int8Array(rows.map((r) => r.head)),
    int8Array(rows.map((r) => r.ts)),
    int8Array(rows.map((r) => r.ord)),
    int8Array(rows.map((r) => r.version)),
    int2Array(rows.map((r) => statusNumbers[r.status])),
    byteaArray(rows.map((r) => r.hash)),
    nowMs,
  ];
  return query({ name: 'logs-update', text: update, values });
}

export interface HeadHash {
  readonly log: bigint;
  readonly epoch: bigint;
  readonly head: number;
  readonly hash: Buffer;
}

export async function readHeadHashes(query: Query, logs: readonly bigint[]): Promise<HeadHash[]> {
  const { rows } = await query({ name: 'logs-head-hashes', text: readHeadHashesText, values: [int8Array(logs)] });
  return rows.map((r: { log_id: bigint; epoch: bigint; head: bigint; head_hash: Buffer }) => ({
    log: r.log_id,
    epoch: r.epoch,
    head: Number(r.head),
    hash: r.head_hash,
  }));
}

/** Freezes the log whose head here has another hash than `head` says. True when it was not frozen before. */
export async function freezeForked(
  query: Query,
  head: { readonly log: bigint; readonly epoch: bigint; readonly seq: bigint; readonly hash: Uint8Array },
): Promise<boolean> {
  const values = [head.log, head.epoch, head.seq, Buffer.from(head.hash)];
  return ((await query({ name: 'logs-freeze-forked', text: freezeText, values })).rowCount ?? 0) > 0;
}

/** Replicas that begin anew after `start`. What was stored below is no longer part of the run. */
export function updateStarts(query: Query, rows: readonly { log: bigint; start: number }[]): Promise<unknown> {
  return query({ name: 'logs-starts', text: moveStarts, values: [int8Array(rows.map((r) => r.log)), int8Array(rows.map((r) => r.start))] });
}

/** Logs of this cell that give no seq yet, or not to everybody. */
export async function readUnsettled(query: Query, limit: number): Promise<{ log: bigint; status: LogStatus }[]> {
  const { rows } = await query({ name: 'logs-unsettled', text: unsettled, values: [limit] });
  return rows.map((row: { log_id: bigint; status: number }) => ({ log: row.log_id, status: statusNames[row.status] ?? 'frozen' }));
}

/** A user's self log has the user's id. Doing it again changes nothing. */
export function insertSelfLog(query: Query, user: bigint, epoch: bigint, nowMs: number): Promise<unknown> {
  return query({ name: 'logs-insert-self', text: insertSelf, values: [user, epoch, nowMs, chainStart] });
}

export interface StateRow {
  log_id: bigint;
  kind: number;
  epoch: bigint;
  epoch_base: bigint;
  version: bigint;
  low: bigint;
  high: bigint;
  title: string | null;
  members_max: bigint | null;
  creator: bigint | null;
}

export async function readStateRows(query: Query, logs: readonly bigint[]): Promise<StateRow[]> {
  const { rows } = await query({ name: 'logs-states', text: readStates, values: [int8Array(logs)] });
  return rows;
}

const toRow = (row: LockedRow): LogRow => ({
  log: row.log_id,
  epoch: row.epoch,
  head: Number(row.head),
  ts: Number(row.head_ts),
  ord: Number(row.head_ord),
  hash: row.head_hash,
  version: Number(row.version),
  status: statusNames[row.status] ?? 'frozen',
});
