// The clear front of sealed bytes. It is the associated data, whole: what it says cannot be changed without the key.
// version 1 · kind 1 · class 1 · p 1 · key versions of src and dst 4+4 · generations of src and dst 4+4 · id 8 · attempt 4 ·
// time 8 · lengths of src, dst, what 1+1+1 · those three in ASCII. All numbers big-endian.
import type { FrameClass } from '@weft/proto/subjects.ts';

export type SealKind = 'frame' | 'ack' | 'signal' | 'request' | 'answer';

export interface SealHeader {
  /** Frame id; of a request its random nonce, of an answer the request's. */
  readonly id: bigint;
  /** Attempt of the frame, from 1; else 0. */
  readonly attempt: number;
  /** Only frames have one. */
  readonly cls?: FrameClass;
  /** Partition of the frame; else 0. */
  readonly p: number;
  /** Method of a request and its answer, name of a signal; else ''. ASCII. */
  readonly what: string;
  /** When it was sealed, Unix ms. Set by the sealer. */
  readonly time?: number;
}

/** The header as it travels: with both ends. */
export interface SealedFront {
  readonly kind: SealKind;
  readonly src: string;
  readonly dst: string;
  readonly srcVersion: number;
  readonly dstVersion: number;
  readonly srcGeneration: number;
  readonly dstGeneration: number;
  readonly header: SealHeader & { readonly time: number };
  /** Bytes of the front. */
  readonly length: number;
}

const formatVersion = 1;
const fixedBytes = 43;
const kinds: readonly (SealKind | undefined)[] = [undefined, 'frame', 'ack', 'signal', 'request', 'answer'];
const classes: readonly (FrameClass | undefined)[] = [undefined, 'e', 'i', 'v', 'm'];

export const frontBytes = (src: string, dst: string, what: string): number => fixedBytes + src.length + dst.length + what.length;

/** Writes the front at the start of `out`. Returns its length. */
export function writeFront(out: Buffer, front: Omit<SealedFront, 'length'>): number {
  const { src, dst, header } = front;
  out[0] = formatVersion;
  out[1] = kinds.indexOf(front.kind);
  out[2] = classes.indexOf(header.cls);
  out[3] = header.p;
  out.writeUInt32BE(front.srcVersion, 4);
  out.writeUInt32BE(front.dstVersion, 8);
  out.writeUInt32BE(front.srcGeneration, 12);
  out.writeUInt32BE(front.dstGeneration, 16);
  out.writeBigUInt64BE(header.id, 20);
  out.writeUInt32BE(header.attempt, 28);
  out.writeUIntBE(Math.floor(header.time / 0x1_0000_0000), 32, 4);
  out.writeUInt32BE(header.time % 0x1_0000_0000, 36);
  out[40] = src.length;
  out[41] = dst.length;
  out[42] = header.what.length;
  let at = fixedBytes;
  at += out.write(src, at, 'latin1');
  at += out.write(dst, at, 'latin1');
  at += out.write(header.what, at, 'latin1');
  return at;
}

/** Reads what `writeFront` wrote. Undefined: these bytes were not sealed by us. */
export function readFront(bytes: Buffer): SealedFront | undefined {
  if (bytes.length < fixedBytes || bytes[0] !== formatVersion) return undefined;
  const kind = kinds[bytes[1] ?? 0];
  const classNumber = bytes[2] ?? 0;
  if (kind === undefined || classNumber >= classes.length) return undefined;
  const cls = classes[classNumber];
  const srcEnds = fixedBytes + (bytes[40] ?? 0);
  const dstEnds = srcEnds + (bytes[41] ?? 0);
  const length = dstEnds + (bytes[42] ?? 0);
  if (bytes.length < length) return undefined;
  return {
    kind,
    src: bytes.toString('latin1', fixedBytes, srcEnds),
    dst: bytes.toString('latin1', srcEnds, dstEnds),
    srcVersion: bytes.readUInt32BE(4),
    dstVersion: bytes.readUInt32BE(8),
    srcGeneration: bytes.readUInt32BE(12),
    dstGeneration: bytes.readUInt32BE(16),
    header: {
      id: bytes.readBigUInt64BE(20),
      attempt: bytes.readUInt32BE(28),
      ...(cls === undefined ? {} : { cls }),
      p: bytes[3] ?? 0,
      what: bytes.toString('latin1', dstEnds, length),
      time: bytes.readUInt32BE(32) * 0x1_0000_0000 + bytes.readUInt32BE(36),
    },
    length,
  };
}
