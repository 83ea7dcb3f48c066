// Reserve: one handle, and everything that looks like it, belongs to one user.
//
// Two racing transactions meet at the unique keys: the second waits for the first and then inserts nothing. Who inserted nothing looks
// whether it was the same user before (a lost answer, a crash between the cell's intention and its activation): then the answer is the same.

import { WeftError } from '@weft/proto/faults.ts';
import type { ReserveRequest, ReserveResponse, UserRecord } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { normaliseHandle, skeleton } from '@weft/proto/handle.ts';
import { birthCell } from '@weft/proto/ids.ts';
import { inTransaction } from '@weft/runtime/sql.ts';
import type pg from 'pg';
import { appendChange } from './append-change.ts';
import { transaction } from './limits.ts';
import { shardOfUser } from './shard.ts';
import { cellsTable } from './store/cells-table.ts';
import { usersTable } from './store/users-table.ts';

export interface ReserveParts {
  readonly pool: pg.Pool;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/** `caller`: name of the cell that asks; it reserves for users born in it only. */
export async function reserve({ pool, now }: ReserveParts, request: ReserveRequest, caller: string): Promise<ReserveResponse> {
  checkHandle(request);
  if ((await cellsTable.numberOf(pool, caller)) !== request.home) throw new WeftError('not_allowed', 'a cell reserves for itself only');
  if (birthCell(request.user) !== request.home) throw new WeftError('bad_request', 'the user id was not made in this cell');

  const user: UserRecord = { id: request.user, handle: request.handle, home: request.home, epoch: 1n };
  const held = await inTransaction(
    pool,
    async (sql) => {
      if (!(await usersTable.insert(sql, { ...user, skeleton: request.skeleton, nowMs: now() }))) return usersTable.byId(sql, user.id);
      await appendChange(sql, shardOfUser(user.id), { $case: 'user', value: user });
      return user;
    },
    transaction,
  );
  if (held?.handle !== user.handle) return { result: { $case: 'taken', value: true } };
  return { result: { $case: 'reserved', value: held } };
}

/** The directory computes both itself: a cell with an older table of look-alikes, or a hostile one, must not slip one in. */
function checkHandle(request: ReserveRequest): void {
  if (normaliseHandle(request.handle) !== request.handle) throw new WeftError('handle_invalid', 'not in its one spelling');
  if (skeleton(request.handle) !== request.skeleton) throw new WeftError('handle_invalid', 'the skeleton is another one here');
}
