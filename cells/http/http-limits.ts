// Limits of the REST door, each with its unit and reason.

export const httpLimits = {
  /** The largest body is a handle, a password and a device. */
  bodyBytesMax: 16 * 1024,
  /** Time to send a request; log-ins wait for a hash, not for bytes. */
  requestMsMax: 15_000,
  connectionIdleMsMax: 72_000,
  /** How long keys may be cached: below the time a new key is published before it is used. */
  keysSecondsMax: 30,
  /** Characters of a handle in a path, before it is decoded and judged. */
  handleCharsMax: 1_024,
} as const;
