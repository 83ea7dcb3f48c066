// What came before its turn: a run beyond the head, an intake number beyond the next. Kept a short while, because what
// is missing is usually right behind; then forgotten, because it will come again or be pulled.
import type { Clock } from '@weft/runtime/clock.ts';

export interface EarlyOptions<T> {
  readonly clock: Clock;
  readonly keepMs: number;
  readonly max: number;
  /** The key's things are due: something came that may be what they waited for, or (`late`) their time is over. */
  readonly release: (key: string, things: T[], late: boolean) => void;
}

export class Early<T> {
  readonly #options: EarlyOptions<T>;
  readonly #kept = new Map<string, { things: T[]; timer: Disposable }>();
  #count = 0;

  constructor(options: EarlyOptions<T>) {
    this.#options = options;
  }

  /** False when there is no room: it is forgotten at once. */
  keep(key: string, thing: T): boolean {
    if (this.#count >= this.#options.max) return false;
    this.#count += 1;
    const kept = this.#kept.get(key);
    if (kept) kept.things.push(thing);
    else this.#kept.set(key, { things: [thing], timer: this.#options.clock.timer(this.#options.keepMs, () => this.#release(key, true)) });
    return true;
  }

  /** Something of this key was just decided or stored. */
  progressed(key: string): void {
    if (this.#kept.has(key)) this.#release(key, false);
  }

  #release(key: string, late: boolean): void {
    const kept = this.#kept.get(key);
    if (!kept) return;
    this.#kept.delete(key);
    kept.timer[Symbol.dispose]();
    this.#count -= kept.things.length;
    this.#options.release(key, kept.things, late);
  }

  [Symbol.dispose](): void {
    for (const { timer } of this.#kept.values()) timer[Symbol.dispose]();
    this.#kept.clear();
  }
}
