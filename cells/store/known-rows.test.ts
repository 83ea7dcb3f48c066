import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashBytes } from '@weft/proto/chain.ts';
import type { LogRow } from '../delivery/ports.ts';
import { KnownRows } from './known-rows.ts';

const rowOf = (log: bigint, head: number, changed: Partial<LogRow> = {}): LogRow => ({
  ...{ log, status: 'open', epoch: 1n, head, ts: head, ord: head, hash: Buffer.alloc(hashBytes, head), version: 1 },
  ...changed,
});
const foundAs = (row: LogRow): ReadonlyMap<bigint, LogRow> => new Map([[row.log, row]]);

test('a row is known as the last transaction of this node left it', () => {
  const rows = new KnownRows(10);
  assert.equal(rows.get(7n), undefined);
  rows.committed([rowOf(7n, 1)]);
  rows.committed([rowOf(7n, 2)]);
  rows.found(foundAs(rowOf(7n, 2)));
  assert.deepEqual(rows.get(7n), rowOf(7n, 2));
});

test('a log that another node wrote, or froze, is known again only after sixteen commits of this node alone', () => {
  for (const changed of [{ head: 5 }, { status: 'frozen' }, { version: 2 }, { epoch: 2n }, { hash: Buffer.alloc(hashBytes, 9) }] as const) {
    const rows = new KnownRows(10);
    rows.committed([rowOf(7n, 2)]);
    rows.found(foundAs(rowOf(7n, 2, changed)));
    for (let commits = 0; commits < 16; commits++) {
      assert.equal(rows.get(7n), undefined);
      rows.committed([rowOf(7n, 6 + commits)]);
    }
    assert.equal(rows.get(7n)?.head, 21);
  }
});

test('beyond the bound the log committed to longest ago is forgotten', () => {
  const rows = new KnownRows(2);
  rows.committed([rowOf(1n, 1), rowOf(2n, 1)]);
  rows.committed([rowOf(1n, 2)]);
  rows.committed([rowOf(3n, 1)]);
  assert.deepEqual(
    [1n, 2n, 3n].map((log) => rows.get(log)?.head),
    [2, undefined, 1],
  );
});
