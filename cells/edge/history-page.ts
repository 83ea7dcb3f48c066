// Which entries a page of history shows, as its log stood at one moment.
//
// A log's row and its entries are read by different statements, at different moments: seconds may lie between them where a
// session is opened anew, and in seconds a log grows by more than a page or is cut by a newer epoch. So the row alone says
// which entries belong to the page, and the page has exactly these, each of the epoch that the row knows; else both are read
// again. Entries within a log's head never change their place, but by an epoch: what agrees with the row was so at its moment.

import { epochAt } from '@weft/proto/positions.ts';
import type { Entry } from '../delivery/entry.ts';
import { RunAgain } from '../delivery/ports.ts';
import { cellLimits } from '../limits.ts';
import type { AskedPage, UserPage } from '../store/page-reads.ts';
import type { CellStore } from '../store/sql-log-store.ts';

export type PageStore = Pick<CellStore, 'readPage'>;

export interface PageAsk {
  readonly user: bigint;
  readonly log: bigint;
  /** Forwards from this seq; backwards when 0. */
  readonly from: number;
  /** Backwards from below this seq; from the head when 0. */
  readonly before: number;
  readonly limit: number;
}

/** from <= seq <= to; nothing where `to` is less. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/** Undefined for a log the user never was in, without entries for one the user is not in any more. Throws RunAgain. */
export async function readPage(store: PageStore, ask: PageAsk): Promise<UserPage | undefined> {
  const { user, log, limit } = ask;
  let asked: AskedPage = { log, limit, ...(ask.from > 0 ? { from: ask.from } : { before: ask.before === 0 ? undefined : ask.before }) };
  let holed: UserPage | undefined;
  for (let attempt = 0; attempt < cellLimits.pageReadsMax; attempt++) {
    const found = await store.readPage(user, asked);
    // Nothing that was read leaves before it is known that the user may read it.
    if (!found) return undefined;
    if (found.interval.until !== 0) return { ...found, entries: [] };
    const span = spanOf(ask, found);
    if (span.to < span.from) return { ...found, entries: [] };
    const entries = found.entries.filter(({ seq }) => seq >= span.from && seq <= span.to);
    if (isWhole(entries, span, found)) return { ...found, entries };
    holed = entries.length > 0 && isOf(entries, found) ? { ...found, entries } : undefined;
    // What the user may see may begin above what was asked for.
    if (ask.from > 0) asked = { log, limit, from: span.from };
  }
  // Rows are gone that should be there. The reader sees the hole, and looks into it; an empty page would hide it.
  if (holed) return holed;
  throw new RunAgain(`what log ${log} has was not found`);
}

function spanOf({ from, before, limit }: PageAsk, { row, start, interval }: UserPage): Span {
  const lowest = Math.max(interval.from, start + 1);
  if (from > 0) {
    const first = Math.max(from, lowest);
    return { from: first, to: Math.min(row.head, first + limit - 1) };
  }
  const last = before === 0 ? row.head : Math.min(row.head, before - 1);
  return { from: Math.max(lowest, last - limit + 1), to: last };
}

const isWhole = (entries: readonly Entry[], { from, to }: Span, found: UserPage): boolean =>
  entries.length === to - from + 1 && entries.every(({ seq }, i) => seq === from + i) && isOf(entries, found);

/** The state may have been read a moment after the row. */
const isOf = (entries: readonly Entry[], { row, state }: UserPage): boolean =>
  state.epoch === row.epoch && entries.every(({ seq, epoch }) => epoch === epochAt(state.epochs, seq));
