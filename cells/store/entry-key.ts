// The key by which an append is known again: the client's entry id folded with its author, so that one 8-byte column
// serves the unique index and still gives the id back. Two authors' ids meet with probability 2^-64.
import { mix64 } from '../delivery/mix.ts';

const fold = (author: bigint): bigint => mix64(author);

export const entryKey = (author: bigint, clientEntryId: bigint): bigint => BigInt.asIntN(64, clientEntryId ^ fold(author));

export const clientEntryIdOf = (author: bigint, key: bigint): bigint => BigInt.asUintN(64, key ^ fold(author));
