// Keeps the inbound stream as it should be: for these sources, whatever the server lost or was away.
import type { NatsConnection } from '@nats-io/transport-node';
import { systemClock } from './clock.ts';
import { linkLimits } from './link-limits.ts';
import type { Log } from './log.ts';
import { ensureInbound, remakeConsumer, type StreamSize } from './nats-streams.ts';

export interface InboundOptions {
  readonly nc: NatsConnection;
  readonly cell: string;
  readonly size: StreamSize;
  readonly signal: AbortSignal;
  readonly log: Log;
}

export class InboundStream {
  readonly #options: InboundOptions;
  #sources: readonly string[];
  #version = 0;
  #ensuring: Promise<void> | undefined;
  /** What is done to the broker's stream is done one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: InboundOptions, sources: readonly string[]) {
    this.#options = options;
    this.#sources = sources;
  }

  /** Other sources from now on. Resolves when the stream has them. */
  set(sources: readonly string[]): Promise<void> {
    this.#sources = sources;
    this.#version++;
    return this.ensure();
  }

  /** Resolves when the stream exists as wanted, however long the server is away. Rejects only when the bus is closed. */
  ensure(): Promise<void> {
    this.#ensuring ??= this.#make();
    return this.#ensuring;
  }

  /**
   * Makes a partition's consumer anew, see remakeConsumer. Never while another is made or deleted: a broker that does both at once may
   * leave a consumer that is there and cannot be used. Rejects while the server is away.
   */
  remakeConsumer(p: number): Promise<void> {
    const { nc, cell } = this.#options;
    return this.#inTurn(() => remakeConsumer({ nc, cell }, p));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #make(): Promise<void> {
    const { nc, cell, size, signal, log } = this.#options;
    let failing = false;
    for (;;) {
      signal.throwIfAborted();
      const version = this.#version;
      try {
        await this.#inTurn(() => ensureInbound({ nc, cell }, this.#sources, size));
        if (version !== this.#version) continue;
        // In the same step as the comparison: who sets other sources after it must find no finished work to wait for.
        this.#ensuring = undefined;
        return;
      } catch (error) {
        if (!failing) log.warn({ err: error }, 'the inbound stream cannot be made; trying again');
        failing = true;
        await systemClock.sleep(linkLimits.consumePauseMs, signal);
      }
    }
  }
}
