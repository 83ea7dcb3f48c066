// Virtual time for many nodes: one queue of events, run one after another; each runs until nothing it started can go on
// without more time. Equal times run in the order they were asked for, so one seed gives one run.
import type { Clock } from '@weft/runtime/clock.ts';

interface Event {
  readonly at: number;
  readonly order: number;
  fn: (() => void) | undefined;
}

/** Milliseconds from 0. */
export class SimulatedTime {
  readonly #heap: Event[] = [];
  #nowMs = 0;
  #made = 0;
  #ran = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events so far. */
  get ran(): number {
    return this.#ran;
  }

  after(ms: number, fn: () => void): Disposable {
    const event: Event = { at: this.#nowMs + Math.max(ms, 0), order: this.#made++, fn };
    this.#heap.push(event);
    this.#up(this.#heap.length - 1);
    return {
      [Symbol.dispose]: () => {
        event.fn = undefined;
      },
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.after(ms, resolve));
  }

  /** Runs what falls due until `untilMs`, or until `done` says so. */
  async run(untilMs: number, done: () => boolean = () => false): Promise<void> {
    while (!done()) {
      const event = this.#pop(untilMs);
      if (!event) break;
      if (!event.fn) continue;
      this.#nowMs = event.at;
      this.#ran += 1;
      event.fn();
      // A macrotask comes after all microtasks: whatever the event set in motion has come to rest.
      await new Promise<void>((resolve) => void setImmediate(resolve));
    }
    this.#nowMs = Math.max(this.#nowMs, Math.min(untilMs, this.#heap[0]?.at ?? untilMs));
  }

  #pop(untilMs: number): Event | undefined {
    const first = this.#heap[0];
    if (!first || first.at > untilMs) return undefined;
    const last = this.#heap.pop() as Event;
    if (this.#heap.length > 0) {
      this.#heap[0] = last;
      this.#down();
    }
    return first;
  }

  #up(from: number): void {
    const heap = this.#heap;
    for (let i = from; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (!before(heap[i] as Event, heap[parent] as Event)) return;
      [heap[i], heap[parent]] = [heap[parent] as Event, heap[i] as Event];
      i = parent;
    }
  }

  #down(): void {
    const heap = this.#heap;
    for (let i = 0; ; ) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < heap.length && before(heap[child] as Event, heap[least] as Event)) least = child;
      }
      if (least === i) return;
      [heap[i], heap[least]] = [heap[least] as Event, heap[i] as Event];
      i = least;
    }
  }
}

const before = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/** The clock of one process: dies with it, stands still while it is frozen, may be off the others'. */
export class ProcessClock implements Clock {
  readonly #time: SimulatedTime;
  readonly #startMs: number;
  #offsetMs: number;
  #alive = true;
  #frozen = false;
  #held: (() => void)[] = [];

  constructor(time: SimulatedTime, startMs: number, offsetMs: number) {
    this.#time = time;
    this.#startMs = startMs;
    this.#offsetMs = offsetMs;
  }

  get alive(): boolean {
    return this.#alive;
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  now(): number {
    return Math.floor(this.#startMs + this.#time.nowMs + this.#offsetMs);
  }

  monotonic(): number {
    return this.#time.nowMs;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.timer(ms, resolve));
  }

  timer(ms: number, fn: () => void): Disposable {
    let wanted = true;
    const run = (): void => {
      if (!wanted || !this.#alive) return;
      if (this.#frozen) this.#held.push(run);
      else fn();
    };
    const event = this.#time.after(ms, run);
    return {
      [Symbol.dispose]: () => {
        wanted = false;
        event[Symbol.dispose]();
      },
    };
  }

  every(ms: number, fn: () => void): Disposable {
    let next: Disposable;
    const again = (): void => {
      next = this.timer(ms, again);
      fn();
    };
    next = this.timer(ms, again);
    return { [Symbol.dispose]: () => next[Symbol.dispose]() };
  }

  kill(): void {
    this.#alive = false;
    this.#held = [];
  }

  freeze(): void {
    this.#frozen = true;
  }

  /** Goes on with what fell due meanwhile. */
  thaw(): void {
    this.#frozen = false;
    const held = this.#held;
    this.#held = [];
    for (const run of held) this.#time.after(0, run);
  }

  step(ms: number): void {
    this.#offsetMs += ms;
  }
}
