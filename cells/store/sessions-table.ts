// Sessions and their refresh tokens. Times are Unix milliseconds.
import { int8Array } from '@weft/runtime/binary-arrays.ts';
import type { Query } from './entries-table.ts';

const columns =
  'session_id, user_id, device, created_ms, refreshed_ms, ends_ms, refresh_number, refresh_hash, refresh_salt, ended_ms, ended_reason';

// A session that is there already is the same one: its transaction runs again after an answer was lost.
const insertText = `
insert into sessions (session_id, user_id, device, created_ms, refreshed_ms, ends_ms, refresh_number, refresh_hash, refresh_salt)
values ($1, $2, $3, $4, $4, $5, $6, $7, $8)
on conflict (session_id) do nothing`;

const byIdText = `
select ${columns}
from sessions
where session_id = $1`;

const liveOfUserText = `
select ${columns}
from sessions
where user_id = $1 and ended_ms is null and ends_ms > $2
order by session_id`;

// Of two refreshes with the same token one wins.
const refreshText = `
update sessions set refreshed_ms = $3, ends_ms = $4, refresh_number = refresh_number + 1, refresh_hash = $5, refresh_salt = $6
where session_id = $1 and refresh_number = $2 and ended_ms is null`;

const endText = `
update sessions set ended_ms = $2, ended_reason = $3, ended_by = $4
where session_id = $1 and ended_ms is null`;

const endedSinceText = `
select session_id
from sessions
where ended_ms > $1
order by ended_ms desc
limit $2`;

const liveAmongText = `
select session_id
from sessions
where session_id = any ($1::bigint[]) and ended_ms is null and ends_ms > $2`;

const forgetText = `
delete from sessions
where session_id in (select session_id from sessions where ends_ms < $1 limit $2)`;

export interface SessionRow {
  readonly session: bigint;
  readonly user: bigint;
  readonly device: string;
  readonly createdMs: number;
  readonly refreshedMs: number;
  readonly endsMs: number;
  /** Number and hash of the newest refresh token, and the salt that made it of the one before. */
  readonly refreshNumber: number;
  readonly refreshHash: Buffer;
  readonly refreshSalt: Buffer;
  readonly endedMs: number | undefined;
  readonly endedReason: string | undefined;
}

interface Columns {
  session_id: bigint;
  user_id: bigint;
  device: string;
  created_ms: bigint;
  refreshed_ms: bigint;
  ends_ms: bigint;
  refresh_number: bigint;
  refresh_hash: Buffer;
  refresh_salt: Buffer;
  ended_ms: bigint | null;
  ended_reason: string | null;
}

export type NewSession = Omit<SessionRow, 'refreshedMs' | 'endedMs' | 'endedReason'>;

export async function insertSession(query: Query, row: NewSession): Promise<void> {
  const values = [row.session, row.user, row.device, row.createdMs, row.endsMs, row.refreshNumber, row.refreshHash, row.refreshSalt];
  await query({ name: 'sessions-insert', text: insertText, values });
}

export async function findSession(query: Query, session: bigint): Promise<SessionRow | undefined> {
  const row: Columns | undefined = (await query({ name: 'sessions-by-id', text: byIdText, values: [session] })).rows[0];
  return row === undefined ? undefined : toSession(row);
}

/** Oldest first. */
export async function findLiveSessions(query: Query, user: bigint, nowMs: number): Promise<SessionRow[]> {
  return (await query({ name: 'sessions-live-of-user', text: liveOfUserText, values: [user, nowMs] })).rows.map(toSession);
}

export interface Refreshed {
  readonly session: bigint;
  /** The number that was found; it rises by one. */
  readonly number: number;
  readonly nowMs: number;
  readonly endsMs: number;
  readonly hash: Uint8Array;
  readonly salt: Uint8Array;
}

/** False when another refresh was first or the session has ended. */
export async function refreshSession(query: Query, to: Refreshed): Promise<boolean> {
  const values = [to.session, to.number, to.nowMs, to.endsMs, to.hash, to.salt];
  return (await query({ name: 'sessions-refresh', text: refreshText, values })).rowCount === 1;
}

export interface Ending {
  readonly reason: string;
  /** Who ended it; null: the cell. */
  readonly by: bigint | null;
  readonly nowMs: number;
}

/** False when it had ended before. */
export async function endSession(query: Query, session: bigint, ending: Ending): Promise<boolean> {
  return (await query({ name: 'sessions-end', text: endText, values: [session, ending.nowMs, ending.reason, ending.by] })).rowCount === 1;
}

/** Newest first. */
export async function findEndedSince(query: Query, sinceMs: number, limit: number): Promise<bigint[]> {
  return (await query({ name: 'sessions-ended-since', text: endedSinceText, values: [sinceMs, limit] })).rows.map(
    (row: { session_id: bigint }) => row.session_id,
  );
}

/** Those of `sessions` that have neither ended nor expired. */
export async function findLiveAmong(query: Query, sessions: readonly bigint[], nowMs: number): Promise<Set<bigint>> {
  const { rows } = await query({ name: 'sessions-live-among', text: liveAmongText, values: [int8Array(sessions), nowMs] });
  return new Set(rows.map((row: { session_id: bigint }) => row.session_id));
}

/** Deletes at most `limit` sessions whose time was over before `beforeMs`; tells how many. */
export async function forgetSessions(query: Query, beforeMs: number, limit: number): Promise<number> {
  return (await query({ name: 'sessions-forget', text: forgetText, values: [beforeMs, limit] })).rowCount ?? 0;
}

const toSession = (row: Columns): SessionRow => ({
  session: row.session_id,
  user: row.user_id,
  device: row.device,
  createdMs: Number(row.created_ms),
  refreshedMs: Number(row.refreshed_ms),
  endsMs: Number(row.ends_ms),
  refreshNumber: Number(row.refresh_number),
  refreshHash: row.refresh_hash,
  refreshSalt: row.refresh_salt,
  endedMs: row.ended_ms === null ? undefined : Number(row.ended_ms),
  endedReason: row.ended_reason ?? undefined,
});
