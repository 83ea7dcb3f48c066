// Goes through the logs kept here, a page each second, and looks whether their newest entries really lie in the store. What
// lacks entries is looked at again each time, until it does not.
import { cellLimits } from '../limits.ts';
import type { Query } from '../store/entries-table.ts';
import { findRunGaps, type RunGap, readCellsOf } from '../store/run-gaps.ts';

interface Lacking extends RunGap {
  /** Cells that get the log from here. */
  readonly cells: readonly number[];
}

export class RunLook {
  readonly #query: Query;
  readonly #cell: number;
  readonly #lacking = new Map<bigint, Lacking>();
  #after = 0n;

  constructor(query: Query, cell: number) {
    this.#query = query;
    this.#cell = cell;
  }

  async next(): Promise<void> {
    const { booksLookLogs: logs, booksLookNewest: newest } = cellLimits;
    const { gaps, next } = await findRunGaps(this.#query, { after: this.#after, logs, newest });
    this.#after = next;
    for (const log of [...this.#lacking.keys()].slice(0, logs)) {
      this.#lacking.delete(log);
      gaps.push(...(await findRunGaps(this.#query, { after: log - 1n, logs: 1, newest })).gaps.filter((gap) => gap.log === log));
    }
    for (const gap of gaps)
      if (this.#lacking.size < logs) this.#lacking.set(gap.log, { ...gap, cells: await readCellsOf(this.#query, gap.log) });
  }

  /** Entries missing here of logs that `cell` owns. */
  holesOf(cell: number): number {
    return this.#count((gap) => gap.owner === cell);
  }

  /** Entries missing here of own logs that `cell` gets. */
  holesFor(cell: number): number {
    return this.#count((gap) => gap.owner === this.#cell && gap.cells.includes(cell));
  }

  #count(which: (gap: Lacking) => boolean): number {
    return [...this.#lacking.values()].filter(which).reduce((all, { lacking }) => all + lacking, 0);
  }
}
