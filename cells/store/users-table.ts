// People homed in this cell.
import type { Query } from './entries-table.ts';

const columns = 'user_id, handle, password_hash, pepper, self_log, sign_up_device, created_ms';

const insertText = `
insert into users (user_id, handle, password_hash, pepper, self_log, sign_up_device, created_ms)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (user_id) do nothing`;

const byHandleText = `
select ${columns}
from users
where handle = $1`;

const byIdText = `
select ${columns}
from users
where user_id = $1`;

const lockText = `
select user_id
from users
where user_id = $1
for update`;

// The old hash is compared, so that a password changed meanwhile is not put back.
const setPasswordText = `
update users set password_hash = $3, pepper = $4
where user_id = $1 and password_hash = $2`;

export interface UserRow {
  readonly user: bigint;
  readonly handle: string;
  readonly password: { readonly hash: string; readonly pepper: number };
  readonly selfLog: bigint;
  readonly signUpDevice: string;
  readonly createdMs: number;
}

interface Columns {
  user_id: bigint;
  handle: string;
  password_hash: string;
  pepper: bigint;
  self_log: bigint;
  sign_up_device: string;
  created_ms: bigint;
}

/** Does nothing when the user is there. Another user with the same handle is an error (23505). */
export async function insertUser(query: Query, row: UserRow): Promise<void> {
  await query({
    name: 'users-insert',
    text: insertText,
    values: [row.user, row.handle, row.password.hash, row.password.pepper, row.selfLog, row.signUpDevice, row.createdMs],
  });
}

export async function findUserByHandle(query: Query, handle: string): Promise<UserRow | undefined> {
  return toUser((await query({ name: 'users-by-handle', text: byHandleText, values: [handle] })).rows[0]);
}

export async function findUserById(query: Query, user: bigint): Promise<UserRow | undefined> {
  return toUser((await query({ name: 'users-by-id', text: byIdText, values: [user] })).rows[0]);
}

/** In a transaction: whoever opens sessions of one user does so one after the other. False when there is no such user. */
export async function lockUser(query: Query, user: bigint): Promise<boolean> {
  return (await query({ name: 'users-lock', text: lockText, values: [user] })).rowCount === 1;
}

export async function setPassword(query: Query, row: UserRow, password: UserRow['password']): Promise<void> {
  await query({ name: 'users-set-password', text: setPasswordText, values: [row.user, row.password.hash, password.hash, password.pepper] });
}

function toUser(row: Columns | undefined): UserRow | undefined {
  if (row === undefined) return undefined;
  return {
    user: row.user_id,
    handle: row.handle,
    password: { hash: row.password_hash, pepper: Number(row.pepper) },
    selfLog: row.self_log,
    signUpDevice: row.sign_up_device,
    createdMs: Number(row.created_ms),
  };
}
