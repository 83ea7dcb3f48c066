import { WeftError } from '@weft/proto/faults.ts';

import type { Entry } from './entry.ts';
import { clientLimits as limits } from './limits.ts';
import { call } from './listeners.ts';
import type { LogView } from './log-view.ts';
import type { Clock } from './ports.ts';

export interface Subscriber {
  /** Each entry once, in the order of seq, without a hole. */
  readonly entry: (entry: Entry) => void;
  /** A new epoch gave up what was above `base`: forget it; other entries with those seqs follow. */
  readonly truncated?: ((base: number) => void) | undefined;
}

/**
 * Follows one log from a seq on, in three phases: behind (entries are read in pages), at the head (the next push is the
 * next entry), and over. The step from behind to the head needs no lock: it is taken where the next seq is above the
 * head, and nothing comes in between.
 */
export class Subscription {
  /** Seq of the next entry; undefined until it is known where the log begins for this user. */
  #next: number | undefined;
  #reading = false;
  #over = false;
  #cancelTimer: (() => void) | undefined;
  readonly #subscriber: Subscriber;
  readonly #view: () => LogView | undefined;
  readonly #read: (from: number) => Promise<readonly Entry[]>;
  readonly #clock: Clock;

  constructor(options: {
    subscriber: Subscriber;
    next: number | undefined;
    view: () => LogView | undefined;
    /** Entries from this seq on, in order; empty when there is none yet. */
    read: (from: number) => Promise<readonly Entry[]>;
    clock: Clock;
  }) {
    this.#subscriber = options.subscriber;
    this.#next = options.next;
    this.#view = options.view;
    this.#read = options.read;
    this.#clock = options.clock;
  }

  /** The log grew by these entries. */
  grown(entries: readonly Entry[]): void {
    if (this.#reading || this.#over) return;
    const first = entries[0]?.seq ?? 0;
    this.#next ??= first;
    if (first > this.#next) return this.catchUp();
    for (const entry of entries) if (entry.seq === this.#next) this.#deliver(entry);
  }

  truncated(base: number): void {
    if (this.#over || this.#next === undefined || this.#next <= base + 1) return;
    this.#next = base + 1;
    if (this.#subscriber.truncated !== undefined) call(this.#subscriber.truncated, base);
  }

  /** The log begins anew after `base`. */
  anchored(base: number): void {
    this.#next = Math.max(this.#next ?? 0, base + 1);
  }

  /** Where to begin, once known. */
  begin(next: number): void {
    this.#next ??= next;
    this.catchUp();
  }

  end(): void {
    this.#over = true;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** Reads what lies between the subscriber and the head. */
  catchUp(): void {
    if (this.#reading || this.#over) return;
    this.#reading = true;
    this.#readOn().catch((error: unknown) => this.#failed(error));
  }

  async #readOn(): Promise<void> {
    try {
      for (let view = this.#view(); this.#lags(view); view = this.#view()) {
        const from = this.#next ?? 0;
        const entries = view.range(from, view.head) ?? (await this.#read(from));
        if (entries.length === 0) return;
        // Below what may be read there is nothing.
        const first = entries[0]?.seq ?? from;
        if (first > from && this.#next === from) this.#next = first;
        for (const entry of entries) if (entry.seq === this.#next) this.#deliver(entry);
      }
    } finally {
      // In the same turn as the last look at the head, so that no entry falls between.
      this.#reading = false;
    }
  }

  #lags(view: LogView | undefined): view is LogView {
    return !this.#over && view !== undefined && view.anchored && this.#next !== undefined && this.#next <= view.head;
  }

  #failed(error: unknown): void {
    if (error instanceof WeftError && error.retry === 'never') this.#over = true;
    if (this.#over) return;
    this.#cancelTimer = this.#clock.timer(limits.fetchAgainMs, () => this.catchUp());
  }

  #deliver(entry: Entry): void {
    if (this.#over) return;
    this.#next = entry.seq + 1;
    call(this.#subscriber.entry, entry);
  }
}
