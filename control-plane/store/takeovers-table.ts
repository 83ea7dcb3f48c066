// Which logs were taken over, and the newest epoch that was signed for each: never two epochs alike, never one before another.
import type { Sql } from './sql.ts';

const open = `
insert into takeovers (log_id, epoch)
values ($1, 0)
on conflict (log_id) do nothing`;

const lock = `
select epoch from takeovers where log_id = $1 for update`;

const update = `
update takeovers set epoch = $2 where log_id = $1`;

export const takeoversTable = {
  /** The newest epoch signed for the log, 0 for none; held until the transaction ends. */
  async lock(sql: Sql, log: bigint): Promise<bigint> {
    await sql.query(open, [log]);
    return (await sql.query<{ epoch: bigint }>(lock, [log])).rows[0]?.epoch ?? 0n;
  },

  async update(sql: Sql, log: bigint, epoch: bigint): Promise<void> {
    await sql.query(update, [log, epoch]);
  },
};
