// When each link was last heard, and which of them are due for the slow comparison: every ten minutes, and when a link
// returns after a silence.
import type { Clock } from '@weft/runtime/clock.ts';

interface Watched {
  heardMs: number;
  comparedMs: number;
}

export class LinkWatch {
  readonly #clock: Clock;
  readonly #limits: { readonly linkSilentMs: number; readonly digestEveryMs: number };
  readonly #links = new Map<number, Watched>();

  constructor(clock: Clock, limits: { readonly linkSilentMs: number; readonly digestEveryMs: number }) {
    this.#clock = clock;
    this.#limits = limits;
  }

  heard(src: number): void {
    const now = this.#clock.monotonic();
    const link = this.#links.get(src);
    if (!link) this.#links.set(src, { heardMs: now, comparedMs: Number.NEGATIVE_INFINITY });
    else {
      if (now - link.heardMs > this.#limits.linkSilentMs) link.comparedMs = Number.NEGATIVE_INFINITY;
      link.heardMs = now;
    }
  }

  /** Links to compare now: heard lately, and not compared since they returned or for ten minutes. */
  due(): number[] {
    const now = this.#clock.monotonic();
    const { linkSilentMs, digestEveryMs } = this.#limits;
    return [...this.#links].flatMap(([src, link]) =>
      now - link.heardMs <= linkSilentMs && now - link.comparedMs > digestEveryMs ? [src] : [],
    );
  }

  compared(src: number): void {
    const link = this.#links.get(src);
    if (link) link.comparedMs = this.#clock.monotonic();
  }
}
