// Arrays as parameters in PostgreSQL's binary format: one buffer instead of a text with quoting, which the server would have to parse.
// Layout (array_recv): int32 dimensions, int32 has-null, int32 element type, per dimension int32 length and int32 lower bound,
// then per element int32 length (-1: null) and the bytes, all big-endian.
// pg sends a Buffer parameter as binary and leaves its type to the server, so the statement must say it: `unnest($1::bigint[])`.

const headBytes = 20;
const oid = { bytea: 17, int8: 20, int2: 21, text: 25 } as const;

/** `bigint[]`. Numbers must be safe integers; a bigint beyond 64 bits throws a RangeError. */
export function int8Array(values: readonly (bigint | number | null)[]): Buffer {
  const buffer = Buffer.allocUnsafe(headBytes + 12 * values.length);
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  let at = headBytes;
  let hasNull = false;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value === null || value === undefined) {
      view.setInt32(at, -1);
      at += 4;
      hasNull = true;
      continue;
    }
    view.setInt32(at, 8);
    if (typeof value === 'bigint') {
      if (BigInt.asIntN(64, value) !== value) throw new RangeError(`${value} does not fit a bigint column`);
      view.setBigInt64(at + 4, value);
    } else {
      if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not a safe integer`);
      view.setInt32(at + 4, Math.floor(value / 0x100000000));
      view.setUint32(at + 8, value >>> 0);
    }
    at += 12;
  }
  return finish(buffer, at, { oid: oid.int8, length: values.length, hasNull });
}

/** `smallint[]`; a value outside −32768..32767 throws a RangeError. */
export function int2Array(values: readonly (number | null)[]): Buffer {
  const buffer = Buffer.allocUnsafe(headBytes + 6 * values.length);
  let at = headBytes;
  let hasNull = false;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value === null || value === undefined) {
      at = buffer.writeInt32BE(-1, at);
      hasNull = true;
      continue;
    }
    if (!Number.isInteger(value)) throw new RangeError(`${value} is not whole`);
    at = buffer.writeInt32BE(2, at);
    at = buffer.writeInt16BE(value, at);
  }
  return finish(buffer, at, { oid: oid.int2, length: values.length, hasNull });
}

/** `bytea[]`. */
export function byteaArray(values: readonly (Uint8Array | null)[]): Buffer {
  let bytes = headBytes + 4 * values.length;
  for (let i = 0; i < values.length; i++) bytes += values[i]?.length ?? 0;
  const buffer = Buffer.allocUnsafe(bytes);
  let at = headBytes;
  let hasNull = false;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value === null || value === undefined) {
      at = buffer.writeInt32BE(-1, at);
      hasNull = true;
      continue;
    }
    at = buffer.writeInt32BE(value.length, at);
    buffer.set(value, at);
    at += value.length;
  }
  return finish(buffer, at, { oid: oid.bytea, length: values.length, hasNull });
}

/** `text[]`, UTF-8. A lone surrogate becomes U+FFFD; a NUL is refused by the server (22021). */
export function textArray(values: readonly (string | null)[]): Buffer {
  let bytes = headBytes + 4 * values.length;
  for (let i = 0; i < values.length; i++) bytes += Buffer.byteLength(values[i] ?? '', 'utf8');
  const buffer = Buffer.allocUnsafe(bytes);
  let at = headBytes;
  let hasNull = false;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value === null || value === undefined) {
      at = buffer.writeInt32BE(-1, at);
      hasNull = true;
      continue;
    }
    const written = buffer.write(value, at + 4, 'utf8');
    buffer.writeInt32BE(written, at);
    at += 4 + written;
  }
  return finish(buffer, at, { oid: oid.text, length: values.length, hasNull });
}

function finish(buffer: Buffer, end: number, head: { oid: number; length: number; hasNull: boolean }): Buffer {
  // An array without elements has no dimension, else the server reads a bound that is not there.
  if (head.length === 0) return Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, head.oid]);
  buffer.writeInt32BE(1, 0);
  buffer.writeInt32BE(head.hasNull ? 1 : 0, 4);
  buffer.writeInt32BE(head.oid, 8);
  buffer.writeInt32BE(head.length, 12);
  buffer.writeInt32BE(1, 16);
  return buffer.subarray(0, end);
}
