// Who exists: one row per user, unique by handle and by what the handle looks like.
import type { UserRecord } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import type { Sql } from './sql.ts';

const insert = `
insert into users (user_id, handle, skeleton, home, epoch, reserved_ms)
values ($1, $2, $3, $4, 1, $5)
on conflict do nothing`;

const byId = `
select user_id, handle, home, epoch
from users
where user_id = $1`;

const byHandle = `
select user_id, handle, home, epoch
from users
where handle = $1`;

interface Row {
  user_id: bigint;
  handle: string;
  home: bigint;
  epoch: bigint;
}

export interface NewUser {
  readonly id: bigint;
  readonly handle: string;
  readonly skeleton: string;
  readonly home: number;
  /** Unix milliseconds. */
  readonly nowMs: number;
}

export const usersTable = {
  /** False when the id, the handle or the skeleton is there already. Waits for a racing transaction that holds one of them. */
  async insert(sql: Sql, user: NewUser): Promise<boolean> {
    return (await sql.query(insert, [user.id, user.handle, user.skeleton, user.home, user.nowMs])).rowCount === 1;
  },

  async byId(sql: Sql, id: bigint): Promise<UserRecord | undefined> {
    return record((await sql.query<Row>(byId, [id])).rows[0]);
  },

  async byHandle(sql: Sql, handle: string): Promise<UserRecord | undefined> {
    return record((await sql.query<Row>(byHandle, [handle])).rows[0]);
  },
};

const record = (row: Row | undefined): UserRecord | undefined =>
  row && { id: row.user_id, handle: row.handle, home: Number(row.home), epoch: row.epoch };
