// The door of this drawer: who people are, and which sessions they hold.
import { WeftError } from '@weft/proto/faults.ts';
import { normaliseHandle } from '@weft/proto/handle.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type { Leases } from '@weft/runtime/lease.ts';
import type { Log } from '@weft/runtime/log.ts';
import type { openRedis } from '@weft/runtime/redis.ts';
import type pg from 'pg';
import { findUserByHandle, findUserById, type UserRow } from '../store/users-table.ts';
import { accountLimits as limits } from './account-limits.ts';
import { type AttemptLimits, Attempts } from './attempts.ts';
import type { CellKeys } from './cell-keys.ts';
import { findByHandle, type Homes, type OwnCell, requireHome } from './homes.ts';
import { LogIns } from './login.ts';
import { Passwords } from './passwords.ts';
import { RefreshTokens } from './refresh-tokens.ts';
import { type Holder, Sessions } from './sessions.ts';
import { type Applicant, type SignUpFailpoint, SignUps } from './signup.ts';
import { type Access, AccessTokens } from './tokens.ts';

export interface AccountsOptions {
  readonly pool: pg.Pool;
  readonly redis: ReturnType<typeof openRedis>;
  readonly clock: Clock;
  readonly ids: { next(): bigint };
  /** `url`: WEFT_PUBLIC_URL, told to clients while the directory does not know this cell's urls. */
  readonly own: OwnCell & { readonly url: string };
  readonly homes: Homes;
  readonly keys: CellKeys;
  /** WEFT_KEY_SECRET: 32 bytes. */
  readonly keySecret: Uint8Array;
  /** WEFT_PEPPERS by id. */
  readonly peppers: ReadonlyMap<number, Uint8Array>;
  readonly leases: Leases;
  /** Makes the user's self log, or finds the one made before. */
  readonly createSelfLog: (user: bigint) => Promise<bigint>;
  readonly failpoint?: (name: SignUpFailpoint) => Promise<void>;
  readonly attemptLimits?: Partial<AttemptLimits>;
  /** Unix ms: access tokens issued before are not taken. */
  readonly notBeforeMs?: number;
  readonly log: Log;
}

/** What a client gets for a handle and password, or for a refresh token. */
export interface Grant {
  readonly user: bigint;
  readonly handle: string;
  readonly cell: string;
  readonly session: bigint;
  readonly selfLog: bigint;
  readonly accessToken: string;
  /** Unix ms. */
  readonly accessEndsMs: number;
  readonly refreshToken: string;
  /** Base URLs of this cell's nodes. */
  readonly urls: readonly string[];
}

export interface PublicUser {
  readonly user: bigint;
  readonly handle: string;
  /** Name of the home cell. */
  readonly cell: string;
}

const sweepLease = 'accounts-sweep';

export class Accounts implements AsyncDisposable {
  readonly sessions: Sessions;
  readonly #options: AccountsOptions;
  readonly #tokens: AccessTokens;
  readonly #signUps: SignUps;
  readonly #logIns: LogIns;
  #sweep: Disposable | undefined;
  #sweeping: Promise<void> = Promise.resolve();

  private constructor(options: AccountsOptions, sessions: Sessions, passwords: Passwords) {
    const attempts = new Attempts(options.redis, options.attemptLimits);
    this.#options = options;
    this.sessions = sessions;
    this.#tokens = new AccessTokens(options);
    this.#signUps = new SignUps({ ...options, passwords, attempts, failpoint: options.failpoint ?? (async () => undefined) });
    this.#logIns = new LogIns({ ...options, passwords, attempts });
  }

