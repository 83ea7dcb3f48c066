// Limits of a directory's replica: each with its unit last and its reason.

export const directoryLimits = {
  /**
   * Users kept in memory: about 210 bytes of heap each with both maps (measured with 100,000), so 420 MB at the limit. Beyond it new users
   * are not kept (counted in `usersLeftOut`): a look-up then asks the directory, and a home follows from the id's birth cell.
   */
  usersMax: 2_000_000,
  /** Cells of an installation; ids have room for no more. */
  cellsMax: 4_095,
  /** Logs that were taken over, of any cell: 100 bytes each. One beyond is not believed, and its replicas wait. */
  takeoversMax: 1_000_000,
  /** Time between two pulls while the directory answers: what a lost wf.dir message costs at most. */
  pullEveryMs: 1_000,
  /** Back-off while it does not: quick at first, since processes start together. Two tries are never closer than the first of these. */
  pullPauseMsMin: 100,
  pullBackOffMs: 200,
  pullBackOffMsMax: 5_000,
  /** Changes asked for in one page; the directory also ends a page at its own limit of bytes. */
  pullChangesMax: 2_000,
  /** Pages of one pull: with them two million changes. A directory that never says `end` must not hold the loop. */
  pullPagesMax: 2_000,
  /** A replica that heard the end of the log within this time may say that somebody does not exist. */
  freshMsMax: 5_000,
  /** The snapshot is written at most this often … */
  snapshotEveryMs: 2_000,
  /** … and at most this share of the time is spent on writing it: one in twenty. */
  snapshotTimeShare: 20,
  /** Records encoded before other work of the process gets a turn: about 2 ms. */
  snapshotSliceRecords: 2_000,
  /** Larger files are not snapshots of ours. */
  snapshotBytesMax: 1024 * 1024 * 1024,
  /** Retired cells are followed to their heirs at most this far: a circle must end. */
  heirHopsMax: 16,
  /** Bytes of one message on wf.dir. */
  messageBytesMax: 1024 * 1024,
} as const;
