export const terminalLimits = {
  /** Entries shown when a conversation is opened. */
  openEntries: 20,
  /** Entries that /history shows at most. */
  historyEntriesMax: 200,
  /** Printed lines whose marks can still be changed: more than any screen shows. */
  linesMax: 500,
  /** Own entries whose marks are followed. */
  ownEntriesMax: 500,
  /** After the end of a piped input, undecided entries are waited for this long. */
  drainMsMax: 30_000,
  /** A stored session that is neither live nor refused by then is used all the same: the client says that it waits. */
  resumeMsMax: 3_000,
  /** The countdown to the next try. */
  countdownMs: 1_000,
  /** A router that runs answers at once. */
  probeMsMax: 1_000,
} as const;
