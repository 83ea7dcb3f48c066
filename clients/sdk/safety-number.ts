// A log's history up to an entry as thirty digits, for two members to read to each other: docs/protocol.md, "Proof".
import { hashBytes, type Sha256 } from '@weft/proto/chain.ts';

/** What one member holds of a log. */
export interface HistoryAt {
  readonly log: bigint;
  readonly seq: number;
  /** Hash of the entry at seq. */
  readonly hash: Uint8Array;
}

/** "WFS1". */
const magic = 0x31534657;
const groups = 6;
const bytesPerGroup = 5;
const digitsPerGroup = 5;

/** Six groups of five digits. */
export function safetyNumber(sha256: Sha256, { log, seq, hash }: HistoryAt): string {
  const bytes = new Uint8Array(20 + hashBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magic, true);
  view.setBigUint64(4, log, true);
  view.setBigUint64(12, BigInt(seq), true);
  bytes.set(hash, 20);
  const digest = sha256(bytes);
  return Array.from({ length: groups }, (_, group) => {
    const part = digest.subarray(group * bytesPerGroup, (group + 1) * bytesPerGroup);
    const number = part.reduce((sum, byte) => sum * 256 + byte, 0);
    return String(number % 10 ** digitsPerGroup).padStart(digitsPerGroup, '0');
  }).join(' ');
}
