// The list of a log's epochs (R2): which ownership gave which seqs. An epoch that gave none is in no list.
import { countByOwner, countByRestored, type EpochStart, epochAt, epochParts, isByDirectory, makeEpoch } from '@weft/proto/positions.ts';

/** A start, with the epoch that gave the entry at its base. */
export interface FollowingEpoch extends EpochStart {
  readonly after: bigint;
}

/** Each epoch of a list with the one it follows; the first follows itself. */
export const following = (epochs: readonly EpochStart[]): FollowingEpoch[] =>
  epochs.map((start) => ({ ...start, after: epochAt(epochs, start.base) }));

/**
 * The list with one more epoch at its end. One that has it already, or a newer one, stays as it is: what an entry says of an
 * ownership that gave nothing may come after it is known who owned next.
 */
export function withEpoch(epochs: readonly EpochStart[], start: EpochStart): readonly EpochStart[] {
  if (epochs.some(({ epoch }) => epoch >= start.epoch)) return epochs;
  return [...epochs.filter(({ base }) => base < start.base), start];
}

/**
 * Up to which seq two lists tell of the same entries: what `mine` has above was given up by `theirs`, or the other way
 * round. Infinite when the lists are equal.
 */
export function agreedUpTo(mine: readonly EpochStart[], theirs: readonly EpochStart[]): number {
  for (let at = 0; at < Math.max(mine.length, theirs.length); at++) {
    const [a, b] = [mine[at], theirs[at]];
    if (a && b && a.epoch === b.epoch && a.base === b.base) continue;
    return Math.min(a?.base ?? Number.POSITIVE_INFINITY, b?.base ?? Number.POSITIVE_INFINITY);
  }
  return Number.POSITIVE_INFINITY;
}

/** Below the head of `mine`, where a newer list parted from it; undefined where it did not. */
export function partedAt(
  mine: { readonly epochs: readonly EpochStart[]; readonly head: number },
  theirs: readonly EpochStart[],
): number | undefined {
  const agreed = agreedUpTo(mine.epochs, theirs);
  const [held, told] = [mine.epochs.at(-1), theirs.at(-1)];
  return agreed > 0 && agreed < mine.head && held && told && told.epoch > held.epoch ? agreed : undefined;
}

/** Where the newest epoch ends that this cell gave; undefined if it never owned the log. Infinite for the owner. */
export function ownedUpTo(epochs: readonly EpochStart[], cell: number): number | undefined {
  for (let at = epochs.length - 1; at >= 0; at--) {
    if (epochParts((epochs[at] as EpochStart).epoch).cell === cell) return epochs[at + 1]?.base ?? Number.POSITIVE_INFINITY;
  }
  return undefined;
}

/**
 * Whether an epoch of the list ended by its owner's own last entry: nobody holds more of it than the list tells. What a takeover
 * or a restore ended may go on elsewhere. An owner never hands over to itself.
 */
export function wasHandedOver(epochs: readonly EpochStart[], epoch: bigint): boolean {
  const at = epochs.findIndex((start) => start.epoch === epoch);
  const next = epochs[at + 1];
  if (at < 0 || !next) return false;
  const [before, after] = [epochParts(epoch), epochParts(next.epoch)];
  return before.cell !== after.cell && !isByDirectory(before.count, after.count);
}

/** The ownership that an owner gives to a cell. */
export const nextEpoch = (epoch: bigint, cell: number, generation: number): bigint =>
  makeEpoch({ count: countByOwner(epochParts(epoch).count), cell, generation });

/** A position of an epoch that ended is clamped to where the next one begins (R22). */
export function clampedSeq(epochs: readonly EpochStart[], { epoch, seq }: { readonly epoch: bigint; readonly seq: number }): number {
  return epochs.reduce((most, start) => (start.epoch > epoch ? Math.min(most, start.base) : most), seq);
}

/** The ownership with which an owner goes on with its log in another life of its store. */
export function nextOwnEpoch(epoch: bigint, generation: number): bigint {
  const { count, cell, generation: before } = epochParts(epoch);
  return makeEpoch({ count: countByRestored(count, generation - before), cell, generation });
}

/** Whether the directory's word covers this epoch: it is the one that was signed, or how its owner goes on with it in a later life. */
export function isBySigned(epoch: bigint, signed: bigint): boolean {
  const [named, began] = [epochParts(signed), epochParts(epoch)];
  const goesOn = epoch > signed && began.cell === named.cell && began.generation > named.generation;
  return epoch === signed || (goesOn && !isByDirectory(named.count, began.count));
}

interface Listed {
  readonly log: bigint;
  readonly epochs: readonly EpochStart[];
}

/** Lists that are not what is stored: a new log has one epoch from its beginning unless it says otherwise. */
export function changedEpochs(states: readonly Listed[], stored: (log: bigint) => Listed | undefined): Listed[] {
  return states
    .filter(({ log, epochs }) => {
      const before = stored(log);
      return before ? before.epochs !== epochs : epochs.length > 1 || epochs[0]?.base !== 0;
    })
    .map(({ log, epochs }) => ({ log, epochs }));
}
