// The cells' public keys: one row per cell, use and version; the rows of a cell are exactly the keys of its record.
import type { KeyUse, PublicKey } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import type { Sql } from './sql.ts';

const read = `
select key_use, key_version, public_key, ends_ms
from cell_keys
where cell = $1
order by key_use, key_version`;

const put = `
insert into cell_keys (cell, key_use, key_version, public_key, ends_ms)
values ($1, $2, $3, $4, $5)
on conflict (cell, key_use, key_version) do update set ends_ms = excluded.ends_ms`;

const remove = `
delete from cell_keys
where cell = $1 and key_use = $2 and key_version = $3`;

interface Row {
  key_use: KeyUse;
  key_version: bigint;
  public_key: Buffer;
  ends_ms: bigint;
}

export const cellKeysTable = {
  async read(sql: Sql, cell: number): Promise<PublicKey[]> {
    const { rows } = await sql.query<Row>(read, [cell]);
    return rows.map((row) => ({ use: row.key_use, version: Number(row.key_version), key: row.public_key, ends: row.ends_ms }));
  },

  /** Inserts the key, or sets the end of the one that is there; its bytes never change. */
  async put(sql: Sql, cell: number, key: PublicKey): Promise<void> {
    await sql.query(put, [cell, key.use, key.version, Buffer.from(key.key), key.ends]);
  },

  async remove(sql: Sql, cell: number, key: PublicKey): Promise<void> {
    await sql.query(remove, [cell, key.use, key.version]);
  },
};
