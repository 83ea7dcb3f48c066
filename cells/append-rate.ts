// How many appends a user may send: a token bucket per user who is online on this node.
import type { Clock } from '@weft/runtime/clock.ts';

interface Bucket {
  tokens: number;
  atMs: number;
}

export class AppendRate {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #buckets = new Map<bigint, Bucket>();

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
  }

  /** Takes one; 0, or the milliseconds until there is one again. */
  take(user: bigint): number {
    const now = this.#clock.monotonic();
    const burst = this.#perSecond * 2;
    let bucket = this.#buckets.get(user);
    if (!bucket) {
      bucket = { tokens: burst, atMs: now };
      this.#buckets.set(user, bucket);
    }
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.atMs) / 1_000) * this.#perSecond);
    bucket.atMs = now;
    if (bucket.tokens >= 1) {
      bucket.tokens -= 1;
      return 0;
    }
    return Math.ceil(((1 - bucket.tokens) / this.#perSecond) * 1_000);
  }

  /** The user has no socket here any more. A full bucket is what a newcomer gets, so nothing is lost by forgetting it. */
  forget(user: bigint): void {
    this.#buckets.delete(user);
  }
}
