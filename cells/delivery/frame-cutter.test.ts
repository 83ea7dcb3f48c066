import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Entry } from './entry.ts';
import { FrameCutter } from './frame-cutter.ts';
import type { OutboxRow } from './ports.ts';

const frameEntriesMax = 256;
const frameBytesMax = 256 * 1024;

const entry = (log: bigint, seq: number, bytes = 10): Entry => ({
  log,
  epoch: 1n,
  seq,
  ts: 0,
  author: 1n,
  clientEntryId: BigInt(seq),
  ord: 0,
  kind: 9,
  flags: 0,
  body: new Uint8Array(bytes),
});

function cut(fill: (cutter: FrameCutter) => void): OutboxRow[] {
  let ids = 0n;
  const cutter = new FrameCutter({ freshId: () => ++ids, limits: { frameEntriesMax, frameBytesMax } });
  fill(cutter);
  return cutter.rows();
}
const countOf = (row: OutboxRow): number => row.ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
const bytesOf = (row: OutboxRow): number => (row.entries ?? []).reduce((sum, { body }) => sum + body.length, 0);

test('a frame has at most 256 entries, and none is left out', () => {
  const rows = cut((cutter) => {
    for (let seq = 1; seq <= 600; seq++) cutter.add(2, entry(7n, seq));
  });
  assert.deepEqual(rows.map(countOf), [256, 256, 88]);
  assert.deepEqual(
    rows.flatMap(({ ranges }) => ranges),
    [
      { log: 7n, first: 1, last: 256 },
      { log: 7n, first: 257, last: 512 },
      { log: 7n, first: 513, last: 600 },
    ],
  );
});

test('a frame has at most 256 KiB', () => {
  const rows = cut((cutter) => {
    for (let seq = 1; seq <= 100; seq++) cutter.add(2, entry(7n, seq, 16 * 1024));
  });
  assert.ok(rows.length >= 7);
  assert.ok(rows.every((row) => bytesOf(row) <= frameBytesMax));
  assert.equal(
    rows.reduce((sum, row) => sum + countOf(row), 0),
    100,
  );
});

test('what was stored before counts as the largest it may be, and is not in memory', () => {
  const rows = cut((cutter) => {
    for (let seq = 1; seq <= 40; seq++) cutter.addStored(2, 7n, seq * 2);
  });
  assert.ok(rows.every((row) => countOf(row) <= 15 && row.entries === undefined));
});

test('each destination has frames of its own, each frame an id of its own', () => {
  const rows = cut((cutter) => {
    for (const dst of [2, 3]) for (let seq = 1; seq <= 3; seq++) cutter.add(dst, entry(7n, seq));
  });
  assert.deepEqual(
    rows.map(({ dst, class: cls, lane }) => [dst, cls, lane]),
    [
      [2, 'e', 3],
      [3, 'e', 3],
    ],
  );
  assert.equal(new Set(rows.map(({ id }) => id)).size, 2);
});

test('runs of logs that take turns stay runs; a gap begins another', () => {
  const [row] = cut((cutter) => {
    for (const [log, seq] of [
      [7n, 1],
      [11n, 5],
      [7n, 2],
      [11n, 6],
      [7n, 4],
    ] as const)
      cutter.add(2, entry(log, seq));
  });
  assert.deepEqual(row?.ranges, [
    { log: 7n, first: 1, last: 2 },
    { log: 11n, first: 5, last: 6 },
    { log: 7n, first: 4, last: 4 },
  ]);
});

test('logs of two partitions do not share a frame', () => {
  const rows = cut((cutter) => {
    for (const log of [7n, 8n, 11n]) cutter.add(2, entry(log, 1));
  });
  assert.deepEqual(
    rows.map(({ lane, ranges }) => [lane, ranges.map(({ log }) => log)]),
    [
      [3, [7n, 11n]],
      [0, [8n]],
    ],
  );
});

test('nothing to send is no frame', () => {
  assert.deepEqual(
    cut(() => undefined),
    [],
  );
});
