// Where the epochs of a log begin, as pushes and pages tell (docs/protocol.md, "Epochs").

import type { EpochStart } from '@weft/proto/positions.ts';

/** An epoch begins after `base`. */
export interface Begin extends EpochStart {
  /** The epoch that gave the entry at `base`; 0 where that was not told. */
  readonly after?: bigint;
}

/** Of a page: every epoch of its log. */
export const beginsOf = ({ epochs }: { readonly epochs: readonly { epoch: bigint; base: bigint }[] }): Begin[] =>
  epochs.map(({ epoch, base }) => ({ epoch, base: Number(base) }));
