// An epoch names one ownership of a log: (count, owner cell, store generation), compared in that order, so that no two
// ownerships ever share one. It travels and is stored as one 63-bit number that sorts the same way.

export type Epoch = bigint & { readonly __epoch: unique symbol };

export interface EpochParts {
  /** Ownerships of this log so far, from 1. 31 bits. */
  readonly count: number;
  /** Cell that owns. 12 bits. */
  readonly cell: number;
  /** Generation of that cell's store. 20 bits. */
  readonly generation: number;
}

export const makeEpoch = ({ count, cell, generation }: EpochParts): Epoch =>
  ((BigInt(count) << 32n) | (BigInt(cell) << 20n) | BigInt(generation)) as Epoch;

export function epochParts(epoch: bigint): EpochParts {
  const whole = Number(epoch);
  // Asked several times for each append: in doubles it takes a third of the time. Counts below 2^21 are exact there.
  if (whole <= Number.MAX_SAFE_INTEGER) {
    const count = Math.floor(whole / 2 ** 32);
    const low = whole - count * 2 ** 32;
    return { count, cell: low >>> 20, generation: low & 0xfffff };
  }
  return { count: Number(epoch >> 32n), cell: Number((epoch >> 20n) & 0xfffn), generation: Number(epoch & 0xfffffn) };
}

/** Ownerships that owners may begin between two of the directory. */
const ownersPerTerm = 65_536;

/**
 * The count of the next ownership: owners count on by one, the directory goes on to the next multiple. So whatever an owner
 * that was replaced goes on to do, the directory's word is the newer one, and never names an epoch that an owner named.
 */
export const countByOwner = (count: number): number => count + 1;
export const countByDirectory = (count: number): number => (Math.floor(count / ownersPerTerm) + 1) * ownersPerTerm;

/** Ownerships of one log that a lost life of a store may have seen: begun, handed over, and got back again. */
const ownersPerLife = 256;

/**
 * The count with which an owner goes on after `lives` restores of its store. What was begun in a life that was lost, and handed to cells
 * that were restored as well, nobody but people's devices heard of: what goes on comes after all of it.
 */
export function countByRestored(count: number, lives: number): number {
  // At most half of what is left before the directory's next, which it must not be taken for.
  const most = Math.floor((countByDirectory(count) - count) / 2);
  return count + Math.max(2, Math.min(ownersPerLife * Math.max(lives, 1), most));
}

/** Whether the directory named the later of two ownerships, or one between them. */
export const isByDirectory = (earlier: number, later: number): boolean => later >= countByDirectory(earlier);

export function laterEpoch(a: bigint, b: bigint): bigint {
  if (a > b) return a;
  return b;
}

export const epoch = (value: bigint): Epoch => value as Epoch;

export interface Position {
  readonly epoch: bigint;
  readonly seq: number;
}

/** Negative when a is before b. */
export function comparePositions(a: Position, b: Position): number {
  if (a.epoch !== b.epoch) return a.epoch < b.epoch ? -1 : 1;
  return a.seq - b.seq;
}

export interface EpochStart {
  readonly epoch: bigint;
  /** The epoch's first seq is the one after this. */
  readonly base: number;
}

/** The epoch that gave this seq. */
export function epochAt(epochs: readonly EpochStart[], seq: number): bigint {
  for (let at = epochs.length - 1; at > 0; at--) {
    const start = epochs[at] as EpochStart;
    if (start.base < seq) return start.epoch;
  }
  return epochs[0]?.epoch ?? 0n;
}
