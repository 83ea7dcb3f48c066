// The key by which an append is known again: the client's entry id folded with its author, so that one 8-byte column
// serves the unique index and still gives the id back. The fold is under a secret of this store: without it a member could
// make an id that meets the key of another author's entry.
import { mix64 } from '../delivery/mix.ts';

/** Authors whose fold is remembered. */
const authorsMax = 10_000;

export class EntryFold {
  readonly #secret: bigint;
  readonly #folds = new Map<bigint, bigint>();

  constructor(secret: bigint) {
    this.#secret = secret;
  }

  /** As the column stores it: 64 bits with a sign. */
  key(author: bigint, clientEntryId: bigint): bigint {
    return BigInt.asIntN(64, clientEntryId ^ this.#fold(author));
  }

  clientEntryId(author: bigint, key: bigint): bigint {
    return BigInt.asUintN(64, key ^ this.#fold(author));
  }

  #fold(author: bigint): bigint {
    const known = this.#folds.get(author);
    if (known !== undefined) return known;
    const fold = mix64(mix64(author ^ this.#secret) ^ this.#secret);
    if (this.#folds.size >= authorsMax) this.#folds.clear();
    this.#folds.set(author, fold);
    return fold;
  }
}
