// Hashing a password costs 20–50 ms of a core: only a few run at once, and only so many wait.
import { WeftError } from '@weft/proto/faults.ts';
import { accountLimits as limits } from './account-limits.ts';

export interface HashingBounds {
  readonly runningMax: number;
  readonly waitingMax: number;
}

const defaultBounds: HashingBounds = { runningMax: limits.hashesMax, waitingMax: limits.hashesWaitingMax };

export class HashingQueue {
  readonly #bounds: HashingBounds;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(bounds: HashingBounds = defaultBounds) {
    this.#bounds = bounds;
  }

  /** Runs `work` in its turn, first come first served. Throws WeftError `busy` at once when too many wait. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#bounds.runningMax) this.#running++;
    else await this.#turn();
    try {
      return await work();
    } finally {
      // The place is handed on, so that nobody who comes just now overtakes.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }

  #turn(): Promise<void> {
    if (this.#waiting.length >= this.#bounds.waitingMax) throw new WeftError('busy', 'too many log-ins at once', limits.hashesBusyMs);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
