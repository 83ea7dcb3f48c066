// Where the epochs of a log begin, as pushes and pages tell (docs/protocol.md, "Epochs").

/** An epoch begins after `base`. */
export interface Begin {
  readonly epoch: bigint;
  readonly base: number;
  /** The epoch that gave the entry at `base`; 0 where that was not told. */
  readonly after?: bigint;
}

/** Of a page: every epoch of its log. */
export const beginsOf = ({ epochs }: { readonly epochs: readonly { epoch: bigint; base: bigint }[] }): Begin[] =>
  epochs.map(({ epoch, base }) => ({ epoch, base: Number(base) }));

/** The epoch that gave this seq. */
export const epochAt = (epochs: readonly Begin[], seq: number): bigint =>
  (epochs.findLast(({ base }) => base < seq) ?? epochs[0])?.epoch ?? 0n;
