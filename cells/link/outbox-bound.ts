// The outbox is bounded (R28): beyond a million frames for one destination the oldest frames of entries are dropped. Nothing
// is lost by it, since the owner's entries are the durable copy and the destination compares digests when it is back.
import type { Log } from '@weft/runtime/log.ts';
import type { SideTables } from '../store/side-tables.ts';

export interface OutboxBoundOptions {
  readonly tables: Pick<SideTables, 'countOutbox' | 'dropOldestFrames'>;
  readonly rowsMax: number;
  readonly log: Log;
  readonly nameOf: (cell: number) => string | undefined;
  /** Frames that wait for each destination. */
  readonly counted: (dst: string, rows: number) => void;
}

/** Counts what waits and drops what is too much. By one node of the cell, now and then. */
export async function boundOutbox({ tables, rowsMax, log, nameOf, counted }: OutboxBoundOptions): Promise<void> {
  for (const [dst, rows] of await tables.countOutbox()) {
    const name = nameOf(dst) ?? String(dst);
    counted(name, rows);
    if (rows <= rowsMax) continue;
    const dropped = await tables.dropOldestFrames(dst, rows - rowsMax);
    log.error({ dst: name, dropped }, 'too many frames wait for a cell; the oldest were dropped, it will pull them');
  }
}
