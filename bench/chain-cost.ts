// What the hash chain costs an entry, in this process: made where an entry gets its seq, checked where it arrives, and
// checked once more by a client in Node.

import { Chain, chainStart, sameHash } from '@weft/proto/chain.ts';
import { sha256 } from '@weft/runtime/sha256.ts';
import { benchLimits } from './limits.ts';

export interface ChainCost {
  /** Microseconds of one core to make, or to check, one entry's place. */
  readonly usPerEntry: number;
  /** Bytes of `prev` in an entry, with tag and length. */
  readonly wireBytesPerEntry: number;
}

const entryOf = (seq: number, body: Uint8Array) => ({
  log: 2n ** 60n,
  epoch: 2n ** 33n,
  seq,
  ts: 1_800_000_000_000,
  author: 2n ** 61n,
  clientEntryId: 2n ** 62n + BigInt(seq),
  ord: seq,
  kind: 9,
  body,
});

/** Chains entries of bodyBytes for `ms` milliseconds after a warm-up. */
export function chainCost(ms: number): ChainCost {
  const chain = new Chain(sha256);
  const body = Buffer.alloc(benchLimits.bodyBytes, 'x');
  let hash = chainStart;
  let seq = 0;
  const step = (): void => {
    seq += 1;
    const next = chain.next(entryOf(seq, body), hash);
    if (sameHash(next, hash)) throw new Error('a hash that does not move');
    hash = next;
  };
  while (seq < 20_000) step();
  const before = process.cpuUsage();
  const from = seq;
  const until = performance.now() + ms;
  while (performance.now() < until) for (let n = 0; n < 500; n++) step();
  const { user, system } = process.cpuUsage(before);
  return { usPerEntry: Math.round(((user + system) / (seq - from)) * 100) / 100, wireBytesPerEntry: 2 + hash.length };
}
