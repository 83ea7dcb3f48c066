// A log of the cell in memory: its chain, and its owner's word under a signature that is a stand-in.
import { sha256 } from '@noble/hashes/sha2.js';
import { Chain, sameHash } from '@weft/proto/chain.ts';
import type { Entry, LogKind, SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';
import { headBytes } from '@weft/proto/signed-head.ts';

import { chainedOf } from './chained.ts';
import { entryFromWire } from './entry.ts';
import type { Verify } from './ports.ts';

export interface FakeLog {
  readonly id: bigint;
  readonly kind: LogKind;
  readonly entries: Entry[];
  members: bigint[];
  epoch: bigint;
  /** What lies below is nobody's to read; 1 where missing. */
  visibleFrom?: bigint;
  /** Hash of the head. */
  hash: Uint8Array;
}

const chain = new Chain(sha256);

export const headKid = 'eu-1.head.1';

/** The entry's hash, from its own prev. */
export function hashOf(entry: Entry): Uint8Array {
  const chained = chainedOf(entryFromWire(entry));
  if (chained === undefined || entry.prev === undefined) throw new Error('an entry that cannot be hashed');
  return chain.next(chained, entry.prev);
}

export function appendTo(log: FakeLog, what: Pick<Entry, 'ts' | 'author' | 'clientEntryId' | 'body'>): Entry {
  const seq = BigInt(log.entries.length + 1);
  const entry: Entry = { log: log.id, epoch: log.epoch, seq, ord: seq, flags: 0, prev: log.hash, ...what };
  log.hash = hashOf(entry);
  log.entries.push(entry);
  return entry;
}

export const signedHeadOf = ({ id, epoch, entries, hash }: FakeLog): SignedHead =>
  sign({ log: id, epoch, seq: BigInt(entries.length), hash, ts: 0n, kid: headKid });

export const sign = (head: Omit<SignedHead, 'signature'>): SignedHead => ({ ...head, signature: sha256(headBytes(head)) });

/** Knows the stand-in. */
export const fakeVerify: Verify = async (_key, bytes, signature) => sameHash(sha256(bytes), signature);
