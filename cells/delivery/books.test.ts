import assert from 'node:assert/strict';
import { test } from 'node:test';
import { laneOf } from '@weft/proto/ids.ts';
import { makeEpoch } from '@weft/proto/positions.ts';
import { countsOf } from './books.ts';
import type { Entry } from './entry.ts';
import type { LogRow, OutboxRow } from './ports.ts';

const own = makeEpoch({ count: 1, cell: 1, generation: 1 });
const foreign = makeEpoch({ count: 1, cell: 2, generation: 1 });
const nothing = { entries: [], outbox: [], intake: [], reopened: [] };
const entry = (log: bigint, epoch: bigint): Entry => ({
  ...{ log, epoch, seq: 2, ts: 1, author: 1n, clientEntryId: 1n, ord: 1, kind: 9, flags: 0, body: new Uint8Array() },
});
const frame = (dst: number, due?: number): OutboxRow => ({
  ...{ id: 1n, dst, class: 'e', lane: 2, ranges: [], envelopes: [] },
  ...(due === undefined ? {} : { due }),
});
const here = { cell: 1, lane: 2 };
const noRows = { rows: new Map<bigint, LogRow>() };

test('what a frame brings for the first time is accepted for its destination, what it only brings again is not', () => {
  assert.deepEqual(countsOf({ ...nothing, outbox: [frame(2, 3), frame(2, 4), frame(3, 0), frame(3)] }, noRows, here), [
    { peer: 2, class: 'entries', what: 'accepted', lane: 2, n: 7 },
  ]);
});

test('entries of another cell’s epoch are applied, own ones are not', () => {
  const entries = [entry(10n, own), entry(11n, foreign), entry(11n, foreign)];
  assert.deepEqual(countsOf({ ...nothing, entries }, noRows, here), [
    { peer: 2, class: 'entries', what: 'applied', lane: laneOf(11n), n: 2 },
  ]);
});

test('a run that begins anew passes the places that were never due', () => {
  const row: LogRow = { log: 11n, epoch: foreign, head: 5, ts: 1, ord: 1, version: 1, status: 'open', hash: new Uint8Array() };
  assert.deepEqual(countsOf({ ...nothing, reopened: [{ log: 11n, start: 9 }] }, { rows: new Map([[11n, row]]) }, here), [
    { peer: 2, class: 'entries', what: 'applied', lane: laneOf(11n), n: 4 },
  ]);
});
