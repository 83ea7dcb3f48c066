import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LostTails } from './beats.ts';

const head = (log: bigint, epoch: bigint, seq: bigint) => ({ log, epoch, seq, ord: 0n, ts: 0n });

function stage(beatHeadsFoundMax = 8) {
  const heads = new Map<bigint, number>();
  const read: bigint[][] = [];
  const lost = new LostTails({
    read: async (logs) => {
      read.push([...logs]);
      return logs.flatMap((log) => (heads.has(log) ? [{ log, head: heads.get(log) as number }] : []));
    },
    limits: { beatHeadsFoundMax },
  });
  return { heads, read, lost };
}

test('a head that was found is not looked for again, a further one and one of a newer epoch are', async () => {
  const { heads, read, lost } = stage();
  heads.set(1n, 5);
  for (let beat = 0; beat < 3; beat++) assert.deepEqual(await lost.among([head(1n, 1n, 5n)]), []);
  assert.deepEqual(read, [[1n]]);
  assert.deepEqual(await lost.among([head(1n, 1n, 6n)]), [1n]);
  heads.set(1n, 4);
  assert.deepEqual(await lost.among([head(1n, 2n, 5n)]), [1n]);
  assert.deepEqual(read, [[1n], [1n], [1n]]);
});

test('a head that is not here is told lost with each beat until it is', async () => {
  const { heads, read, lost } = stage();
  heads.set(2n, 1);
  assert.deepEqual(await lost.among([head(1n, 1n, 1n), head(2n, 1n, 1n)]), [1n]);
  assert.deepEqual(await lost.among([head(1n, 1n, 1n), head(2n, 1n, 1n)]), [1n]);
  heads.set(1n, 1);
  assert.deepEqual(await lost.among([head(1n, 1n, 1n), head(2n, 1n, 1n)]), []);
  assert.deepEqual(await lost.among([head(1n, 1n, 1n), head(2n, 1n, 1n)]), []);
  assert.deepEqual(read, [[1n, 2n], [1n], [1n]]);
});

test('a beat that tells nothing, or only what was found, is known before the store is asked', async () => {
  const { heads, lost } = stage();
  heads.set(1n, 5);
  assert.ok(lost.knows([]));
  assert.ok(!lost.knows([head(1n, 1n, 5n)]));
  await lost.among([head(1n, 1n, 5n)]);
  assert.ok(lost.knows([head(1n, 1n, 5n)]));
  assert.ok(!lost.knows([head(1n, 1n, 5n), head(1n, 1n, 6n)]));
});

test('what is remembered of found heads is bounded', async () => {
  const { heads, read, lost } = stage(2);
  for (const log of [1n, 2n, 3n]) heads.set(log, 1);
  for (const log of [1n, 2n, 3n, 3n, 1n]) await lost.among([head(log, 1n, 1n)]);
  assert.deepEqual(read, [[1n], [2n], [3n], [1n]]);
});
