// Limits of this room, each with its unit and reason.

export const limits = {
  /** SQL sessions. Sign-ups and pulls are short; more would only queue in the database. */
  sessionsMax: 10,
  /**
   * Runs of one transaction. Where transactions are serialisable, all sessions but one may lose a round against a shard's counter; the last of
   * sessionsMax needs as many rounds.
   */
  transactionAttemptsMax: 20,
  /** Cells of an installation: what ids have room for. */
  cellsMax: 4_095,
  /** Nodes of a cell: what ids have room for. */
  urlsPerCellMax: 32,
  /** Characters of one url. */
  urlCharsMax: 256,
  /** Live keys of a cell: three uses, the current one and those of the last rotations. */
  keysPerCellMax: 16,
  /** Store generations: what an epoch has room for (20 bits). */
  generationMax: 0xfffffn,
  /** A node's url leaves the record when no registration named it for this long. Nodes register at least once a minute. */
  urlFreshMsMax: 300_000,
  /** A key that has ended is still published for this long, for clocks that differ. */
  endedKeyMs: 3_600_000,
  /** Changes and bytes of one page of ReadChanges: well below the 4 MiB of a gRPC message. */
  pageChangesMax: 2_000,
  pageBytesMax: 512 * 1024,
  /** Changes and bytes of one message on wf.dir: half of the bus's payload limit. */
  messageChangesMax: 200,
  messageBytesMax: 512 * 1024,
  /** A publisher further behind than this goes on at the end; replicas pull the rest. */
  backlogChangesMax: 2_000,
  /** Time between two beats: how soon a replica sees that it missed the last change. */
  beatMs: 1_000,
  /** Time for one attempt to reach a hub, and between two attempts. */
  hubConnectMsMax: 2_000,
  hubReconnectMs: 500,
  /** A hub that is silent is given up after three of these. */
  hubPingMs: 2_000,
} as const;

/** How this room runs its transactions. */
export const transaction = { attempts: limits.transactionAttemptsMax } as const;

/** Whose service token may move the ownership of logs. */
export const operatorName = 'operator';
