// The hot frames of the client protocol (client.proto) by hand: an append is a copied template with two patched numbers,
// Accepted and Push are read in place without an object per entry. Everything else goes through the generated code.

import { Buffer } from 'node:buffer';
import { frameHeader } from '@weft/local/raw-socket.ts';

/** Appends have request ids of four varint bytes, so that a frame has one size whatever its id; smaller ids are others'. */
export const idFirst = 1 << 21;
const idSpan = (1 << 28) - idFirst;

const frameIdTag = 0x08; // ClientFrame.id = 1, varint
const appendTag = 0x1a; // ClientFrame.append = 3, bytes
const targetLogTag = 0x09; // Append.log = 1, fixed64
const targetPeerTag = 0x11; // Append.peer = 2, fixed64
const clientEntryIdTag = 0x19; // Append.client_entry_id = 3, fixed64
const textTag = 0x4a; // Append.text = 9, bytes

export type AppendTarget = { readonly log: bigint } | { readonly peer: bigint };

/** Two halves of a 64-bit number: no BigInt on the hot path. */
export interface Halves {
  lo: number;
  hi: number;
}

export const halves = (value: bigint): Halves => ({ lo: Number(value & 0xffffffffn), hi: Number(value >> 32n) });
export const whole = (value: Halves): bigint => (BigInt(value.hi) << 32n) | BigInt(value.lo);

function varintBytes(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return [...bytes, rest];
    bytes.push((rest & 0x7f) | 0x80);
  }
}

function fixed64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

/** One append to one log with one text, as WebSocket bytes; only the request id and the client entry id change. */
export class AppendTemplate {
  readonly #bytes: Buffer;
  readonly #idAt: number;
  readonly #entryIdAt: number;

  constructor(target: AppendTarget, text: string) {
    const body = Buffer.from(text, 'utf8');
    const [tag, id] = 'log' in target ? [targetLogTag, target.log] : [targetPeerTag, target.peer];
    const append = Buffer.concat([
      Buffer.from([tag]),
      fixed64(id),
      Buffer.from([clientEntryIdTag]),
      fixed64(0n),
      Buffer.from([textTag, ...varintBytes(body.length)]),
      body,
    ]);
    const payload = Buffer.concat([Buffer.from([frameIdTag, 0x80, 0x80, 0x80, 0x01, appendTag, ...varintBytes(append.length)]), append]);
    const header = frameHeader(2, payload.length);
    this.#bytes = Buffer.concat([header, payload]);
    this.#idAt = header.length + 1;
    this.#entryIdAt = header.length + payload.length - append.length + 10;
  }

