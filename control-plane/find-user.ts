import { WeftError } from '@weft/proto/faults.ts';
import type { FindUserRequest, FindUserResponse } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import type pg from 'pg';
import { usersTable } from './store/users-table.ts';

/** By normalised handle or by id. Throws `unknown_user`. */
export async function findUser(pool: pg.Pool, { by }: FindUserRequest): Promise<FindUserResponse> {
  if (by === undefined) throw new WeftError('bad_request', 'handle or id');
  const user = by.$case === 'handle' ? await usersTable.byHandle(pool, by.value) : await usersTable.byId(pool, by.value);
  if (user === undefined) throw new WeftError('unknown_user');
  return { user };
}
