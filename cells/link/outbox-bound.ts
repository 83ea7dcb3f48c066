// The outbox is bounded (R28): beyond a million frames for one destination the oldest frames of entries are dropped. Nothing
// is lost by it, since the owner's entries are the durable copy and the destination compares digests when it is back.
import type { Log } from '@weft/runtime/log.ts';
import type pg from 'pg';
import type { Query } from '../store/entries-table.ts';
import { countOutbox, dropOldestFrames } from '../store/outbox-table.ts';

export interface OutboxBoundOptions {
  readonly pool: pg.Pool;
  readonly rowsMax: number;
  readonly log: Log;
  readonly nameOf: (cell: number) => string | undefined;
  /** Frames that wait for each destination. */
  readonly counted: (dst: string, rows: number) => void;
}

/** Counts what waits and drops what is too much. By one node of the cell, now and then. */
export async function boundOutbox({ pool, rowsMax, log, nameOf, counted }: OutboxBoundOptions): Promise<void> {
  const query: Query = (statement) => pool.query(statement);
  for (const [dst, rows] of await countOutbox(query)) {
    const name = nameOf(dst) ?? String(dst);
    counted(name, rows);
    if (rows <= rowsMax) continue;
    const dropped = await dropOldestFrames(query, dst, rows - rowsMax);
    log.error({ dst: name, dropped }, 'too many frames wait for a cell; the oldest were dropped, it will pull them');
  }
}
