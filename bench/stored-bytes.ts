// Size of a cell's SQL store: every table with its indexes and TOAST, as PostgreSQL counts them.

import { openPool } from '@weft/runtime/sql.ts';

export interface StoreSize {
  readonly bytes: number;
  readonly byTable: Readonly<Record<string, number>>;
}

const tableSizes = `
  select c.relname as name, pg_total_relation_size(c.oid) as bytes
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'r' and n.nspname = 'public'
  order by 2 desc`;

/** Bytes now. Growth between two calls counts the rows that were written and the room that updates left behind. */
export async function storeSize(database: string): Promise<StoreSize> {
  const pool = openPool(database, 1, { name: 'weft-bench' });
  try {
    const { rows } = await pool.query<{ name: string; bytes: bigint }>(tableSizes);
    const byTable = Object.fromEntries(rows.map(({ name, bytes }) => [name, Number(bytes)]));
    return { bytes: Object.values(byTable).reduce((sum, bytes) => sum + bytes, 0), byTable };
  } finally {
    await pool.end();
  }
}
