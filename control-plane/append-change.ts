import { Change } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { changesTable } from './store/changes-table.ts';
import { shardsTable } from './store/shards-table.ts';
import type { Sql } from './store/sql.ts';

/** Numbers the change and writes it to its shard's log. The last thing of its transaction: the shard's counter stays locked from here. */
export async function appendChange(sql: Sql, shard: number, what: NonNullable<Change['what']>): Promise<void> {
  const n = await shardsTable.next(sql, shard);
  await changesTable.insert(sql, shard, { n, body: Buffer.from(Change.encode({ shard, n, what }).finish()) });
}
