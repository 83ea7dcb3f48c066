// Heads that moved and are not signed yet, the longest waiting first. A log waits a while after its first unsigned entry, so
// however busy it is it is signed once in that time.
export interface UnsignedHead {
  readonly log: bigint;
  readonly epoch: bigint;
  readonly seq: number;
  readonly hash: Uint8Array;
}

interface Waiting {
  head: UnsignedHead;
  readonly sinceMs: number;
}

export class ActiveHeads {
  readonly #waitMs: number;
  readonly #max: number;
  readonly #logs = new Map<bigint, Waiting>();

  constructor(options: { readonly waitMs: number; readonly max: number }) {
    this.#waitMs = options.waitMs;
    this.#max = options.max;
  }

  /** Since when the longest waiting one waits. */
  get oldestMs(): number | undefined {
    for (const { sinceMs } of this.#logs.values()) return sinceMs;
    return undefined;
  }

  moved(head: UnsignedHead, nowMs: number): void {
    const waiting = this.#logs.get(head.log);
    if (waiting) {
      if (head.epoch !== waiting.head.epoch || head.seq > waiting.head.seq) waiting.head = head;
    } else if (this.#logs.size < this.#max) this.#logs.set(head.log, { head, sinceMs: nowMs });
  }

  /** Another node signed this log up to here. */
  signedElsewhere(log: bigint, seq: number): void {
    const waiting = this.#logs.get(log);
    if (waiting && waiting.head.seq <= seq) this.#logs.delete(log);
  }

  /** Takes what has waited long enough, at most `count`. */
  due(nowMs: number, count: number): UnsignedHead[] {
    const due: UnsignedHead[] = [];
    for (const [log, { head, sinceMs }] of this.#logs) {
      if (due.length >= count || nowMs - sinceMs < this.#waitMs) break;
      this.#logs.delete(log);
      due.push(head);
    }
    return due;
  }
}
