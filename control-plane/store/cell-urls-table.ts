// Where each cell's nodes are: the rows of a cell are exactly the urls of its record.
import type { Sql } from './sql.ts';

const read = `
select url, seen_ms
from cell_urls
where cell = $1
order by url`;

const see = `
insert into cell_urls (cell, url, seen_ms)
values ($1, $2, $3)
on conflict (cell, url) do update set seen_ms = excluded.seen_ms`;

const remove = `
delete from cell_urls
where cell = $1 and url = $2`;

export interface SeenUrl {
  readonly url: string;
  /** Unix milliseconds: when a registration named it last. */
  readonly seenMs: number;
}

export const cellUrlsTable = {
  async read(sql: Sql, cell: number): Promise<SeenUrl[]> {
    const { rows } = await sql.query<{ url: string; seen_ms: bigint }>(read, [cell]);
    return rows.map((row) => ({ url: row.url, seenMs: Number(row.seen_ms) }));
  },

  async see(sql: Sql, cell: number, seen: SeenUrl): Promise<void> {
    await sql.query(see, [cell, seen.url, seen.seenMs]);
  },

  async remove(sql: Sql, cell: number, url: string): Promise<void> {
    await sql.query(remove, [cell, url]);
  },
};
