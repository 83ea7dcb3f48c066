// TakeOver: an operator gives a log whose owner is lost to another cell. The directory's signature on the change is what
// every cell believes; nobody asks the old owner.

import { WeftError } from '@weft/proto/faults.ts';
import type { TakeOverRequest, TakeOverResponse } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { countByDirectory, epochParts, laterEpoch, makeEpoch } from '@weft/proto/positions.ts';
import { inTransaction } from '@weft/runtime/sql.ts';
import type pg from 'pg';
import { appendChange } from './append-change.ts';
import { operatorName, transaction } from './limits.ts';
import { shardOfUser } from './shard.ts';
import { cellsTable } from './store/cells-table.ts';
import type { Sql } from './store/sql.ts';
import { takeoversTable } from './store/takeovers-table.ts';

/** `caller`: only the operators' token may. The same request again, once it was done, gives the next epoch: harmless. */
export async function takeOver(pool: pg.Pool, request: TakeOverRequest, caller: string): Promise<TakeOverResponse> {
  if (caller !== operatorName) throw new WeftError('not_allowed', 'only an operator may');
  if (request.log <= 0n || request.after <= 0n) throw new WeftError('bad_request', 'log and after');
  return { takeover: await inTransaction(pool, (sql) => sign(sql, request), transaction) };
}

async function sign(sql: Sql, request: TakeOverRequest): Promise<{ log: bigint; epoch: bigint }> {
  const cell = await cellsTable.lock(sql, request.cell);
  if (cell === undefined) throw new WeftError('unknown_cell', request.cell);
  if (cell.state === 'retired') throw new WeftError('not_allowed', 'that cell is retired');
  const signed = await takeoversTable.lock(sql, request.log);
  const last = laterEpoch(request.after, signed);
  const epoch = makeEpoch({ count: countByDirectory(epochParts(last).count), cell: cell.number, generation: Number(cell.generation) });
  const takeover = { log: request.log, epoch };
  await takeoversTable.update(sql, request.log, epoch);
  await appendChange(sql, shardOfUser(request.log), { $case: 'takeover', value: takeover });
  return takeover;
}
