// Limits of the load generator, the bench and the replay, each with its unit and reason.

export const benchLimits = {
  /** Bytes of one message of the peers this is compared with. */
  bodyBytes: 100,
  /** Send times kept for latencies: more than can be on the way at once. A power of two. */
  sendTimesMax: 1 << 20,
  /** Sign-ups, log-ins and refreshes under way: Argon2 saturates two cores at this many already. */
  signUpsInFlightMax: 6,
  /** Attempts of one REST call that is answered `later`. */
  restAttemptsMax: 40,
  /** One REST call. */
  restMsMax: 15_000,
  /** A token with less life than this is refreshed before a scenario. */
  tokenLifeMsMin: 300_000,
  /** Connections being opened at once by one load process; the listen backlog of a node is 511. */
  connectsInFlightMax: 200,
  /** Hello to Welcome, request to answer. */
  answerMsMax: 30_000,
  /** Warm-up before measuring: just-in-time compilation and group commit settle. */
  warmUpMs: 3_000,
  /** Measured time of one scenario, seconds, when none is asked for. */
  measuredSecondsDefault: 10,
  /** Time for what is on the way to arrive after the last send. */
  settleMsMax: 20_000,
  /** Nothing arrived for this long: nothing is on the way. Above a resend between cells (2 s). */
  quietMs: 5_000,
  /** One scenario with all its preparation. */
  scenarioMsMax: 15 * 60_000,
  /** Log buckets of one percentile counter: 0.5 % apart from 1 µs to 10 minutes. */
  latencyBuckets: 4_096,
  /** Fan-out deliveries per latency sample: 200,000 clock readings a second would be load of their own. */
  fanOutSampleEvery: 16,
  /** Clients coming back at once: below the listen backlog of a node (511), else the kernel drops connects for a second. */
  resumesInFlightMax: 400,
  /** Time after which the memory of idle connections is read: two heartbeats. Milliseconds. */
  idleMs: 22_000,
  /** A node's full collection and its answer. */
  collectMsMax: 8_000,
  /** What is measured holds still so long for memory to be read. Above collectMsMax. */
  holdMs: 10_000,
  /** Rounds of chain-cost, each two runs of every side: a run alone differs by some per cent from the next. */
  hashingRounds: 3,
  /** Messages in one insert of the yardstick, as many as a transaction of a cell takes. */
  bareBatchMax: 256,
  /** Connections opened and closed before memory is first read, so that compiled code is not counted to those that stay. */
  idleWarmUpMax: 200,
} as const;

export const replayLimits = {
  /** pip with 8 MB. */
  fetchMsMax: 300_000,
  /** Pairs of people talking at once. */
  pairsActiveMax: 600,
  /** Persons signed up, connected and listening: all of them and the silent four. */
  peopleMax: 2_000,
  /** Handovers under way, and the pause after each: some hundred a second. */
  handOversAtOnceMax: 4,
  handOverEveryMs: 20,
  /** A conversation keeps its owner at least this long. */
  handOverAgainMs: 1_000,
  /** Nothing shown for this long to somebody who waits ends the replay. Longer than a cell takes to come back. */
  shownMsMax: 120_000,
  /** Reports of a wrong history that are printed. */
  reportsShownMax: 10,
  /** Read-backs at once. */
  readBacksMax: 16,
  /** Attempts of one read-back; a node may be restarting. */
  readBackAttemptsMax: 30,
  /** First differing messages printed. */
  differencesShown: 10,
  /** Time between two kills. */
  killEveryMsMin: 1_500,
  killEveryMsMax: 4_500,
  /** The supervisor restarts what was killed within this. */
  restartMsMax: 60_000,
  /** Time between two lines of progress. */
  progressMs: 2_000,
} as const;
