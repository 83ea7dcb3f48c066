import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashBytes } from '@weft/proto/chain.ts';
import type { Entry } from '../delivery/entry.ts';
import type { LogRow, Writes } from '../delivery/ports.ts';
import { RecentHashes } from './recent-hashes.ts';

const hashOf = (log: bigint, seq: number): Uint8Array => Buffer.alloc(hashBytes, `${log}/${seq}`);
const nothing: Writes = {
  ...{
    intakeEpochs: new Map(),
    entries: [],
    checkPoints: [],
    emptied: [],
    rows: [],
    created: [],
    epochs: [],
    truncated: [],
    readdressed: [],
    states: [],
  },
  ...{ reopened: [], userLogs: [], pairs: [], intake: [], closed: [], decided: [], outbox: [], behind: [], caughtUp: [] },
};

/** A transaction that appends from…to to a log. */
function appended(log: bigint, from: number, to: number, epoch = 1n): Writes {
  const row: LogRow = { log, status: 'open', epoch, head: to, ts: to, ord: to, hash: hashOf(log, to), version: 1 };
  const entries = Array.from({ length: to - from + 1 }, (_, i): Entry => {
    const seq = from + i;
    return {
      ...{ log, epoch, seq, ts: seq, author: 5n, clientEntryId: BigInt(seq), ord: seq, kind: 9, flags: 0 },
      ...{ body: Buffer.alloc(0), prev: hashOf(log, seq - 1) },
    };
  });
  return { ...nothing, rows: [row], entries };
}

const known = (hashes: RecentHashes, log: bigint, epoch = 1n): number[] =>
  Array.from({ length: 40 }, (_, seq) => seq).filter((seq) => {
    const hash = hashes.at(log, epoch, seq);
    if (hash) assert.deepEqual(Buffer.from(hash), Buffer.from(hashOf(log, seq)));
    return hash !== undefined;
  });

test('the newest eight hashes of a log are known, the one before the first entry of a transaction among them', () => {
  const hashes = new RecentHashes(10);
  hashes.committed(appended(7n, 3, 3));
  assert.deepEqual(known(hashes, 7n), [2, 3]);
  hashes.committed(appended(7n, 4, 6));
  assert.deepEqual(known(hashes, 7n), [2, 3, 4, 5, 6]);
  hashes.committed(appended(7n, 7, 20));
  assert.deepEqual(known(hashes, 7n), [13, 14, 15, 16, 17, 18, 19, 20]);
  assert.deepEqual(known(hashes, 8n), []);
});

test('across what another node committed nothing is believed to be known', () => {
  const hashes = new RecentHashes(10);
  hashes.committed(appended(7n, 1, 5));
  hashes.committed(appended(7n, 9, 9));
  assert.deepEqual(known(hashes, 7n), [8, 9]);
});

test('nothing is known of a log in another epoch, or whose epochs changed in the transaction', () => {
  const hashes = new RecentHashes(10);
  hashes.committed(appended(7n, 1, 5));
  assert.deepEqual(known(hashes, 7n, 2n), []);
  const cut = { log: 7n, base: 3, before: [], epochs: [] };
  hashes.committed({ ...appended(7n, 4, 6, 2n), epochs: [{ log: 7n, epochs: [] }], truncated: [cut] });
  assert.deepEqual([...known(hashes, 7n, 1n), ...known(hashes, 7n, 2n)], []);
  hashes.committed(appended(7n, 7, 7, 2n));
  assert.deepEqual(known(hashes, 7n, 2n), [6, 7]);
});

test('beyond the bound the log committed to longest ago is forgotten, and its place is another’s', () => {
  const hashes = new RecentHashes(2);
  for (const log of [1n, 2n, 1n, 3n]) hashes.committed(appended(log, 2, 3));
  assert.deepEqual(
    [1n, 2n, 3n].map((log) => known(hashes, log)),
    [[1, 2, 3], [], [1, 2, 3]],
  );
});

test('a hash that was given out stays what it was when its place is used again', () => {
  const hashes = new RecentHashes(1);
  hashes.committed(appended(1n, 2, 3));
  const given = hashes.at(1n, 1n, 3);
  hashes.committed(appended(2n, 2, 3));
  assert.deepEqual(Buffer.from(given as Uint8Array), Buffer.from(hashOf(1n, 3)));
});
