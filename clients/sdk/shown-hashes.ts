// Hashes of entries that are not held, where pages that were read end: what is read next to such a place has to fit it.
import { sameHash } from '@weft/proto/chain.ts';

import { clientLimits as limits } from './limits.ts';

export interface ShownHash {
  readonly hash: Uint8Array;
  /** Of the entry, where a page showed the entry itself and not only the one above it. */
  readonly epoch?: bigint | undefined;
  /** The place whose hash covers this one, itself where that is covered by what was held or signed; undefined where nothing here does. */
  readonly by: number | undefined;
}

export class ShownHashes {
  readonly #hashes = new Map<number, ShownHash>();

  hashAt(seq: number): Uint8Array | undefined {
    return this.#hashes.get(seq)?.hash;
  }

  /** The first word on a place stays: a later one that differs is looked into. */
  add(seq: number, shown: ShownHash): void {
    if (seq < 1 || this.#hashes.has(seq)) return;
    // Straight to the uppermost, so that what lies between can be forgotten.
    const by = shown.by === undefined ? undefined : (this.#hashes.get(shown.by)?.by ?? shown.by);
    this.#hashes.set(seq, { ...shown, by });
    if (this.#hashes.size > limits.shownHashesMax) this.#forgetOne(seq);
  }

  /** What covers the place is covered itself: by what is held, or by what was signed. */
  cover(seq: number, by: number): void {
    const known = this.#hashes.get(seq);
    if (known !== undefined) this.#hashes.set(seq, { ...known, by });
  }

  /** What stands there after all. True when a page showed another entry of the same epoch: of another it was given up, which is no fault. */
  correct(seq: number, epoch: bigint, hash: Uint8Array): boolean {
    const known = this.#hashes.get(seq);
    if (known === undefined || sameHash(known.hash, hash)) return false;
    this.#hashes.set(seq, { ...known, epoch, hash });
    return known.epoch === epoch;
  }

  /** From place to place up to one of which that holds. */
  isCovered(seq: number, isHeld: (seq: number) => boolean): boolean {
    let at: number | undefined = seq;
    for (let steps = 0; at !== undefined && steps <= limits.shownHashesMax; steps++) {
      if (isHeld(at)) return true;
      const by: number | undefined = this.#hashes.get(at)?.by;
      if (by === at) return true;
      at = by;
    }
    return false;
  }

  /** The oldest that nothing else rests on, as long as the others are not too many. */
  #forgetOne(newest: number): void {
    const seqs = [...this.#hashes.keys()];
    const uppermost = seqs.filter((seq) => this.#hashes.get(seq)?.by === undefined);
    const others = seqs.filter((seq) => this.#hashes.get(seq)?.by !== undefined && seq !== newest);
    const list = uppermost.length > limits.shownHashesMax / 2 || others.length === 0 ? uppermost : others;
    this.#hashes.delete(list[0] as number);
  }

  truncate(base: number): void {
    for (const seq of this.#hashes.keys()) if (seq > base) this.#hashes.delete(seq);
  }
}
