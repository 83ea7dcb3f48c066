// WebSocket close codes (RFC 6455, section 7.4): what a client should do after each.

export const closeCodes = {
  /** The client or the server is done. */
  normal: { code: 1000, then: 'stay' },
  /** The node leaves: reconnect, by the url and after_ms of the Leaving frame if one came. */
  goingAway: { code: 1001, then: 'reconnect' },
  /** The bytes were not the negotiated protocol. A bug of the client: do not repeat. */
  protocolError: { code: 1002, then: 'stop' },
  /** Binary on a JSON connection, or text on a protobuf one. */
  wrongType: { code: 1003, then: 'stop' },
  /** Text that is not UTF-8. */
  notUtf8: { code: 1007, then: 'stop' },
  /** No hello in time, too many bad frames. */
  policy: { code: 1008, then: 'reconnect' },
  /** A frame above frame_bytes_max. */
  tooLarge: { code: 1009, then: 'stop' },
  /** The node failed. */
  internal: { code: 1011, then: 'reconnect' },
  /** The node is full: reconnect with back-off. */
  tryAgain: { code: 1013, then: 'reconnect' },
  /** The access token ended and was not renewed: refresh, then reconnect. */
  tokenExpired: { code: 4001, then: 'refresh' },
  /** The session was ended: log in again. */
  sessionEnded: { code: 4002, then: 'login' },
  /** Homed elsewhere: a Redirect frame came before. */
  redirected: { code: 4003, then: 'redirect' },
  /** The client read too slowly: reconnect and resume. */
  tooSlow: { code: 4004, then: 'reconnect' },
  /** The same device connected anew. */
  replaced: { code: 4005, then: 'stay' },
} as const;

export type CloseReason = keyof typeof closeCodes;
export type AfterClose = (typeof closeCodes)[CloseReason]['then'];
