// Who is in a log and which cells keep it: groups, members, log_cells, user_logs, pairs.
import { int2Array, int8Array, textArray } from '@weft/runtime/binary-arrays.ts';
import { type CellInterval, type LogState, type MemberState, membershipChange, type Pair, pairKey } from '../delivery/log-state.ts';
import type { UserLogRow } from '../delivery/ports.ts';
import type { Query } from './entries-table.ts';

const insertGroups = `
insert into groups (log_id, title, members_max, creator)
select l, t, m, c from unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) as x (l, t, m, c)`;

const insertMembers = `
insert into members (log_id, user_id, home, from_seq)
select l, u, h, f from unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[]) as x (l, u, h, f)`;

const deleteMembers = `
delete from members
where (log_id, user_id) in (select l, u from unnest($1::bigint[], $2::bigint[]) as x (l, u))`;

const upsertCells = `
insert into log_cells (log_id, cell, from_seq, until_seq)
select l, c, f, u from unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[]) as x (l, c, f, u)
on conflict (log_id, cell) do update set from_seq = excluded.from_seq, until_seq = excluded.until_seq`;

const upsertUserLogs = `
insert into user_logs (user_id, log_id, from_seq, until_seq)
select u, l, f, t from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) as x (u, l, f, t)
on conflict (user_id, log_id) do update set from_seq = excluded.from_seq, until_seq = excluded.until_seq`;

const insertPairs = `
insert into pairs (low, high, log_id)
select a, b, l from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as x (a, b, l)`;

const findPairsText = `
select p.low, p.high, p.log_id
from unnest($1::bigint[], $2::bigint[]) as x (a, b), pairs p
where p.low = x.a and p.high = x.b`;

// `offset 0`: see user-logs-table.ts.
const readMembersText = `
select m.log_id, m.user_id, m.home, m.from_seq
from unnest($1::bigint[]) as x (id)
cross join lateral (select log_id, user_id, home, from_seq from members where log_id = x.id offset 0) as m`;

const readCellsText = `
select c.log_id, c.cell, c.from_seq, c.until_seq
from unnest($1::bigint[]) as x (id)
cross join lateral (select log_id, cell, from_seq, until_seq from log_cells where log_id = x.id offset 0) as c`;

export function insertGroupRows(query: Query, states: readonly LogState[]): Promise<unknown> {
  const values = [
    int8Array(states.map((s) => s.log)),
    textArray(states.map((s) => s.title)),
    int8Array(states.map((s) => s.membersMax)),
    int8Array(states.map((s) => s.creator)),
  ];
  return query({ name: 'groups-insert', text: insertGroups, values });
}

type Changed = { readonly before: LogState | undefined; readonly after: LogState };

/** Writes the difference between two states; `before` is undefined for a log that is new here. */
export function writeMembership(query: Query, changes: readonly Changed[]): Promise<unknown>[] {
  const joined: { log: bigint; user: bigint; home: number; from: number }[] = [];
  const left: { log: bigint; user: bigint }[] = [];
  const cells: { log: bigint; cell: number; from: number; until: number }[] = [];
  for (const { before, after } of changes) {
    const change = membershipChange(before, after);
    for (const user of change.joined) joined.push({ log: after.log, user, ...(after.members.get(user) as MemberState) });
    for (const user of change.left) left.push({ log: after.log, user });
    for (const [cell, interval] of after.cells)
      if (!sameInterval(before?.cells.get(cell), interval)) cells.push({ log: after.log, cell, ...interval });
  }
  const sent: Promise<unknown>[] = [];
  if (left.length > 0)
    sent.push(
      query({
        name: 'members-delete',
        text: deleteMembers,
        values: [int8Array(left.map((r) => r.log)), int8Array(left.map((r) => r.user))],
      }),
    );
  if (joined.length > 0) sent.push(sendMembers(query, joined));
  if (cells.length > 0) sent.push(sendCells(query, cells));
  return sent;
}

const sameInterval = (a: CellInterval | undefined, b: CellInterval): boolean => a !== undefined && a.from === b.from && a.until === b.until;

const sendMembers = (query: Query, rows: readonly { log: bigint; user: bigint; home: number; from: number }[]): Promise<unknown> =>
  query({
    name: 'members-insert',
    text: insertMembers,
    values: [
      int8Array(rows.map((r) => r.log)),
      int8Array(rows.map((r) => r.user)),
      int2Array(rows.map((r) => r.home)),
      int8Array(rows.map((r) => r.from)),
    ],
  });

const sendCells = (query: Query, rows: readonly { log: bigint; cell: number; from: number; until: number }[]): Promise<unknown> =>
  query({
    name: 'log-cells-upsert',
    text: upsertCells,
    values: [
      int8Array(rows.map((r) => r.log)),
      int2Array(rows.map((r) => r.cell)),
      int8Array(rows.map((r) => r.from)),
      int8Array(rows.map((r) => r.until)),
    ],
  });

/** A user who leaves and comes back within one transaction ends with the last row. */
export function upsertUserLogRows(query: Query, rows: readonly UserLogRow[]): Promise<unknown> {
  const last = [...new Map(rows.map((r) => [`${r.user}:${r.log}`, r])).values()];
  const values = [
    int8Array(last.map((r) => r.user)),
    int8Array(last.map((r) => r.log)),
    int8Array(last.map((r) => r.from)),
    int8Array(last.map((r) => r.until)),
  ];
  return query({ name: 'user-logs-upsert', text: upsertUserLogs, values });
}

export function insertPairRows(query: Query, rows: readonly { pair: Pair; log: bigint }[]): Promise<unknown> {
  const values = [int8Array(rows.map((r) => r.pair.low)), int8Array(rows.map((r) => r.pair.high)), int8Array(rows.map((r) => r.log))];
  return query({ name: 'pairs-insert', text: insertPairs, values });
}

export async function findPairLogs(query: Query, pairs: readonly Pair[]): Promise<Map<string, bigint>> {
  const { rows } = await query({
    name: 'pairs-find',
    text: findPairsText,
    values: [int8Array(pairs.map((p) => p.low)), int8Array(pairs.map((p) => p.high))],
  });
  return new Map(rows.map((r: { low: bigint; high: bigint; log_id: bigint }) => [pairKey(r), r.log_id]));
}

export async function readMembers(query: Query, logs: readonly bigint[]): Promise<Map<bigint, Map<bigint, MemberState>>> {
  const { rows } = await query({ name: 'members-read', text: readMembersText, values: [int8Array(logs)] });
  return group(rows as { log_id: bigint; user_id: bigint; home: number; from_seq: bigint }[], (r) => [
    r.user_id,
    { home: r.home, from: Number(r.from_seq) },
  ]);
}

export async function readCells(query: Query, logs: readonly bigint[]): Promise<Map<bigint, Map<number, CellInterval>>> {
  const { rows } = await query({ name: 'log-cells-read', text: readCellsText, values: [int8Array(logs)] });
  return group(rows as { log_id: bigint; cell: number; from_seq: bigint; until_seq: bigint }[], (r) => [
    r.cell,
    { from: Number(r.from_seq), until: Number(r.until_seq) },
  ]);
}

function group<R extends { log_id: bigint }, K, V>(rows: readonly R[], entry: (row: R) => [K, V]): Map<bigint, Map<K, V>> {
  const grouped = new Map<bigint, Map<K, V>>();
  for (const row of rows) {
    const inner = grouped.get(row.log_id) ?? new Map<K, V>();
    inner.set(...entry(row));
    grouped.set(row.log_id, inner);
  }
  return grouped;
}
