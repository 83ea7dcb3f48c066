// Rows of logs as this node's last transactions left them. What is decided on them is written only if the locks find exactly
// these rows: then a transaction needs no look before it decides.
import { sameHash } from '@weft/proto/chain.ts';
import { LruMap } from 'toad-cache';
import type { LogRow } from '../delivery/ports.ts';

/** Commits of this node's own, without anybody else's between, after which a log that another node wrote is foretold again. */
const aloneAgain = 16;

interface Known {
  readonly row: LogRow;
  /** Commits still to be seen before the row is given out. */
  readonly wait: number;
}

export class KnownRows {
  readonly #rows: LruMap<Known>;

  /** Of at most so many logs, some 300 bytes each. */
  constructor(max: number) {
    this.#rows = new LruMap(max);
  }

  /** Undefined also where other nodes write the log: what is foretold of it would be wrong too often. */
  get(log: bigint): LogRow | undefined {
    const known = this.#rows.get(log);
    return known?.wait === 0 ? known.row : undefined;
  }

  /** Rows as the locks found them: those that differ from what was known were written by somebody else. */
  found(rows: ReadonlyMap<bigint, LogRow>): void {
    for (const [log, row] of rows) {
      const known = this.#rows.get(log);
      if (known && !isSame(known.row, row)) this.#rows.set(log, { row, wait: aloneAgain });
    }
  }

  /** Rows of logs as a transaction of this node has left them. They must not be changed any more. */
  committed(rows: readonly LogRow[]): void {
    for (const row of rows) {
      const known = this.#rows.get(row.log);
      this.#rows.set(row.log, { row, wait: Math.max(0, (known?.wait ?? 0) - 1) });
    }
  }
}

const isSame = (a: LogRow, b: LogRow): boolean =>
  a.head === b.head && a.epoch === b.epoch && a.version === b.version && a.status === b.status && sameHash(a.hash, b.hash);
