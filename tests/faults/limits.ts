// Limits of the fault runner, each with its unit and reason.

export const limits = {
  /** Milliseconds of full traffic before a fault: with `afterMs`, what "undisturbed" means for the cells that are not hit. */
  baselineMs: 4_000,
  /** Milliseconds a fault holds unless it says otherwise. */
  holdMs: 4_000,
  /** Milliseconds of traffic after the recovery, so that what is late meets what is new. */
  afterMs: 4_000,
  /** Milliseconds before a fault, and before the end, whose answers belong to neither: what was asked then may be answered later. */
  guardMs: 500,
  /** Appends a second of all people together, which two cores carry beside fabric, runner and whatever else they do. */
  perSecond: 120,
  /** Appends a second of each cell's probes: two people of one cell whose answers are timed. */
  probesPerSecond: 40,
  /** Entries of one person that may be undecided: what people type while a cell is away. */
  undecidedMax: 200,
  /** People of each cell in the crowd, and beside them two probes. */
  peoplePerCell: 2,
  /** Milliseconds between two rounds of talk. */
  talkEveryMs: 20,
  /** Milliseconds from the healing in which everything must be regained (the RTO of a cell), and be whole everywhere. */
  recoveryMsMax: 60_000,
  convergeMsMax: 60_000,
  /** Milliseconds for one question to the fabric's databases. */
  sqlMsMax: 5_000,
  /** Milliseconds between two looks at a condition. */
  pollMs: 25,
  /** Milliseconds for everybody to be signed up and in their conversations. */
  gatherMsMax: 40_000,
  /** Milliseconds a hole on a healthy connection may stay open; the fault itself may keep what would fill it away. */
  repairMsMax: 20_000,
  /** I12: error ratio and latency of the cells that were not hit. */
  errorRatioMax: 0.001,
  latencyFactorMax: 1.2,
  latencyMoreMsMax: 20,
  /** Answers on each side without which nothing is said about p99. */
  answersMin: 100,
  /** Milliseconds of the control cell's p90, undisturbed, above which the machine is too busy to tell anything. */
  controlMsMax: 500,
  /** Times in a row that the same cell has to be late: what else the machine does comes in bursts, and does not come again with the fault. */
  lateTimes: 3,
  /** How likely chance alone may be when a violation is told. */
  chanceMax: 0.001,
  /** Milliseconds without an answer after which an append inside a healthy cell counts as an error. */
  errorAfterMs: 5_000,
  /** Megabytes a process of the fabric may have; the nodes' own limits bound their queues well below. */
  rssMbMax: 900,
  /** Entries read at once for the dumps of the end. */
  dumpPageEntries: 200,
  dumpPagesMax: 2_000,
  /** Faults of one run, and minutes: more is a soak for a machine of its own. */
  faultsMax: 2_000,
  minutesMax: 240,
  /** Violations of one fault that are printed. */
  violationsShownMax: 12,
} as const;
