// Limits of a cell node, each with its unit and reason. Those of the wire are in proto/limits.ts.
import assert from 'node:assert/strict';
import { limits as wire } from '@weft/proto/limits.ts';

export const cellLimits = {
  /** Operations and bytes of one lane that may wait; beyond that an append is told `busy`. */
  laneQueueMax: 4_096,
  laneQueueBytesMax: 8 * 1024 * 1024,
  /** Operations that wait for a transaction, above which marks are put off, and above which nothing new is pulled: entries come first. */
  marksShedAbove: 1_024,
  pullsShedAbove: 4_096,
  /** What one transaction takes. */
  batchEntriesMax: 256,
  batchBytesMax: 256 * 1024,
  /** How long a lane runs a transaction again before it gives its appends back, and the pause between. */
  laneRetryMsMax: 8_000,
  laneRetryPauseMs: 50,
  /** A session that could not be opened is tried again after this: eight lanes of two nodes ask a recovering store 32 times a second, not 160. */
  sessionAgainMs: 250,
  /**
   * A lane whose last transaction ended within this time and had so many operations waits as long again for a fuller batch,
   * unless so many wait already. Where fewer come in the time of a transaction, waiting would save little and all would feel it.
   * Long enough for the node's other lanes to come along; a longer wait saved no CPU at 5,000 appends a second across.
   */
  laneLingerMs: 2,
  laneLingerFrom: 4,
  laneLingerBelow: 16,
  /** A transaction of several lanes gives up on a lock after this: longer than another node's transaction, far below a frozen one's second. */
  laneSharedLockMsMax: 100,
  /** States of logs and open pairs a node remembers. */
  statesMax: 50_000,
  pairsMax: 100_000,
  /** Rows of logs a node remembers as its last transaction left them, some 300 bytes each: 5 MiB. */
  rowsMax: 16_384,
  /** Hashes of entries a node remembers for pages of history, 33 bytes each: those of a busy group's whole past, 4 MiB. */
  hashesMax: 131_072,
  /** Logs of which a node remembers the newest eight hashes, 256 bytes each and a little more: those that changed while people were away, 4 MiB. */
  recentLogsMax: 16_384,
  /** Sessions of the pool beside the lanes' own. */
  poolSessionsMax: 10,
  /** Pipelined sessions for history and heads: a slow read holds up the others of its session only. */
  readSessions: 4,
  /** Bytes one socket may have waiting to be sent; beyond that pushes are left out, it is told to resync, and nothing more is read from it. */
  socketOutBytesMax: 256 * 1024,
  /** A socket that takes nothing for this long is closed. */
  socketStuckMsMax: 30_000,
  /** When to come again, for a fault that says later and knows no better. */
  laterMs: 500,
  /** Frames that are no protocol before a connection is closed. */
  badFramesMax: 10,
  /** Logs of one socket in which an append has to come again before others may. */
  orderedLogsMax: 1_024,
  /** Requests other than appends a socket may have unanswered. */
  requestsInFlightMax: 64,
  /** A page of history is read again when its log was cut or grew between two statements; after so often, rows are gone. */
  pageReadsMax: 5,
  /** Entries read at once to fill a hole of a watched log, and runs held meanwhile. */
  fillEntriesMax: 256,
  heldRunsMax: 64,
  /** Bytes of entries in one push or page: with what stands around them it must fit the client's frame. */
  pushBytesMax: 63 * 1024,
  /** How often a node reads again what it could not read for its sockets. */
  fillAgainMs: 1_000,
  /** Connections that may wait to be taken: a whole node's people come back at once. The system may allow fewer. */
  acceptsWaitingMax: 4_096,
  /**
   * Greetings a node has under way: what it greets in a bit more than a second, since who is told to come again costs it a
   * second connection. And how fast it gives slots to those beyond: two cores that do other things too greet about 2,500 a second.
   */
  greetsUnderWayMax: 4_000,
  greetSlotsPerSecond: 2_500,
  /** Users whose heads one statement reads, and how long those who come while one runs wait for company. */
  greetBatchMax: 256,
  greetPauseMs: 2,
  /** Pages of history that one round trip reads, and how long those who ask while others are read wait for company. */
  pageBatchMax: 64,
  pagePauseMs: 2,
  /** Safety margin of a resume cursor: the furthest two nodes' clocks and a transaction may be apart. */
  cursorMarginMs: 15_000,
  /** Frames under way to one destination. */
  framesInFlightMax: 64,
  /** A frame without an end-to-end acknowledgement goes out again after this, then after twice as long, up to the most. */
  resendAfterMs: 2_000,
  resendAfterMsMax: 60_000,
  /** Frames whose attempt numbers a node remembers; the oldest are forgotten first, which costs nothing but a fresh number. */
  framesRememberedMax: 65_536,
  /** How often the re-sender looks, and how many rows it takes at once. */
  resendEveryMs: 500,
  resendRowsMax: 512,
  /** Of the window, what a backlog may take: the rest is for what commits now. */
  resendAtOnceMax: 32,
  /**
   * Entries of a backlog sent in one look, and in each of its steps: 2,000 a second a link leave the destination's lanes to its own
   * people, who would wait behind a burst.
   */
  resendEntriesMax: 1_024,
  resendStepEntries: 64,
  resendStepMs: 25,
  /** Rows a look passes over because they are not due; those behind them are seen when these have been. */
  resendSkippedMax: 4_096,
  /** Open intake sent again at once. */
  intakeRowsMax: 1_024,
  /** Frames one destination may have waiting, and how often they are counted. */
  outboxRowsMax: 1_000_000,
  outboxCountEveryMs: 60_000,
  /** Bytes of open intake for one destination: days of a cell that is away, and no full disk. */
  intakeBytesMax: 1024 * 1024 * 1024,
  /** How often each node counts what waits for each destination, and how much more time than a count takes lies between two. */
  waitingCountEveryMs: 5_000,
  waitingCountShare: 20,
  /** Acknowledgements gathered before one message, and acknowledged ids before one delete: nobody waits for either. Far below a resend. */
  ackGatherMs: 100,
  /** Inbound frames being applied. */
  applyFramesMax: 256,
  /** A run beyond the head, or an intake number beyond the next, is kept this long. */
  earlyMs: 300,
  earlyMax: 4_096,
  /** Entries and bytes of one pulled page; pulls under way at once. */
  pullEntriesMax: 64,
  pullBytesMax: 200 * 1024,
  pullsAtOnceMax: 4,
  /** Entries a node pulls each second, over all logs, and of logs with more than a page: a cell that was away leaves its lanes to its own people. */
  pullEntriesPerSecondMax: 4_000,
  pullBacklogPerSecondMax: 1_024,
  pullEveryMs: 1_000,
  requestMsMax: 3_000,
  /** Entries of one log that are offered again when a newer epoch gives them up; the rest is only kept. */
  orphansOfferedMax: 65_536,
  /** Logs whose ownership one look settles, and how often it looks. */
  unsettledMax: 1_024,
  /** Pages of one log's tail pulled in one go, and rows of one page of heads told to a restored cell. */
  tailPagesMax: 100_000,
  keptPageRows: 2_000,
  unsettledEveryMs: 500,
  /** How often a node makes sure that its store is the one it was: commits younger than this may be lost unseen, until a replica tells. */
  lifeBeatMs: 2_000,
  /** After a restore: how often the directory is looked for, and people read at once. */
  homesPollMs: 200,
  homesPageRows: 5_000,
  /** How often it is looked whether a conversation opened elsewhere has come. */
  openPollMs: 10,
  /** Heads a link's beat carries, and for how long a commit is told that way. */
  beatHeadsMax: 1_000,
  beatEveryMs: 1_000,
  beatFromMs: 2_000,
  beatUntilMs: 15_000,
  /** Told heads a node remembers to hold: those of eight busy links; a forgotten one is looked for once more. */
  beatHeadsFoundMax: 8_192,
  /**
   * A log's head is signed this long after its first unsigned entry, so at most once in that time however busy the log is: a
   * client that beats each 5 s has a new one in each beat. How often it is looked, and how many one node signs at a look
   * (about 60 µs each with telling it): the rest waits for the next.
   */
  headSignMs: 2_000,
  headSignEveryMs: 500,
  headsSignedMax: 200,
  /** Logs whose head waits to be signed; what comes beyond is signed with its next entry. */
  headsActiveMax: 100_000,
  /** A head that is asked for is signed anew when the last is older. */
  headFreshMs: 1_000,
  /** Heads of other cells that wait to be kept, and how often they are; they are forgotten after this. */
  headsWitnessedMax: 10_000,
  headsWitnessEveryMs: 1_000,
  headWitnessedMsMax: 90 * 86_400_000,
  headsForgetEveryMs: 3_600_000,
  /** Leases of per-cell duties; they only save work. */
  leaseMs: 3_000,
  leaseEveryMs: 1_000,
  /** How often the cell's work queue is looked after. */
  jobsEnsureEveryMs: 60_000,
  /** Digest comparison of all shared logs. */
  digestBuckets: 1_024,
  digestEveryMs: 600_000,
  digestPageRows: 5_000,
  digestBucketsPerRequest: 64,
  digestHeadsPerAnswer: 4_000,
  /** A link that was silent this long is compared at once when it is heard again. */
  linkSilentMs: 5_000,
  /** Marks coalesce this long before they are told to other cells; only for logs of at most so many members. */
  marksEveryMs: 1_000,
  marksMembersMax: 200,
  marksPerFrameMax: 256,
  /** A cell's people set marks all the time: those of one node that come within this time are stored by one statement. */
  marksGatherMs: 25,
  /**
   * What moved is told to sockets and to the cell's other nodes this much later, all of it together: the members of a log mark
   * what they got within a few milliseconds of each other, and each of these marks goes to all of them.
   */
  marksTellMs: 200,
  /** Books of the links: how often they are read and told; what a look into the runs costs at most each time. */
  booksEveryMs: 1_000,
  booksLookLogs: 32,
  booksLookNewest: 256,
  /** A difference that lasts this long is an alarm: repair by sending again, beat and pull takes 2 to 5 s. */
  booksUnbalancedMs: 10_000,
  /** Claims that may wait for their answer. */
  booksClaimsMax: 16,
  /** Reading the books takes at most this share of the time, so what waits in a long outbox is counted less often; but so often at least. */
  booksShareMax: 0.2,
  booksPauseMsMax: 3_000,
  /** Holdings older than this say nothing about now: above two rounds, one of each cell, and below what an alarm takes. */
  booksSilentMs: 8_000,
  /** Stamps of frames: held in memory at most, written down this often, kept for a week, read at most for one answer. */
  stampsMax: 16_384,
  stampsFlushMs: 5_000,
  stampsKeptMs: 7 * 86_400_000,
  stampsForgetEveryMs: 3_600_000,
  stampRowsMax: 1_024,
  /** A frame's id is made within this of its entries' time, whatever the clocks of the cell's nodes say. */
  stampWindowMs: 5_000,
  stampAnswersMax: 8,
  /** Newest entries of a self log in which a refusal is looked for. */
  refusalsLookedAt: 1_000,
  /** An estimate of another cell's clock is replaced by a worse one after this. */
  clockKeptMs: 60_000,
  /** Sessions asked about their end at once, and how often. */
  sessionsCheckEveryMs: 5_000,
  sessionsCheckMax: 1_000,
  /** Clients of a leaving node come back within this. */
  leaveSpreadMsMax: 2_000,
} as const;

