// What the sockets of one node need of the rest of it.

import type { EpochStart } from '@weft/proto/positions.ts';
import type { Entry } from '../delivery/entry.ts';

export interface HeadRow {
  readonly log: bigint;
  readonly epoch: bigint;
  readonly head: number;
}

export interface HubOptions {
  /** Entries from <= seq, in order, read from SQL. */
  readonly readRange: (log: bigint, from: number, limit: number) => Promise<readonly Entry[]>;
  /** All epochs of a log, read from SQL. */
  readonly readEpochs: (log: bigint) => Promise<readonly EpochStart[]>;
  /** Heads of these logs, read from SQL. */
  readonly readHeads: (logs: readonly bigint[]) => Promise<readonly HeadRow[]>;
  readonly failed: (error: unknown) => void;
  readonly fillEntriesMax: number;
  /** Runs one log may hold beyond its head. */
  readonly heldRunsMax: number;
  /** Bytes of entries in one push. */
  readonly pushBytesMax: number;
  /** A failpoint: true leaves a push out, while the digest still counts it. */
  readonly dropsPush?: () => boolean;
  /** A guard switched off: what lies beyond the head is told as if it continued it. */
  readonly pushesAtOnce?: boolean;
}
