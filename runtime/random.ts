// Chance as an argument. Not for secrets: keys, tokens and salts come from node:crypto.
import assert from 'node:assert/strict';

export interface Random {
  /** 0 ≤ x < 1. */
  next(): number;
  /** A whole number, 0 ≤ n < max; max is 1..2^53. */
  int(max: number): number;
}

export const systemRandom: Random = {
  next: () => Math.random(),
  int: (max) => Math.floor(Math.random() * bound(max)),
};

/** The same seed gives the same numbers, on every machine (sfc32 by Chris Doty-Humphrey, seeded by splitmix32). */
export function seededRandom(seed: number): Random {
  let mix = seed | 0;
  const word = (): number => {
    mix = (mix + 0x9e3779b9) | 0;
    let z = Math.imul(mix ^ (mix >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return z ^ (z >>> 15);
  };
  let [a, b, c, counter] = [word(), word(), word(), 1];
  const bits32 = (): number => {
    const out = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + out;
    c |= 0;
    return out >>> 0;
  };
  for (let i = 0; i < 12; i++) bits32();
  const next = (): number => ((bits32() >>> 5) * 0x4000000 + (bits32() >>> 6)) / 2 ** 53;
  return { next, int: (max) => Math.floor(next() * bound(max)) };
}

function bound(max: number): number {
  assert(Number.isSafeInteger(max) && max >= 1, `a bound is a whole number from 1, not ${max}`);
  return max;
}
