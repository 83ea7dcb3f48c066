// Pipelined SQL sessions by number, each opened again whenever it is lost: one per lane to write, a few to read.
import { type Clock, systemClock } from '@weft/runtime/clock.ts';
import type { Log } from '@weft/runtime/log.ts';
import { openPipelined } from '@weft/runtime/sql.ts';
import type pg from 'pg';
import { cellLimits } from '../limits.ts';

export interface SessionsOptions {
  readonly purpose?: 'lane' | 'read';
  /** Of each new session, before it is used. */
  readonly check?: ((client: pg.Client) => Promise<void>) | undefined;
  readonly clock?: Clock;
}

export class WriteSessions implements AsyncDisposable {
  readonly #url: string;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #open = new Map<number, Promise<pg.Client>>();
  /** Why a session could not be opened, and until when nobody tries again. */
  readonly #failed = new Map<number, { readonly error: unknown; readonly untilMs: number }>();
  readonly #purpose: 'lane' | 'read';
  readonly #check: ((client: pg.Client) => Promise<void>) | undefined;

  constructor(url: string, log: Log, { purpose = 'lane', check, clock = systemClock }: SessionsOptions = {}) {
    this.#url = url;
    this.#log = log;
    this.#purpose = purpose;
    this.#check = check;
    this.#clock = clock;
  }

  /**
   * The lane's session; rejects when the store cannot be reached now. A lane asks again every few milliseconds, and each
   * connection is a process for a PostgreSQL that is just recovering: it is tried a few times a second.
   */
  get(lane: number): Promise<pg.Client> {
    const open = this.#open.get(lane);
    if (open) return open;
    const failed = this.#failed.get(lane);
    if (failed !== undefined && this.#clock.monotonic() < failed.untilMs) return Promise.reject(failed.error);
    const opening = openPipelined(this.#url, {
      name: `weft-${this.#purpose}-${lane}`,
      log: this.#log,
      durable: this.#purpose === 'lane',
      tapped: this.#purpose === 'read',
      keepsPlans: true,
    }).then(async (client) => {
      client.on('end', () => this.#forget(lane, opening));
      await this.#check?.(client);
      return client;
    });
    opening.then(
      () => this.#failed.delete(lane),
      (error: unknown) => {
        this.#failed.set(lane, { error, untilMs: this.#clock.monotonic() + cellLimits.sessionAgainMs });
        this.#forget(lane, opening);
      },
    );
    this.#open.set(lane, opening);
    return opening;
  }

  /** Gives up a session whose state is unknown. */
  drop(lane: number): void {
    const open = this.#open.get(lane);
    this.#open.delete(lane);
    open
      ?.then(
        (client) => client.end(),
        () => undefined,
      )
      .catch(() => undefined);
  }

  #forget(lane: number, session: Promise<pg.Client>): void {
    if (this.#open.get(lane) === session) this.#open.delete(lane);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const open = [...this.#open.values()];
    this.#open.clear();
    await Promise.allSettled(open.map(async (session) => (await session).end()));
  }
}
