// After a restore: which other cells this store has its tails back from, or need not wait for (R25).
import type { Query } from './entries-table.ts';

const read = `
select cell, is_lost from regained where generation = $1`;

const upsert = `
insert into regained (cell, generation, is_lost)
values ($1, $2, $3)
on conflict (cell, generation) do update set is_lost = excluded.is_lost`;

/** Cells by number; true: declared lost. */
export async function readRegained(query: Query, generation: number): Promise<Map<number, boolean>> {
  const { rows } = await query({ name: 'regained-read', text: read, values: [generation] });
  return new Map(rows.map((row: { cell: number; is_lost: boolean }) => [row.cell, row.is_lost]));
}

export function writeRegained(query: Query, of: { cell: number; generation: number; isLost: boolean }): Promise<unknown> {
  return query({ name: 'regained-write', text: upsert, values: [of.cell, of.generation, of.isLost] });
}
