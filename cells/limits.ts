// Limits of a cell node, each with its unit and reason. Those of the wire are in proto/limits.ts.
import assert from 'node:assert/strict';
import { limits as wire } from '@weft/proto/limits.ts';

export const cellLimits = {
  /** Operations and bytes of one lane that may wait; beyond that an append is told `busy`. */
  laneQueueMax: 4_096,
  laneQueueBytesMax: 8 * 1024 * 1024,
  /** What one transaction takes. */
  batchEntriesMax: 256,
  batchBytesMax: 256 * 1024,
  /** How long a lane runs a transaction again before it gives its appends back, and the pause between. */
  laneRetryMsMax: 8_000,
  laneRetryPauseMs: 50,
  /** States of logs and open pairs a node remembers. */
  statesMax: 50_000,
  pairsMax: 100_000,
  /** Sessions of the pool beside the lanes' own. */
  poolSessionsMax: 10,
  /** Bytes one socket may have waiting to be sent; beyond that pushes are left out and it is told to resync. */
  socketOutBytesMax: 256 * 1024,
  /** A socket that takes nothing for this long is closed. */
  socketStuckMsMax: 30_000,
  /** Frames that are no protocol before a connection is closed. */
  badFramesMax: 10,
  /** Requests other than appends a socket may have unanswered. */
  requestsInFlightMax: 64,
  /** Entries read at once to fill a hole of a watched log, and runs held meanwhile. */
  fillEntriesMax: 256,
  heldRunsMax: 64,
  /** Users whose heads one statement reads. */
  greetBatchMax: 256,
  /** Safety margin of a resume cursor: the furthest two nodes' clocks and a transaction may be apart. */
  cursorMarginMs: 15_000,
  /** Frames under way to one destination. */
  framesInFlightMax: 64,
  /** A frame without an end-to-end acknowledgement goes out again after this, then after twice as long, up to the most. */
  resendAfterMs: 2_000,
  resendAfterMsMax: 60_000,
  /** How often the re-sender looks, and how many rows it takes at once. */
  resendEveryMs: 500,
  resendRowsMax: 64,
  /** Open intake sent again at once. */
  intakeRowsMax: 1_024,
  /** Acknowledged ids gathered before one delete. */
  ackGatherMs: 5,
  /** Inbound frames being applied. */
  applyFramesMax: 256,
  /** A run beyond the head, or an intake number beyond the next, is kept this long. */
  earlyMs: 300,
  earlyMax: 4_096,
  /** Entries and bytes of one pulled page; pulls under way at once. */
  pullEntriesMax: 256,
  pullBytesMax: 200 * 1024,
  pullsAtOnceMax: 4,
  pullEveryMs: 1_000,
  requestMsMax: 3_000,
  /** Heads a link's beat carries, and for how long a commit is told that way. */
  beatHeadsMax: 1_000,
  beatEveryMs: 1_000,
  beatFromMs: 2_000,
  beatUntilMs: 15_000,
  /** Leases of per-cell duties; they only save work. */
  leaseMs: 3_000,
  leaseEveryMs: 1_000,
  /** Digest comparison of all shared logs. */
  digestBuckets: 1_024,
  digestEveryMs: 600_000,
  /** Marks coalesce this long before they are told to other cells; only for logs of at most so many members. */
  marksEveryMs: 1_000,
  marksMembersMax: 200,
  marksPerFrameMax: 256,
  /** Sessions asked about their end at once, and how often. */
  sessionsCheckEveryMs: 5_000,
  sessionsCheckMax: 1_000,
  /** Clients of a leaving node come back within this. */
  leaveSpreadMsMax: 2_000,
} as const;

assert(cellLimits.batchEntriesMax <= wire.frameEntriesMax, 'a batch must fit a frame for each destination');
assert(cellLimits.pullBytesMax < wire.fabricFrameBytesMax, 'a pulled page must fit one bus message');
