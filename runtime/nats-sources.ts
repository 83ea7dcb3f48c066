// One subscription per source cell, kept in step with the cell table.
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import type { Log } from './log.ts';

export interface SourceOptions {
  readonly nc: NatsConnection;
  /** Never a wildcard over sources: what merely overlaps a leaf's permissions is not announced to it. */
  readonly subject: (src: string) => string;
  /** With a queue, one node of the cell gets each message; without, every node. */
  readonly queue?: string;
  readonly onMessage: (src: string, message: Msg) => void;
  readonly log: Log;
}

export class SourceSubscriptions implements Disposable {
  readonly #options: SourceOptions;
  readonly #subscriptions = new Map<string, Subscription>();

  constructor(options: SourceOptions, sources: Iterable<string>) {
    this.#options = options;
    this.set(sources);
  }

  /** Subscribes to the new ones, leaves the others alone, ends what is not named. */
  set(sources: Iterable<string>): void {
    const wanted = new Set(sources);
    for (const [src, subscription] of this.#subscriptions) {
      if (wanted.has(src)) continue;
      subscription.unsubscribe();
      this.#subscriptions.delete(src);
    }
    for (const src of wanted) if (!this.#subscriptions.has(src)) this.#subscriptions.set(src, this.#subscribe(src));
  }

  [Symbol.dispose](): void {
    this.set([]);
  }

  #subscribe(src: string): Subscription {
    const { nc, subject, queue, onMessage, log } = this.#options;
    const callback = guarded(log, (message) => onMessage(src, message));
    return nc.subscribe(subject(src), { callback, ...(queue === undefined ? {} : { queue }) });
  }
}

/** A subscription's callback that cannot end the client's read loop by throwing: that is a bug, and logged. */
export function guarded(log: Log, fn: (message: Msg) => void): (error: Error | null, message: Msg) => void {
  return (error, message) => {
    if (error !== null) return;
    try {
      fn(message);
    } catch (thrown) {
      log.error({ err: thrown }, 'a message of the bus was not taken');
    }
  };
}
