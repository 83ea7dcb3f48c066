// Lines of the log about what others do wrong: a cell that says what it may not, a client that knocks at a full door. They may
// do it some thousand times a second, and each line is written at once: so the first of a kind is told, and after a second how
// often it was since, for as long as it goes on.
import type { Clock } from '@weft/runtime/clock.ts';

export type Said = Readonly<Record<string, string>>;

export interface SeldomOptions {
  readonly clock: Pick<Clock, 'timer'>;
  /** `times`: since the line before. */
  readonly write: (said: Readonly<Record<string, string | number>> & { readonly times: number }) => void;
}

export class Seldom implements Disposable {
  readonly #options: SeldomOptions;
  /** By kind: how often since its last line. */
  readonly #kinds = new Map<string, { readonly said: Said; times: number }>();
  #timer: Disposable | undefined;

  constructor(options: SeldomOptions) {
    this.#options = options;
  }

  say(said: Said): void {
    const kind = Object.values(said).join(' ');
    const known = this.#kinds.get(kind);
    if (known) known.times += 1;
    else {
      this.#kinds.set(kind, { said, times: 0 });
      this.#options.write({ ...said, times: 1 });
    }
    this.#timer ??= this.#options.clock.timer(sumEveryMs, () => this.#sum());
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  #sum(): void {
    this.#timer = undefined;
    for (const [kind, each] of this.#kinds) {
      if (each.times === 0) this.#kinds.delete(kind);
      else this.#options.write({ ...each.said, times: each.times });
      each.times = 0;
    }
    if (this.#kinds.size > 0) this.#timer = this.#options.clock.timer(sumEveryMs, () => this.#sum());
  }
}

const sumEveryMs = 1_000;
