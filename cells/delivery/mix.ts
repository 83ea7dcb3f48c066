// 64-bit mixing for keys that must spread: the finaliser of SplitMix64 (Steele, Lea, Flood 2014), in BigInt.
const mask = 0xffff_ffff_ffff_ffffn;

export function mix64(value: bigint): bigint {
  let z = (value + 0x9e37_79b9_7f4a_7c15n) & mask;
  z = ((z ^ (z >> 30n)) * 0xbf58_476d_1ce4_e5b9n) & mask;
  z = ((z ^ (z >> 27n)) * 0x94d0_49bb_1331_11ebn) & mask;
  return z ^ (z >> 31n);
}

/** A positive 63-bit id from an id and a number. */
export const mixId = (id: bigint, n: number): bigint => mix64(mix64(id) ^ BigInt(n)) >> 1n;
