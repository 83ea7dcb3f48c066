// Limits of the links between cells and of the bus under them: each with its unit last and its reason.

export const linkLimits = {
  /** A signal older (or newer) than this is dropped: it says what is true only now, and could be a replay. */
  signalMsMax: 30_000,
  /** Current and previous key of both sides, both directions, with room for one more rotation under way. */
  derivedKeysPerPeerMax: 16,
  /** Peers with derived keys kept; the least lately derived goes first. */
  derivedKeyPeersMax: 4_096,
  /** Nonces drawn from the system's generator in one call. */
  noncesDrawnAtOnce: 1_024,

  /** One attempt to connect to the bus, and the pause before the next. */
  connectMsMax: 2_000,
  reconnectPauseMs: 250,
  /** A silent server is given up after two unanswered pings. */
  pingMs: 2_000,
  pingsOutMax: 2,
  /** Closing waits so long for the server to have read everything. */
  closeMsMax: 1_000,

  /** The broker's answer to a frame; later it counts as unknown. */
  publishMsMax: 2_000,
  /** Publishes and requests to one peer without an answer; above it nothing is sent. The relay's own window is far below. */
  unansweredPerPeerMax: 4_096,
  /** How late a timeout may be noticed. */
  answerSweepMs: 50,
  /** Bytes of core messages (acknowledgements, signals, pushes) the server has not yet confirmed to have read: a frozen server must not fill our memory. */
  unconfirmedBytesMax: 32 * 1024 * 1024,
  /** After so many bytes the server is asked to confirm. */
  confirmEachBytes: 512 * 1024,

  /** Requests of other cells that are handled at once in one node; further ones are told "nobody here", which means: come again. */
  requestsAtOnceMax: 256,

  /** A frame handed out comes again after this without a word. */
  ackWaitMs: 30_000,
  /** Frames of one partition handed out and not acknowledged, over all nodes of the cell. */
  unackedPerPartitionMax: 256,
  /** Frames asked for ahead, of one partition and node: at most 16 MiB of full frames. */
  framesAskedMax: 64,
  /** Bytes of frames that wait in a node while consumption of a partition is paused; further ones come again later. */
  heldBytesMax: 16 * 1024 * 1024,
  /** While consumption is paused, frames held are reported as in work each time this passes. Well below ackWaitMs. */
  workingEachMs: 10_000,
  /** Without a heartbeat of the stream for twice this time, it is asked anew. */
  consumeHeartbeatMs: 1_000,
  /** How long one pull request stands. */
  consumeExpiresMs: 5_000,
  /** Pause before a consumer that ended is entered again. */
  consumePauseMs: 250,
  /** One call to the broker's own API. */
  streamApiMsMax: 5_000,

  /** The broker recognises a message id for this long. */
  dedupeMs: 600_000,
  /** Nothing stays in the inbound stream longer: its source still has it. */
  inboundAgeMsMax: 72 * 3_600_000,
  /** A frame is at most 256 KiB; seal and headers take less than 4 KiB. */
  inboundMessageBytesMax: 260 * 1024,
  /** Work queue of one cell: size and age of what waits. */
  jobsBytesMax: 256 * 1024 * 1024,
  jobsAgeMsMax: 72 * 3_600_000,
} as const;
