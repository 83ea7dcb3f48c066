// What other cells say of this cell's logs, each time looked into: that it owns one it never heard of, and that one of its
// own goes on elsewhere. Both come of a store that was restored: another's, or this one, whether that was noticed or not.
import { type EpochStart, epochParts } from '@weft/proto/positions.ts';
import { ownerOf } from './log-state.ts';
import type { IntakeOperation } from './operations.ts';
import type { Tails, TailsOptions } from './tails.ts';

export interface HearsayOptions extends Pick<TailsOptions, 'cell' | 'generation' | 'store' | 'apply'> {
  readonly tails: Tails;
  /** As the directory knows it; 0 where it does not. */
  readonly generationOf: (cell: number) => number;
  /** Logs that may wait to be looked into, of either kind. */
  readonly max: number;
}

export type Naming = Pick<IntakeOperation, 'src' | 'epoch'>;

export class Hearsay {
  readonly #options: HearsayOptions;
  /** Logs of which another cell says that they are this cell's, that cell, and since which epoch. */
  readonly #named = new Map<bigint, Required<Naming>>();
  /** Logs of this cell of which another cell has more, and that cell. */
  readonly #longer = new Map<bigint, number>();

  constructor(options: HearsayOptions) {
    this.#options = options;
  }

  /** Somebody there takes this cell for the owner of a log: it may be one that it never heard of. Whether it is looked into. */
  named(log: bigint, { src, epoch = 0n }: Naming): boolean {
    const { cell, generation, max } = this.#options;
    const named = epochParts(epoch);
    if (named.cell !== cell || named.generation !== generation || this.#named.size >= max) return false;
    this.#named.set(log, { src, epoch });
    return true;
  }

  /** That cell has more of a log that is this cell's own, or says so. Whether it is looked into. */
  longer(log: bigint, src: number): boolean {
    if (this.#longer.size >= this.#options.max) return false;
    this.#longer.set(log, src);
    return true;
  }

  /** `tried`: false where somebody who is needed is away; then it is looked into again. */
  async look(tried: (attempt: () => Promise<boolean>) => Promise<boolean>): Promise<void> {
    for (const [log, by] of [...this.#named]) if (await tried(() => this.#takeUp(log, by))) this.#named.delete(log);
    for (const [log, src] of [...this.#longer]) if (await tried(() => this.#stop(log, src))) this.#longer.delete(log);
  }

  /**
   * Who handed it over was restored to before that, and does not know it any more; or one that owned it since the epoch that is known here,
   * and what it gave is lost on the way. Whoever keeps it gives what it holds.
   */
  async #takeUp(log: bigint, { src, epoch }: Required<Naming>): Promise<boolean> {
    const { store, cell, tails, generationOf } = this.#options;
    const found = await store.readRow(log);
    if (found && found.row.epoch >= epoch) return true;
    const told = (await tails.ask(src, { log, after: found?.row.head ?? 0 }))?.told ?? [];
    const giver = told.findLast((start) => ownerOf(start) !== cell);
    if (!giver || ownerOf(told.at(-1) ?? giver) !== cell) return true;
    const known = found?.row.epoch ?? giver.epoch;
    const isLost = ({ epoch: each }: EpochStart): boolean => {
      const owner = epochParts(each);
      return each >= known && owner.cell !== cell && generationOf(owner.cell) > owner.generation;
    };
    if (!told.some(isLost)) return true;
    for (const each of new Set([src, ownerOf(giver)])) await tails.pull(log, each);
    return true;
  }

  /**
   * An epoch of this cell that ended, as is told elsewhere, above what is held of it here: the store lost commits, too few for that to be
   * noticed by itself. The log stands still until its tails are back.
   */
  async #stop(log: bigint, src: number): Promise<boolean> {
    const { store, cell, tails, apply } = this.#options;
    const found = await store.readRow(log);
    if (!found || ownerOf(found.row) !== cell || found.row.status === 'stopped') return true;
    const { epoch, head } = found.row;
    const told = (await tails.ask(src, { log, after: head }))?.told ?? [];
    const at = told.findIndex((start) => start.epoch === epoch);
    const next = at < 0 ? undefined : told[at + 1];
    if (next) await apply({ type: 'stop', log, epoch, head: next.base });
    return true;
  }
}
