// A session and where it survives a restart.

/** What a log-in gives. Whoever has it is the user: keep it as a secret. */
export interface Session {
  /** Decimal, as are all ids of a session. */
  readonly user: string;
  readonly handle: string;
  /** The home cell. */
  readonly cell: string;
  readonly session: string;
  readonly selfLog: string;
  readonly device: string;
  readonly accessToken: string;
  /** Milliseconds since the Unix epoch. */
  readonly accessEnds: number;
  /** Each works once; the newest is stored before it is used. */
  readonly refreshToken: string;
  /** Addresses of the home cell's nodes. */
  readonly urls: readonly string[];
  /** Address of the router that is asked when none of `urls` answers. */
  readonly router: string;
}

/** Where a session survives a restart. */
export interface SessionStore {
  load(): Promise<Session | undefined>;
  /** Resolves when the session survives a crash. */
  save(session: Session): Promise<void>;
  clear(): Promise<void>;
}
