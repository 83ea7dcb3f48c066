// Open direct conversations that this node knows. A pair never changes its log, so nobody asks for it again.
import { type Pair, pairKey } from '../delivery/log-state.ts';

export class KnownPairs {
  readonly #max: number;
  /** By pair; the one known longest first. */
  readonly #logs = new Map<string, bigint>();

  constructor(max: number) {
    this.#max = max;
  }

  remember(key: string, log: bigint): void {
    this.#logs.set(key, log);
    if (this.#logs.size > this.#max) this.#logs.delete(this.#logs.keys().next().value as string);
  }

  /** The logs of these pairs; `ask` is asked for those that are not known. */
  async find(pairs: readonly Pair[], ask: (pairs: readonly Pair[]) => Promise<ReadonlyMap<string, bigint>>): Promise<Map<string, bigint>> {
    const found = new Map<string, bigint>();
    const asked: Pair[] = [];
    for (const pair of pairs) {
      const log = this.#logs.get(pairKey(pair));
      if (log === undefined) asked.push(pair);
      else found.set(pairKey(pair), log);
    }
    if (asked.length === 0) return found;
    for (const [key, log] of await ask(asked)) {
      this.remember(key, log);
      found.set(key, log);
    }
    return found;
  }
}
