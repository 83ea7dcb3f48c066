// The heads digest: XOR over a user's logs of a 64-bit hash of (log, epoch, head seq). Equal digests mean equal heads.
// The hash is two lanes of 32-bit multiply-and-mix (the finaliser of MurmurHash3, public domain) over the six
// little-endian 32-bit words of the three numbers; docs/protocol.md has it in prose with test vectors.

/** High and low 32 bits, each as an unsigned number: an XOR of two digests costs two integer operations. */
export interface Digest {
  hi: number;
  lo: number;
}

export const bucketCount = 64;

function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

function absorb(h: number, word: number): number {
  return mix(Math.imul(h, 5) + 0x9e3779b9 + word);
}

function lane(seed: number, log: bigint, epoch: bigint, seq: number): number {
  let h = absorb(seed, Number(log & 0xffffffffn));
  h = absorb(h, Number(log >> 32n));
  h = absorb(h, Number(epoch & 0xffffffffn));
  h = absorb(h, Number(epoch >> 32n));
  h = absorb(h, seq >>> 0);
  return absorb(h, Math.floor(seq / 0x1_0000_0000)) >>> 0;
}

/** Adds (or, applied again, takes away) one head. */
export function toggleHead(digest: Digest, log: bigint, epoch: bigint, seq: number): void {
  digest.hi = (digest.hi ^ lane(0x57656674, log, epoch, seq)) >>> 0;
  digest.lo = (digest.lo ^ lane(0x66616272, log, epoch, seq)) >>> 0;
}

/** Moves one head from seq `from` to `to` in the same epoch. */
export function moveHead(digest: Digest, of: { readonly log: bigint; readonly epoch: bigint }, from: number, to: number): void {
  toggleHead(digest, of.log, of.epoch, from);
  toggleHead(digest, of.log, of.epoch, to);
}

export const digestValue = (d: Digest): bigint => (BigInt(d.hi) << 32n) | BigInt(d.lo);

/** Which of the 64 buckets a log belongs to, whatever its head. */
export const bucketOf = (log: bigint): number =>
  absorb(absorb(0x6275636b, Number(log & 0xffffffffn)), Number(log >> 32n)) & (bucketCount - 1);
