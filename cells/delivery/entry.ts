// An entry as the delivery code handles it: header (delivery rule R3) and the bytes of its body.
import type { ChainedEntry } from '@weft/proto/chain.ts';
import { mix64, mixId } from './mix.ts';

export interface Entry extends ChainedEntry {
  /** Bit 0: unreadable. Bit 1: emptied. */
  readonly flags: number;
  /** Hash of the entry before. Pending entries and bare headers have none. */
  readonly prev?: Uint8Array;
}

/** Bits of `flags`. */
export const flagBits = { unreadable: 1, emptied: 2 } as const;

/** Field numbers of `Entry.body` in client.proto. */
export const kinds = {
  text: 9,
  data: 10,
  edited: 11,
  deleted: 12,
  created: 16,
  membersAdded: 17,
  membersRemoved: 18,
  handover: 19,
  takeover: 20,
  logJoined: 24,
  logLeft: 25,
  appendRefused: 26,
} as const;

/** What people write, and what counts as unread. */
export const isContent = (kind: number): boolean => kind === kinds.text || kind === kinds.data;

/** What takes the words of an entry away. */
export const isEmptying = (kind: number): boolean => kind === kinds.edited || kind === kinds.deleted;

/** What changes who may read and write: replicas must understand it. */
export const isState = (kind: number): boolean => kind >= kinds.created && kind < kinds.logJoined;

/** Entries of the cell itself: no person wrote them, and none is refused for it. */
export const isOwnership = (kind: number): boolean => kind === kinds.handover || kind === kinds.takeover;

/** Same header: the same entry. Bodies may be emptied later, so they do not count. */
export function sameHeader(a: Entry, b: Entry): boolean {
  return (
    a.epoch === b.epoch &&
    a.seq === b.seq &&
    a.ts === b.ts &&
    a.author === b.author &&
    a.clientEntryId === b.clientEntryId &&
    a.kind === b.kind &&
    a.ord === b.ord
  );
}

/** Id of an entry that the cell itself writes because of entry `seq` of `log`: the same cause gives the same id. */
export const causedEntryId = (log: bigint, seq: number): bigint => mixId(log, seq);

/**
 * Id of an entry of a self log, by its own place: the same cause may come back, where what a newer epoch gave up, or a restore took, is
 * found again; then it is told of anew.
 */
export const selfEntryId = (user: bigint, { epoch, seq }: { readonly epoch: bigint; readonly seq: number }): bigint =>
  mixId(user ^ mix64(epoch), seq);
