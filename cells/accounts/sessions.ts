// Sessions: one log-in of one device and its family of refresh tokens. The rows are the truth for every node of the cell.
//
// A refresh with token n:
// 1. n is the newest: it is spent and n + 1 is given, by a compare-and-set on n. Of two at once one wins, the other goes on with 2.
// 2. n was spent within the grace and n + 1 was made of it: the same n + 1 again; the answer may have been lost. The grace begins anew when this node has
//    come up or its store is back: until then nobody could ask again.
// 3. n was spent before: whoever comes with it, or whoever came before, is a thief. The session ends.
import { randomBytes } from 'node:crypto';
import { WeftError } from '@weft/proto/faults.ts';
import { birthCell, type SessionId, session as sessionId } from '@weft/proto/ids.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type { Log } from '@weft/runtime/log.ts';
import { inTransaction } from '@weft/runtime/sql.ts';
import type pg from 'pg';
import type { Query } from '../store/entries-table.ts';
import {
  endSession,
  findEndedSince,
  findLiveAmong,
  findLiveSessions,
  findSession,
  forgetSessions,
  insertSession,
  refreshSession,
  type SessionRow,
} from '../store/sessions-table.ts';
import { lockUser } from '../store/users-table.ts';
import { accountLimits as limits } from './account-limits.ts';
import { EndedSessions } from './ended-sessions.ts';
import { type Homes, type OwnCell, WrongHome } from './homes.ts';
import { type RefreshToken, type RefreshTokens, saltBytes } from './refresh-tokens.ts';

export type EndReason = 'logout' | 'replaced' | 'refresh_reused' | 'revoked';

/** `here`: this node ended them, and should tell the others; `elsewhere`: it learned of it. */
export type EndedListener = (sessions: readonly SessionId[], from: 'here' | 'elsewhere') => void;

export interface SessionsOptions {
  readonly pool: pg.Pool;
  readonly clock: Clock;
  readonly ids: { next(): bigint };
  readonly tokens: RefreshTokens;
  readonly own: OwnCell;
  readonly homes: Homes;
  readonly log: Log;
}

export interface Holder {
  readonly user: bigint;
  readonly device: string;
  readonly session: SessionId;
  /** Shown to the client once. */
  readonly refreshToken: string;
}

export class Sessions implements AsyncDisposable {
  readonly #options: SessionsOptions;
  readonly #query: Query;
  readonly #known = new EndedSessions();
  readonly #listeners = new Set<EndedListener>();
  #poll: Disposable | undefined;
  #polling: Promise<void> = Promise.resolve();
  /** Since when this node could answer; undefined while it cannot. */
  #answersSinceMs: number | undefined;

  private constructor(options: SessionsOptions) {
    this.#options = options;
    this.#query = (statement) => options.pool.query(statement);
  }

