// When each message left its writer's outbox for the wire: at most appendsInFlightMax of a connection are unanswered, so that
// a long monologue waits there, and that wait is not the fabric's.

import type { Weft } from '@weft/client/weft.ts';

export class Departures {
  readonly #leftMs = new Map<bigint, number>();

  constructor(weft: Weft) {
    // A message that goes out again after a reconnect left the first time.
    weft.on('sent', (sent) => {
      if (sent.state === 'sent' && !this.#leftMs.has(sent.id)) this.#leftMs.set(sent.id, performance.now());
    });
  }

  /** Gives the time once, and forgets it. */
  take(id: bigint): number | undefined {
    const leftMs = this.#leftMs.get(id);
    this.#leftMs.delete(id);
    return leftMs;
  }
}
