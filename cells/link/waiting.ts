// How much waits here for each other cell, as this node knows it (R28): counted in SQL now and then, and between two counts
// by what this node itself has committed. So an append asks nobody. Several nodes may pass a bound by what the others take in
// between two counts: it keeps a disk from filling, and need not be exact.
import type { Clock } from '@weft/runtime/clock.ts';
import type { Writes } from '../delivery/ports.ts';
import type { Query } from '../store/entries-table.ts';
import { countIntakeBytes, intakeBytesOf } from '../store/intake-tables.ts';
import { countOutbox } from '../store/outbox-table.ts';

export interface WaitingOptions {
  readonly query: Query;
  readonly clock: Clock;
  readonly limits: {
    readonly countEveryMs: number;
    /** A count may take this share of the time: one that took long is repeated less often. */
    readonly countShare: number;
    readonly intakeBytesMax: number;
    readonly outboxRowsMax: number;
  };
  readonly failed: (error: unknown) => void;
  /** Bytes of intake counted for each destination. */
  readonly counted: (dst: number, bytes: number) => void;
}

export class Waiting implements Disposable {
  readonly #options: WaitingOptions;
  readonly #timer: Disposable;
  #intake = new Map<number, number>();
  #outbox = new Map<number, number>();
  /** Bytes committed here since the count under way began. */
  readonly #since = new Map<number, number>();
  #counting = false;
  #notBeforeMs = 0;

  constructor(options: WaitingOptions) {
    this.#options = options;
    this.#timer = options.clock.every(options.limits.countEveryMs, () => this.#countSoon());
    this.#countSoon();
  }

  /** Whether one more append may wait here for the cell's decision. */
  hasIntakeRoom(dst: number): boolean {
    return (this.#intake.get(dst) ?? 0) + (this.#since.get(dst) ?? 0) < this.#options.limits.intakeBytesMax;
  }

  /** Whether one more notice for the cell may be kept. Frames of entries are dropped when there are too many; notices cannot be. */
  hasOutboxRoom(dst: number): boolean {
    return (this.#outbox.get(dst) ?? 0) < this.#options.limits.outboxRowsMax;
  }

  committed({ intake }: Pick<Writes, 'intake'>): void {
    for (const row of intake) this.#since.set(row.dst, (this.#since.get(row.dst) ?? 0) + intakeBytesOf(row));
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  #countSoon(): void {
    if (this.#counting || this.#options.clock.monotonic() < this.#notBeforeMs) return;
    this.#counting = true;
    this.#count()
      .catch(this.#options.failed)
      .finally(() => {
        this.#counting = false;
      });
  }

  async #count(): Promise<void> {
    const { query, clock, limits, counted } = this.#options;
    const startMs = clock.monotonic();
    const before = new Map(this.#since);
    const intake = await countIntakeBytes(query);
    const outbox = await countOutbox(query);
    // What was committed while it was counted may be in it or not: it is counted on top, and the next count corrects it.
    for (const [dst, bytes] of before) this.#since.set(dst, (this.#since.get(dst) ?? 0) - bytes);
    for (const dst of this.#intake.keys()) if (!intake.has(dst)) counted(dst, 0);
    for (const [dst, bytes] of intake) counted(dst, bytes);
    this.#intake = intake;
    this.#outbox = outbox;
    this.#notBeforeMs = clock.monotonic() + (clock.monotonic() - startMs) * limits.countShare;
  }
}
