// Everything that ever changed, by shard and number, each as the bytes of its Change. About 100 bytes a user; nothing is removed, since a
// replica that begins reads it whole.
import type { Sql } from './sql.ts';

const insert = `
insert into changes (shard, n, body)
values ($1, $2, $3)`;

const read = `
select n, body
from changes
where shard = $1 and n > $2 and n <= $3
order by n
limit $4`;

export interface ChangeRow {
  readonly n: bigint;
  readonly body: Buffer;
}

export interface ChangeRange {
  readonly shard: number;
  /** Exclusive. */
  readonly after: bigint;
  /** Inclusive. */
  readonly upTo: bigint;
  readonly limit: number;
}

export const changesTable = {
  async insert(sql: Sql, shard: number, row: ChangeRow): Promise<void> {
    await sql.query(insert, [shard, row.n, row.body]);
  },

  /** In order of n. */
  async read(sql: Sql, range: ChangeRange): Promise<ChangeRow[]> {
    return (await sql.query<ChangeRow>(read, [range.shard, range.after, range.upTo, range.limit])).rows;
  },
};
