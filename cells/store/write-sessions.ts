// One pipelined SQL session per lane, opened again whenever it is lost.
import type { Log } from '@weft/runtime/log.ts';
import { openPipelined } from '@weft/runtime/sql.ts';
import type pg from 'pg';

export class WriteSessions implements AsyncDisposable {
  readonly #url: string;
  readonly #log: Log;
  readonly #open = new Map<number, Promise<pg.Client>>();

  constructor(url: string, log: Log) {
    this.#url = url;
    this.#log = log;
  }

  /** The lane's session; rejects when the store cannot be reached now. */
  get(lane: number): Promise<pg.Client> {
    const open = this.#open.get(lane);
    if (open) return open;
    const opening = openPipelined(this.#url, { name: `weft-lane-${lane}`, log: this.#log }).then((client) => {
      client.on('end', () => this.#forget(lane, opening));
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
