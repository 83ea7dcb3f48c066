// Limits of this room, each with its unit and reason.

export const limits = {
  /** Requests an address may make each second, on average, and at once. High: whole offices and mobile networks share one address. */
  requestsPerSecond: 200,
  requestsBurstMax: 2_000,
  /** Addresses whose rate is remembered; about 150 bytes each. The one not heard of for the longest time is forgotten first. */
  addressesMax: 50_000,
  /** Look-ups that wait for the directory at once. More of them would only queue there. */
  lookUpsMax: 256,
  /** What a client waits after `busy`. */
  busyAfterMs: 500,
  /** What a client waits while the directory is away. */
  awayAfterMs: 2_000,
  /** Bytes of a request's body, and characters of one part of its path: a handle of 32 characters, percent-encoded. */
  bodyBytesMax: 4 * 1024,
  pathPartCharsMax: 512,
  /** Time to receive a whole request. */
  requestMsMax: 5_000,
  /** An idle connection is closed after this. */
  idleMsMax: 30_000,
} as const;