export type CellLimits = { readonly [Limit in keyof typeof cellLimits]: number };

/** What bounds the delivery of one node. The simulator makes some smaller, so that they are met more often. */
export interface DeliveryLimits extends CellLimits {
  readonly openIntakePerUserMax: number;
  readonly frameEntriesMax: number;
  readonly frameBytesMax: number;
}

export const deliveryLimits: DeliveryLimits = {
  ...cellLimits,
  openIntakePerUserMax: wire.openIntakePerUserMax,
  frameEntriesMax: wire.frameEntriesMax,
  frameBytesMax: wire.fabricFrameBytesMax,
};

/** Those of a lane, and of one decision. */
export const laneLimits = (limits: CellLimits) => ({
  batchEntriesMax: limits.batchEntriesMax,
  batchBytesMax: limits.batchBytesMax,
  queueMax: limits.laneQueueMax,
  queueBytesMax: limits.laneQueueBytesMax,
  retryMsMax: limits.laneRetryMsMax,
  retryPauseMs: limits.laneRetryPauseMs,
  lingerMs: limits.laneLingerMs,
  lingerFrom: limits.laneLingerFrom,
  lingerBelow: limits.laneLingerBelow,
  sharedLockMsMax: limits.laneSharedLockMsMax,
});

/** Room for the seal and the frame's own fields. */
const frameOverheadBytes = 4_096;

