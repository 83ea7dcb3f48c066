// Limits of this room, each with its unit and reason.

export const limits = {
  /** Servers fetched at once: they share one network and two cores. */
  fetchesAtOnceMax: 3,
  /** Milliseconds for one download by pip. */
  pipMsMax: 300_000,
  /** Milliseconds for compiling a server with Go (54 s were measured on two cores). */
  goMsMax: 900_000,
  /** Milliseconds for each apt-get command. */
  aptMsMax: 300_000,
  /** Milliseconds for `--version` of a program. */
  versionMsMax: 10_000,
  /** Bytes of output kept of a command. */
  outputBytesMax: 16 * 1024 * 1024,
  /** Milliseconds from a process's start to its readiness; PostgreSQL may recover first. */
  readyMsMax: 60_000,
  /** Milliseconds before a process that did not start again is tried once more: first, and after doubling at most. */
  restartMsMin: 100,
  restartMsMax: 5_000,
  /** Milliseconds of life under which a death counts as a failed start: the next one waits. */
  quickDeathMs: 2_000,
  /** Milliseconds between two looks at readiness. */
  readyPollMs: 25,
  /** Milliseconds from the stop signal to SIGKILL; above the processes' own drain time. */
  stopMsMax: 8_000,
  /** Megabytes that must be free: WAL, JetStream and the fetched servers need them at once. */
  freeDiskMbMin: 500,
  /** Milliseconds that what a killed fabric left may take to end: the longest drain and PostgreSQL's last checkpoint. */
  leftoverMsMax: 8_000,
  /** Milliseconds between two looks at taken ports. */
  portPollMs: 100,
  /** Milliseconds for one question about readiness. */
  healthMsMax: 1_000,
  /** Ports tried before giving up. */
  portTriesMax: 200,
  /** Starts of a test's server on another port before giving up: somebody may take the port in between. */
  testStartsMax: 3,
  /** Lines of a log shown with a start error. */
  logTailLinesMax: 8,
  /** Bytes of a log file before it is begun anew at the next start. */
  logBytesMax: 32 * 1024 * 1024,
  /** Messages of one link on their way before the canary waits: an hour of silence at one a second. */
  canaryBacklogMax: 3_600,
  /** Milliseconds before a canary that could not sign up tries again, and tries between two complaints. */
  canaryAgainMs: 250,
  canaryComplainEvery: 20,
  /** Milliseconds for one REST request of a canary. */
  canaryAskMsMax: 5_000,
  /** Characters of an unexpected answer that are shown. */
  canaryAnswerCharsMax: 200,
  /** Milliseconds between two canary messages on one link. */
  canaryEveryMs: 1_000,
  /** Milliseconds that a message is on its way before its link is said to wait: a cell's node is back within a second or two. */
  linkWaitsMs: 3_000,
  /** Latencies kept per link for p50 and p99: the last five minutes. */
  latenciesMax: 300,
  /** Milliseconds that a node has to answer an operator. */
  operatorMsMax: 900,
  /** Milliseconds that a cell has to give a log away or to take a word of its operator: a transaction, with its retries. */
  ownerMsMax: 10_000,
  /** Milliseconds between two questions whether a cell owns a log by now. */
  ownerAgainMs: 100,
  /** Milliseconds between two questions for the books, and for how long an answer is shown. */
  booksEveryMs: 2_000,
  booksKeptMs: 6_000,
  /** Milliseconds between two drawings of the live part. */
  drawEveryMs: 1_000,
  /** Milliseconds between two status lines where there is no terminal. */
  statusEveryMs: 10_000,
  /** Milliseconds between two looks at whether our parent still lives. */
  orphanPollMs: 500,
  /** Characters and lines taken for a terminal that does not tell its size. */
  columnsDefault: 100,
  rowsDefault: 24,
  /** Characters between two tables side by side. */
  columnGap: 4,
} as const;
