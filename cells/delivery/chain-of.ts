// The chain over entries as they are kept: stored without hashes, proved again from the nearest check point below (R3).
import { type Chain, chainStart } from '@weft/proto/chain.ts';
import type { Entry } from './entry.ts';

/**
 * Entries between two check points. A page that nobody has read before reads half as many more than it shows to prove its
 * first entry; a check point takes about 100 bytes with its index, so 64 is 1.6 bytes an entry.
 */
export const checkPointEvery = 64;

/** The newest check point that may lie below the entry at `seq`: nothing older is needed to prove it. */
export const checkPointBelow = (seq: number): number => Math.floor((seq - 1) / checkPointEvery) * checkPointEvery;

/** Hash of an entry that knows the one before it. */
export const hashOf = (chain: Chain, entry: Entry): Uint8Array | undefined => entry.prev && chain.next(entry, entry.prev);

/** An entry of a log and its hash: what the entries after it are proved from. */
export interface ProvedFrom {
  readonly seq: number;
  readonly hash: Uint8Array;
}

/** An entry just made, that nobody else holds. */
export type FreshEntry = { -readonly [Field in keyof Entry]: Entry[Field] };

/** Gives each entry its prev, from a check point on. `entries` are dense and begin right after it. */
export function chained(chain: Pick<Chain, 'next'>, from: ProvedFrom, entries: FreshEntry[]): Entry[] {
  let { hash } = from;
  for (const entry of entries) {
    entry.prev = hash;
    hash = chain.next(entry, hash);
  }
  return entries;
}

/** The chain before the first entry of every log. */
export const genesis: ProvedFrom = { seq: 0, hash: chainStart };
