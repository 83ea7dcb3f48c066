// Runs that are told while somebody reads heads from SQL: they may be newer than what is read. Kept from the beginning
// of the oldest reading on, and not at all while nobody reads.
import type { Run } from '../wire/frames.ts';

export interface Reading {
  /** Runs told before it began. */
  readonly from: number;
}

export class RecentRuns {
  /** In the order in which they began. */
  readonly #readings = new Set<Reading>();
  #runs: Run[] = [];
  /** Runs forgotten before the first that is kept. */
  #forgotten = 0;

  begin(): Reading {
    const reading = { from: this.#forgotten + this.#runs.length };
    this.#readings.add(reading);
    return reading;
  }

  told(runs: readonly Run[]): void {
    if (this.#readings.size > 0) for (const run of runs) this.#runs.push(run);
  }

  since(reading: Reading): readonly Run[] {
    return this.#runs.slice(reading.from - this.#forgotten);
  }

  end(reading: Reading): void {
    this.#readings.delete(reading);
    const [oldest] = this.#readings;
    const count = (oldest?.from ?? this.#forgotten + this.#runs.length) - this.#forgotten;
    if (count === 0) return;
    this.#runs.splice(0, count);
    this.#forgotten += count;
  }
}
