// What a user has: one narrow row per log, read when a device comes (back), and the list a client shows.
import { int8Array } from '@weft/runtime/binary-arrays.ts';
import type { BinaryRow } from '@weft/runtime/binary-rows.ts';
import type { LogKind } from '../delivery/log-state.ts';
import type { PreparedStatement, Query } from './entries-table.ts';
import { kindName } from './logs-table.ts';

// `offset 0` keeps the planner from joining all users at once: not yet analysed, it would read the whole table for 256 of them.
const readHeadsText = `
select h.user_id, h.log_id, h.epoch, h.head, h.head_ord, h.head_ts, h.changed_ms
from unnest($1::bigint[]) as x (id)
cross join lateral (
  select u.user_id, u.log_id, l.epoch, l.head, l.head_ord, l.head_ts, l.changed_ms
  from user_logs u, logs l
  where u.user_id = x.id and u.until_seq = 0 and l.log_id = u.log_id
  offset 0
) as h`;

const readLogHeadsText = `
select log_id, epoch, head from logs where log_id = any ($1::bigint[])`;

// Where the user's mark stands: no further than where an epoch newer than the mark's began (R22).
const seen = `
left join lateral (
  select case when m.seen_epoch = l.epoch then m.seen_seq else least(
    m.seen_seq,
    case when l.epoch > m.seen_epoch then l.epoch_base end,
    (select min(e.base) from log_epochs e where e.log_id = u.log_id and e.epoch > m.seen_epoch)
  ) end as seen_seq
  from marks m
  where m.log_id = u.log_id and m.user_id = u.user_id
) as m on true`;

const listText = `
select u.log_id, u.from_seq, l.kind, l.epoch, l.head, l.head_ord, l.head_ts, l.low, l.high, g.title, m.seen_seq,
  (select e.ord from entries e where e.log_id = u.log_id and e.seq = greatest(coalesce(m.seen_seq, 0), u.from_seq - 1)) as seen_ord
from user_logs u
join logs l on l.log_id = u.log_id
left join lateral (select title from groups where groups.log_id = u.log_id limit 1) as g on true
${seen}
where u.user_id = $1 and u.until_seq = 0 and u.log_id > $2
order by u.log_id
limit $3`;

const listSomeText = `
select u.log_id, u.from_seq, l.kind, l.epoch, l.head, l.head_ord, l.head_ts, l.low, l.high, g.title, m.seen_seq,
  (select e.ord from entries e where e.log_id = u.log_id and e.seq = greatest(coalesce(m.seen_seq, 0), u.from_seq - 1)) as seen_ord
from user_logs u
join logs l on l.log_id = u.log_id
left join lateral (select title from groups where groups.log_id = u.log_id limit 1) as g on true
${seen}
where u.user_id = $1 and u.until_seq = 0 and u.log_id = any ($2::bigint[])
order by u.log_id`;

const countText = `
select count(*) as logs from user_logs where user_id = $1 and until_seq = 0`;

const insertSelf = `
insert into user_logs (user_id, log_id, from_seq, until_seq)
values ($1, $1, 1, 0)
on conflict (user_id, log_id) do nothing`;

export interface UserHead {
  readonly log: bigint;
  readonly epoch: bigint;
  readonly head: number;
  readonly ord: number;
  readonly ts: number;
  /** When this cell last stored something of the log, by its own clocks. */
  readonly changedMs: number;
}

export interface UserLogInfo extends Omit<UserHead, 'changedMs'> {
  readonly kind: LogKind;
  readonly low: bigint;
  readonly high: bigint;
  readonly title: string;
  readonly from: number;
  readonly seen: number;
  readonly seenOrd: number;
}

type Run = (statement: PreparedStatement) => Promise<unknown>;

/** Heads of all logs of these users. */
export async function readUserHeads(users: readonly bigint[], run: Run): Promise<Map<bigint, UserHead[]>> {
  const heads = new Map<bigint, UserHead[]>(users.map((user) => [user, []]));
  const read = (row: BinaryRow): void => {
    const of = heads.get(row.int8());
    of?.push({ log: row.int8(), epoch: row.int8(), head: row.number(), ord: row.number(), ts: row.number(), changedMs: row.number() });
  };
  await run({ name: 'user-logs-heads', text: readHeadsText, values: [int8Array([...heads.keys()])], read });
  return heads;
}

export async function readHeads(query: Query, logs: readonly bigint[]): Promise<{ log: bigint; epoch: bigint; head: number }[]> {
  const { rows } = await query({ name: 'logs-heads', text: readLogHeadsText, values: [int8Array(logs)] });
  return rows.map((r: { log_id: bigint; epoch: bigint; head: bigint }) => ({ log: r.log_id, epoch: r.epoch, head: Number(r.head) }));
}

/** Logs of a user in the order of their ids, after `after`. */
export async function listUserLogs(query: Query, user: bigint, page: { after: bigint; limit: number }): Promise<UserLogInfo[]> {
  const { rows } = await query({ name: 'user-logs-list', text: listText, values: [user, page.after, page.limit] });
  return rows.map(toInfo);
}

export async function readUserLogs(query: Query, user: bigint, logs: readonly bigint[]): Promise<UserLogInfo[]> {
  const { rows } = await query({ name: 'user-logs-some', text: listSomeText, values: [user, int8Array(logs)] });
  return rows.map(toInfo);
}

export async function countUserLogs(query: Query, user: bigint): Promise<number> {
  const { rows } = await query({ name: 'user-logs-count', text: countText, values: [user] });
  return Number(rows[0]?.logs ?? 0);
}

export function insertSelfUserLog(query: Query, user: bigint): Promise<unknown> {
  return query({ name: 'user-logs-self', text: insertSelf, values: [user] });
}

interface InfoColumns {
  log_id: bigint;
  epoch: bigint;
  head: bigint;
  head_ord: bigint;
  head_ts: bigint;
  kind: number;
  low: bigint;
  high: bigint;
  title: string | null;
  from_seq: bigint;
  seen_seq: bigint | null;
  seen_ord: bigint | null;
}

const toInfo = (r: InfoColumns): UserLogInfo => ({
  log: r.log_id,
  epoch: r.epoch,
  head: Number(r.head),
  ord: Number(r.head_ord),
  ts: Number(r.head_ts),
  kind: kindName(r.kind),
  low: r.low,
  high: r.high,
  title: r.title ?? '',
  from: Number(r.from_seq),
  seen: Number(r.seen_seq ?? 0n),
  seenOrd: Number(r.seen_ord ?? 0n),
});
