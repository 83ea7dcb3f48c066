// What is told of the logs while they are kept whole.
import type { Entry } from './entry.ts';
import type { LogView } from './log-view.ts';

/** What a page was asked for, and how it says it ends; from and before as in ReadHistory. */
export interface PageBounds {
  readonly from: number;
  readonly before: number;
  /** The newest seq that the cell had told of before it was asked. */
  readonly head: number;
  readonly visibleFrom: number;
  /** Nothing lies beyond it, in the direction it was asked for. */
  readonly end: boolean;
}

export interface CatchUpEvents {
  /** These entries continue the log, in this order. */
  taken(view: LogView, entries: readonly Entry[]): void;
  /** What the log held above `base` was given up by a new epoch; `cut` is what of it is in memory. */
  truncated(view: LogView, base: number, cut: readonly Entry[]): void;
  /** The run begins anew after this seq: the user (re)joined. */
  anchored(view: LogView): void;
  /** The digests differed, and the cell names a head beyond what is held. */
  lost(view: LogView, to: number): void;
  /** The cell names a head, and its pages do not lead there. */
  stuck(view: LogView, to: number): void;
  /** A page was read for the caller. */
  read(log: bigint, entries: readonly Entry[], bounds: PageBounds): void;
  /** Nothing is known to be missing. */
  whole(): void;
}