  /** A new frame. `n` is any count of requests of this connection; equal counts 2^27 apart are never unanswered together. */
  frame(n: number, entryId: Halves): Buffer {
    const bytes = Buffer.allocUnsafe(this.#bytes.length);
    this.#bytes.copy(bytes);
    const id = idFirst + (n % idSpan);
    bytes[this.#idAt] = (id & 0x7f) | 0x80;
    bytes[this.#idAt + 1] = ((id >>> 7) & 0x7f) | 0x80;
    bytes[this.#idAt + 2] = ((id >>> 14) & 0x7f) | 0x80;
    bytes[this.#idAt + 3] = id >>> 21;
    bytes.writeUInt32LE(entryId.lo, this.#entryIdAt);
    bytes.writeUInt32LE(entryId.hi, this.#entryIdAt + 4);
    return bytes;
  }
}

/** Header of one entry, reused for the next: copy what is to be kept. */
export interface EntryView {
  logLo: number;
  logHi: number;
  seq: number;
  /** Low half of the client entry id: counts up within one load process. */
  entryIdLo: number;
  entryIdHi: number;
  /** Payload bytes of the text, or -1 where the entry is no text. */
  textBytes: number;
}

export interface HotSink {
  accepted(entry: EntryView): void;
  /** Once for each entry of a push, in its order. */
  pushed(entry: EntryView): void;
}

const acceptedTag = 0x22; // ServerFrame.accepted = 4
const pushTag = 0xa2; // ServerFrame.push = 20, first byte
const pushTagNext = 0x01;

/**
 * Reads server frames in place. `read` gives false for a frame that is neither a push nor the acceptance of a template's
 * append: then the generated code has to read it. Throws RangeError on bytes that are no protobuf message.
 */
export class HotReader {
  readonly entry: EntryView = { logLo: 0, logHi: 0, seq: 0, entryIdLo: 0, entryIdHi: 0, textBytes: -1 };
  readonly #sink: HotSink;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(sink: HotSink) {
    this.#sink = sink;
  }

  read(bytes: Buffer, start: number, end: number): boolean {
    this.#bytes = bytes;
    this.#at = start;
    let re = idFirst;
    if (bytes[this.#at] === 0x08) {
      this.#at += 1;
      re = this.#varint();
    }
    const tag = bytes[this.#at];
    if (tag === acceptedTag && re >= idFirst) {
      this.#at += 1;
      const length = this.#varint();
      this.#acceptedFields(this.#at + length);
      this.#sink.accepted(this.entry);
      return true;
    }
    if (tag !== pushTag || bytes[this.#at + 1] !== pushTagNext) return false;
    this.#at += 2;
    const length = this.#varint();
    const pushEnd = this.#at + length;
    if (pushEnd > end) throw new RangeError('a push longer than its frame');
    while (this.#at < pushEnd) {
      if (bytes[this.#at] !== 0x0a) throw new RangeError(`field ${bytes[this.#at]} in a push`);
      this.#at += 1;
      const entryBytes = this.#varint();
      this.#entryFields(this.#at + entryBytes);
      this.#sink.pushed(this.entry);
    }
    return true;
  }

  #acceptedFields(end: number): void {
    this.#clear();
    while (this.#at < end) {
      const tag = this.#varint();
      if (tag === 0x09) this.#log();
      else if (tag === 0x18) this.entry.seq = this.#varint();
      else if (tag === 0x29) this.#entryId();
      else this.#skip(tag & 7);
    }
  }

  #entryFields(end: number): void {
    this.#clear();
    while (this.#at < end) {
      const tag = this.#varint();
      if (tag === 0x09) this.#log();
      else if (tag === 0x18) this.entry.seq = this.#varint();
      else if (tag === 0x31) this.#entryId();
      else if (tag === textTag) {
        this.entry.textBytes = this.#varint();
        this.#at += this.entry.textBytes;
      } else this.#skip(tag & 7);
    }
  }

  #clear(): void {
    const entry = this.entry;
    entry.logLo = 0;
    entry.logHi = 0;
    entry.seq = 0;
    entry.entryIdLo = 0;
    entry.entryIdHi = 0;
    entry.textBytes = -1;
  }

  #log(): void {
    this.entry.logLo = this.#bytes.readUInt32LE(this.#at);
    this.entry.logHi = this.#bytes.readUInt32LE(this.#at + 4);
    this.#at += 8;
  }

  #entryId(): void {
    this.entry.entryIdLo = this.#bytes.readUInt32LE(this.#at);
    this.entry.entryIdHi = this.#bytes.readUInt32LE(this.#at + 4);
    this.#at += 8;
  }

  #skip(wireType: number): void {
    if (wireType === 0) this.#varint();
    else if (wireType === 1) this.#at += 8;
    else if (wireType === 2) {
      const length = this.#varint();
      this.#at += length;
    } else if (wireType === 5) this.#at += 4;
    else throw new RangeError(`wire type ${wireType}`);
  }

  /** Exact up to 2^53. */
  #varint(): number {
    let value = 0;
    let factor = 1;
    for (let i = 0; i < 10; i++) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) throw new RangeError('a varint without end');
      this.#at += 1;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
    }
    throw new RangeError('a varint of more than ten bytes');
  }
}
