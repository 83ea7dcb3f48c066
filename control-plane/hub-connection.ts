// The connection to a hub: the first of the list that takes us, and the list again from its beginning whenever it is lost. No hub at all is
// no reason to stop: replicas pull.

import { connect, type NatsConnection, nkeyAuthenticator } from '@nats-io/transport-node';
import { subjects } from '@weft/proto/subjects.ts';
import type { Clock } from '@weft/runtime/clock.ts';
import type { Log } from '@weft/runtime/log.ts';
import { limits } from './limits.ts';

export interface HubConnectionOptions {
  /** In order of preference. */
  readonly urls: readonly string[];
  /** nkey seed, SU…. */
  readonly seed: string;
  readonly clock: Clock;
  readonly log: Log;
}

export class HubConnection implements AsyncDisposable {
  readonly #options: HubConnectionOptions;
  readonly #leave = new AbortController();
  readonly #running: Promise<void>;
  #connection: NatsConnection | undefined;

  /** Begins to connect; never waits for it. */
  constructor(options: HubConnectionOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** Plain NATS: no answer, may be lost. False when no hub is connected. */
  publish(subject: string, bytes: Uint8Array): boolean {
    if (this.#connection === undefined) return false;
    try {
      this.#connection.publish(subject, bytes);
      return true;
    } catch (error) {
      // Closed between two turns of the loop below; or the hub's permissions are not ours.
      this.#options.log.warn({ err: error }, 'a hub refused a directory change');
      return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#leave.abort();
    await this.#connection?.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, log, urls } = this.#options;
    const leave = this.#leave.signal;
    let away = false;
    while (!leave.aborted && urls.length > 0) {
      const connection = await this.#connect();
      if (connection !== undefined) {
        log.info({ hub: connection.getServer() }, 'connected to a hub');
        away = false;
        this.#connection = connection;
        // The loop was told to leave while it connected.
        if (leave.aborted) await connection.close();
        await connection.closed();
        this.#connection = undefined;
      } else if (!away && !leave.aborted) {
        away = true;
        log.warn('no hub can be reached; replicas pull until one is');
      }
      await clock.sleep(limits.hubReconnectMs, leave).catch(() => undefined);
    }
  }

  async #connect(): Promise<NatsConnection | undefined> {
    const { urls, seed, log } = this.#options;
    for (const url of urls) {
      if (this.#leave.signal.aborted) return undefined;
      try {
        return await connect({
          servers: url,
          name: 'directory',
          authenticator: nkeyAuthenticator(Buffer.from(seed)),
          inboxPrefix: subjects.directoryInbox,
          timeout: limits.hubConnectMsMax,
          pingInterval: limits.hubPingMs,
          maxPingOut: 2,
          ignoreClusterUpdates: true,
          // The client's own reconnecting would keep what is published meanwhile, without a limit, and stay with this hub.
          reconnect: false,
        });
      } catch (error) {
        log.debug({ err: error, url }, 'a hub cannot be reached');
      }
    }
    return undefined;
  }
}
