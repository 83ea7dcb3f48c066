// An entry's one encoding: made once where it gets its seq (or arrives), then the same bytes go into frames between
// cells, pushes between nodes and pushes to sockets.
import { hashBytes } from '@weft/proto/chain.ts';
import { Entry as WireEntry } from '@weft/proto/gen/weft/client/v1/client.ts';
import type { Entry } from '../delivery/entry.ts';
import { Reader, varintSize, writeVarint } from './bytes.ts';

// Tags of weft.client.v1.Entry: (field << 3) | wire type.
const tags = { log: 0x09, epoch: 0x11, seq: 0x18, ts: 0x20, author: 0x29, clientEntryId: 0x31, ord: 0x38, flags: 0x40 } as const;
const lengthDelimited = 2;
const firstBodyField = 9;
// Fields 13 and 14, which stand between the bodies.
const prevTag = 0x6a;
const bodyHashTag = 0x72;

const encoded = new WeakMap<Entry, Buffer>();

/** The entry's bytes, encoded at first use. */
export function entryBytes(entry: Entry): Buffer {
  const known = encoded.get(entry);
  if (known) return known;
  const bytes = encodeEntry(entry);
  encoded.set(entry, bytes);
  return bytes;
}

function encodeEntry(e: Entry): Buffer {
  const into = Buffer.allocUnsafe(entrySize(e));
  writeEntry(into, 0, e);
  return into;
}

const tagOfBody = (e: Entry): number => e.kind * 8 + lengthDelimited;

export const entrySize = (e: Entry): number =>
  36 +
  (2 + varintSize(e.seq) + varintSize(e.ts)) +
  (e.ord > 0 ? 1 + varintSize(e.ord) : 0) +
  (e.flags > 0 ? 1 + varintSize(e.flags) : 0) +
  (varintSize(tagOfBody(e)) + varintSize(e.body.length) + e.body.length) +
  (e.prev ? 2 + e.prev.length : 0) +
  (e.bodyHash ? 2 + e.bodyHash.length : 0);

/** Writes the entry's bytes at `start`, for what is sent once only; gives where they end. */
export function writeEntry(into: Buffer, start: number, e: Entry): number {
  let at = writeFixed(into, start, tags.log, e.log);
  at = writeFixed(into, at, tags.epoch, e.epoch);
  into[at++] = tags.seq;
  at = writeVarint(into, at, e.seq);
  into[at++] = tags.ts;
  at = writeVarint(into, at, e.ts);
  at = writeFixed(into, at, tags.author, e.author);
  at = writeFixed(into, at, tags.clientEntryId, e.clientEntryId);
  at = writeOptional(into, at, tags.ord, e.ord);
  at = writeOptional(into, at, tags.flags, e.flags);
  at = writeVarint(into, at, tagOfBody(e));
  at = writeVarint(into, at, e.body.length);
  into.set(e.body, at);
  at += e.body.length;
  if (e.prev) at = writeHash(into, at, prevTag, e.prev);
  return e.bodyHash ? writeHash(into, at, bodyHashTag, e.bodyHash) : at;
}

function writeHash(into: Buffer, at: number, tag: number, hash: Uint8Array): number {
  into[at++] = tag;
  into[at++] = hash.length;
  into.set(hash, at);
  return at + hash.length;
}

const fixed = new DataView(new ArrayBuffer(8));
const fixedBytes = new Uint8Array(fixed.buffer);

/** Through a view: `writeBigUInt64LE` takes the number apart with bigint arithmetic. */
function writeFixed(into: Buffer, at: number, tag: number, value: bigint): number {
  fixed.setBigUint64(0, value, true);
  into[at] = tag;
  for (let i = 0; i < 8; i++) into[at + 1 + i] = fixedBytes[i] as number;
  return at + 9;
}

/** Proto3 leaves zero out. */
function writeOptional(into: Buffer, at: number, tag: number, value: number): number {
  if (value === 0) return at;
  into[at++] = tag;
  return writeVarint(into, at, value);
}

/** Reads one entry; the body is a view of `bytes`, which must not be reused. Throws RangeError on what is no entry. */
export function decodeEntry(bytes: Buffer): Entry {
  const e = { ...noEntry } as { -readonly [Field in keyof Entry]: Entry[Field] };
  const reader = new Reader(bytes);
  while (reader.at < reader.end) {
    const tag = reader.varint();
    switch (tag) {
      case tags.log:
        e.log = reader.fixed64();
        break;
      case tags.epoch:
        e.epoch = reader.fixed64();
        break;
      case tags.seq:
        e.seq = reader.varint();
        break;
      case tags.ts:
        e.ts = reader.varint();
        break;
      case tags.author:
        e.author = reader.fixed64();
        break;
      case tags.clientEntryId:
        e.clientEntryId = reader.fixed64();
        break;
      case tags.ord:
        e.ord = reader.varint();
        break;
      case tags.flags:
        e.flags = reader.varint();
        break;
      case prevTag:
        e.prev = readHash(reader);
        break;
      case bodyHashTag:
        e.bodyHash = readHash(reader);
        break;
      default:
        if ((tag & 7) === lengthDelimited && tag >> 3 >= firstBodyField) {
          e.kind = tag >> 3;
          e.body = reader.slice();
        } else reader.skip(tag & 7);
    }
  }
  if (e.log === 0n || e.seq < 1 || e.kind === 0) throw new RangeError('not an entry');
  encoded.set(e, bytes);
  return e;
}

function readHash(reader: Reader): Buffer {
  const hash = reader.slice();
  if (hash.length !== hashBytes) throw new RangeError('not a hash');
  return hash;
}

/** Between the hand-made codec and the generated one, through the same bytes. */
export const toWire = (entry: Entry): WireEntry => WireEntry.decode(entryBytes(entry));
export const fromWire = (entry: WireEntry): Entry => decodeEntry(Buffer.from(WireEntry.encode(entry).finish()));

const noEntry: Entry = {
  log: 0n,
  epoch: 0n,
  seq: 0,
  ts: 0,
  author: 0n,
  clientEntryId: 0n,
  ord: 0,
  kind: 0,
  flags: 0,
  body: Buffer.alloc(0),
};
