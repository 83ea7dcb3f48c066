// Pure: what is known of one directed link from the messages sent over it. Times are milliseconds of one monotonic clock.
import { limits } from './limits.ts';

export interface LinkNumbers {
  readonly from: string;
  readonly to: string;
  /** Messages shown at the other end. */
  readonly shown: number;
  /** Sent and not yet shown. */
  readonly backlog: number;
  /** Milliseconds that the oldest of them is on its way; 0 when there is none. */
  readonly oldestMs: number;
  /** Milliseconds from send to shown over the last messages; undefined before the first. */
  readonly p50: number | undefined;
  readonly p99: number | undefined;
}

export class LinkStats {
  readonly from: string;
  readonly to: string;
  readonly #sentMs = new Map<string, number>();
  /** The last latencies, as a ring. */
  readonly #latencies: number[] = [];
  #next = 0;
  #shown = 0;

  constructor(from: string, to: string) {
    this.from = from;
    this.to = to;
  }

  /** A message was shown at the other end. */
  get up(): boolean {
    return this.#shown > 0;
  }

  /** False when so many are on their way that another one would tell nothing new. */
  get open(): boolean {
    return this.#sentMs.size < limits.canaryBacklogMax;
  }

  sent(text: string, nowMs: number): void {
    this.#sentMs.set(text, nowMs);
  }

  /** The message will never come: sending it failed for good. */
  gone(text: string): void {
    this.#sentMs.delete(text);
  }

  /** Ignores what was not sent by us in this run, or was shown before. */
  seen(text: string, nowMs: number): void {
    const sentMs = this.#sentMs.get(text);
    if (sentMs === undefined) return;
    this.#sentMs.delete(text);
    this.#shown++;
    this.#latencies[this.#next] = nowMs - sentMs;
    this.#next = (this.#next + 1) % limits.latenciesMax;
  }

  numbers(nowMs: number): LinkNumbers {
    const [oldest = nowMs] = this.#sentMs.values();
    const sorted = [...this.#latencies].sort((a, b) => a - b);
    return {
      from: this.from,
      to: this.to,
      shown: this.#shown,
      backlog: this.#sentMs.size,
      oldestMs: nowMs - oldest,
      p50: quantile(sorted, 0.5),
      p99: quantile(sorted, 0.99),
    };
  }
}

/** The smallest value that at least this share of the sorted values does not exceed (nearest rank). */
export const quantile = (sorted: readonly number[], share: number): number | undefined =>
  sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