  /** Begins to follow what other nodes end. Rejects when the database does not answer. */
  static async open(options: SessionsOptions): Promise<Sessions> {
    const sessions = new Sessions(options);
    await sessions.#readEnded(options.clock.now() - limits.accessMsMax - limits.sessionPollBackMs);
    sessions.#poll = options.clock.every(limits.sessionPollMs, () => {
      sessions.#polling = sessions.#polling.then(() => sessions.#follow());
    });
    return sessions;
  }

  /** A new session; the one this device had ends. Throws WeftError `too_many_devices`, `unknown_user`. */
  async start(of: { readonly user: bigint; readonly device: string }): Promise<Holder> {
    const { pool, clock, ids, tokens } = this.#options;
    const session = ids.next();
    const token = tokens.first(session);
    const salt = randomBytes(saltBytes);
    const replaced = await inTransaction(pool, async (client) => {
      const query: Query = (statement) => client.query(statement);
      if (!(await lockUser(query, of.user))) throw new WeftError('unknown_user');
      const now = clock.now();
      const others = (await findLiveSessions(query, of.user, now)).filter((each) => each.session !== session);
      const before = others.filter((each) => each.device === of.device);
      if (others.length - before.length >= limits.devicesPerUser) throw new WeftError('too_many_devices');
      for (const each of before) await endSession(query, each.session, { reason: 'replaced', by: of.user, nowMs: now });
      const endsMs = now + limits.sessionIdleMsMax;
      await insertSession(query, {
        session,
        ...of,
        createdMs: now,
        endsMs,
        refreshNumber: token.number,
        refreshHash: token.hash,
        refreshSalt: salt,
      });
      return before.map((each) => each.session);
    });
    this.#tell(replaced, 'here');
    return { ...of, session: sessionId(session), refreshToken: token.text };
  }

  /**
   * The next refresh token of the session. Throws WeftError `token_invalid` for what was never given here, `session_ended` when the device has to log in
   * again, and WrongHome for a session of another cell.
   */
  async refresh(text: string): Promise<Holder> {
    const token = this.#read(text);
    for (let attempt = 0; attempt < limits.refreshAttemptsMax; attempt++) {
      const row = await findSession(this.#query, token.session);
      const now = this.#options.clock.now();
      if (row === undefined || row.endedMs !== undefined || row.endsMs <= now) throw new WeftError('session_ended');
      const next = await this.#exchange(row, token, now);
      if (next !== undefined) return { user: row.user, device: row.device, session: sessionId(row.session), refreshToken: next.text };
    }
    throw new WeftError('busy', 'the session is being refreshed', limits.refreshBusyMs);
  }

  /** Ends the session on every node; false when it had ended before. `by`: the user who did it, null: the cell. */
  async end(session: bigint, reason: EndReason, by: bigint | null = null): Promise<boolean> {
    const ended = await endSession(this.#query, session, { reason, by, nowMs: this.#options.clock.now() });
    if (ended) this.#tell([session], 'here');
    return ended;
  }

  /** Whether this node knows that the session ended lately; at most sessionPollMs behind other nodes while the database answers. */
  ended(session: bigint): boolean {
    return this.#known.has(session);
  }

  /** Those that ended, expired or never were, by the database. */
  async endedAmong(sessions: readonly bigint[]): Promise<SessionId[]> {
    const ended: SessionId[] = [];
    for (let at = 0; at < sessions.length; at += limits.sessionsPerQuery) {
      const some = sessions.slice(at, at + limits.sessionsPerQuery);
      const live = await findLiveAmong(this.#query, some, this.#options.clock.now());
      for (const each of some) if (!live.has(each)) ended.push(sessionId(each));
    }
    return ended;
  }

  /** Takes what another node told (cell.push). */
  note(sessions: readonly bigint[]): void {
    this.#tell(sessions, 'elsewhere');
  }

  /** Called once for each session that ended, on this node or another: its sockets close. Sessions that merely expire are not told: their last token ends. */
  onEnded(fn: EndedListener): Disposable {
    this.#listeners.add(fn);
    return { [Symbol.dispose]: () => void this.#listeners.delete(fn) };
  }

  /** Deletes sessions that ended long ago, one page. */
  async sweep(): Promise<void> {
    await forgetSessions(this.#query, this.#options.clock.now() - limits.sessionKeptMs, limits.rowsPerSweep);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#poll?.[Symbol.dispose]();
    await this.#polling;
    this.#listeners.clear();
  }

  #read(text: string): RefreshToken {
    const { tokens, own, homes } = this.#options;
    const token = tokens.read(text);
    if (token !== undefined) return token;
    const named = tokens.sessionOf(text);
    const birth = named === undefined ? undefined : birthCell(named);
    if (birth === undefined || birth === own.number || homes.cell(birth) === undefined) throw new WeftError('token_invalid');
    throw new WrongHome(homes.cell(birth));
  }

  /** Undefined: look again, another refresh was first. */
  async #exchange(row: SessionRow, token: RefreshToken, now: number): Promise<RefreshToken | undefined> {
    const { tokens } = this.#options;
    if (token.number === row.refreshNumber) {
      if (!token.hash.equals(row.refreshHash)) throw new WeftError('session_ended');
      const salt = randomBytes(saltBytes);
      const next = tokens.next(token, salt);
      const endsMs = Math.min(now + limits.sessionIdleMsMax, row.createdMs + limits.sessionMsMax);
      const won = await refreshSession(this.#query, {
        session: row.session,
        number: token.number,
        nowMs: now,
        endsMs,
        hash: next.hash,
        salt,
      });
      return won ? next : undefined;
    }
    // A number that was never given: the rows are older than the token, from a backup. Nobody can tell who holds the right one.
    if (token.number > row.refreshNumber) throw new WeftError('session_ended');
    if (token.number === row.refreshNumber - 1 && now - Math.max(row.refreshedMs, this.#answersSinceMs ?? now) <= limits.refreshGraceMs) {
      const again = tokens.next(token, row.refreshSalt);
      if (again.hash.equals(row.refreshHash)) return again;
    }
    this.#options.log.warn(
      { session: String(row.session), user: String(row.user), number: token.number },
      'a spent refresh token was used again; its session ends',
    );
    await this.end(row.session, 'refresh_reused');
    throw new WeftError('session_ended');
  }

  async #follow(): Promise<void> {
    try {
      await this.#readEnded(this.#options.clock.now() - limits.sessionPollBackMs);
    } catch (error) {
      this.#answersSinceMs = undefined;
      this.#options.log.warn({ err: error }, 'ended sessions could not be read');
    }
  }

  async #readEnded(sinceMs: number): Promise<void> {
    this.#tell(await findEndedSince(this.#query, sinceMs, limits.endedKept), 'elsewhere');
    this.#answersSinceMs ??= this.#options.clock.now();
  }

  #tell(sessions: readonly bigint[], from: 'here' | 'elsewhere'): void {
    const fresh = this.#known.note(sessions, this.#options.clock.now()).map(sessionId);
    if (fresh.length === 0) return;
    for (const fn of this.#listeners) fn(fresh, from);
  }
}
