// How fast a backlog is sent again to one cell. That cell's lanes are its own people's first: when acknowledgements come
// later than they do at rest, the pace halves, and it grows as long as they do not. The least of all delays is the way
// itself; what is on top of it is waiting (the idea of TCP Vegas, Brakmo and Peterson 1995).

export interface PaceLimits {
  /** Entries of one look: at first and at least, and at most. */
  readonly resendEntriesMin: number;
  readonly resendEntriesMax: number;
  /** An acknowledgement is late when it takes so much more than twice the least. Milliseconds. */
  readonly paceLateMs: number;
}

export class Pace {
  readonly #limits: PaceLimits;
  #entries: number;
  #leastMs = Number.POSITIVE_INFINITY;
  /** Since the last look. */
  #worstMs = 0;
  /** Nothing of this backlog was sent yet. */
  #isResting = true;

  constructor(limits: PaceLimits) {
    this.#limits = limits;
    this.#entries = limits.resendEntriesMin;
  }

  /** Entries that the next look may send. */
  get entries(): number {
    return this.#entries;
  }

  acknowledged(afterMs: number): void {
    this.#leastMs = Math.min(this.#leastMs, afterMs);
    this.#worstMs = Math.max(this.#worstMs, afterMs);
  }

  /** Before each look; `waitsMs`: how long the oldest frame that the cell's broker has waits for its acknowledgement. */
  look(waitsMs: number): void {
    const { resendEntriesMin, resendEntriesMax, paceLateMs } = this.#limits;
    // Nothing came back yet: what waits may be on its way.
    const leastMs = Number.isFinite(this.#leastMs) ? this.#leastMs : 0;
    const isLate = Math.max(this.#worstMs, waitsMs) > 2 * leastMs + paceLateMs;
    if (isLate) this.#entries = Math.max(resendEntriesMin, this.#entries / 2);
    else if (!this.#isResting) this.#entries = Math.min(resendEntriesMax, this.#entries * 2);
    this.#isResting = false;
    this.#worstMs = 0;
  }

  /** No backlog: the next one begins slowly, and learns the way anew. */
  rest(): void {
    this.#entries = this.#limits.resendEntriesMin;
    this.#leastMs = Number.POSITIVE_INFINITY;
    this.#worstMs = 0;
    this.#isResting = true;
  }
}
