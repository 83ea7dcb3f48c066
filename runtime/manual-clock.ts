// A clock that only moves when told to: for unit tests and the simulator.
import type { Clock } from './clock.ts';

interface Due {
  at: number;
  readonly order: number;
  readonly everyMs: number | undefined;
  readonly fn: () => void;
}

/** Starts at `startMs` (Unix milliseconds). Timers fire inside {@link ManualClock.advance}, in order of their time, then of their making. */
export class ManualClock implements Clock {
  readonly #due = new Set<Due>();
  #nowMs: number;
  #monotonicMs = 0;
  #made = 0;

  constructor(startMs: number) {
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#monotonicMs;
  }

  /** Timers that wait. */
  get waiting(): number {
    return this.#due.size;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason);
        return;
      }
      const timer = this.timer(ms, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      const onAbort = (): void => {
        timer[Symbol.dispose]();
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  timer(ms: number, fn: () => void): Disposable {
    return this.#add(ms, undefined, fn);
  }

  every(ms: number, fn: () => void): Disposable {
    return this.#add(ms, Math.max(ms, 1), fn);
  }

  /** Moves time forward and fires what falls due on the way. */
  advance(ms: number): void {
    const end = this.#monotonicMs + ms;
    for (let due = this.#next(end); due !== undefined; due = this.#next(end)) {
      this.#move(Math.max(due.at - this.#monotonicMs, 0));
      if (due.everyMs === undefined) this.#due.delete(due);
      else due.at += due.everyMs;
      due.fn();
    }
    this.#move(end - this.#monotonicMs);
  }

  /** Steps the wall clock, either way, without any time passing. */
  step(ms: number): void {
    this.#nowMs += ms;
  }

  #move(ms: number): void {
    this.#monotonicMs += ms;
    this.#nowMs += ms;
  }

  #next(end: number): Due | undefined {
    let first: Due | undefined;
    for (const due of this.#due) {
      if (due.at > end) continue;
      if (first === undefined || due.at < first.at || (due.at === first.at && due.order < first.order)) first = due;
    }
    return first;
  }

  #add(ms: number, everyMs: number | undefined, fn: () => void): Disposable {
    const due: Due = { at: this.#monotonicMs + ms, order: this.#made++, everyMs, fn };
    this.#due.add(due);
    return { [Symbol.dispose]: () => void this.#due.delete(due) };
  }
}
