// What a connection goes through, and a bound on what is written to a server that does not read.
import type { NatsConnection } from '@nats-io/transport-node';
import { systemClock } from './clock.ts';
import { linkLimits } from './link-limits.ts';
import type { Log } from './log.ts';

export interface BusCounters {
  disconnects: number;
  reconnects: number;
  /** Errors the server told, such as a permissions violation. */
  errors: number;
  /** Core messages not sent: no connection, or too much unconfirmed. */
  dropped: number;
}

export class BusWatch {
  readonly counters: BusCounters = { disconnects: 0, reconnects: 0, errors: 0, dropped: 0 };
  readonly #nc: NatsConnection;
  readonly #log: Log;
  readonly #onLost: (() => void)[] = [];
  #connected = true;
  #unconfirmed = 0;
  #asking = false;
  #unasked = 0;
  readonly #ended: Promise<void>;

  constructor(nc: NatsConnection, log: Log) {
    this.#nc = nc;
    this.#log = log;
    this.#ended = this.#follow();
  }

  get connected(): boolean {
    return this.#connected && !this.#nc.isClosed();
  }

  /** Calls `fn` whenever the connection is lost: what was on its way then has an unknown fate. */
  onLost(fn: () => void): void {
    this.#onLost.push(fn);
  }

  /**
   * Publishes without any answer. False, and counted: not sent, because the server is away or reads too slowly.
   * True promises nothing: core messages may be lost.
   */
  publish(subject: string, bytes: Uint8Array): boolean {
    if (!this.connected || this.#unconfirmed > linkLimits.unconfirmedBytesMax) {
      this.counters.dropped++;
      return false;
    }
    this.#nc.publish(subject, bytes);
    this.#unconfirmed += bytes.length;
    this.#unasked += bytes.length;
    if (this.#unasked >= linkLimits.confirmEachBytes && !this.#asking) void this.#confirm();
    return true;
  }

  /** Gives the server a moment to read what was said, then closes. Resolves when nothing is followed any more. */
  async close(): Promise<void> {
    if (this.connected) {
      const late = Promise.withResolvers<void>();
      using _timer = systemClock.timer(linkLimits.closeMsMax, late.resolve);
      await Promise.race([this.#nc.flush().catch(() => undefined), late.promise]);
    }
    await this.#nc.close();
    await this.#ended;
  }

  /** The server answers a ping after it has read everything before it. */
  async #confirm(): Promise<void> {
    this.#asking = true;
    const asked = this.#unconfirmed;
    this.#unasked = 0;
    try {
      await this.#nc.flush();
      this.#unconfirmed -= Math.min(asked, this.#unconfirmed);
    } catch {
      // The connection was lost, and its buffers with it: #follow begins anew.
    } finally {
      this.#asking = false;
    }
  }

  async #follow(): Promise<void> {
    for await (const status of this.#nc.status()) {
      if (status.type === 'disconnect') this.#lost();
      else if (status.type === 'reconnect') this.#back();
      else if (status.type === 'error') {
        this.counters.errors++;
        this.#log.warn({ err: status.error }, 'the bus refused something');
      }
    }
    this.#connected = false;
  }

  #lost(): void {
    // Each failed attempt to reconnect says "disconnect" again.
    if (!this.#connected) return;
    this.#connected = false;
    this.counters.disconnects++;
    this.#log.warn('the bus is away');
    for (const fn of this.#onLost) fn();
  }

  #back(): void {
    this.#connected = true;
    this.#unconfirmed = 0;
    this.#unasked = 0;
    this.counters.reconnects++;
    this.#log.info('the bus is back');
  }
}
