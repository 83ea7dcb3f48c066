// Signing up, in steps that each may be the last one before a crash:
//
// 1. intention: a row with the new user's id, in this cell;
// 2. reservation: the directory gives the handle to that id, or says it is taken. The same id again gets the same answer;
// 3. the user's self log, made once however often it is asked for;
// 4. activation: the user's row is written and the intention deleted, in one transaction.
//
// Whoever finds an intention goes on from step 2: the request, its repetition by the same device, the sweeper of any node, all at once if need be. An
// intention is only ever given up when the directory says `taken`, since until then a reservation may be on its way that nobody could take back.
import { WeftError } from '@weft/proto/faults.ts';
import { skeleton } from '@weft/proto/handle.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type { Log } from '@weft/runtime/log.ts';
import { inTransaction } from '@weft/runtime/sql.ts';
import type pg from 'pg';
import type { Query } from '../store/entries-table.ts';
import { countSignUps, findOldSignUps, findSignUps, insertSignUp, removeSignUp, type SignUpRow } from '../store/signups-table.ts';
import { findUserByHandle, findUserById, insertUser, type UserRow } from '../store/users-table.ts';
import { accountLimits as limits } from './account-limits.ts';
import type { Attempts } from './attempts.ts';
import type { Homes, OwnCell } from './homes.ts';
import type { Passwords } from './passwords.ts';

export type SignUpFailpoint = 'signup-after-intention' | 'signup-after-reserve' | 'signup-before-activate';

export interface SignUpsOptions {
  readonly pool: pg.Pool;
  readonly clock: Clock;
  readonly ids: { next(): bigint };
  readonly own: OwnCell;
  readonly homes: Homes;
  readonly passwords: Passwords;
  readonly attempts: Attempts;
  /** Makes the user's self log, or finds the one made before. */
  readonly createSelfLog: (user: bigint) => Promise<bigint>;
  /** Tests stop here; elsewhere it does nothing. */
  readonly failpoint: (name: SignUpFailpoint) => Promise<void>;
  readonly log: Log;
}

export interface Applicant {
  /** Normalised. */
  readonly handle: string;
  readonly password: string;
  readonly device: string;
  readonly address: string;
}

export class SignUps {
  readonly #options: SignUpsOptions;
  readonly #query: Query;

  constructor(options: SignUpsOptions) {
    this.#options = options;
    this.#query = (statement) => options.pool.query(statement);
  }

  /**
   * The new user. Repeated by the same device with the same password within signUpAgainMsMax it goes on, or answers the user made before.
   * Throws WeftError `handle_taken`, `password_invalid`, `rate_limited`, `busy`, `directory_away`.
   */
  async signUp(applicant: Applicant): Promise<UserRow> {
    const { passwords, attempts } = this.#options;
    passwords.check(applicant.password, applicant.handle);
    await attempts.signUp(applicant.address);
    const mine = await this.#findMine(applicant);
    const user = mine === undefined ? await this.#begin(applicant) : await this.#complete(mine);
    if (user !== undefined) return user;
    // Perhaps it was taken by the same person's other request.
    const other = await this.#findMine(applicant);
    const found = other === undefined ? undefined : await this.#complete(other);
    if (found === undefined) throw new WeftError('handle_taken');
    return found;
  }

  /** Finishes what crashed requests left, oldest first; tells how many. Throws WeftError `directory_away`. */
  async sweep(): Promise<number> {
    const createdMs = this.#options.clock.now() - limits.signUpUnderWayMs;
    let done = 0;
    let after = 0n;
    for (;;) {
      const page = await findOldSignUps(this.#query, { createdMs, after, limit: limits.signUpsPerSweep });
      for (const each of page) if (await this.#sweepOne(each)) done++;
      const last = page.at(-1);
      if (last === undefined || page.length < limits.signUpsPerSweep) return done;
      after = last.user;
    }
  }

  async #sweepOne(row: SignUpRow): Promise<boolean> {
    try {
      await this.#finish(row);
      return true;
    } catch (error) {
      if (error instanceof WeftError && error.code === 'directory_away') throw error;
      this.#options.log.error({ err: error, user: String(row.user) }, 'a sign-up could not be finished; it is tried again');
      return false;
    }
  }

  /** Steps 1 to 4; undefined: the handle is taken. What is known to be taken costs no hash and no row. */
  async #begin(applicant: Applicant): Promise<UserRow | undefined> {
    if (this.#options.homes.userByHandle(applicant.handle) !== undefined) return undefined;
    if ((await findUserByHandle(this.#query, applicant.handle)) !== undefined) return undefined;
    return this.#finish(await this.#intend(applicant));
  }

  async #complete(row: UserRow | SignUpRow): Promise<UserRow | undefined> {
    return 'selfLog' in row ? row : this.#finish(row);
  }

  /** Step 1. */
  async #intend({ handle, password, device }: Applicant): Promise<SignUpRow> {
    const { clock, ids, passwords } = this.#options;
    if ((await countSignUps(this.#query, limits.signUpsWaitingMax)) >= limits.signUpsWaitingMax) throw new WeftError('directory_away');
    const row: SignUpRow = {
      user: ids.next(),
      handle,
      skeleton: skeleton(handle),
      password: await passwords.hash(password),
      device,
      createdMs: clock.now(),
    };
    await insertSignUp(this.#query, row);
    return row;
  }

  /** Steps 2 to 4; undefined: the handle is taken. */
  async #finish(row: SignUpRow): Promise<UserRow | undefined> {
    const { own, homes, createSelfLog, failpoint } = this.#options;
    await failpoint('signup-after-intention');
    const reservation = await homes.directory.reserve({ user: row.user, handle: row.handle, skeleton: row.skeleton, home: own.number });
    if (reservation.kind === 'taken') {
      await removeSignUp(this.#query, row.user);
      return undefined;
    }
    await failpoint('signup-after-reserve');
    const selfLog = await createSelfLog(row.user);
    await failpoint('signup-before-activate');
    return this.#activate({
      user: row.user,
      handle: row.handle,
      password: row.password,
      selfLog,
      signUpDevice: row.device,
      createdMs: row.createdMs,
    });
  }

  #activate(user: UserRow): Promise<UserRow> {
    return inTransaction(this.#options.pool, async (client) => {
      const query: Query = (statement) => client.query(statement);
      await insertUser(query, user);
      await removeSignUp(query, user.user);
      return (await findUserById(query, user.user)) ?? user;
    });
  }

  /** What the same device began, or finished lately, with the same password. */
  async #findMine({ handle, password, device, address }: Applicant): Promise<UserRow | SignUpRow | undefined> {
    const { clock, passwords, attempts } = this.#options;
    // In the order of a sign-up's life: one that is activated between the two reads is found by the second.
    const begun = await findSignUps(this.#query, { handle, device }, limits.signUpsComparedMax);
    const active = await findUserByHandle(this.#query, handle);
    const lately = active !== undefined && active.signUpDevice === device && clock.now() - active.createdMs <= limits.signUpAgainMsMax;
    for (const each of lately ? [active, ...begun] : begun) {
      // A password is compared here: that counts as a try to log in.
      const attempt = await attempts.logIn(handle, address);
      let wrong = false;
      try {
        wrong = (await passwords.match(password, each.password)) === 'wrong';
      } finally {
        await attempt.settle(wrong);
      }
      if (!wrong) return each;
    }
    return undefined;
  }
}
