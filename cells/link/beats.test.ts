import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LinkBeat } from '@weft/proto/gen/weft/fabric/v1/fabric.ts';
import { ManualClock } from '@weft/runtime/manual-clock.ts';
import type { Entry } from '../delivery/entry.ts';
import type { OutboxRow } from '../delivery/ports.ts';
import { Beats, LostTails } from './beats.ts';

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

test('a beat tells the heads committed two to fifteen seconds ago, of the logs written last', () => {
  const clock = new ManualClock(1_000);
  const told: string[][] = [];
  const beats = new Beats({
    link: {
      signal: (_dst: number, _what: string, bytes: Uint8Array) =>
        told.push(LinkBeat.decode(bytes).heads.map(({ log, seq }) => `${log}/${seq}`)),
    },
    ...{ clock, generation: 1, read: async () => [] },
    limits: { beatHeadsMax: 2, beatHeadsFoundMax: 2, beatFromMs: 2_000, beatUntilMs: 15_000 },
  } as unknown as ConstructorParameters<typeof Beats>[0]);
  const commit = (log: bigint, seq: number): void =>
    beats.committed(
      [{ id: 1n, dst: 2, class: 'e', lane: 0, ranges: [{ log, first: seq, last: seq }], envelopes: [] } as OutboxRow],
      [{ log, epoch: 1n } as Entry],
    );
  commit(1n, 1);
  commit(2n, 1);
  commit(1n, 2);
  commit(3n, 1);
  for (const ms of [1_999, 1, 13_000, 1]) {
    clock.advance(ms);
    beats.send([2]);
  }
  assert.deepEqual(told, [[], ['1/2', '3/1'], ['1/2', '3/1'], []]);
});
