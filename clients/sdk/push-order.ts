// Pushes of one log come in the order of seq, each once, on one connection (delivery rule R20). What breaks that was lost,
// doubled or put in another order between the home cell and here. `Accepted` stands for a push, and may come before its turn.
import { clientLimits as limits } from './limits.ts';

export type OutOfOrder =
  /** Seqs that were passed over; they may still come. */
  | { readonly what: 'hole'; readonly from: number; readonly to: number }
  | { readonly what: 'late'; readonly seq: number }
  | { readonly what: 'again'; readonly seq: number };

export class PushOrder {
  #last: number | undefined;
  readonly #holes = new Set<number>();
  readonly #accepted = new Set<number>();

  /** `base`: up to where the log was known when this connection began; undefined when nobody told. */
  pushed(seq: number, base: number | undefined): OutOfOrder | undefined {
    const last = this.#last ?? Math.min(base ?? seq - 1, seq - 1);
    const wasAccepted = this.#accepted.delete(seq);
    if (seq <= last) {
      if (this.#holes.delete(seq)) return { what: 'late', seq };
      return wasAccepted ? undefined : { what: 'again', seq };
    }
    this.#last = seq;
    const hole: number[] = [];
    const first = Math.max(last + 1, seq - limits.holesMax);
    for (let missing = first; missing < seq; missing++) if (!this.#accepted.delete(missing)) hole.push(missing);
    for (const missing of hole) this.#holes.add(missing);
    const [from] = hole;
    return from === undefined ? undefined : { what: 'hole', from, to: hole.at(-1) ?? from };
  }

  /** The answer to an append that was sent again is not in line with the pushes: the push may still come. */
  accepted(seq: number): void {
    this.#holes.delete(seq);
    if (this.#last === undefined || seq > this.#last) this.#accepted.add(seq);
    if (this.#accepted.size > limits.holesMax) this.#accepted.delete(this.#accepted.values().next().value as number);
  }

  /** The newest seq that came by this connection. */
  get last(): number {
    return Math.max(this.#last ?? 0, ...this.#accepted);
  }

  /** Those of the range that have not come by themselves; they are not waited for any more. */
  giveUp(from: number, to: number): { readonly from: number; readonly to: number } | undefined {
    const left = [...this.#holes].filter((seq) => seq >= from && seq <= to);
    for (const seq of left) this.#holes.delete(seq);
    return left.length === 0 ? undefined : { from: Math.min(...left), to: Math.max(...left) };
  }
}
