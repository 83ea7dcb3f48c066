// The catalogue of faults: every code a client or a caller can meet, with what it may do about it.

export type RetryAdvice = 'never' | 'later' | 'elsewhere';

interface FaultKind {
  readonly retry: RetryAdvice;
  /** HTTP status of the same fault on the REST door (RFC 9110). */
  readonly http: number;
  readonly text: string;
}

export const faults = {
  // The frame or the request itself.
  bad_frame: { retry: 'never', http: 400, text: 'the frame is not valid for the negotiated subprotocol' },
  bad_request: { retry: 'never', http: 400, text: 'a field of the request is missing or out of its range' },
  unknown_request: { retry: 'never', http: 400, text: 'the frame carries no request this version knows' },
  hello_first: { retry: 'never', http: 400, text: 'the first request of a connection must be hello' },
  bad_text: { retry: 'never', http: 400, text: 'the text is not valid UTF-8 or contains NUL' },
  entry_too_large: { retry: 'never', http: 413, text: 'the entry is larger than entry_bytes_max' },
  // Who asks.
  token_invalid: { retry: 'never', http: 401, text: 'the access token is not valid here' },
  token_expired: { retry: 'never', http: 401, text: 'the access token has ended; refresh it' },
  session_ended: { retry: 'never', http: 401, text: 'the session was ended' },
  login_failed: { retry: 'never', http: 401, text: 'handle or password is wrong' },
  wrong_home: { retry: 'elsewhere', http: 421, text: 'the user is homed in another cell' },
  // What may be done.
  unknown_log: { retry: 'never', http: 404, text: 'there is no such log for this user' },
  unknown_user: { retry: 'never', http: 404, text: 'there is no such user' },
  unknown_cell: { retry: 'never', http: 404, text: 'there is no such cell' },
  not_a_member: { retry: 'never', http: 403, text: 'the user is not a member of the log' },
  not_allowed: { retry: 'never', http: 403, text: 'the user may not do this' },
  log_frozen: { retry: 'later', http: 503, text: 'the log is frozen until its state is repaired' },
  // Limits.
  group_full: { retry: 'never', http: 409, text: 'the group has reached its members_max' },
  too_many_members: { retry: 'never', http: 400, text: 'more members than members_per_entry_max in one request' },
  too_many_logs: { retry: 'never', http: 409, text: 'the user is in as many logs as allowed' },
  too_many_devices: { retry: 'never', http: 409, text: 'the user has as many devices as allowed' },
  rate_limited: { retry: 'later', http: 429, text: 'too many requests in this time' },
  intake_full: { retry: 'later', http: 503, text: 'too many appends wait for the owner of their logs' },
  busy: { retry: 'later', http: 503, text: 'a queue of this node is full' },
  earlier_faulted: { retry: 'later', http: 409, text: 'an earlier append to this log must be sent again first' },
  // Accounts.
  handle_invalid: { retry: 'never', http: 400, text: 'the handle is not allowed' },
  handle_taken: { retry: 'never', http: 409, text: 'the handle, or one that looks like it, is taken' },
  password_invalid: { retry: 'never', http: 400, text: 'the password is too short, too long or too common' },
  // Ours.
  not_ready: { retry: 'later', http: 503, text: 'this node cannot serve yet' },
  draining: { retry: 'elsewhere', http: 503, text: 'this node is leaving' },
  directory_away: { retry: 'later', http: 503, text: 'the directory does not answer; sign-ups wait, everything else works' },
  peer_away: { retry: 'later', http: 503, text: 'the other cell does not answer' },
  stale_epoch: { retry: 'elsewhere', http: 409, text: 'another cell owns this log now' },
  internal: { retry: 'later', http: 500, text: 'something failed that should not; it was recorded' },
} as const satisfies Record<string, FaultKind>;

export type FaultCode = keyof typeof faults;

/** A fault on its way to whoever asked. Bugs are assertions, not this. */
export class WeftError extends Error {
  override readonly name = 'WeftError';
  readonly code: FaultCode;
  /** Milliseconds after which `later` makes sense; 0: the caller's own back-off. */
  readonly afterMs: number;

  constructor(code: FaultCode, detail = '', afterMs = 0) {
    super(detail === '' ? faults[code].text : `${faults[code].text}: ${detail}`);
    this.code = code;
    this.afterMs = afterMs;
  }

  get retry(): RetryAdvice {
    return faults[this.code].retry;
  }
}
