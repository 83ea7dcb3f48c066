import assert from 'node:assert/strict';
import { test } from 'node:test';
import { idEpochMs, makeId } from '@weft/proto/ids.ts';
import { markOf, minuteOf, packStamps, type Stamp, unpackStamps } from './stamp-codec.ts';

const baseMs = idEpochMs + 60_000 * 1_000_000;
const as = { peer: 3, way: 'out', minute: baseMs / 60_000, cell: 2 } as const;

const stamp = (atMs: number, more: Partial<Stamp> = {}): Stamp => ({
  id: makeId(baseMs + atMs, 2, 1, 7),
  peer: 3,
  way: 'out',
  lane: 3,
  attempt: 1,
  entries: 1,
  marks: [markOf(12_345_678_901n)],
  sentMs: baseMs + atMs + 1,
  storedMs: baseMs + atMs + 4,
  doneMs: baseMs + atMs + 9,
  ...more,
});

test('stamps come out of their bytes as they went in, in the order of their frames', () => {
  const stamps = [
    stamp(5),
    stamp(5, { id: makeId(baseMs + 5, 2, 31, 31), attempt: 255, entries: 256, marks: [] }),
    // Two days late, by clocks that differ, and never acknowledged.
    stamp(59_999, { sentMs: baseMs + 172_800_000, storedMs: baseMs - 30_000, doneMs: 0 }),
    stamp(20_000, { storedMs: 0, marks: [1, 65_535] }),
  ];
  const sorted = [...stamps].sort((a, b) => (a.id < b.id ? -1 : 1));
  assert.ok(stamps.every(({ id }) => minuteOf(id) === as.minute));
  assert.deepEqual(unpackStamps(packStamps(stamps), as), sorted);
});

test('the stamp of a frame with one entry takes at most 16 bytes', () => {
  const bytes = packStamps(Array.from({ length: 50 }, (_, i) => stamp(i * 1_000)));
  assert.ok(bytes.length / 50 <= 16, `${bytes.length / 50} bytes`);
});

test('bytes that end in the middle are an error', () => {
  const bytes = packStamps([stamp(5)]);
  assert.throws(() => unpackStamps(bytes.subarray(0, bytes.length - 1), as), RangeError);
});
