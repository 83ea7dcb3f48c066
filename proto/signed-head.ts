// What an owner signs of a log's head (docs/protocol.md, "Proof"), and the name of the key it signs with.
import { hashBytes } from './chain.ts';

export interface HeadFields {
  readonly log: bigint;
  readonly epoch: bigint;
  readonly seq: bigint;
  readonly hash: Uint8Array;
  /** Unix milliseconds. */
  readonly ts: bigint;
}

/** "WFH1": a signed head is never taken for something else that is signed. */
const magic = 0x31484657;
const signedBytes = 68;

/** The bytes under the signature. Throws RangeError when the hash is none. */
export function headBytes({ log, epoch, seq, hash, ts }: HeadFields): Uint8Array<ArrayBuffer> {
  if (hash.length !== hashBytes) throw new RangeError('not a hash');
  const bytes = new Uint8Array(signedBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magic, true);
  view.setBigUint64(4, log, true);
  view.setBigUint64(12, epoch, true);
  view.setBigUint64(20, seq, true);
  bytes.set(hash, 28);
  view.setBigUint64(60, ts, true);
  return bytes;
}

/** Name, in a JWKS, of the key a cell signs heads with. */
export const headKid = (cell: string, version: number): string => `${cell}.head.${version}`;
