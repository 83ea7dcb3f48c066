// RegisterCell: a cell says where its nodes are, which generation its store is in and what its public keys are.

import { WeftError } from '@weft/proto/faults.ts';
import type { CellRecord, RegisterCellRequest, RegisterCellResponse } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { inTransaction } from '@weft/runtime/sql.ts';
import type pg from 'pg';
import { z } from 'zod';
import { appendChange } from './append-change.ts';
import { cellRecord } from './cell-record.ts';
import { limits, transaction } from './limits.ts';
import { mergeRegistration, nameOf, type Registered, type Registration } from './merge-registration.ts';
import { shardOfCell } from './shard.ts';
import { cellKeysTable } from './store/cell-keys-table.ts';
import { cellUrlsTable } from './store/cell-urls-table.ts';
import { cellsTable } from './store/cells-table.ts';
import type { Sql } from './store/sql.ts';

const registrationShape = z.object({
  name: z.string().min(1).max(64),
  generation: z.bigint().min(0n).max(limits.generationMax),
  urls: z.array(z.url({ protocol: /^https?$/ }).max(limits.urlCharsMax)).max(limits.urlsPerCellMax),
  keys: z
    .array(
      z.object({
        use: z.enum(['KEY_USE_SEAL', 'KEY_USE_TOKEN', 'KEY_USE_HEAD']),
        version: z.int().min(1).max(0x7fffffff),
        key: z.instanceof(Uint8Array).refine((key) => key.length === 32, 'a key is 32 bytes'),
        ends: z.bigint().min(0n).max(BigInt(Number.MAX_SAFE_INTEGER)),
      }),
    )
    .max(limits.keysPerCellMax),
});

export interface RegisterCellParts {
  readonly pool: pg.Pool;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/** `caller`: only the cell itself may register. Throws `unknown_cell` when it is not in the plan. */
export async function registerCell(parts: RegisterCellParts, request: RegisterCellRequest, caller: string): Promise<RegisterCellResponse> {
  const read = registrationShape.safeParse(request.cell);
  if (!read.success)
    throw new WeftError('bad_request', read.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '));
  if (read.data.name !== caller) throw new WeftError('not_allowed', 'only the cell itself may register');
  const cell = await inTransaction(parts.pool, (sql) => register(sql, read.data, parts.now()), transaction);
  return { cell };
}

async function register(sql: Sql, given: Registration & { readonly name: string }, nowMs: number): Promise<CellRecord> {
  const row = await cellsTable.lock(sql, given.name);
  if (row === undefined) throw new WeftError('unknown_cell', given.name);
  const held: Registered = {
    generation: row.generation,
    urls: await cellUrlsTable.read(sql, row.number),
    keys: await cellKeysTable.read(sql, row.number),
  };
  const merged = mergeRegistration(held, given, nowMs);
  // The answer shows the cell that its store is behind its own past.
  if (merged.kind === 'stale') return cellRecord(row, held);

  await writeDifference(sql, row.number, { held, next: merged.next });
  if (!merged.changed) return cellRecord(row, merged.next);
  const changed = { ...row, generation: merged.next.generation, version: row.version + 1n };
  const record = cellRecord(changed, merged.next);
  await cellsTable.update(sql, changed);
  await appendChange(sql, shardOfCell(row.number), { $case: 'cell', value: record });
  return record;
}

async function writeDifference(sql: Sql, cell: number, { held, next }: { held: Registered; next: Registered }): Promise<void> {
  const urls = new Set(next.urls.map(({ url }) => url));
  for (const { url } of held.urls) if (!urls.has(url)) await cellUrlsTable.remove(sql, cell, url);
  const seenBefore = new Map(held.urls.map(({ url, seenMs }) => [url, seenMs]));
  for (const seen of next.urls) if (seenBefore.get(seen.url) !== seen.seenMs) await cellUrlsTable.see(sql, cell, seen);

  const names = new Set(next.keys.map(nameOf));
  for (const key of held.keys) if (!names.has(nameOf(key))) await cellKeysTable.remove(sql, cell, key);
  const endsBefore = new Map(held.keys.map((key) => [nameOf(key), key.ends]));
  for (const key of next.keys) if (endsBefore.get(nameOf(key)) !== key.ends) await cellKeysTable.put(sql, cell, key);
}
