// Limits of the wire, each with its unit and reason. Limits inside a room are in that room's limits.ts.

export const limits = {
  /** Bytes of one entry's body. Large things are media, not entries. */
  entryBytesMax: 16 * 1024,
  /** Bytes of one WebSocket message of a client. */
  frameBytesMax: 64 * 1024,
  /** Members added or removed by one entry: the entry must fit its bytes. */
  membersPerEntryMax: 256,
  /** Members of one group: default and most. Their list is part of every replica. */
  groupMembersDefault: 1_000,
  groupMembersMax: 5_000,
  /** Appends a user may send each second, over all devices of one node; bursts of twice that. */
  appendsPerSecond: 500,
  /** Appends of one socket without an answer; after that the node stops reading it. */
  appendsInFlightMax: 32,
  /** Ids that an append may name of what was sent after it: as many as one socket has under way. */
  followedByMax: 32,
  /** Entries of one history page. */
  pageEntriesMax: 200,
  /** Undecided appends of one user to logs owned elsewhere. */
  openIntakePerUserMax: 1_000,
  /** Logs one user may be a member of. */
  logsPerUserMax: 10_000,
  /** Devices with a live session of one user. */
  devicesPerUserMax: 10,
  /** Open sockets from one address. */
  socketsPerAddressMax: 20_000,
  /** Entries and bytes of one frame between cells: one transaction where it arrives. */
  frameEntriesMax: 256,
  fabricFrameBytesMax: 256 * 1024,
  /** Heads in one Welcome; the rest is found by bucket digests. */
  welcomeHeadsMax: 500,
  /** Characters. */
  titleCharsMax: 128,
  deviceCharsMax: 64,
  /** A frame without a Hello closes after this. */
  helloMsMax: 10_000,
  /** Time between two heartbeats of the server. */
  heartbeatMs: 10_000,
} as const;
