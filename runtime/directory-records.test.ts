import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CellRecord, type Change, type ChangeList, type UserRecord } from '@weft/proto/gen/weft/directory/v1/directory.ts';
import { makeId } from '@weft/proto/ids.ts';
import { DirectoryRecords } from './directory-records.ts';

const nowMs = 1_800_000_000_000;
const userOf = (cell: number, counter: number, over: Partial<UserRecord> = {}): UserRecord => ({
  id: makeId(nowMs, cell, 0, counter),
  handle: `u${cell}-${counter}`,
  home: cell,
  epoch: 1n,
  ...over,
});
const userChange = (shard: number, n: bigint, value: UserRecord): Change => ({ shard, n, what: { $case: 'user', value } });
const cellChange = (n: bigint, over: Partial<CellRecord>): Change => ({
  shard: 1,
  n,
  what: { $case: 'cell', value: CellRecord.fromPartial({ name: 'eu-1', number: 1, version: 1n, ...over }) },
});
const list = (changes: Change[], positions: [number, bigint][] = []): ChangeList => ({
  changes,
  positions: positions.map(([shard, n]) => ({ shard, n })),
  sentAt: 0n,
});
const heldOf = (records: DirectoryRecords): bigint[] => records.positions().map(({ n }) => n);

test('changes in order move the position, and applying them again changes nothing', () => {
  const records = new DirectoryRecords();
  const page = list([userChange(0, 1n, userOf(1, 1)), userChange(0, 2n, userOf(1, 2))]);
  assert.equal(records.apply(page).users.length, 2);
  assert.deepEqual(heldOf(records), [2n, 0n, 0n, 0n]);
  assert.equal(records.apply(page).users.length, 0);
  assert.equal(records.behind, false);
});

test('a change beyond a hole is known at once, but the position waits for the hole', () => {
  const records = new DirectoryRecords();
  records.apply(list([userChange(2, 3n, userOf(1, 3))]));
  assert.equal(records.userByHandle('u1-3')?.home, 1);
  assert.equal(records.behind, true);
  assert.deepEqual(heldOf(records), [0n, 0n, 0n, 0n]);
  records.apply(list([1n, 2n, 3n].map((n) => userChange(2, n, userOf(1, Number(n))))));
  assert.equal(records.behind, false);
});

test('a beat alone shows that the last change was lost', () => {
  const records = new DirectoryRecords();
  records.apply(list([], [[3, 1n]]));
  assert.equal(records.behind, true);
});

test('an older epoch or version never replaces a newer one, in whatever order they arrive', () => {
  const records = new DirectoryRecords();
  const moved = userOf(1, 1, { home: 2, epoch: 2n });
  records.apply(list([userChange(0, 2n, moved), userChange(0, 1n, userOf(1, 1))]));
  assert.deepEqual(records.userById(moved.id), moved);
  records.apply(list([cellChange(2n, { version: 5n, urls: ['http://new'] }), cellChange(1n, { version: 4n, urls: ['http://old'] })]));
  assert.deepEqual(records.cell('eu-1')?.urls, ['http://new']);
  assert.equal(records.cell(1)?.name, 'eu-1');
});

test('a home is what the directory says, else the birth cell, and the heir of either once it is retired', () => {
  const records = new DirectoryRecords();
  assert.equal(records.homeOf(makeId(nowMs, 1, 0, 9)), 1);
  records.apply(list([userChange(0, 1n, userOf(1, 1, { home: 2, epoch: 2n }))]));
  assert.equal(records.homeOf(userOf(1, 1).id), 2);
  records.apply(list([cellChange(1n, { heir: 3 })]));
  assert.equal(records.homeOf(makeId(nowMs, 1, 0, 9)), 3);
  assert.equal(records.homeOf(userOf(1, 1).id), 2);
});

test('a circle of heirs ends', () => {
  const records = new DirectoryRecords();
  records.apply(list([cellChange(1n, { heir: 2 }), cellChange(2n, { name: 'eu-2', number: 2, heir: 1 })]));
  assert.equal(typeof records.homeOf(makeId(nowMs, 1, 0, 0)), 'number');
});

test('a user who changed the handle is no longer found by the old one', () => {
  const records = new DirectoryRecords();
  records.apply(list([userChange(0, 1n, userOf(1, 1)), userChange(0, 2n, userOf(1, 1, { handle: 'new', epoch: 2n }))]));
  assert.equal(records.userByHandle('u1-1'), undefined);
  assert.equal(records.userByHandle('new')?.id, userOf(1, 1).id);
});

test('a directory that was restored to an earlier time is read anew, and what is held stays', () => {
  const records = new DirectoryRecords();
  records.apply(list([1n, 2n, 3n].map((n) => userChange(0, n, userOf(1, Number(n))))));
  assert.equal(records.restart([{ shard: 0, n: 3n }]), false);
  assert.equal(records.restart([{ shard: 0, n: 1n }], [{ shard: 0, n: 1n }]), false, 'what is held now came after the question');
  assert.equal(records.restart([{ shard: 0, n: 1n }]), true);
  assert.equal(records.behind, true);
  assert.equal(records.userByHandle('u1-3')?.home, 1);
  records.apply(list([userChange(0, 1n, userOf(1, 1))], [[0, 1n]]));
  assert.equal(records.behind, false);
});

test('positions that only a stale message claimed are forgotten when the directory says where its log ends', () => {
  const records = new DirectoryRecords();
  records.apply(list([], [[0, 99n]]));
  assert.equal(records.behind, true);
  records.settle([{ shard: 0, n: 0n }]);
  assert.equal(records.behind, false);
});

test('a shard that does not exist is ignored', () => {
  const records = new DirectoryRecords();
  records.apply(list([userChange(17, 0n, userOf(1, 1))], [[17, 5n]]));
  assert.equal(records.positions().length, 4);
  assert.equal(records.behind, false);
});
