// The bus inside a cell (account CELL), which no other cell reaches: its nodes tell each other what they committed.
import type { NatsConnection } from '@nats-io/transport-node';
import { pushPartition, subjects } from '@weft/proto/subjects.ts';
import type { Log } from './log.ts';
import { openBus } from './nats.ts';
import { guarded } from './nats-sources.ts';
import { ensureJobs, type StreamSize } from './nats-streams.ts';
import { type BusCounters, BusWatch } from './nats-watch.ts';

export interface CellBusOptions {
  readonly url: string;
  readonly password: string;
  readonly cell: string;
  readonly log: Log;
  /** Ends the waiting for a server that is away at start. */
  readonly signal?: AbortSignal;
}

export class CellBus implements AsyncDisposable {
  readonly cell: string;
  readonly #nc: NatsConnection;
  readonly #log: Log;
  readonly #watch: BusWatch;

  constructor(nc: NatsConnection, options: Pick<CellBusOptions, 'cell' | 'log'>) {
    this.#nc = nc;
    this.cell = options.cell;
    this.#log = options.log;
    this.#watch = new BusWatch(nc, options.log);
  }

  /** Resolves when the cell's server has taken the connection, however long that takes. */
  static async open(options: CellBusOptions): Promise<CellBus> {
    return new CellBus(await openBus({ ...options, account: 'cell' }), options);
  }

  get connected(): boolean {
    return this.#watch.connected;
  }

  get counters(): Readonly<BusCounters> {
    return this.#watch.counters;
  }

  /** Makes the cell's work queue or brings it up to date. Rejects while the server is away. */
  ensureJobs(size: StreamSize): Promise<void> {
    return ensureJobs({ nc: this.#nc, cell: this.cell }, size);
  }

  /** To the other nodes of the cell; may be lost. Pushes of one connection arrive in order. False: not sent. */
  publishPush(p: number, bytes: Uint8Array): boolean {
    return this.#watch.publish(subjects.push(p), bytes);
  }

  /** Pushes of the *other* connections of this cell, never the own ones. */
  subscribePush(onBytes: (bytes: Uint8Array, p: number) => void): Disposable {
    const callback = guarded(this.#log, ({ data, subject }) => onBytes(data, pushPartition(subject)));
    const subscription = this.#nc.subscribe(subjects.pushAll, { callback });
    return { [Symbol.dispose]: () => subscription.unsubscribe() };
  }

  /** Sends what was said, then closes. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#watch.close();
  }
}
