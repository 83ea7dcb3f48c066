// Virtual time for many processes: one queue of events, run one after another; each runs until nothing it started can go
// on without more time. Equal times run in the order they were asked for, so one seed gives one run.
import assert from 'node:assert/strict';
import type { Clock } from '@weft/runtime/clock.ts';
import { EventQueue } from './event-queue.ts';

class Event implements Disposable {
  readonly at: number;
  readonly process: ProcessClock | undefined;
  fn: (() => void) | undefined;
  /** The one asked for right after it, for the same moment: needs no place in the heap of its own. */
  next: Event | undefined;

  constructor(at: number, fn: () => void, process: ProcessClock | undefined) {
    this.at = at;
    this.fn = fn;
    this.process = process;
    this.next = undefined;
  }

  [Symbol.dispose](): void {
    this.fn = undefined;
  }
}

/**
 * Runs every promise and `nextTick` that can go on now. Between two macrotasks Node does the same; done by hand, a
 * simulated event costs a tenth of one. Without effect inside of a promise: `run` has to be called from a macrotask.
 */
const settle: () => void = (process as unknown as { readonly _tickCallback: () => void })._tickCallback;

/** Milliseconds from 0. */
export class SimulatedTime {
  readonly #queue = new EventQueue<Event>();
  #nowMs = 0;
  #last: Event | undefined;
  #ran = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events so far. */
  get ran(): number {
    return this.#ran;
  }

  /** Calls `fn` after `ms`. In a process: not if it is dead by then, and once it is thawed if it is frozen. */
  after(ms: number, fn: () => void, process?: ProcessClock): Disposable {
    const event = new Event(this.#nowMs + Math.max(ms, 0), fn, process);
    const last = this.#last;
    this.#last = event;
    if (last?.at === event.at && event.at > this.#nowMs) last.next = event;
    else this.#queue.add(event);
    return event;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.after(ms, resolve));
  }

  /** Runs what falls due until `untilMs`, or until `done` says so. From a macrotask only. */
  run(untilMs: number, done: () => boolean = () => false): void {
    assertMacrotask();
    while (!done()) {
      const first = this.#queue.take(untilMs);
      if (!first) break;
      for (let event: Event | undefined = first; event; event = event.next) this.#take(event);
    }
    this.#nowMs = Math.max(this.#nowMs, Math.min(untilMs, this.#queue.nextMs));
  }

  #take(event: Event): void {
    const { fn, process } = event;
    if (!fn || (process && !process.takes(event))) return;
    this.#nowMs = event.at;
    this.#ran += 1;
    fn();
    settle();
  }
}

function assertMacrotask(): void {
  let settled = false;
  void Promise.resolve().then(() => {
    settled = true;
  });
  settle();
  assert(settled, 'virtual time runs in a macrotask only: see inMacrotask');
}

/** Runs `fn` where virtual time can run. */
export const inMacrotask = <T>(fn: () => T): Promise<T> =>
  new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(fn());
      } catch (error) {
        reject(error);
      }
    });
  });

/** The clock of one process: dies with it, stands still while it is frozen, may be off the others'. */
export class ProcessClock implements Clock {
  readonly #time: SimulatedTime;
  readonly #startMs: number;
  #offsetMs: number;
  #alive = true;
  #frozen = false;
  #held: { readonly fn: (() => void) | undefined }[] = [];

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

  /** Whether it runs `fn` now; a frozen one will once it is thawed, a dead one never. */
  takes(event: { readonly fn: (() => void) | undefined }): boolean {
    if (this.#alive && this.#frozen) this.#held.push(event);
    return this.#alive && !this.#frozen;
  }

  /** Runs `fn` within the event under way, if the process runs. */
  within(fn: () => void): void {
    if (this.#alive && !this.#frozen) fn();
    else this.takes({ fn });
  }

  now(): number {
    return Math.floor(this.#startMs + this.#time.nowMs + this.#offsetMs);
  }

  monotonic(): number {
    return this.#time.nowMs;
  }

  /** Without a signal: nothing here is closed in order, processes are killed. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#time.after(ms, resolve, this));
  }

  timer(ms: number, fn: () => void): Disposable {
    return this.#time.after(ms, fn, this);
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
    for (const event of held) this.#time.after(0, () => event.fn?.(), this);
  }

  step(ms: number): void {
    this.#offsetMs += ms;
  }
}
