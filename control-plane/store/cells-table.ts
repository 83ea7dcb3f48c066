// Which cells there are: one row per cell ever planned; numbers are never reused. Urls and keys have tables of their own.
import type { Sql } from './sql.ts';

const insert = `
insert into cells (cell, name, region, weight, state, heir, generation, version)
values ($1, $2, $3, $4, 'open', 0, 0, 1)
on conflict do nothing`;

const lock = `
select cell, name, region, weight, state, heir, generation, version
from cells
where name = $1
for update`;

const number = `
select cell
from cells
where name = $1`;

const update = `
update cells set region = $2, weight = $3, generation = $4, version = $5
where cell = $1`;

export type CellStateName = 'open' | 'draining' | 'retired';

export interface CellRow {
  readonly number: number;
  readonly name: string;
  readonly region: string;
  readonly weight: number;
  readonly state: CellStateName;
  readonly heir: number;
  readonly generation: bigint;
  readonly version: bigint;
}

interface Row {
  cell: bigint;
  name: string;
  region: string;
  weight: bigint;
  state: CellStateName;
  heir: bigint;
  generation: bigint;
  version: bigint;
}

export const cellsTable = {
  /** A new open cell of version 1. False when its number or its name is there already. */
  async insert(sql: Sql, cell: { number: number; name: string; region: string; weight: number }): Promise<boolean> {
    return (await sql.query(insert, [cell.number, cell.name, cell.region, cell.weight])).rowCount === 1;
  },

  /** Held until the transaction ends. */
  async lock(sql: Sql, name: string): Promise<CellRow | undefined> {
    const row = (await sql.query<Row>(lock, [name])).rows[0];
    return row && { ...row, number: Number(row.cell), weight: Number(row.weight), heir: Number(row.heir) };
  },

  async numberOf(sql: Sql, name: string): Promise<number | undefined> {
    const row = (await sql.query<Pick<Row, 'cell'>>(number, [name])).rows[0];
    return row && Number(row.cell);
  },

  async update(sql: Sql, cell: CellRow): Promise<void> {
    await sql.query(update, [cell.number, cell.region, cell.weight, cell.generation, cell.version]);
  },
};
