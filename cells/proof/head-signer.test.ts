// When a log's head is signed, and that nothing is looked for where nothing moved.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SignedHead } from '@weft/proto/gen/weft/client/v1/client.ts';
import { makeEpoch } from '@weft/proto/positions.ts';
import { ManualClock } from '@weft/runtime/manual-clock.ts';
import type { LogRow, Writes } from '../delivery/ports.ts';
import { HeadSigner } from './head-signer.ts';

const epoch = makeEpoch({ count: 1, cell: 1, generation: 1 });
const hash = new Uint8Array(32);
const rowAt = (log: bigint, head: number): LogRow => ({ log, epoch, head, ts: 0, ord: head, hash, version: 1, status: 'open' });

function open(headsSignedMax = 8) {
  const clock = new ManualClock(1_000);
  const told: { readonly atMs: number; readonly heads: string[] }[] = [];
  const signed: bigint[] = [];
  const signer = new HeadSigner({
    cell: 1,
    clock,
    link: { signal: () => undefined },
    sign: (head): SignedHead => {
      signed.push(head.log);
      return { ...head, hash: Buffer.from(head.hash), kid: 'k', signature: Buffer.alloc(0) };
    },
    stateOf: async () => undefined,
    others: () => [],
    tell: (heads) => told.push({ atMs: clock.monotonic(), heads: heads.map(({ log, seq }) => `${log}/${seq}`) }),
    failed: (error) => assert.fail(String(error)),
    limits: { headSignMs: 2_000, headSignEveryMs: 500, headsSignedMax, headsActiveMax: 8, headFreshMs: 1_000 },
  });
  const commit = (...rows: LogRow[]): void =>
    signer.committed({ rows, created: [], entries: rows.map(({ log }) => ({ log, kind: 1 })) } as unknown as Writes);
  return { clock, told, signed, signer, commit };
}

test('a busy log is signed once in its time, together with what falls due a little later, and an idle node waits for nothing', () => {
  const { clock, told, commit } = open();
  assert.equal(clock.waiting, 0);
  commit(rowAt(1n, 1));
  clock.advance(400);
  commit(rowAt(2n, 7));
  clock.advance(1_600);
  commit(rowAt(1n, 5));
  clock.advance(499);
  assert.deepEqual(told, []);
  clock.advance(1);
  assert.deepEqual(told, [{ atMs: 2_500, heads: ['1/5', '2/7'] }]);
  assert.equal(clock.waiting, 0);
  commit(rowAt(1n, 6));
  clock.advance(2_500);
  assert.deepEqual(told.slice(1), [{ atMs: 5_000, heads: ['1/6'] }]);
});

test('what is more than one look may sign goes with the next', () => {
  const { clock, told, commit } = open(2);
  commit(rowAt(1n, 1), rowAt(2n, 1), rowAt(3n, 1));
  clock.advance(4_000);
  assert.deepEqual(told, [
    { atMs: 2_500, heads: ['1/1', '2/1'] },
    { atMs: 3_000, heads: ['3/1'] },
  ]);
});

test('what another node signed is not signed again, and nothing is after the end', () => {
  const { clock, told, signer, commit } = open();
  commit(rowAt(1n, 1), rowAt(2n, 3));
  signer.signedElsewhere([{ log: 2n, epoch, seq: 3n, hash: Buffer.alloc(32), ts: 0n, kid: 'k', signature: Buffer.alloc(0) }]);
  clock.advance(2_500);
  assert.deepEqual(told, [{ atMs: 2_500, heads: ['1/1'] }]);
  commit(rowAt(1n, 2));
  signer[Symbol.dispose]();
  assert.equal(clock.waiting, 0);
});

test('a head asked for again within a second is not signed again; of many the ones asked for last are remembered', () => {
  const { signed, signer } = open(2);
  for (const log of [1n, 2n, 1n, 3n, 1n, 2n]) signer.signNow(rowAt(log, 1));
  assert.deepEqual(signed, [1n, 2n, 3n, 2n]);
  signer.signNow(rowAt(2n, 2));
  assert.deepEqual(signed, [1n, 2n, 3n, 2n, 2n]);
});
