// Limits of accounts, sessions and their tokens, each with its unit and reason.
import assert from 'node:assert/strict';
import { limits as wire } from '@weft/proto/limits.ts';

const minute = 60_000;
const day = 24 * 60 * minute;

export const accountLimits = {
  /** Characters of a password after NFKC (OWASP ASVS 5, 6.2.1 and 6.2.9). */
  passwordCharsMin: 8,
  passwordCharsMax: 256,

  /** Hashes under way: one leaves a core of the smallest machine to messages when the other is idle. */
  hashesMax: 2,
  /** Hashes that wait; at 25–50 ms each the last one waits for about three seconds. */
  hashesWaitingMax: 128,
  /** Log-ins under way, what they ask of the store included: as many as can be hashed or wait for it. */
  logInsUnderWayMax: 130,
  /** What whoever finds no place is told to wait. */
  hashesBusyMs: 3_000,

  /** Life of an access token: the longest time an offline check can be wrong. */
  accessMsMax: 10 * minute,
  /** Verified tokens remembered, so that a storm of reconnects verifies each once; about 200 bytes each. */
  accessCacheMax: 20_000,
  /** Public keys of cells kept ready for use; a directory with more keys than that still works, slower. */
  publicKeysKept: 1_000,
  /** Characters of a token that is looked at. */
  tokenCharsMax: 1_024,

  /**
   * A spent refresh token still gets the same answer for this long: the answer may have been lost. A client comes again after its longest pause (50 s when
   * the server asked for it, else 15 s) and the time of a call. What the store was away for does not count.
   */
  refreshGraceMs: 60_000,
  /** Times a refresh that lost a race looks again. */
  refreshAttemptsMax: 3,
  refreshBusyMs: 1_000,
  /** A session that is not refreshed ends after this, and every session after the second. */
  sessionIdleMsMax: 30 * day,
  sessionMsMax: 60 * day,
  /** A session is kept for this after its time is over, so that a spent token is still told from a strange one. */
  sessionKeptMs: 30 * day,
  /** How often a node reads which sessions ended on other nodes; far below the 60 s in which their sockets must close. */
  sessionPollMs: 5_000,
  /** How far back each such read looks: the clocks of two nodes and an open transaction differ by less. */
  sessionPollBackMs: 30_000,
  /** Ended sessions a node remembers, for as long as an access token of theirs may live. */
  endedKept: 50_000,
  /** Sessions asked about in one statement. */
  sessionsPerQuery: 1_000,
  devicesPerUser: wire.devicesPerUserMax,

  /** How often each node reads the keys, so that all nodes of a cell see a rotation. */
  keyReloadMs: 5_000,
  /** A new key is published for this long before it is used, so that every other cell knows it first. */
  keyStartsMs: minute,
  /** A key is replaced at this age. */
  keyMsMax: 30 * day,
  /** A replaced token key stays valid for its last token and a skewed clock. */
  tokenKeyKeptMs: 15 * minute,
  /** A replaced seal key opens frames for as long as a stream keeps them (72 h), and a day. */
  sealKeyKeptMs: 4 * day,
  /** A replaced key for heads proves what it signed for as long as people compare it; newer heads cover the same history. */
  headKeyKeptMs: 90 * day,

  /** How long a sign-up whose answer was lost may be repeated by the same device. */
  signUpAgainMsMax: 10 * minute,
  /** Sign-ups younger than this are still under way in some request. */
  signUpUnderWayMs: 5_000,
  signUpSweepMs: 10_000,
  signUpLeaseMs: 30_000,
  signUpsPerSweep: 100,
  /** Sign-ups that wait for the directory; beyond that they are refused without being written down. */
  signUpsWaitingMax: 10_000,
  /** Sign-ups of one handle and device that are compared by password. */
  signUpsComparedMax: 2,

  /** Failed log-ins per account, whoever tries (OWASP ASVS 5, 6.3.1), and the time after which they are forgotten. */
  accountFailuresMax: 20,
  accountFailuresMs: 15 * minute,
  /** Failed log-ins per address: a household or an office behind one address still gets in. */
  addressFailuresMax: 200,
  addressFailuresMs: 15 * minute,
  /** Sign-ups per address. Wide, since a campus may be one address; the hashing queue bounds the cost. */
  addressSignUpsMax: 6_000,
  addressSignUpsMs: 10 * minute,

  /** Sessions and sign-ups that one sweep deletes. */
  rowsPerSweep: 1_000,
} as const;

/** The relations between limits; called by a unit test. */
export function assertAccountLimits(): void {
  const l = accountLimits;
  assert(l.tokenKeyKeptMs > l.accessMsMax, 'a key outlives its last token');
  assert(l.keyMsMax > l.keyStartsMs + l.keyReloadMs, 'a key is used before it is replaced');
  assert(l.keyStartsMs > 4 * l.keyReloadMs, 'all nodes know a key before one uses it');
  assert(l.sessionPollMs * 4 < 60_000 && l.sessionPollBackMs > 2 * l.sessionPollMs, 'sockets of an ended session close within a minute');
  assert(l.signUpUnderWayMs < l.signUpAgainMsMax, 'the sweeper comes before the window of a repeated sign-up ends');
  assert(l.sessionIdleMsMax <= l.sessionMsMax, 'an idle session ends first');
}
