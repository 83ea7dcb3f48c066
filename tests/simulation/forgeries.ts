// What a cell has said in another's name, for the judge.
import { ownedUpTo } from '@weft/cells/delivery/epochs.ts';
import type { IntakeRow } from '@weft/cells/delivery/ports.ts';
import { entryKey, type MemoryCell } from './memory-cell.ts';

/** Refusals in another's name. Where the liar is given the log before its lie arrives, the owner itself has said it: anything may come of that. */
export class Forgeries {
  readonly #refusals: { readonly key: string; readonly log: bigint; readonly liar: number }[] = [];

  refused({ author, clientEntryId, log }: IntakeRow, liar: number): void {
    this.#refusals.push({ key: entryKey(author, clientEntryId), log, liar });
  }

  /** Author and id of what its later owner has forged a refusal of. */
  ofOwners(cells: readonly MemoryCell[]): string[] {
    const owned = (log: bigint, liar: number) => cells.some(({ logs }) => ownedUpTo(logs.get(log)?.state.epochs ?? [], liar) !== undefined);
    return this.#refusals.flatMap(({ key, log, liar }) => (owned(log, liar) ? [key] : []));
  }
}
