// The plan becomes the cell table: at each start, and only forward. A cell that left the plan stays: its number is in ids for ever.
import { directoryShards } from '@weft/proto/subjects.ts';
import { inTransaction } from '@weft/runtime/sql.ts';
import type pg from 'pg';
import { appendChange } from './append-change.ts';
import { cellRecord } from './cell-record.ts';
import type { PlannedCell } from './config.ts';
import { transaction } from './limits.ts';
import { shardOfCell } from './shard.ts';
import { cellKeysTable } from './store/cell-keys-table.ts';
import { cellUrlsTable } from './store/cell-urls-table.ts';
import { cellsTable } from './store/cells-table.ts';
import { shardsTable } from './store/shards-table.ts';
import type { Sql } from './store/sql.ts';

/** Throws when the plan gives a name another number, or a number another name, than the table has. */
export async function seedCells(pool: pg.Pool, plan: readonly PlannedCell[]): Promise<void> {
  for (let shard = 0; shard < directoryShards; shard++) await shardsTable.insert(pool, shard);
  for (const cell of plan) await inTransaction(pool, (sql) => seedCell(sql, cell), transaction);
}

async function seedCell(sql: Sql, planned: PlannedCell): Promise<void> {
  const fresh = await cellsTable.insert(sql, planned);
  const row = await cellsTable.lock(sql, planned.name);
  if (row === undefined || row.number !== planned.number) {
    throw new Error(
      `the plan says cell ${planned.name} is number ${planned.number}, the directory knows one of the two otherwise; numbers are never reused`,
    );
  }
  if (!fresh && row.region === planned.region && row.weight === planned.weight) return;

  const next = fresh ? row : { ...row, region: planned.region, weight: planned.weight, version: row.version + 1n };
  if (!fresh) await cellsTable.update(sql, next);
  const urls = await cellUrlsTable.read(sql, row.number);
  const keys = await cellKeysTable.read(sql, row.number);
  await appendChange(sql, shardOfCell(row.number), { $case: 'cell', value: cellRecord(next, { urls, keys }) });
}
