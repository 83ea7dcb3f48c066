// Edits and deletions are entries of their own; the entry they name keeps its place and its header, and of its body the hash,
// so that the chain stays whole (R3). Only its author may, and once: an edit names the words as they are now, the original
// or the last edit, and so nothing that was taken back stays anywhere.
import { Deleted, Edited } from '@weft/proto/gen/weft/client/v1/client.ts';
import { type Entry, flagBits, isContent, isEmptying, kinds } from './entry.ts';

/** Seq of the entry that is meant; undefined when the body says nothing. */
export function targetOf(kind: number, body: Uint8Array): number | undefined {
  if (!isEmptying(kind)) return undefined;
  try {
    const seq = Number((kind === kinds.edited ? Edited.decode(body) : Deleted.decode(body)).seq);
    return Number.isSafeInteger(seq) && seq > 0 ? seq : undefined;
  } catch {
    return undefined;
  }
}

/** The body as every cell and client encodes it. */
export const canonicalEmptying = (kind: number, body: Uint8Array): Uint8Array =>
  kind === kinds.edited ? Edited.encode(Edited.decode(body)).finish() : Deleted.encode(Deleted.decode(body)).finish();

/** The entry that the author may empty; undefined when there is none, or it is not theirs, or it is empty. */
export function targetFor(
  work: { target(log: bigint, seq: number): Entry | undefined },
  by: { readonly log: bigint; readonly author: bigint; readonly kind: number; readonly body: Uint8Array },
): Entry | undefined {
  const seq = targetOf(by.kind, by.body);
  const target = seq === undefined ? undefined : work.target(by.log, seq);
  const hasWords = target !== undefined && (isContent(target.kind) || target.kind === kinds.edited);
  return hasWords && target.author === by.author && (target.flags & flagBits.emptied) === 0 ? target : undefined;
}

/** What is left of it: an edit goes on saying which entry it took the place of, for cells that hear of it late. */
export function emptied(entry: Entry, bodyHash: Uint8Array): Entry {
  const seq = entry.kind === kinds.edited ? targetOf(entry.kind, entry.body) : undefined;
  const body = seq === undefined ? noBody : Edited.encode({ seq: BigInt(seq), text: '' }).finish();
  return { ...entry, flags: entry.flags | flagBits.emptied, body, bodyHash };
}

const noBody = new Uint8Array();
