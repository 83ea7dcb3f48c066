// Logging in. Only the home cell ever sees whether a password is right; an unknown handle gets the answer of a wrong password, after the same time.
import { WeftError } from '@weft/proto/faults.ts';
import type { Log } from '@weft/runtime/log.ts';
import { isRetryable } from '@weft/runtime/sql.ts';
import type pg from 'pg';
import type { Query } from '../store/entries-table.ts';
import { findUserByHandle, setPassword, type UserRow } from '../store/users-table.ts';
import { accountLimits as limits } from './account-limits.ts';
import type { Attempts } from './attempts.ts';
import { findByHandle, type Homes, type OwnCell, requireHome, WrongHome } from './homes.ts';
import type { Passwords } from './passwords.ts';
import type { Applicant } from './signup.ts';

export interface LogInsOptions {
  readonly pool: pg.Pool;
  readonly own: OwnCell;
  readonly homes: Homes;
  readonly passwords: Passwords;
  readonly attempts: Attempts;
  readonly log: Log;
}

export class LogIns {
  readonly #options: LogInsOptions;
  readonly #query: Query;
  #underWay = 0;

  constructor(options: LogInsOptions) {
    this.#options = options;
    this.#query = (statement) => options.pool.query(statement);
  }

  /** Throws WeftError `login_failed`, `rate_limited`, `busy`, and WrongHome for a handle that is homed elsewhere. */
  async logIn(applicant: Omit<Applicant, 'device'>): Promise<UserRow> {
    if (this.#underWay >= limits.logInsUnderWayMax) throw new WeftError('busy', 'too many log-ins at once', limits.hashesBusyMs);
    this.#underWay++;
    try {
      return await this.#judge(applicant);
    } catch (error) {
      if (!isRetryable(error)) throw error;
      this.#options.log.warn({ err: error }, 'a log-in met a store that does not answer');
      throw new WeftError('busy', 'the store does not answer now', limits.hashesBusyMs);
    } finally {
      this.#underWay--;
    }
  }

  async #judge({ handle, password, address }: Omit<Applicant, 'device'>): Promise<UserRow> {
    const { passwords, attempts } = this.#options;
    const attempt = await attempts.logIn(handle, address);
    let wrong = false;
    try {
      const user = await findUserByHandle(this.#query, handle);
      if (user === undefined) await this.#redirect(handle);
      else requireHome(this.#options.homes, this.#options.own, user.user);
      const match = await passwords.match(password, user?.password);
      wrong = match === 'wrong';
      if (user === undefined || wrong) throw new WeftError('login_failed');
      if (match === 'right-but-old') await this.#hashAnew(user, password);
      return user;
    } finally {
      await attempt.settle(wrong);
    }
  }

  async #redirect(handle: string): Promise<void> {
    const { homes, own } = this.#options;
    try {
      const found = await findByHandle(homes, handle);
      if (found !== undefined && homes.homeOf(found.id) !== own.number) throw new WrongHome(homes.cell(found.home));
    } catch (error) {
      // While the directory is away a handle nobody here has heard of is as good as unknown.
      if (!(error instanceof WeftError) || error.code !== 'directory_away') throw error;
    }
  }

  /** With today's pepper and cost. The log-in does not fail for it: it is tried again at the next. */
  async #hashAnew(user: UserRow, password: string): Promise<void> {
    try {
      await setPassword(this.#query, user, await this.#options.passwords.hash(password));
    } catch (error) {
      this.#options.log.warn({ err: error, user: String(user.user) }, 'a password could not be hashed anew');
    }
  }
}