export const decideLimits = (limits: DeliveryLimits) => ({
  openIntakePerUserMax: limits.openIntakePerUserMax,
  frameEntriesMax: limits.frameEntriesMax,
  frameBytesMax: limits.frameBytesMax - frameOverheadBytes,
});

assert(wire.pageEntriesMax <= wire.frameEntriesMax, 'a page must fit what one range reads');
assert(cellLimits.batchEntriesMax <= wire.frameEntriesMax, 'a batch must fit a frame for each destination');
assert(cellLimits.pushBytesMax + 512 < wire.frameBytesMax, 'a push must fit what a client takes');
assert(cellLimits.pullBytesMax < wire.fabricFrameBytesMax, 'a pulled page must fit one bus message');
assert(cellLimits.resendAtOnceMax <= cellLimits.framesInFlightMax / 2, 'a backlog must leave half of the window to what commits now');
assert(
  cellLimits.marksShedAbove < cellLimits.pullsShedAbove && cellLimits.pullsShedAbove < cellLimits.laneQueueMax * 4,
  'marks go before pulls, and both before appends are refused',
);
assert(2 * cellLimits.booksPauseMsMax < cellLimits.booksSilentMs, 'holdings must be judged before they are old');
assert(cellLimits.booksSilentMs < cellLimits.booksUnbalancedMs, 'one look must not be an alarm');
