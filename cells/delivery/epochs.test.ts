import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countByDirectory, countByRestored, isByDirectory, makeEpoch } from '@weft/proto/positions.ts';
import { following, isBySigned, nextEpoch, nextOwnEpoch, wasHandedOver, withEpoch } from './epochs.ts';

const first = makeEpoch({ count: 1, cell: 1, generation: 1 });
const signed = makeEpoch({ count: countByDirectory(1), cell: 2, generation: 1 });
const endsWith = (next: bigint): boolean =>
  wasHandedOver(
    [
      { epoch: first, base: 0 },
      { epoch: next, base: 5 },
    ],
    first,
  );

test('an epoch that its owner gave away ended where the list says', () => {
  assert.equal(endsWith(nextEpoch(first, 2, 1)), true);
});

test('one that a restore or a takeover ended may go on elsewhere', () => {
  assert.equal(endsWith(nextOwnEpoch(first, 2)), false, 'the same cell, restored');
  assert.equal(endsWith(signed), false, 'the directory');
  assert.equal(endsWith(nextEpoch(signed, 3, 1)), false, 'the directory, and then that owner at once');
});

test('what a restored owner begins comes after what it gave away in what was lost, however often it was restored', () => {
  const [second, third] = [nextOwnEpoch(first, 2), nextOwnEpoch(first, 3)];
  for (const given of [first, second]) assert.ok(third > nextEpoch(given, 4_095, 1_000));
  assert.ok(second > nextEpoch(first, 4_095, 1_000));
  assert.ok(nextOwnEpoch(first, 1) > nextEpoch(first, 4_095, 1_000), 'a store that lost its end, and was not found out');
  // Back and forth between two cells that are restored both.
  let lost: bigint = first;
  for (let n = 0; n < 254; n++) lost = nextEpoch(lost, 1 + (n % 2), 1);
  assert.ok(second > lost);
});

test('however often it was restored, what it begins is not taken for the directory’s', () => {
  for (const lives of [1, 255, 256, 100_000]) assert.equal(isByDirectory(1, countByRestored(1, lives)), false);
});

test('an epoch that gave nothing is not taken for the newest where the one after it is known already', () => {
  const handed = nextEpoch(first, 3, 1);
  const epochs = [
    { epoch: first, base: 0 },
    { epoch: signed, base: 5 },
  ];
  assert.ok(signed > handed);
  assert.equal(withEpoch(epochs, { epoch: handed, base: 5 }), epochs, 'it is in no list, and the log never goes back to it');
  assert.equal(withEpoch(epochs.slice(0, 1), { epoch: handed, base: 5 }).at(-1)?.epoch, handed);
});

test('each epoch follows the one that gave the entry at its base', () => {
  const third = nextEpoch(signed, 1, 1);
  const list = [
    { epoch: first, base: 0 },
    { epoch: signed, base: 5 },
    { epoch: third, base: 6 },
  ];
  assert.deepEqual(
    following(list).map(({ after }) => after),
    [first, first, signed],
  );
});

test('the directory’s word covers the epoch it names and how its owner goes on with that in a later life, and no other', () => {
  const again = makeEpoch({ count: countByDirectory(countByDirectory(1)), cell: 2, generation: 2 });
  for (const epoch of [signed, nextOwnEpoch(signed, 2)]) assert.equal(isBySigned(epoch, signed), true);
  for (const epoch of [first, nextEpoch(signed, 3, 1), nextEpoch(signed, 2, 1), again]) assert.equal(isBySigned(epoch, signed), false);
});

test('so may one that is in no list, and one that is in force', () => {
  const epochs = [{ epoch: first, base: 0 }];
  assert.equal(wasHandedOver(epochs, signed), false);
  assert.equal(wasHandedOver(epochs, first), false);
});
