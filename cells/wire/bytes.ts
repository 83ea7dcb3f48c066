// Protobuf primitives (encoding spec, "Message Structure") on Node buffers: what the hot path writes and reads by hand.
// The generated codec reads the same bytes; entry-codec.test.ts holds the two to each other.

export const varintSize = (value: number): number => {
  let size = 1;
  while (value >= 0x80) {
    value = Math.floor(value / 0x80);
    size += 1;
  }
  return size;
};

/** Writes at `at`, returns the next position. Values up to 2^53. */
export function writeVarint(into: Buffer, at: number, value: number): number {
  while (value >= 0x80) {
    into[at++] = (value % 0x80) | 0x80;
    value = Math.floor(value / 0x80);
  }
  into[at++] = value;
  return at;
}

/** Reads numbers one after another; throws RangeError past the end or on a varint above 2^53. */
export class Reader {
  readonly bytes: Buffer;
  at: number;
  readonly end: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = start;
    this.end = end;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      if (this.at >= this.end) throw new RangeError('truncated');
      const byte = this.bytes[this.at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 0x80;
    }
    throw new RangeError('varint too large');
  }

  fixed64(): bigint {
    if (this.at + 8 > this.end) throw new RangeError('truncated');
    const value = this.bytes.readBigUInt64LE(this.at);
    this.at += 8;
    return value;
  }

  /** Length-delimited bytes, a view and no copy. */
  slice(): Buffer {
    const length = this.varint();
    if (this.at + length > this.end) throw new RangeError('truncated');
    const slice = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return slice;
  }

  skip(wireType: number): void {
    if (wireType === 0) this.varint();
    else if (wireType === 1) this.at += 8;
    else if (wireType === 2) this.slice();
    else if (wireType === 5) this.at += 4;
    else throw new RangeError(`wire type ${wireType}`);
    if (this.at > this.end) throw new RangeError('truncated');
  }
}
