// Sign-ups between intention and activation.
import type { Query } from './entries-table.ts';

const columns = 'user_id, handle, skeleton, password_hash, pepper, device, created_ms';

const insertText = `
insert into signups (user_id, handle, skeleton, password_hash, pepper, device, created_ms)
values ($1, $2, $3, $4, $5, $6, $7)`;

const byHandleText = `
select ${columns}
from signups
where handle = $1 and device = $2
order by user_id
limit $3`;

const oldText = `
select ${columns}
from signups
where created_ms <= $1 and user_id > $2
order by user_id
limit $3`;

const removeText = `
delete from signups where user_id = $1`;

const countText = `
select count(*) as waiting from (select user_id from signups limit $1) as counted`;

export interface SignUpRow {
  readonly user: bigint;
  readonly handle: string;
  readonly skeleton: string;
  readonly password: { readonly hash: string; readonly pepper: number };
  readonly device: string;
  readonly createdMs: number;
}

interface Columns {
  user_id: bigint;
  handle: string;
  skeleton: string;
  password_hash: string;
  pepper: bigint;
  device: string;
  created_ms: bigint;
}

export async function insertSignUp(query: Query, row: SignUpRow): Promise<void> {
  await query({
    name: 'signups-insert',
    text: insertText,
    values: [row.user, row.handle, row.skeleton, row.password.hash, row.password.pepper, row.device, row.createdMs],
  });
}

/** Oldest first. */
export async function findSignUps(
  query: Query,
  by: { readonly handle: string; readonly device: string },
  limit: number,
): Promise<SignUpRow[]> {
  return (await query({ name: 'signups-by-handle', text: byHandleText, values: [by.handle, by.device, limit] })).rows.map(toSignUp);
}

/** One page of those made at or before `createdMs`, by user id, after `after`. */
export async function findOldSignUps(
  query: Query,
  page: { readonly createdMs: number; readonly after: bigint; readonly limit: number },
): Promise<SignUpRow[]> {
  return (await query({ name: 'signups-old', text: oldText, values: [page.createdMs, page.after, page.limit] })).rows.map(toSignUp);
}

export async function removeSignUp(query: Query, user: bigint): Promise<void> {
  await query({ name: 'signups-remove', text: removeText, values: [user] });
}

/** How many there are, counted up to `max`. */
export async function countSignUps(query: Query, max: number): Promise<number> {
  return Number((await query({ name: 'signups-count', text: countText, values: [max] })).rows[0].waiting);
}

const toSignUp = (row: Columns): SignUpRow => ({
  user: row.user_id,
  handle: row.handle,
  skeleton: row.skeleton,
  password: { hash: row.password_hash, pepper: Number(row.pepper) },
  device: row.device,
  createdMs: Number(row.created_ms),
});
