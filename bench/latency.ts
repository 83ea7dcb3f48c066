// Latencies in logarithmic buckets half a per cent apart: constant memory, no sorting, exact enough for a table.

import { benchLimits } from './limits.ts';

const floorMs = 0.001;
const step = Math.log(1.005);

export interface LatencyTable {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

export class Latency {
  readonly #buckets = new Float64Array(benchLimits.latencyBuckets);
  #count = 0;
  #max = 0;

  /** Milliseconds. */
  add(ms: number): void {
    const at = ms <= floorMs ? 0 : Math.min(benchLimits.latencyBuckets - 1, Math.floor(Math.log(ms / floorMs) / step));
    this.#buckets[at] = (this.#buckets[at] ?? 0) + 1;
    this.#count += 1;
    if (ms > this.#max) this.#max = ms;
  }

  /** Milliseconds below which a share of 0..1 of all latencies lies; NaN when there are none. */
  quantile(share: number): number {
    if (this.#count === 0) return Number.NaN;
    let left = share * this.#count;
    for (let at = 0; at < this.#buckets.length; at++) {
      left -= this.#buckets[at] ?? 0;
      if (left <= 0) return Math.min(this.#max, floorMs * Math.exp((at + 1) * step));
    }
    return this.#max;
  }

  table(): LatencyTable {
    return {
      count: this.#count,
      p50: round(this.quantile(0.5)),
      p95: round(this.quantile(0.95)),
      p99: round(this.quantile(0.99)),
      max: round(this.#max),
    };
  }
}

const round = (ms: number): number => Math.round(ms * 1000) / 1000;
