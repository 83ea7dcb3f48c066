// The cell's own key pairs, the private halves wrapped. Times are Unix milliseconds.
import type { Query } from './entries-table.ts';

const readText = `
select key_use, version, public_key, wrapped_key, created_ms, starts_ms, ends_ms
from cell_keys
order by key_use, version`;

// Of two nodes that rotate at once one wins.
const insertText = `
insert into cell_keys (key_use, version, public_key, wrapped_key, created_ms, starts_ms, ends_ms)
values ($1, $2, $3, $4, $5, $6, null)
on conflict (key_use, version) do nothing`;

const endText = `
update cell_keys set ends_ms = $3
where key_use = $1 and version < $2 and ends_ms is null`;

const forgetText = `
delete from cell_keys where key_use = $1 and ends_ms < $2`;

export type CellKeyUse = 'seal' | 'token' | 'head';

export interface CellKeyRow {
  readonly use: CellKeyUse;
  readonly version: number;
  readonly publicKey: Buffer;
  readonly wrappedKey: Buffer;
  readonly createdMs: number;
  /** The key is published before, and used from then on. */
  readonly startsMs: number;
  /** Nothing made with it counts after that; undefined: it was not replaced yet. */
  readonly endsMs: number | undefined;
}

interface Columns {
  key_use: CellKeyUse;
  version: bigint;
  public_key: Buffer;
  wrapped_key: Buffer;
  created_ms: bigint;
  starts_ms: bigint;
  ends_ms: bigint | null;
}

/** By use and version. */
export async function readCellKeys(query: Query): Promise<CellKeyRow[]> {
  return (await query({ name: 'cell-keys-read', text: readText })).rows.map((row: Columns) => ({
    use: row.key_use,
    version: Number(row.version),
    publicKey: row.public_key,
    wrappedKey: row.wrapped_key,
    createdMs: Number(row.created_ms),
    startsMs: Number(row.starts_ms),
    endsMs: row.ends_ms === null ? undefined : Number(row.ends_ms),
  }));
}

/** False when that version is there already. */
export async function insertCellKey(query: Query, row: Omit<CellKeyRow, 'endsMs'>): Promise<boolean> {
  const values = [row.use, row.version, row.publicKey, row.wrappedKey, row.createdMs, row.startsMs];
  return (await query({ name: 'cell-keys-insert', text: insertText, values })).rowCount === 1;
}

/** Sets the end of all versions below `version` that have none. */
export async function endCellKeys(
  query: Query,
  use: CellKeyUse,
  below: { readonly version: number; readonly endsMs: number },
): Promise<void> {
  await query({ name: 'cell-keys-end', text: endText, values: [use, below.version, below.endsMs] });
}

export async function forgetCellKeys(query: Query, use: CellKeyUse, endedBeforeMs: number): Promise<void> {
  await query({ name: 'cell-keys-forget', text: forgetText, values: [use, endedBeforeMs] });
}
