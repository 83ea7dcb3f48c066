// The hash chain of a log (docs/protocol.md, "Proof"): each entry's hash covers its header, the hash of its body and the
// hash of the entry before, so one hash stands for a log's whole history up to there.

/** SHA-256 (FIPS 180-4). The simulator may give a cheaper stand-in. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array;

export const hashBytes = 32;

/** What stands for the entry before the first. */
export const chainStart: Uint8Array = new Uint8Array(hashBytes);

/** The header of an entry (delivery rule R3) and its body, or what is left of it. */
export interface ChainedEntry {
  readonly log: bigint;
  readonly epoch: bigint;
  readonly seq: number;
  /** Unix milliseconds by the owner's clock, never falling within a log. */
  readonly ts: number;
  readonly author: bigint;
  readonly clientEntryId: bigint;
  /** Unread-worthy entries up to and including this one. */
  readonly ord: number;
  /** Field number of the body in the Entry message. */
  readonly kind: number;
  readonly body: Uint8Array;
  /** Hash of the body that was there, where it was emptied; it counts for nothing where words are left. */
  readonly bodyHash?: Uint8Array | undefined;
}

/** "WFE1": a header is never taken for something else that is hashed. */
const magic = 0x31454657;
const word = 2 ** 32;

const at = {
  log: 4,
  epoch: 12,
  seq: 20,
  ts: 28,
  author: 36,
  clientEntryId: 44,
  ord: 52,
  kind: 60,
  bodyHash: 64,
  prev: 96,
} as const;
const headerBytes = 128;

/** Makes hashes of entries. Its one buffer is used anew for each. */
export class Chain {
  readonly #sha256: Sha256;
  readonly #bytes = new Uint8Array(headerBytes);
  readonly #view = new DataView(this.#bytes.buffer);

  constructor(sha256: Sha256) {
    this.#sha256 = sha256;
    this.#view.setUint32(0, magic, true);
  }

  /** Hash of an entry's canonical body bytes. */
  body(bytes: Uint8Array): Uint8Array {
    return this.#sha256(bytes);
  }

  /** Hash of the entry that follows the one with the hash `prev`. */
  next(entry: ChainedEntry, prev: Uint8Array): Uint8Array {
    return this.#sha256(this.encode(entry, prev));
  }

  /** The canonical encoding; valid until the next call. */
  encode(entry: ChainedEntry, prev: Uint8Array): Uint8Array {
    const view = this.#view;
    view.setBigUint64(at.log, entry.log, true);
    view.setBigUint64(at.epoch, entry.epoch, true);
    setNumber(view, at.seq, entry.seq);
    setNumber(view, at.ts, entry.ts);
    view.setBigUint64(at.author, entry.author, true);
    view.setBigUint64(at.clientEntryId, entry.clientEntryId, true);
    setNumber(view, at.ord, entry.ord);
    view.setUint32(at.kind, entry.kind, true);
    this.#bytes.set(hashLeft(entry) ?? this.#sha256(entry.body), at.bodyHash);
    this.#bytes.set(prev, at.prev);
    return this.#bytes;
  }
}

/** Field number of Edited in the Entry message. */
const editedKind = 11;
/** Its field 1, a varint. */
const editedSeqTag = 0x08;

/** A hash stands for words that are gone only: beside words that are there it would prove whatever they say. */
function hashLeft({ kind, body, bodyHash }: ChainedEntry): Uint8Array | undefined {
  return bodyHash !== undefined && (body.length === 0 || (kind === editedKind && isSeqAlone(body))) ? bodyHash : undefined;
}

/** What is left of an edit: the entry it took the place of, and no text. */
function isSeqAlone(body: Uint8Array): boolean {
  const last = body.length - 1;
  return body[0] === editedSeqTag && body.every((byte, i) => i === 0 || i === last || byte >= 0x80) && (body[last] ?? 0x80) < 0x80;
}

/** 64 bits, little-endian, without making a bigint; `%` would be a slow division of doubles. */
function setNumber(view: DataView, offset: number, value: number): void {
  const high = Math.floor(value / word);
  view.setUint32(offset, value - high * word, true);
  view.setUint32(offset + 4, high, true);
}

export function sameHash(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