  /** Rejects when the database does not answer. */
  static async open(options: AccountsOptions): Promise<Accounts> {
    const passwords = await Passwords.open({ peppers: options.peppers });
    const sessions = await Sessions.open({ ...options, tokens: new RefreshTokens(options.keySecret) });
    const accounts = new Accounts(options, sessions, passwords);
    accounts.#sweep = options.clock.every(limits.signUpSweepMs, () => {
      accounts.#sweeping = accounts.#sweeping.then(() => accounts.#tend());
    });
    return accounts;
  }

  /** Throws WeftError `handle_invalid`, `handle_taken`, `password_invalid`, `rate_limited`, `busy`, `directory_away`, `too_many_devices`. */
  async signUp(applicant: Applicant): Promise<Grant> {
    const user = await this.#signUps.signUp({ ...applicant, handle: normaliseHandle(applicant.handle) });
    return this.#open(user, applicant.device);
  }

  /** Throws WeftError `handle_invalid`, `login_failed`, `rate_limited`, `busy`, `too_many_devices`, and WrongHome. */
  async logIn(applicant: Applicant): Promise<Grant> {
    const user = await this.#logIns.logIn({ ...applicant, handle: normaliseHandle(applicant.handle) });
    return this.#open(user, applicant.device);
  }

  /** Throws WeftError `token_invalid`, `session_ended`, and WrongHome. */
  async refresh(refreshToken: string): Promise<Grant> {
    const holder = await this.sessions.refresh(refreshToken);
    const user = await findUserById((statement) => this.#options.pool.query(statement), holder.user);
    if (user === undefined) throw new WeftError('session_ended');
    requireHome(this.#options.homes, this.#options.own, user.user);
    return this.#grant(user, holder);
  }

  /** Ends the session of this access token. Throws as {@link verifyAccess}. */
  async logOut(accessToken: string): Promise<void> {
    const access = await this.verifyAccess(accessToken);
    await this.sessions.end(access.session, 'logout', access.user);
  }

  /** Without I/O. Throws WeftError `token_invalid`, `token_expired`, `session_ended`, or WrongHome (`wrong_home`, with cell and url). */
  async verifyAccess(token: string): Promise<Access> {
    const access = await this.#tokens.verifyAccess(token);
    if (this.sessions.ended(access.session)) throw new WeftError('session_ended');
    return access;
  }

  /** Throws WeftError `unknown_user`, `handle_invalid`, and `directory_away` when only the directory could know. */
  async findUser(handle: string): Promise<PublicUser> {
    const { pool, homes, own } = this.#options;
    const normalised = normaliseHandle(handle);
    const known = homes.userByHandle(normalised);
    const here = known === undefined ? await findUserByHandle((statement) => pool.query(statement), normalised) : undefined;
    if (here !== undefined) return { user: here.user, handle: here.handle, cell: own.name };
    const found = known ?? (await findByHandle(homes, normalised));
    const cell = found === undefined ? undefined : homes.cell(found.home);
    if (found === undefined || cell === undefined) throw new WeftError('unknown_user');
    return { user: found.id, handle: found.handle, cell: cell.name };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#sweep?.[Symbol.dispose]();
    await this.#sweeping;
    await this.#options.leases
      .release(sweepLease)
      .catch((error: unknown) => this.#options.log.warn({ err: error }, 'the lease of the sweeper was not given back; it ends by itself'));
    await this.sessions[Symbol.asyncDispose]();
  }

  async #open(user: UserRow, device: string): Promise<Grant> {
    return this.#grant(user, await this.sessions.start({ user: user.user, device }));
  }

  async #grant(user: UserRow, holder: Holder): Promise<Grant> {
    const { homes, own } = this.#options;
    const access = await this.#tokens.issue(holder);
    const urls = homes.cell(own.name)?.urls ?? [];
    return {
      user: user.user,
      handle: user.handle,
      cell: own.name,
      session: holder.session,
      selfLog: user.selfLog,
      accessToken: access.token,
      accessEndsMs: access.endsMs,
      refreshToken: holder.refreshToken,
      urls: urls.length > 0 ? urls : [own.url],
    };
  }

  /** One node at a time, to save work; two at once do no harm. */
  async #tend(): Promise<void> {
    const { leases, log } = this.#options;
    try {
      if ((await leases.tryHold(sweepLease, limits.signUpLeaseMs)) === undefined) return;
      await this.sessions.sweep();
      await this.#signUps.sweep();
    } catch (error) {
      if (error instanceof WeftError && error.code === 'directory_away') log.info('sign-ups wait for the directory');
      else log.warn({ err: error }, 'sign-ups and sessions could not be swept');
    }
  }
}
