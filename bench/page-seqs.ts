// A page of history as far as a walk through it is judged: the seqs of its entries, read in place. Decoding fifty entries
// into objects costs the load process as much as the server takes to make the page.
import type { Buffer } from 'node:buffer';

export interface PageSeqs {
  readonly entries: number;
  /** Of the first and the last entry; 0 where there is none. */
  readonly first: number;
  readonly last: number;
  /** Each seq follows the one before it. */
  readonly isDense: boolean;
  readonly end: boolean;
}

const reTag = 0x08; // ServerFrame.re = 1
const pageTag = 0x42; // ServerFrame.page = 8
const entryTag = 0x1a; // Page.entries = 3
const endTag = 0x28; // Page.end = 5
const seqTag = 0x18; // Entry.seq = 3

/** A place in a message (protobuf encoding, "Message Structure"). */
class Cursor {
  readonly #bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  /** Exact up to 2^53. */
  varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#bytes[this.at++];
      if (byte === undefined) throw new RangeError('a varint without end');
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  }

  skip(tag: number): void {
    const wireType = tag & 7;
    if (wireType === 0) this.varint();
    else if (wireType === 1) this.at += 8;
    else if (wireType === 5) this.at += 4;
    else if (wireType === 2) {
      const length = this.varint();
      this.at += length;
    } else throw new RangeError(`wire type ${wireType}`);
  }
}

/** The page in this ServerFrame, with the id of its request; undefined for any other frame. */
export function readPageSeqs(bytes: Buffer, start: number, end: number): { readonly re: number; readonly page: PageSeqs } | undefined {
  if (bytes[start] !== reTag) return undefined;
  const cursor = new Cursor(bytes, start + 1);
  const re = cursor.varint();
  if (bytes[cursor.at] !== pageTag) return undefined;
  cursor.at += 1;
  cursor.varint();
  const page = { entries: 0, first: 0, last: 0, isDense: true, end: false };
  while (cursor.at < end) {
    const tag = cursor.varint();
    if (tag === entryTag) {
      const length = cursor.varint();
      const seq = seqOf(cursor, cursor.at + length);
      if (page.entries > 0 && seq !== page.last + 1) page.isDense = false;
      if (page.entries === 0) page.first = seq;
      page.last = seq;
      page.entries += 1;
    } else if (tag === endTag) page.end = cursor.varint() !== 0;
    else cursor.skip(tag);
  }
  return { re, page };
}

/** Goes over one entry. */
function seqOf(cursor: Cursor, end: number): number {
  let seq = 0;
  while (cursor.at < end) {
    const tag = cursor.varint();
    if (tag === seqTag) seq = cursor.varint();
    else cursor.skip(tag);
  }
  return seq;
}
