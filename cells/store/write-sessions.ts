// Pipelined SQL sessions by number, each opened again whenever it is lost: one per lane to write, a few to read.
import type { Log } from '@weft/runtime/log.ts';
import { openPipelined } from '@weft/runtime/sql.ts';
import type pg from 'pg';

export class WriteSessions implements AsyncDisposable {
  readonly #url: string;
  readonly #log: Log;
  readonly #open = new Map<number, Promise<pg.Client>>();

  readonly #purpose: 'lane' | 'read';
  readonly #check: ((client: pg.Client) => Promise<void>) | undefined;

  /** `check`: of each new session, before it is used. */
  constructor(url: string, log: Log, purpose: 'lane' | 'read' = 'lane', check?: (client: pg.Client) => Promise<void>) {
    this.#url = url;
    this.#log = log;
    this.#purpose = purpose;
    this.#check = check;
  }

  /** The lane's session; rejects when the store cannot be reached now. */
  get(lane: number): Promise<pg.Client> {
    const open = this.#open.get(lane);
    if (open) return open;
    const opening = openPipelined(this.#url, {
      name: `weft-${this.#purpose}-${lane}`,
      log: this.#log,
      durable: this.#purpose === 'lane',
      tapped: this.#purpose === 'read',
    }).then(async (client) => {
      client.on('end', () => this.#forget(lane, opening));
      await this.#check?.(client);
      return client;
    });
    opening.catch(() => this.#forget(lane, opening));
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
