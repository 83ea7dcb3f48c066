import type { Clock } from './ports.ts';

/** Time that only the test moves. */
export class ManualClock implements Clock {
  #nowMs = 1_800_000_000_000;
  #timers: { readonly dueMs: number; readonly fn: () => void }[] = [];

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs - 1_800_000_000_000;
  }

  timer(ms: number, fn: () => void): () => void {
    const timer = { dueMs: this.#nowMs + ms, fn };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  get pending(): number {
    return this.#timers.length;
  }

  /** Moves time on, firing timers in order, and lets promises settle in between. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await turn();
    for (let next = this.#next(untilMs); next !== undefined; next = this.#next(untilMs)) {
      this.#timers.splice(this.#timers.indexOf(next), 1);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.fn();
      await turn();
    }
    this.#nowMs = untilMs;
  }

  #next(untilMs: number): { readonly dueMs: number; readonly fn: () => void } | undefined {
    const due = this.#timers.filter((timer) => timer.dueMs <= untilMs);
    return due.reduce<(typeof due)[number] | undefined>(
      (best, timer) => (best === undefined || timer.dueMs < best.dueMs ? timer : best),
      undefined,
    );
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
