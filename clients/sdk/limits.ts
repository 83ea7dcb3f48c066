// Limits of the client, each with its unit and reason. Limits of the wire are in @weft/proto/limits.ts.

import { limits } from '@weft/proto/limits.ts';

export const clientLimits = {
  /** No state but idle and stopped may last longer without progress. The deadlines below are all under it. */
  stateMsMax: 60_000,
  /** Refreshing the token and looking up the home: several REST calls, each with its own deadline. */
  locateMsMax: 20_000,
  /** One REST call. A cell that is up answers in milliseconds; hashing a password may take 200. */
  restMsMax: 5_000,
  /** TCP, TLS and the upgrade. */
  connectMsMax: 8_000,
  /** From Hello to Welcome: the node looks the session up once. */
  greetMsMax: 10_000,
  /** Catching up before the connection is called live; what is left goes on while live. */
  resumeMsMax: 30_000,
  /** Without a heartbeat for this long the connection counts as cut, whatever interval the server names. */
  silenceMsMax: 45_000,
  silenceMsMin: 3_000,
  /** Heartbeats that may be missing: one may be late, two are a cut. */
  silenceHeartbeats: 2.5,
  /** Full jitter, doubled at each failure. */
  backoffBaseMs: 250,
  backoffMsMax: 15_000,
  /** A server may ask for a longer pause, up to this. */
  askedPauseMsMax: 50_000,
  /** Addresses of a cell's nodes that are tried in turn. */
  urlsMax: 16,
  /** A connection that held this long starts the back-off anew. */
  steadyMs: 10_000,
  /** Redirects followed before the router is asked. */
  redirectsMax: 1,
  /** The token is renewed this long before its end, and tried again this often. */
  renewAheadMs: 60_000,
  renewAgainMs: 15_000,
  /** A token with less left than this is refreshed before it is shown to a node. */
  tokenFreshMs: 30_000,
  /** A request without an answer for this long means the connection is stuck. */
  answerMsMax: 15_000,
  /** A call of the caller's (history, create …) over any number of connections. */
  requestMsMax: 30_000,
  /** Calls that wait for a connection at once. */
  requestsWaitingMax: 1_000,
  /** An entry beyond the head waits this long for what lies between (delivery rule R21). */
  holdMs: 300,
  /** Entries held per log; what comes beyond is fetched later. */
  heldEntriesMax: 512,
  /** Epochs of one log whose beginning is remembered: late entries of older ones are told apart by it. */
  epochsMax: 16,
  /** Own entries that a newer epoch gave up, and refusals of entries that are not in the outbox, that are remembered. */
  givenUpMax: 1_000,
  /** Entries kept in memory per log; older ones are read again when wanted. */
  viewEntriesMax: 1_000,
  /** Ranges fetched at once, so that a long absence does not fill the node's queue. */
  fetchesInFlightMax: 8,
  /** A range that could not be read is asked for again after this. */
  fetchAgainMs: 1_000,
  /** Undecided entries in the outbox; more are refused to the caller. */
  outboxEntriesMax: 10_000,
  /** Dead lines of an outbox file before it is written anew. */
  outboxDeadLinesMax: 10_000,
  /** Places in the hash chain of a log that are remembered: what a signed head or another member's is compared with. */
  linksMax: 512,
  /** And places below them, where pages end: what is read next to one has to fit. */
  shownHashesMax: 64,
  /** Missing seqs of one log that are waited for by name. */
  holesMax: 256,
  /** What was lost on the way here is fetched and told of after this: a hole's time, and a page's. */
  lossToldMs: 1_500,
  /** Logs looked into at once; one more, and one that nobody answered about, not before this. */
  inquiriesMax: 4,
  /** Doubts about one log that wait while it is looked into: those whose evidence does not come again. */
  doubtsWaitingMax: 8,
  inquireAgainMs: 1_000,
  /** An inquiry without an end is made again so often. While owners change nobody may be there to say which of two histories is in force. */
  inquiryTriesMax: 6,
  openInquiryAgainMs: 5_000,
  /** Keys of cells are read again at most this often for a kid that is not known. */
  keysAgainMs: 5_000,
  /** What was shown and nobody has signed for this long is asked about at the next heartbeat. */
  unsignedMs: 3_000,
  /** Delivered marks are sent at most this often per log, as the cells coalesce them too. */
  markMs: 1_000,
  /** Members whose marks are kept per log: cells send marks of logs up to 200 members. */
  markedUsersMax: 200,
  /** Names kept in memory. */
  namesMax: 5_000,
  /** Pages read in one walk over all logs. */
  logPagesMax: Math.ceil(limits.logsPerUserMax / limits.pageEntriesMax) + 1,
} as const;
