// Limits of the ground: each with its unit last and its reason. Limits of the wire are in proto/limits.ts.
import assert from 'node:assert/strict';

export const runtimeLimits = {
  /** A process that is told to leave has this long before it is ended: a supervisor's patience is usually 10 s. */
  drainMsMax: 5_000,
  /** Longest delay Node's timers take; a longer one would fire at once. */
  timerMsMax: 2_147_483_647,

  /** How far an id's time may run ahead of the clock: a step back of the clock this long is ridden out, and bursts borrow from it. */
  idAheadMsMax: 5_000,
  /** A node number is leased this long and renewed at a third of it. Ids never reach the end of the lease. */
  nodeLeaseMs: 60_000,

  /** TCP and start-up of one SQL, Redis or gRPC connection. */
  connectMsMax: 3_000,
  /** A SQL connection that the host took, when the one before was not greeted in time: a store that just recovered may need so long for each. */
  connectSlowMsMax: 12_000,
  /** SQL connections that one process opens at once, of its pools and of its write path: a store that just recovered has time for a few. */
  connectsAtOnceMax: 2,
  /** Idle time before the kernel probes a connection, so that a vanished peer is noticed. */
  keepAliveMs: 10_000,
  /** Write sessions: a frozen node holds nobody's log for longer (delivery rule R4). */
  writeLockMsMax: 1_000,
  writeIdleInTransactionMsMax: 1_000,
  writeStatementMsMax: 5_000,
  /** The client's own patience: a frozen server never ends its statement. Above the server's timeout, so that its answer wins. */
  writeAnswerMsMax: 7_000,
  /** Everything else: history pages, sweeps. */
  poolLockMsMax: 3_000,
  poolIdleInTransactionMsMax: 5_000,
  poolStatementMsMax: 10_000,
  poolAnswerMsMax: 12_000,
  /** A pooled connection without work is closed after this. */
  poolIdleMsMax: 60_000,

  /** Whole transactions run again at most this often after a retryable error. */
  transactionAttemptsMax: 5,
  transactionBackOffMs: 10,
  transactionBackOffMsMax: 500,

  /** One step of a schema change. */
  migrationStatementMsMax: 600_000,
  /** A node waits this long for another one's migration. */
  migrationWaitMsMax: 900_000,
  migrationPollMs: 100,
  /** Nodes that create the runner's own tables at the same time disturb each other this often at most. */
  migrationCreateAttemptsMax: 20,
  /** Longer than one step: the holder renews before each. */
  migrationLeaseMs: 660_000,

  /** Longest lease; one that ends much later was written by a wrong clock and may be taken. */
  leaseMsMax: 900_000,
  leaseSkewMsMax: 60_000,

  /** Redis is a cache: what takes longer than this is treated as a miss. */
  redisCommandMsMax: 500,
  redisBackOffMs: 50,
  redisBackOffMsMax: 2_000,

  grpcDeadlineMs: 2_000,
  grpcMessageBytesMax: 4 * 1024 * 1024,
  grpcKeepAliveAnswerMsMax: 3_000,
  /** Above the largest back-off; each given-up connection may stay open until its server moves again. */
  grpcConnectMsMax: 20_000,
  grpcBackOffMs: 100,
  grpcBackOffMsMax: 3_000,
  grpcDrainMsMax: 2_000,

  /** Requests to the metrics port. */
  metricsHeaderBytesMax: 8 * 1024,
  metricsRequestMsMax: 5_000,
} as const;

/** The relations between limits; called by a unit test. */
export function assertLimits(): void {
  const l = runtimeLimits;
  assert(
    l.writeAnswerMsMax > l.writeStatementMsMax && l.poolAnswerMsMax > l.poolStatementMsMax,
    'the server must give up before its client',
  );
  assert(l.writeLockMsMax < l.writeStatementMsMax, 'a lock wait must end before its statement');
  assert(
    l.migrationLeaseMs > l.migrationStatementMsMax && l.migrationWaitMsMax > l.migrationLeaseMs,
    'a step fits its lease, a lease fits the wait',
  );
  assert(l.leaseMsMax >= l.migrationLeaseMs && l.leaseMsMax >= l.nodeLeaseMs, 'no lease is longer than the longest');
  assert(l.nodeLeaseMs > 3 * l.idAheadMsMax, 'ids that run ahead must stay below a lease renewed at its third');
  assert(l.grpcDrainMsMax < l.drainMsMax, 'calls end before the process does');
}
