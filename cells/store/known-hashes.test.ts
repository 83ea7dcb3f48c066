import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Chain, type ChainedEntry, chainStart } from '@weft/proto/chain.ts';
import { sha256 } from '@weft/runtime/sha256.ts';
import { chained } from '../delivery/chain-of.ts';
import type { Entry } from '../delivery/entry.ts';
import { KnownHashes } from './known-hashes.ts';
import { RecentHashes } from './recent-hashes.ts';

const entry = (seq: number, log = 7n): Entry => ({
  log,
  epoch: 1n,
  seq,
  ts: 1_000 + seq,
  author: 5n,
  clientEntryId: BigInt(seq),
  ord: seq,
  kind: 9,
  flags: 0,
  body: Buffer.from(`message ${seq}`),
});
const run = (from: number, to: number, log = 7n): Entry[] => Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, log));

const noneRecent = new RecentHashes(1);

class CountedChain extends Chain {
  made = 0;
  override next(of: ChainedEntry, prev: Uint8Array): Uint8Array {
    this.made += 1;
    return super.next(of, prev);
  }
}

test('a hash is made once, and is the one that a chain without memory makes', () => {
  const chain = new CountedChain(sha256);
  const hashes = new KnownHashes(chain, 1_024, noneRecent);
  const genesis = { seq: 0, hash: chainStart };
  const right = chained(new Chain(sha256), genesis, run(1, 200));
  assert.deepEqual(chained(hashes.of(7n, 1n), genesis, run(1, 200)), right);
  assert.equal(chain.made, 200);
  assert.deepEqual(chained(hashes.of(7n, 1n), genesis, run(1, 200)), right);
  const known = hashes.of(7n, 1n).at(119);
  assert.ok(known);
  assert.deepEqual(chained(hashes.of(7n, 1n), { seq: 119, hash: known }, run(120, 169)), right.slice(119, 169));
  assert.equal(chain.made, 200);
});

test('nothing is known of another log, of another epoch, or of what was not asked', () => {
  const hashes = new KnownHashes(new Chain(sha256), 1_024, noneRecent);
  hashes.of(7n, 1n).next(entry(10), chainStart);
  assert.ok(hashes.of(7n, 1n).at(10));
  assert.equal(hashes.of(7n, 1n).at(11), undefined);
  assert.equal(hashes.of(7n, 2n).at(10), undefined);
  assert.equal(hashes.of(8n, 1n).at(10), undefined);
});

test('what was used longest ago is forgotten beyond the bound', () => {
  const hashes = new KnownHashes(new Chain(sha256), 128, noneRecent);
  for (const log of [1n, 2n]) hashes.of(log, 1n).next(entry(1, log), chainStart);
  assert.ok(hashes.of(1n, 1n).at(1));
  hashes.of(3n, 1n).next(entry(1, 3n), chainStart);
  assert.deepEqual(
    [1n, 2n, 3n].map((log) => hashes.of(log, 1n).at(1) !== undefined),
    [true, false, true],
  );
});
