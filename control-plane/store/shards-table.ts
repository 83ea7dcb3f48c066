// The last change number of each shard. The row is locked by whoever takes a number until its transaction ends: so numbers are dense, and
// whoever sees n committed sees every change up to n.
import type { ShardPosition } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import type { Sql } from './sql.ts';

const insert = `
insert into shards (shard, n)
values ($1, 0)
on conflict (shard) do nothing`;

const next = `
update shards set n = n + 1
where shard = $1
returning n`;

const read = `
select shard, n
from shards
order by shard`;

export const shardsTable = {
  async insert(sql: Sql, shard: number): Promise<void> {
    await sql.query(insert, [shard]);
  },

  /** Take it last in a transaction: everybody who changes this shard waits for it. */
  async next(sql: Sql, shard: number): Promise<bigint> {
    const row = (await sql.query<{ n: bigint }>(next, [shard])).rows[0];
    if (row === undefined) throw new Error(`shard ${shard} has no counter`);
    return row.n;
  },

  async read(sql: Sql): Promise<ShardPosition[]> {
    const { rows } = await sql.query<{ shard: bigint; n: bigint }>(read);
    return rows.map((row) => ({ shard: Number(row.shard), n: row.n }));
  },
};
