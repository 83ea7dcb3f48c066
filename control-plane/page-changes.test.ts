import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Change } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { takeRows } from './page-changes.ts';

const row = (n: number): { n: bigint; body: Buffer } => ({
  n: BigInt(n),
  body: Buffer.from(Change.encode({ shard: 0, n: BigInt(n), what: undefined }).finish()),
});
const rows = [row(1), row(2), row(3)];
const numbers = (changes: Change[]): bigint[] => changes.map(({ n }) => n);

test('a page ends at the number of changes', () => {
  assert.deepEqual(numbers(takeRows(rows, { changes: 2, bytes: 1_000 })), [1n, 2n]);
});

test('a page ends at its bytes, but a first change of any size is taken', () => {
  assert.deepEqual(numbers(takeRows(rows, { changes: 10, bytes: 1 })), [1n]);
});

test('what one shard took is not there for the next', () => {
  const room = { changes: 4, bytes: 1_000 };
  takeRows(rows, room);
  assert.deepEqual(numbers(takeRows(rows, room)), [1n]);
  assert.deepEqual(takeRows(rows, room), []);
});
